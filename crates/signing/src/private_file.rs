//! Files that only their owner may read: key files, and those that hold a passphrase.

use std::fs::{File, Metadata};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use zeroize::Zeroizing;

use crate::error::KeyError;

/// Reads a file of at most so many bytes that nobody but its owner can read; `what` names its kind.
pub(crate) fn read(
    path: &Path,
    what: &'static str,
    max_length: u64,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let (contents, mode) = read_whoever_may(path, what, max_length)?;
    match mode & 0o077 {
        0 => Ok(contents),
        _ => Err(KeyError::Exposed { what, path: path.to_owned(), mode }),
    }
}

/// The same of a file that others may read too, with its permission bits.
pub(crate) fn read_whoever_may(
    path: &Path,
    what: &'static str,
    max_length: u64,
) -> Result<(Zeroizing<Vec<u8>>, u32), KeyError> {
    let unreadable = |source| KeyError::Read { what, path: path.to_owned(), source };
    let malformed = |problem| KeyError::Malformed { place: path.display().to_string(), problem };
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(malformed("is not a file"));
    }
    // With room for all of it, so that no copy is left behind by growing.
    let mut contents = Zeroizing::new(Vec::with_capacity(32 << 10));
    file.take(max_length + 1).read_to_end(&mut contents).map_err(unreadable)?;
    match contents.len() as u64 > max_length {
        true => Err(malformed(if max_length < MAX_KEY_LENGTH {
            "is too long for a passphrase or PIN"
        } else {
            "is too long for a key file"
        })),
        false => Ok((contents, mode(&metadata))),
    }
}

/// More than any PEM file with one key has, in bytes.
pub(crate) const MAX_KEY_LENGTH: u64 = 16 << 10;

/// Writes a new file: mode 0600, never over an existing one, complete or not at all, and durable on
/// return.
pub(crate) fn create(path: &Path, contents: &[u8]) -> Result<(), KeyError> {
    write(path, contents, false).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => KeyError::Exists { path: path.to_owned() },
        _ => KeyError::Write { path: path.to_owned(), source },
    })
}

/// Writes a file in place of the one that is there: whoever opens it finds the one or the other.
pub(crate) fn replace(path: &Path, contents: &[u8]) -> Result<(), KeyError> {
    write(path, contents, true).map_err(|source| KeyError::Write { path: path.to_owned(), source })
}

fn write(path: &Path, contents: &[u8], over: bool) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    // A temporary file has mode 0600 from its creation: at no moment can others open the key.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(contents)?;
    file.as_file().sync_all()?;
    match over {
        true => file.persist(path),
        false => file.persist_noclobber(path),
    }
    .map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

#[cfg(unix)]
fn mode(metadata: &Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;

    metadata.permissions().mode() & 0o7777
}

/// Elsewhere files carry no such bits; the folder's access list decides.
#[cfg(not(unix))]
fn mode(_: &Metadata) -> u32 {
    0
}
