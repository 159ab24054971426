//! One durable change of the store: files first, then names, then the folders that hold the names.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

use super::barrier::{UnderWay, sync_volume};
use super::{FilesystemStore, StoreError, StoreKey, open_file, sync_file};

/// Up to how many files or folders are made durable one by one; `syncfs(2)` is Linux's.
pub(super) const FEW: usize = if cfg!(target_os = "linux") { 4 } else { usize::MAX };

/// Mode of every public folder, whatever the umask.
const FOLDER_MODE: u32 = 0o755;

/// A change under way. Only what [`Batch::settle`] returned `Ok` for is durable.
pub(super) struct Batch<'a> {
    store: &'a FilesystemStore,
    volume: Volume<'a>,
    folders: BTreeSet<PathBuf>,
}

/// The file system, to be made durable as a whole.
enum Volume<'a> {
    Shared(UnderWay<'a>),
    /// Opened before the first write, so that `syncfs(2)` on it reports a write that failed since.
    Own(File),
}

impl<'a> Batch<'a> {
    pub(super) fn begin(store: &'a FilesystemStore) -> Result<Self, StoreError> {
        let volume = match store.barrier()?.enter() {
            Some(under_way) => Volume::Shared(under_way),
            None => Volume::Own(
                File::open(&store.base)
                    .map_err(|source| StoreError::io("open the folder", &store.base, source))?,
            ),
        };
        Ok(Self { store, volume, folders: BTreeSet::new() })
    }

    /// Makes everything written so far durable.
    pub(super) fn sync_volume(&self) -> Result<(), StoreError> {
        let done = match &self.volume {
            Volume::Shared(under_way) => under_way.sync(),
            Volume::Own(volume) => sync_volume(volume),
        };
        done.map_err(|source| StoreError::io("sync the file system of", &self.store.base, source))
    }

    /// Makes a few files durable, which may have been begun before the batch.
    pub(super) fn sync_files<'f>(
        &self,
        mut files: impl Iterator<Item = &'f NamedTempFile>,
    ) -> Result<(), StoreError> {
        match self.is_one_of_many() {
            true => self.sync_volume(),
            false => files.try_for_each(sync_file),
        }
    }

    fn is_one_of_many(&self) -> bool {
        matches!(&self.volume, Volume::Shared(under_way) if under_way.is_one_of_many())
    }

    /// Moves the finished and durable file `draft` to the name of `key`.
    pub(super) fn place_draft(
        &mut self,
        draft: TempPath,
        key: &StoreKey,
    ) -> Result<(), StoreError> {
        let path = self.store.path(key);
        self.prepare(&path)?;
        match draft.persist_noclobber(&path) {
            Ok(()) => Ok(()),
            Err(failed) => taken(failed.error, &failed.path, path, key),
        }
    }

    /// Gives the finished and durable file `from` the name of `key` too.
    pub(super) fn place(&mut self, from: &Path, key: &StoreKey) -> Result<(), StoreError> {
        let path = self.store.path(key);
        self.prepare(&path)?;
        match fs::hard_link(from, &path) {
            Ok(()) => Ok(()),
            Err(error) => taken(error, from, path, key),
        }
    }

    /// Makes the folder for `path`, and remembers it for [`Batch::settle`].
    pub(super) fn prepare(&mut self, path: &Path) -> Result<(), StoreError> {
        let folder = path.parent().unwrap_or(&self.store.base);
        if !self.folders.contains(folder) {
            make_folders(folder, &self.store.base)?;
            self.folders.insert(folder.to_owned());
        }
        Ok(())
    }

    /// Remembers the folder of `path` for [`Batch::settle`], as it is.
    pub(super) fn touch(&mut self, path: &Path) {
        self.folders.insert(path.parent().unwrap_or(&self.store.base).to_owned());
    }

    /// Makes the touched folders durable, and the way from the base to them where that is not known
    /// to be: another thread or process may have made a folder just now and not synced it yet.
    pub(super) fn settle(self) -> Result<(), StoreError> {
        let (folders, fresh) = self.store.known_folders.missing(&self.store.base, &self.folders);
        if folders.len() > FEW || self.is_one_of_many() {
            self.sync_volume()?;
        } else {
            folders.iter().try_for_each(|folder| sync_folder(folder))?;
        }
        self.store.known_folders.remember(fresh);
        Ok(())
    }
}

/// What becomes of a name that could not be given: one that has the same bytes is fine.
fn taken(error: io::Error, from: &Path, path: PathBuf, key: &StoreKey) -> Result<(), StoreError> {
    if error.kind() != io::ErrorKind::AlreadyExists {
        return Err(StoreError::io("create", path, error));
    }
    match same_content(from, &path) {
        Ok(true) => Ok(()),
        Ok(false) => Err(StoreError::Exists { key: key.clone() }),
        Err(source) => Err(StoreError::io("compare", path, source)),
    }
}

/// Makes a folder and its parents, durably.
pub(super) fn create_folder(folder: &Path) -> Result<(), StoreError> {
    if folder.is_dir() {
        return Ok(());
    }
    let Some(parent) = folder.parent() else { return Ok(()) };
    create_folder(parent)?;
    make_folder(folder)?;
    sync_folder(parent)
}

/// Makes the content of a folder durable: which names are in it.
pub(super) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|source| StoreError::io("sync the folder", folder, source))
}

fn make_folders(folder: &Path, base: &Path) -> Result<(), StoreError> {
    if folder == base || folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        make_folders(parent, base)?;
    }
    make_folder(folder)
}

fn make_folder(folder: &Path) -> Result<(), StoreError> {
    let made = DirBuilder::new().mode(FOLDER_MODE).create(folder);
    // Once more, past the umask.
    match made.and_then(|()| fs::set_permissions(folder, Permissions::from_mode(FOLDER_MODE))) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(source) => Err(StoreError::io("make the folder", folder, source)),
    }
}

/// Whether two files are one, or have the same bytes.
fn same_content(one: &Path, other: &Path) -> io::Result<bool> {
    let (one, other) = (open_file(one)?, open_file(other)?);
    let (one_is, other_is) = (one.metadata()?, other.metadata()?);
    if (one_is.dev(), one_is.ino()) == (other_is.dev(), other_is.ino()) {
        return Ok(true);
    }
    if !other_is.is_file() || one_is.len() != other_is.len() {
        return Ok(false);
    }
    let mut bytes = BufReader::with_capacity(1 << 16, one).bytes();
    let mut others = BufReader::with_capacity(1 << 16, other).bytes();
    loop {
        match (bytes.next().transpose()?, others.next().transpose()?) {
            (None, None) => return Ok(true),
            (one, other) if one == other => {}
            _ => return Ok(false),
        }
    }
}
