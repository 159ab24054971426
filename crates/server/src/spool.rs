//! A file on its way to the store: written to the store's spool and hashed while it comes.

use std::io::Write;

use aws_lc_rs::digest::{Context, SHA256, SHA512};
use blake2::Blake2b256;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use md5::{Digest, Md5};
use tempfile::NamedTempFile;
use waxseal_repository::StoreError;
use waxseal_tuf::hash::{Sha256, Sha512};

use crate::error::{Error, shown};
use crate::state::AppState;

/// How many bytes are gathered before they are hashed and written in one go.
const BATCH: usize = 256 << 10;

/// A file that is being received. Dropped, it leaves nothing.
pub(crate) struct Spool {
    state: AppState,
    /// None only while a batch is being written, and after that failed.
    writer: Option<Writer>,
    waiting: Vec<Bytes>,
    waiting_length: usize,
    length: u64,
}

struct Writer {
    file: NamedTempFile,
    sha256: Context,
    /// Where the index lists it.
    sha512: Option<Context>,
    md5: Md5,
    blake2_256: Blake2b256,
}

/// A file that was received whole.
pub(crate) struct Spooled {
    /// The file.
    pub(crate) file: NamedTempFile,
    /// How many bytes it has.
    pub(crate) length: u64,
    /// Its digest.
    pub(crate) sha256: Sha256,
    /// The other one, where the index lists it.
    pub(crate) sha512: Option<Sha512>,
    md5: String,
    blake2_256: String,
}

impl Spool {
    /// An empty file in the store's spool.
    pub(crate) async fn new(state: &AppState) -> Result<Self, Error> {
        let writer = state.blocking(|repository| {
            let file = repository.store().spool()?;
            let (sha256, md5) = (Context::new(&SHA256), Md5::new());
            let listed = repository.hash_algorithms().has_sha512();
            let sha512 = listed.then(|| Context::new(&SHA512));
            Ok(Writer { file, sha256, sha512, md5, blake2_256: Blake2b256::new() })
        });
        Ok(Self {
            writer: Some(writer.await?),
            state: state.clone(),
            waiting: Vec::new(),
            waiting_length: 0,
            length: 0,
        })
    }

    /// Takes the next bytes of the file, unless it then has more than `limit`.
    pub(crate) async fn push(&mut self, bytes: Bytes, limit: u64) -> Result<(), Error> {
        self.length += bytes.len() as u64;
        if self.length > limit {
            return Err(Error::TooLarge { what: "the file", limit });
        }
        self.waiting_length += bytes.len();
        self.waiting.push(bytes);
        if self.waiting_length < BATCH {
            return Ok(());
        }
        self.write().await
    }

    /// Ends the file.
    pub(crate) async fn finish(mut self) -> Result<Spooled, Error> {
        self.write().await?;
        let Some(writer) = self.writer else { return Err(failed_before()) };
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(writer.sha256.finish().as_ref());
        Ok(Spooled {
            file: writer.file,
            length: self.length,
            sha256: Sha256(sha256),
            sha512: writer.sha512.map(|context| {
                let mut sha512 = [0; 64];
                sha512.copy_from_slice(context.finish().as_ref());
                Sha512(sha512)
            }),
            md5: HEXLOWER.encode(&writer.md5.finalize()),
            blake2_256: HEXLOWER.encode(&writer.blake2_256.finalize()),
        })
    }

    async fn write(&mut self) -> Result<(), Error> {
        let batch = std::mem::take(&mut self.waiting);
        self.waiting_length = 0;
        let Some(mut writer) = self.writer.take() else { return Err(failed_before()) };
        let written = self.state.blocking(move |_| {
            for bytes in batch {
                writer.take(&bytes)?;
            }
            Ok(writer)
        });
        self.writer = Some(written.await?);
        Ok(())
    }
}

impl Writer {
    fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.sha256.update(bytes);
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(bytes);
        }
        self.md5.update(bytes);
        self.blake2_256.update(bytes);
        self.file.write_all(bytes).map_err(|source| {
            let path = self.file.path().to_owned();
            StoreError::Io { action: "write", path, source }.into()
        })
    }
}

impl Spooled {
    /// Compares a digest of the upload form with the file's. Tools disagree on upper and lower case.
    pub(crate) fn check(&self, algorithm: Algorithm, claimed: &str) -> Result<(), Error> {
        let got = match algorithm {
            Algorithm::Sha256 => self.sha256.to_string(),
            Algorithm::Blake2b256 => self.blake2_256.clone(),
            Algorithm::Md5 => self.md5.clone(),
        };
        if got.eq_ignore_ascii_case(claimed) {
            return Ok(());
        }
        Err(Error::Digest { algorithm: algorithm.name(), claimed: shown(claimed), got })
    }
}

/// A digest that upload forms carry. All that are there are compared; what proves anything about
/// the file later is what metadata lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Sha256,
    Blake2b256,
    Md5,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA-256",
            Self::Blake2b256 => "BLAKE2b-256",
            Self::Md5 => "MD5",
        }
    }
}

fn failed_before() -> Error {
    Error::internal("the upload's file failed before")
}
