//! Files that are whole or not there, and survive a power cut.
//!
//! A file is made durable before it gets its name. Names are durable once their folder is: [`Folders`]
//! remembers which folders changed, so that one barrier before `timestamp.json` is enough for all.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::Error;

/// Modes of what a web server reads, whatever the umask.
const FILE_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o755;

/// From how many changed folders on the whole file system is made durable in their place.
const MANY: usize = 64;

/// The folders below a base in which names changed.
#[derive(Debug)]
pub(crate) struct Folders {
    base: PathBuf,
    tmp: PathBuf,
    next: AtomicU64,
    changed: Mutex<BTreeSet<PathBuf>>,
}

impl Folders {
    /// `tmp` is on the same file system as `base`, and is emptied.
    pub(crate) fn new(base: &Path, tmp: &Path) -> Result<Self, Error> {
        match fs::remove_dir_all(tmp) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Error::io("empty", tmp)(error));
            }
            _ => {}
        }
        fs::create_dir_all(tmp).map_err(Error::io("make", tmp))?;
        let (base, tmp) = (base.to_owned(), tmp.to_owned());
        Ok(Self { base, tmp, next: AtomicU64::new(0), changed: Mutex::default() })
    }

    /// A name for a file that is to be written.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.tmp.join(self.next.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// Writes a file durably and gives it its name, in place of what had it.
    pub(crate) fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let temporary = self.temporary();
        write_synced(&temporary, bytes)?;
        self.place(&temporary, path)
    }

    /// Gives a file that is durable its name, in place of what had it.
    pub(crate) fn place(&self, from: &Path, path: &Path) -> Result<(), Error> {
        self.prepare(path)?;
        let mode = Permissions::from_mode(FILE_MODE);
        fs::set_permissions(from, mode).map_err(Error::io("set the mode of", from))?;
        fs::rename(from, path).map_err(Error::io("write", path))
    }

    /// Gives a file that is there another name too, in place of what had it. Where the file system has no
    /// links it gets a copy.
    pub(crate) fn link(&self, from: &Path, path: &Path) -> Result<(), Error> {
        if is_same(from, path) {
            return Ok(());
        }
        let temporary = self.temporary();
        match fs::hard_link(from, &temporary) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Error::io("link", from)(error));
            }
            Err(_) => {
                fs::copy(from, &temporary).map_err(Error::io("copy", from))?;
                let file = File::open(&temporary).and_then(|file| file.sync_all());
                file.map_err(Error::io("write", &temporary))?;
            }
        }
        self.place(&temporary, path)
    }

    /// Removes a file that may be gone already, and the folders that it leaves empty.
    pub(crate) fn remove(&self, path: &Path) -> Result<bool, Error> {
        match fs::remove_file(path) {
            Ok(()) => {}
            Err(error) if is_absent(&error) => return Ok(false),
            Err(error) => return Err(Error::io("remove", path)(error)),
        }
        let above = path.ancestors().skip(1).take_while(|above| *above != self.base);
        for folder in above {
            self.locked().insert(folder.to_owned());
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
        Ok(true)
    }

    /// Makes all names that changed durable.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        let changed = std::mem::take(&mut *self.locked());
        if cfg!(target_os = "linux") && changed.len() > MANY {
            let synced = File::open(&self.base).and_then(|base| sync_volume(&base));
            return synced.map_err(Error::io("make durable", &self.base));
        }
        changed.iter().filter(|folder| folder.is_dir()).try_for_each(|folder| sync_folder(folder))
    }

    /// Makes the folder of a file, and remembers it.
    fn prepare(&self, path: &Path) -> Result<(), Error> {
        let folder = path.parent().unwrap_or(&self.base);
        if self.locked().contains(folder) && folder.is_dir() {
            return Ok(());
        }
        let mut missing = Vec::new();
        for above in folder.ancestors() {
            self.locked().insert(above.to_owned());
            if above == self.base || above.is_dir() {
                break;
            }
            missing.push(above);
        }
        for folder in missing.into_iter().rev() {
            match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    return Err(Error::io("make", folder)(error));
                }
                _ => {}
            }
            // Once more, past the umask.
            let mode = Permissions::from_mode(FOLDER_MODE);
            fs::set_permissions(folder, mode).map_err(Error::io("set the mode of", folder))?;
        }
        Ok(())
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeSet<PathBuf>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes a new file, durably, whose name need not be.
pub(crate) fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let written = File::create(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(Error::io("write", path))
}

pub(crate) fn sync_folder(folder: &Path) -> Result<(), Error> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(Error::io("make durable", folder))
}

#[cfg(target_os = "linux")]
fn sync_volume(volume: &File) -> io::Result<()> {
    rustix::fs::syncfs(volume).map_err(io::Error::from)
}

#[cfg(not(target_os = "linux"))]
fn sync_volume(volume: &File) -> io::Result<()> {
    volume.sync_all()
}

/// A file's bytes; `None` where there is none.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

/// The length of a file; `None` where there is none.
pub(crate) fn length_of(path: &Path) -> Option<u64> {
    fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file).map(|is| is.len())
}

/// Whether two names are one file.
pub(crate) fn is_same(one: &Path, other: &Path) -> bool {
    let of = |path: &Path| fs::symlink_metadata(path).ok().map(|is| (is.dev(), is.ino()));
    of(one).is_some_and(|one| Some(one) == of(other))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn files_get_their_names_and_folders_go_with_the_last_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path();
        let folders = Folders::new(base, &base.join("tmp")).unwrap();
        folders.write(&base.join("a/b/c"), b"one").unwrap();
        folders.link(&base.join("a/b/c"), &base.join("d/e")).unwrap();
        assert!(is_same(&base.join("a/b/c"), &base.join("d/e")));
        assert_eq!(fs::metadata(base.join("d")).unwrap().mode() & 0o777, 0o755);
        folders.write(&base.join("a/b/c"), b"two").unwrap();
        folders.link(&base.join("a/b/c"), &base.join("d/e")).unwrap();
        assert_eq!(read_if_there(&base.join("d/e")).unwrap().unwrap(), b"two");
        folders.sync().unwrap();
        assert!(folders.remove(&base.join("a/b/c")).unwrap());
        assert!(!folders.remove(&base.join("a/b/c")).unwrap());
        assert!(!base.join("a").exists() && base.join("d/e").exists());
        assert_eq!(fs::read_dir(base.join("tmp")).unwrap().count(), 0);
    }
}
