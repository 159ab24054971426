//! Looking into an uploaded archive: is it whole, can it be read in only one way, and does its
//! core metadata belong to its filename?
//!
//! An archive that two readers read differently lets one of them check what the other does not
//! install (CVE-2025-54368 for ZIP, CVE-2025-62518 for tar). So the readers here take only what
//! every reader agrees on: each byte of the file must belong to exactly one entry, and what is
//! written twice must say the same. Every entry is read to its end, so that a damaged one is
//! refused; none but the core metadata is kept, and none is unpacked to anywhere.

mod member;
mod sdist;
mod tar;
mod wheel;
mod zip;

use std::io::{self, Read, Seek, SeekFrom};

use crate::core_metadata::{CoreMetadata, MetadataError};
use crate::filename::DistributionFilename;
use crate::shown;

/// How much work and memory an archive may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Entries in an archive.
    pub entries: u64,
    /// Bytes of a ZIP's central directory, which is held in memory.
    pub directory: u64,
    /// Bytes of the core metadata, unpacked.
    pub metadata: u64,
    /// Bytes of a `.tar.gz`, unpacked. It is read to its end, so that a broken or truncated one
    /// is refused; this bounds the time that takes.
    pub unpacked: u64,
    /// How many times its own size an archive may unpack to, once it is over `ratio_from`. As
    /// every entry is unpacked, this bounds the time that takes.
    pub ratio: u64,
    /// Bytes that any archive may unpack to, whatever its size.
    pub ratio_from: u64,
}

impl Default for Limits {
    /// Above every archive on PyPI that is not an attack.
    fn default() -> Self {
        const MIB: u64 = 1 << 20;
        Self {
            entries: 200_000,
            directory: 64 * MIB,
            metadata: 10 * MIB,
            unpacked: 1024 * MIB,
            ratio: 100,
            ratio_from: 64 * MIB,
        }
    }
}

/// What was found in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// The core metadata; its name and version are those of the filename.
    pub core_metadata: CoreMetadata,
    /// For a wheel, the bytes of `METADATA`, which an index publishes beside the file (PEP 658).
    /// None for a source distribution: installers may take them only from PEP 643 on, and PyPI
    /// publishes none.
    pub metadata_file: Option<Vec<u8>>,
}

/// Why an archive is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The reader failed, which says nothing about the archive.
    #[error("reading the archive failed: {source}")]
    Read {
        /// What the reader said.
        #[source]
        source: io::Error,
    },
    /// The archive is damaged, or not an archive.
    #[error("the archive is broken at {place}: {problem}; build and upload it again")]
    Broken {
        /// Which part.
        place: String,
        /// What is wrong there.
        problem: String,
    },
    /// Two readers may see different contents.
    #[error(
        "the archive can be read in two ways at {place}: {problem}; build it again with a current build tool"
    )]
    Ambiguous {
        /// Which part.
        place: String,
        /// What does not fit.
        problem: String,
    },
    /// An entry could be unpacked outside its folder, or is of a kind that no package needs.
    #[error("the archive holds an unsafe entry {entry}: {problem}")]
    Unsafe {
        /// The entry.
        entry: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Something is larger than the limits allow.
    #[error("{what} is {found}; the limit is {limit}")]
    TooLarge {
        /// What is too large, with its unit.
        what: String,
        /// Its size, or how far it was read.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// Something that must be in the archive is not there.
    #[error("the archive has no {entry}; {hint}")]
    Missing {
        /// The entry.
        entry: String,
        /// Why it must be there.
        hint: &'static str,
    },
    /// The archive and its filename disagree.
    #[error(
        "{what} is '{found}', but the filename says '{expected}'; rename nothing after building"
    )]
    Mismatch {
        /// What was compared.
        what: String,
        /// The value in the archive.
        found: String,
        /// The value in the filename.
        expected: String,
    },
    /// The core metadata is wrong.
    #[error("{entry} is not valid core metadata: {source}")]
    Metadata {
        /// The entry that holds it.
        entry: String,
        /// What is wrong with it.
        #[source]
        source: MetadataError,
    },
}

/// Checks an archive of `size` bytes against its filename and reads its core metadata.
///
/// Work is bounded by `limits` and by `size`; memory by the ZIP's directory and the metadata.
pub fn inspect<R: Read + Seek>(
    filename: &DistributionFilename,
    mut reader: R,
    size: u64,
    limits: &Limits,
) -> Result<Inspected, ArchiveError> {
    check_size(&mut reader, size)?;
    let is_wheel = matches!(filename, DistributionFilename::Wheel(_));
    let Metadata { entry, bytes } = match filename {
        DistributionFilename::Wheel(_) => wheel::metadata(filename, reader, size, limits)?,
        DistributionFilename::SourceDistribution(sdist) if sdist.suffix() == ".zip" => {
            sdist::metadata_in_zip(filename, reader, size, limits)?
        }
        DistributionFilename::SourceDistribution(_) => {
            sdist::metadata_in_tar_gz(filename, reader, size, limits)?
        }
    };
    let core_metadata = CoreMetadata::parse(&bytes)
        .map_err(|source| ArchiveError::Metadata { entry: entry.clone(), source })?;
    check_identity(filename, &entry, &core_metadata)?;
    Ok(Inspected { core_metadata, metadata_file: is_wheel.then_some(bytes) })
}

/// Core metadata as it stands in an archive.
struct Metadata {
    /// The entry, for messages.
    entry: String,
    bytes: Vec<u8>,
}

fn check_size(reader: &mut impl Seek, size: u64) -> Result<(), ArchiveError> {
    let read = |source| ArchiveError::Read { source };
    let end = reader.seek(SeekFrom::End(0)).map_err(read)?;
    reader.seek(SeekFrom::Start(0)).map_err(read)?;
    if end == size {
        return Ok(());
    }
    Err(broken("its end", format!("it has {end} bytes, where {size} are announced")))
}

fn check_identity(
    filename: &DistributionFilename,
    entry: &str,
    metadata: &CoreMetadata,
) -> Result<(), ArchiveError> {
    if metadata.name.normalized() != *filename.project() {
        return Err(ArchiveError::Mismatch {
            what: format!("the Name in {entry}"),
            found: metadata.name.to_string(),
            expected: filename.project().to_string(),
        });
    }
    if metadata.version != *filename.version() {
        return Err(ArchiveError::Mismatch {
            what: format!("the Version in {entry}"),
            found: metadata.version.to_string(),
            expected: filename.version().to_string(),
        });
    }
    Ok(())
}

fn broken(place: impl AsRef<str>, problem: impl Into<String>) -> ArchiveError {
    ArchiveError::Broken { place: shown(place.as_ref()), problem: problem.into() }
}

fn ambiguous(place: impl AsRef<str>, problem: impl Into<String>) -> ArchiveError {
    ArchiveError::Ambiguous { place: shown(place.as_ref()), problem: problem.into() }
}

fn unsafe_entry(entry: impl AsRef<str>, problem: impl Into<String>) -> ArchiveError {
    ArchiveError::Unsafe { entry: shown(entry.as_ref()), problem: problem.into() }
}

fn within(what: &str, found: u64, limit: u64) -> Result<(), ArchiveError> {
    if found <= limit {
        return Ok(());
    }
    Err(ArchiveError::TooLarge { what: what.to_owned(), found, limit })
}

/// Tells damage in the data apart from a failure of the reader.
fn read_error(place: &str, source: io::Error) -> ArchiveError {
    match source.kind() {
        io::ErrorKind::UnexpectedEof => broken(place, "it ends too early"),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            broken(place, "the compressed data is damaged")
        }
        _ => ArchiveError::Read { source },
    }
}
