//! The store in a folder that any web server can serve.
//!
//! An object is written to a file beside the store, made durable, and then given its name by
//! `renameat2(2)` or `link(2)`: that is atomic and fails when the name is taken, which makes it
//! create-only without a lock. The folders that changed are made durable before a call returns.
//!
//! A batch costs two barriers, not two per object: past a few objects `syncfs(2)` replaces the
//! `fsync(2)` of each (the one waits for the disk once, the other once per file). Batches that are under
//! way at the same time share those barriers.
//!
//! Below the base there is one folder that is not public, `.store`, mode 0700: unfinished files
//! and locks. Objects are regular files; a symbolic link in an object's place is not followed.
//! Whoever can write to the base itself is trusted.

mod barrier;
mod batch;
mod drafts;
mod reserve;
mod spool;

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, DirEntry, File, Permissions, ReadDir};
use std::io::{self, Read};
use std::iter::once;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rustix::fs::{Mode, OFlags};
use tempfile::NamedTempFile;
use waxseal_tuf::hash::Sha256;

use self::barrier::Barrier;
use self::batch::{Batch, create_folder};
use self::drafts::Drafts;
use self::reserve::Reserve;
use self::spool::Spool;
use super::{
    Area, Creation, Link, Listed, Listing, Object, ObjectReader, OpenObject, Store, StoreError,
    StoreKey, check_create_only, check_removable,
};
use crate::lock::{Access, LOCK_PATIENCE, lock_file};

/// The largest `timestamp.json` read when it is replaced, in bytes.
const TIMESTAMP_LIMIT: u64 = 1 << 20;

/// How much space is set aside in bytes: enough for snapshots of 16,384 bins and some hundred bins of
/// a large index, until garbage is collected.
pub const RESERVE: u64 = 64 << 20;

/// The contract of [`Store`] kept in a folder.
#[derive(Debug)]
pub struct FilesystemStore {
    base: PathBuf,
    /// `None`, both: opened to read only.
    spool: Option<Spool>,
    barrier: Option<Barrier>,
    timestamp_lock: PathBuf,
    /// How long other processes are waited for.
    patience: Duration,
    reserve: Reserve,
    known_folders: KnownFolders,
}

impl FilesystemStore {
    /// Opens the store in the folder `base`, which is made when it is not there, and sweeps what
    /// crashed processes left. Other processes are waited for as long as
    /// [`LOCK_PATIENCE`](crate::LOCK_PATIENCE).
    pub fn open(base: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Self::open_with_patience(base, LOCK_PATIENCE)
    }

    /// The same with another patience.
    pub fn open_with_patience(
        base: impl Into<PathBuf>,
        patience: Duration,
    ) -> Result<Self, StoreError> {
        let base = base.into();
        let base = std::path::absolute(&base)
            .map_err(|source| StoreError::io("find the folder", &base, source))?;
        create_folder(&base)?;
        let private = base.join(".store");
        create_folder(&private)?;
        fs::set_permissions(&private, Permissions::from_mode(0o700))
            .map_err(|source| StoreError::io("set the mode of", &private, source))?;
        let barrier = Some(Barrier::open(&base)?);
        let reserve = Reserve::new(&private, RESERVE);
        let spool = Spool::open(&private, patience).or_else(|error| {
            // Whoever starts with a full disk may use what is set aside for that.
            if !error.is_storage_full() {
                return Err(error);
            }
            reserve.release()?;
            Spool::open(&private, patience)
        });
        let spool = Some(spool?);
        let timestamp_lock = private.join("timestamp.lock");
        let known_folders = KnownFolders::default();
        Ok(Self { base, spool, barrier, timestamp_lock, patience, reserve, known_folders })
    }

    /// The same with another amount of space set aside, in bytes; [`RESERVE`] is the default.
    #[must_use]
    pub fn with_reserve(mut self, bytes: u64) -> Self {
        self.reserve = Reserve::new(&self.base.join(".store"), bytes);
        self
    }

    /// Opens the store in the folder `base` to read it: nothing is made, swept or changed, and what
    /// would write fails. The folder may be on a file system that cannot be written to.
    pub fn open_to_read(base: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let base = base.into();
        let failed = |source| StoreError::io("open the folder", &base, source);
        if !fs::metadata(&base).map_err(failed)?.is_dir() {
            return Err(failed(io::ErrorKind::NotADirectory.into()));
        }
        let timestamp_lock = base.join(".store/timestamp.lock");
        let reserve = Reserve::new(&base.join(".store"), RESERVE);
        let known_folders = KnownFolders::default();
        Ok(Self {
            base,
            spool: None,
            barrier: None,
            timestamp_lock,
            patience: LOCK_PATIENCE,
            reserve,
            known_folders,
        })
    }

    fn spool_folder(&self) -> Result<&Spool, StoreError> {
        self.spool.as_ref().ok_or_else(|| self.read_only())
    }

    fn barrier(&self) -> Result<&Barrier, StoreError> {
        self.barrier.as_ref().ok_or_else(|| self.read_only())
    }

    fn read_only(&self) -> StoreError {
        let source = io::Error::from(io::ErrorKind::ReadOnlyFilesystem);
        StoreError::io("write to", &self.base, source)
    }

    /// The folder to serve.
    pub fn base(&self) -> &Path {
        &self.base
    }

    fn path(&self, key: &StoreKey) -> PathBuf {
        self.base.join(key.path())
    }

    /// The file of an object and its length, or `None` when it is not there.
    fn open_file(&self, key: &StoreKey) -> Result<Option<(File, u64)>, StoreError> {
        let path = self.path(key);
        let opened = open_file(&path).and_then(|file| file.metadata().map(|is| (file, is)));
        match opened {
            // A folder is no object: `a` is not there just because `a/b` is.
            Ok((_, is)) if !is.is_file() => Ok(None),
            Ok((file, is)) => Ok(Some((file, is.len()))),
            Err(error) if is_absent(&error) => Ok(None),
            Err(source) => Err(StoreError::io("open", path, source)),
        }
    }
}

impl Store for FilesystemStore {
    fn create(&self, objects: &[Object<'_>]) -> Result<(), StoreError> {
        objects.iter().try_for_each(|object| check_create_only(object.key))?;
        let creation = self.begin()?;
        objects.iter().try_for_each(|object| creation.add(object.key, object.bytes))?;
        creation.finish()
    }

    fn begin(&self) -> Result<Box<dyn Creation + '_>, StoreError> {
        Ok(Box::new(Drafts::begin(self)?))
    }

    fn create_from_file(
        &self,
        key: &StoreKey,
        file: NamedTempFile,
        beside: &[Object<'_>],
    ) -> Result<(), StoreError> {
        check_create_only(key)?;
        beside.iter().try_for_each(|object| check_create_only(object.key))?;
        let mut batch = Batch::begin(self)?;
        spool::finish(&file)?;
        let mut files = vec![file];
        for object in beside {
            files.push(self.spool_folder()?.file_with(object.bytes)?);
        }
        batch.sync_files(files.iter())?;
        for (file, key) in
            files.into_iter().zip(once(key).chain(beside.iter().map(|object| object.key)))
        {
            batch.place_draft(file.into_temp_path(), key)?;
        }
        batch.settle()
    }

    fn link(&self, links: &[Link]) -> Result<(), StoreError> {
        links.iter().try_for_each(|link| check_create_only(&link.to))?;
        let mut batch = Batch::begin(self)?;
        for Link { from, to } in links {
            let path = self.path(from);
            // `link(2)` would take a symbolic link as it is, and put it where an object belongs.
            match fs::symlink_metadata(&path) {
                Ok(is) if is.is_file() => {}
                Err(error) if !is_absent(&error) => {
                    return Err(StoreError::io("look at", path, error));
                }
                Ok(_) | Err(_) => return Err(StoreError::Missing { key: from.clone() }),
            }
            batch.place(&path, to)?;
        }
        batch.settle()
    }

    fn replace_timestamp(&self, expected: Option<Sha256>, bytes: &[u8]) -> Result<(), StoreError> {
        self.spool_folder()?;
        let (path, doing) = (&self.timestamp_lock, "replace timestamp.json");
        let _lock =
            lock_file(path, Access::Exclusive, doing, self.patience).map_err(StoreError::lock)?;

        let mut batch = Batch::begin(self)?;
        let path = self.path(&StoreKey::Timestamp);
        batch.prepare(&path)?;
        let there = self.read(&StoreKey::Timestamp, TIMESTAMP_LIMIT)?;
        let found = there.map(|there| Sha256::of(&there));
        // A repetition only makes it durable: the crash may have come just before that.
        if found != Some(Sha256::of(bytes)) {
            if found != expected {
                return Err(StoreError::Changed { expected, found });
            }
            let draft = self.spool_folder()?.file_with(bytes)?;
            sync_file(&draft)?;
            let replaced = draft.into_temp_path().persist(&path);
            replaced.map_err(|failed| StoreError::io("replace", &path, failed.error))?;
        }
        batch.settle()
    }

    fn read(&self, key: &StoreKey, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let Some((file, length)) = self.open_file(key)? else { return Ok(None) };
        if length > limit {
            return Err(StoreError::TooLarge { key: key.clone(), length, limit });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        let read = file.take(limit).read_to_end(&mut bytes);
        read.map_err(|source| StoreError::io("read", self.path(key), source))?;
        Ok(Some(bytes))
    }

    fn open(&self, key: &StoreKey) -> Result<Option<OpenObject>, StoreError> {
        let opened = self.open_file(key)?;
        Ok(opened.map(|(file, length)| OpenObject { length, reader: ObjectReader::File(file) }))
    }

    fn remove(&self, keys: &[StoreKey]) -> Result<(), StoreError> {
        keys.iter().try_for_each(check_removable)?;
        let mut batch = Batch::begin(self)?;
        for key in keys {
            let path = self.path(key);
            match fs::remove_file(&path) {
                Ok(()) => batch.touch(&path),
                Err(error) if is_absent(&error) => {}
                Err(source) => return Err(StoreError::io("remove", path, source)),
            }
        }
        batch.settle()
    }

    fn list(&self, area: Area) -> Result<Listing<'_>, StoreError> {
        let prefix = area.prefix();
        let folder = self.base.join(prefix);
        let stack = match fs::read_dir(&folder) {
            Ok(entries) => vec![(prefix.to_owned(), entries)],
            Err(error) if is_absent(&error) => Vec::new(),
            Err(source) => return Err(StoreError::io("list", folder, source)),
        };
        Ok(Box::new(Walk { base: &self.base, stack }))
    }

    fn set_reserve(&self) -> Result<(), StoreError> {
        self.reserve.set()
    }

    fn use_reserve(&self) -> Result<(), StoreError> {
        self.reserve.release()
    }

    fn has_reserve(&self) -> Result<bool, StoreError> {
        self.reserve.is_set()
    }

    fn spool(&self) -> Result<NamedTempFile, StoreError> {
        self.spool_folder()?.file()
    }
}

/// The files below a folder, one open folder per level at a time.
struct Walk<'a> {
    base: &'a Path,
    /// The folders being read, outermost first, each with what its paths begin with.
    stack: Vec<(String, ReadDir)>,
}

impl Walk<'_> {
    fn visit(&mut self, prefix: &str, entry: &DirEntry) -> Result<Option<Listed>, StoreError> {
        let failed = |source| StoreError::io("list", entry.path(), source);
        let name = entry.file_name();
        let is = match entry.metadata() {
            Ok(is) => is,
            // Removed since the folder was read.
            Err(error) if is_absent(&error) => return Ok(None),
            Err(source) => return Err(failed(source)),
        };
        let path = format!("{prefix}{}", name.to_string_lossy());
        if is.is_dir() {
            let entries = fs::read_dir(entry.path()).map_err(failed)?;
            self.stack.push((format!("{path}/"), entries));
            return Ok(None);
        }
        // A name that is not UTF-8, or not a file's, is nobody's object even if it looks like one.
        let ours = is.is_file() && name.to_str().is_some();
        let key = StoreKey::from_path(&path).filter(|_| ours);
        // The time of the change of the file itself, which copying tools cannot set back.
        let changed = Timestamp::from_second(is.ctime()).unwrap_or(Timestamp::MAX);
        Ok(Some(Listed { path, key, length: is.len(), changed }))
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Listed, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (prefix, entries) = self.stack.last_mut()?;
            let prefix = prefix.clone();
            let Some(entry) = entries.next() else {
                self.stack.pop();
                continue;
            };
            let failed = |source| StoreError::io("list", self.base.join(&prefix), source);
            let entry = entry.map_err(failed);
            if let Some(listed) = entry.and_then(|entry| self.visit(&prefix, &entry)).transpose() {
                return Some(listed);
            }
        }
    }
}

/// The folders whose own entry in their parent is known to be durable. Folders are never removed.
#[derive(Debug, Default)]
struct KnownFolders(Mutex<HashSet<PathBuf>>);

impl KnownFolders {
    /// How many are remembered; past that the memory starts anew.
    const MAX: usize = 65_536;

    /// The folders to sync so that `touched` and the way to them from `base` are durable, and
    /// those to remember afterwards.
    fn missing(
        &self,
        base: &Path,
        touched: &BTreeSet<PathBuf>,
    ) -> (BTreeSet<PathBuf>, Vec<PathBuf>) {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut folders = touched.clone();
        let mut fresh = Vec::new();
        for folder in touched {
            let below_base = folder.ancestors().take_while(|folder| *folder != base);
            for folder in below_base.take_while(|folder| !known.contains(*folder)) {
                folders.extend(folder.parent().map(Path::to_owned));
                fresh.push(folder.to_owned());
            }
        }
        (folders, fresh)
    }

    fn remember(&self, fresh: Vec<PathBuf>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() + fresh.len() > Self::MAX {
            known.clear();
        }
        known.extend(fresh);
    }
}

/// Opens a file to read, unless it is a symbolic link.
fn open_file(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

fn sync_file(file: &NamedTempFile) -> Result<(), StoreError> {
    file.as_file().sync_all().map_err(|source| StoreError::io("sync", file.path(), source))
}

/// Whether an error says that a path names nothing.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(paths: &[&str]) -> BTreeSet<PathBuf> {
        paths.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn the_way_to_a_folder_is_synced_until_it_is_known() {
        let known = KnownFolders::default();
        let base = Path::new("/s");
        let (sync, fresh) = known.missing(base, &folders(&["/s/files/a"]));
        assert_eq!(sync, folders(&["/s", "/s/files", "/s/files/a"]));

        // Until the first caller has synced, a second one must not rely on it.
        let (sync, _) = known.missing(base, &folders(&["/s/files/a"]));
        assert_eq!(sync.len(), 3);

        known.remember(fresh);
        let (sync, fresh) = known.missing(base, &folders(&["/s/files/a"]));
        assert_eq!((sync, fresh.len()), (folders(&["/s/files/a"]), 0));
        let (sync, _) = known.missing(base, &folders(&["/s/files/a/b", "/s/files/a"]));
        assert_eq!(sync, folders(&["/s/files/a", "/s/files/a/b"]));
        let (sync, _) = known.missing(base, &folders(&["/s/files/c"]));
        assert_eq!(sync, folders(&["/s/files", "/s/files/c"]));
        let (sync, _) = known.missing(base, &folders(&["/s"]));
        assert_eq!(sync, folders(&["/s"]));
    }

    #[test]
    fn the_memory_of_folders_is_bounded() {
        let known = KnownFolders::default();
        for n in 0..KnownFolders::MAX + 10 {
            known.remember(vec![PathBuf::from(format!("/s/{n}"))]);
        }
        let known = known.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(known.len() <= 10, "{}", known.len());
    }
}
