use std::io::{Read as _, Write as _};

use aws_lc_rs::digest::{Context, SHA256};
use tempfile::NamedTempFile;
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::{TargetFile, TargetPath};

use super::RestoreError;
use crate::archive::finish_digest;
use crate::error::{Error, StoreError};
use crate::store::{Link, Store, StoreKey};

/// The most bytes of a page.
const PAGE_LIMIT: u64 = 256 << 20;
/// How many bytes are read at a time.
const BUFFER: usize = 256 << 10;

/// Where the bytes of a target may be: in the index's own store, and in mirrors and backups. They are
/// believed by their digest alone.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// The index's own.
    pub store: &'a dyn Store,
    /// The others, which are asked in their order.
    pub copies: &'a [&'a dyn Store],
}

impl Places<'_> {
    /// The bytes of a page; `None` where no place has them.
    pub(super) fn page(&self, path: &TargetPath, file: &TargetFile) -> Option<Vec<u8>> {
        let digest = file.hashes.known().next()?;
        let key = StoreKey::Target { path: path.clone(), digest };
        // One that cannot be asked has it not.
        let read = |store: &dyn Store| store.read(&key, PAGE_LIMIT).ok().flatten();
        let stores = std::iter::once(self.store).chain(self.copies.iter().copied());
        stores.filter_map(read).find(|bytes| file.hashes.are_of(bytes))
    }

    /// Has the index's own store hold a target under its SHA-256, and then a plain file with other bytes gives
    /// way. The length of the target.
    pub(super) fn bring(&self, path: &TargetPath, digest: Sha256) -> Result<u64, RestoreError> {
        let plain = StoreKey::File(path.clone());
        let is_plain = length_if_right(self.store, &plain, digest)?.is_some();
        let Some(length) = self.length_brought(path, digest, is_plain)? else {
            let problem =
                "its bytes are in none of the places: name a mirror or a backup that has them \
                           with --copies"
                    .to_owned();
            return Err(RestoreError::Lost { path: path.to_string(), problem });
        };
        if !is_plain {
            self.store.remove(&[plain]).map_err(Error::from)?;
        }
        Ok(length)
    }

    /// A place that lists SHA-512 alone has the bytes under their plain name.
    fn length_brought(
        &self,
        path: &TargetPath,
        digest: Sha256,
        is_plain: bool,
    ) -> Result<Option<u64>, Error> {
        let key = StoreKey::Target { path: path.clone(), digest: digest.into() };
        let plain = StoreKey::File(path.clone());
        if let Some(length) = length_if_right(self.store, &key, digest)? {
            return Ok(Some(length));
        }
        if is_plain {
            // Somebody may have put other bytes under its name.
            self.store.remove(std::slice::from_ref(&key))?;
            self.store.link(&[Link { from: plain, to: key.clone() }])?;
            return length_if_right(self.store, &key, digest);
        }
        for copy in self.copies {
            for there in [&key, &plain] {
                if let Some((spooled, length)) = self.fetch(*copy, there, digest)? {
                    self.store.remove(std::slice::from_ref(&key))?;
                    self.store.create_from_file(&key, spooled, &[])?;
                    return Ok(Some(length));
                }
            }
        }
        Ok(None)
    }

    /// The bytes that another place has under this name, if they are the right ones.
    fn fetch(
        &self,
        from: &dyn Store,
        key: &StoreKey,
        digest: Sha256,
    ) -> Result<Option<(NamedTempFile, u64)>, Error> {
        let mut object = match from.open(key) {
            Ok(Some(object)) => object,
            // One at a URL gives no plain files.
            Ok(None) | Err(StoreError::Refused { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut spooled = self.store.spool()?;
        let failed =
            |action| move |source| StoreError::Io { action, path: key.path().into(), source };
        let (mut hashing, mut length) = (Context::new(&SHA256), 0);
        let mut buffer = vec![0; BUFFER];
        loop {
            let read = object.reader.read(&mut buffer).map_err(failed("read"))?;
            if read == 0 {
                break;
            }
            length += read as u64;
            hashing.update(&buffer[..read]);
            spooled.write_all(&buffer[..read]).map_err(failed("write"))?;
        }
        Ok((finish_digest(hashing) == digest).then_some((spooled, length)))
    }
}

/// The length of an object if its bytes have this digest.
fn length_if_right(
    store: &dyn Store,
    key: &StoreKey,
    digest: Sha256,
) -> Result<Option<u64>, Error> {
    let Some(mut object) = store.open(key)? else { return Ok(None) };
    let mut hashing = Context::new(&SHA256);
    let mut buffer = vec![0; BUFFER];
    loop {
        let path = key.path().into();
        let failed = |source| StoreError::Io { action: "read", path, source };
        match object.reader.read(&mut buffer).map_err(failed)? {
            0 => break,
            read => hashing.update(&buffer[..read]),
        }
    }
    Ok((finish_digest(hashing) == digest).then_some(object.length))
}
