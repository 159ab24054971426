//! Verified files and pages that are kept, for every process of a user.
//!
//! ```text
//! FOLDER/ab/ab03…91   a file, by the digest that metadata names it by
//!        tmp/         files that are being fetched; leftovers mean nothing
//!        lock         held while room is made
//! ```
//!
//! Nothing in it is believed: a file is checked again whenever it is read, and one that was changed is
//! removed. So it needs no durability, and whatever goes wrong with it costs a download.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tempfile::TempPath;

use crate::blocking::blocking;
use crate::{Client, Located};

/// Age after which a temporary file is a crash's leftover and not another process's work.
const LEFTOVER: Duration = Duration::from_hours(1);

/// A use that is not worth noting, so soon after the last.
const SAME_USE: Duration = Duration::from_mins(1);

/// The part of the cache that is filled between two looks at its size, and that is emptied by one.
const SLACK: u64 = 16;

/// A cache of verified files. Clones share it, and so do processes.
#[derive(Debug, Clone)]
pub struct FileCache {
    folder: PathBuf,
    most: u64,
    /// Bytes that this process may still add before it looks at the size of all.
    unlooked: Arc<AtomicU64>,
}

/// A file that is being fetched, and may be kept once it is verified.
#[derive(Debug)]
pub struct Incoming {
    file: Arc<File>,
    /// Where it is, unless it has no name and cannot be kept.
    path: Option<TempPath>,
}

impl Incoming {
    /// Where to write, and to read from.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// The folder whose disk it fills.
    pub fn folder(&self) -> PathBuf {
        let folder = self.path.as_ref().and_then(|path| path.parent());
        folder.map_or_else(std::env::temp_dir, Path::to_owned)
    }
}

impl FileCache {
    /// The cache in `folder`, which need not be there yet, of at most so many bytes.
    pub fn new(folder: impl Into<PathBuf>, most: u64) -> Self {
        Self { folder: folder.into(), most, unlooked: Arc::default() }
    }

    /// The file, checked from its first byte to its last, and then read from its start.
    fn open(&self, file: &Located) -> Option<File> {
        let path = self.path_of(file)?;
        let mut kept = File::open(&path).ok()?;
        match check(file, &mut kept) {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!("removed {}, which was changed", path.display());
                let _ = fs::remove_file(&path);
                return None;
            }
            Err(error) => {
                tracing::warn!("cannot read {}: {error}", path.display());
                return None;
            }
        }
        note_use(&kept);
        kept.rewind().ok()?;
        Some(kept)
    }

    fn incoming(&self, length: u64) -> io::Result<Incoming> {
        let folder = self.folder.join("tmp");
        create_private(&folder)?;
        let (file, path) = tempfile::NamedTempFile::new_in(folder)?.into_parts();
        reserve(&file, length)?;
        Ok(Incoming { file: Arc::new(file), path: Some(path) })
    }

    fn keep(&self, file: &Located, incoming: Incoming) -> io::Result<()> {
        let (Some(from), Some(to)) = (incoming.path, self.path_of(file)) else { return Ok(()) };
        let length = incoming.file.metadata()?.len();
        if length > self.most {
            return Ok(());
        }
        if let Some(folder) = to.parent() {
            create_private(folder)?;
        }
        from.persist(&to).map_err(|error| error.error)?;
        let left = self.unlooked.load(Ordering::Relaxed);
        match left.checked_sub(length) {
            Some(left) => self.unlooked.store(left, Ordering::Relaxed),
            None => self.make_room()?,
        }
        Ok(())
    }

    /// Removes what was not used for longest until there is room again; one process at a time.
    fn make_room(&self) -> io::Result<()> {
        let lock = self.folder.join("lock");
        let lock = File::options().create(true).truncate(false).write(true).open(lock)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let mut kept = Vec::new();
        let now = SystemTime::now();
        for folder in fs::read_dir(&self.folder)?.flatten() {
            let is_tmp = folder.file_name() == "tmp";
            for file in fs::read_dir(folder.path()).into_iter().flatten().flatten() {
                let Ok(metadata) = file.metadata() else { continue };
                let used = metadata.modified().unwrap_or(now);
                let age = now.duration_since(used).unwrap_or_default();
                match is_tmp {
                    true if age > LEFTOVER => _ = fs::remove_file(file.path()),
                    true => {}
                    false => kept.push((used, metadata.len(), file.path())),
                }
            }
        }
        let mut total: u64 = kept.iter().map(|(_, length, _)| length).sum();
        let slack = self.most / SLACK;
        kept.sort();
        for (_, length, path) in kept {
            if total <= self.most - slack {
                break;
            }
            // Who reads it goes on; another process may have removed it already.
            if fs::remove_file(path).is_ok() {
                total = total.saturating_sub(length);
            }
        }
        self.unlooked.store(self.most.saturating_sub(total).min(slack), Ordering::Relaxed);
        Ok(())
    }

    fn path_of(&self, file: &Located) -> Option<PathBuf> {
        let digest = file.hashes().file_name_digest()?;
        Some(self.folder.join(digest.get(..2)?).join(digest))
    }
}

impl Client {
    /// A file from the cache, verified again; `None` where it is not kept, or was changed there.
    pub async fn cached(&self, file: &Located) -> Option<File> {
        let (cache, file) = (self.settings.cache.clone()?, file.clone());
        blocking(move || cache.open(&file)).await
    }

    /// A file to fetch so many bytes into: in the cache, if there is one that has space for it and can be
    /// written, else without a name among the temporary files.
    pub async fn incoming(&self, length: u64) -> io::Result<Incoming> {
        let cache = self.settings.cache.clone();
        blocking(move || {
            match cache.map(|cache| cache.incoming(length)) {
                Some(Ok(incoming)) => return Ok(incoming),
                Some(Err(error)) => tracing::debug!("the cache cannot be written: {error}"),
                None => {}
            }
            Ok(Incoming { file: Arc::new(tempfile::tempfile()?), path: None })
        })
        .await
    }

    /// Keeps a file that was verified. That it cannot be kept is no failure.
    pub async fn keep(&self, file: &Located, incoming: Incoming) {
        let Some(cache) = self.settings.cache.clone() else { return };
        let file = file.clone();
        blocking(move || {
            if let Err(error) = cache.keep(&file, incoming) {
                tracing::debug!("{} is not kept: {error}", file.path());
            }
        })
        .await;
    }

    /// The bytes of a file from the cache.
    pub(crate) async fn cached_bytes(&self, file: &Located) -> Option<Bytes> {
        let mut kept = self.cached(file).await?;
        blocking(move || {
            let mut bytes = Vec::new();
            kept.read_to_end(&mut bytes).ok()?;
            Some(bytes.into())
        })
        .await
    }

    /// Keeps verified bytes.
    pub(crate) async fn keep_bytes(&self, file: &Located, bytes: &Bytes) {
        if self.settings.cache.is_none() {
            return;
        }
        let Ok(incoming) = self.incoming(bytes.len() as u64).await else { return };
        let (bytes, output) = (bytes.clone(), Arc::clone(incoming.file()));
        let written = blocking(move || io::Write::write_all(&mut &*output, &bytes)).await;
        match written {
            Ok(()) => self.keep(file, incoming).await,
            Err(error) => tracing::debug!("{} is not kept: {error}", file.path()),
        }
    }
}

/// Sets space aside for a file, without making it longer: a full disk shows before the first byte.
#[cfg(target_os = "linux")]
fn reserve(file: &File, length: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    match fallocate(file, FallocateFlags::KEEP_SIZE, 0, length) {
        // Not all file systems can, and none sets aside nothing.
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Elsewhere a full disk shows while the file is written.
#[cfg(not(target_os = "linux"))]
fn reserve(_: &File, _: u64) -> io::Result<()> {
    Ok(())
}

/// Whether the bytes are the file's.
fn check(sought: &Located, kept: &mut File) -> io::Result<bool> {
    if !sought.may_have(kept.metadata()?.len()) {
        return Ok(false);
    }
    let Ok(mut check) = sought.check() else { return Ok(false) };
    let mut buffer = vec![0; 1 << 16];
    loop {
        match kept.read(&mut buffer)? {
            0 => return Ok(check.finish().is_ok()),
            read if check.update(&buffer[..read]).is_err() => return Ok(false),
            _ => {}
        }
    }
}

/// The time of its last use is that of its last change.
fn note_use(kept: &File) {
    let now = SystemTime::now();
    let used = kept.metadata().and_then(|metadata| metadata.modified());
    let recent = |used| now.duration_since(used).is_ok_and(|age| age < SAME_USE);
    if !used.is_ok_and(recent) {
        // Without it the file goes sooner than it should.
        let _ = kept.set_modified(now);
    }
}

/// For its user alone: what a private index has is nobody else's business.
fn create_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::io::Write as _;

    use waxseal_tuf::hash::{Hashes, Sha256};
    use waxseal_tuf::{TargetFile, TargetPath};

    use super::*;

    fn located(bytes: &[u8]) -> Located {
        let path = TargetPath::new(format!("packages/a/{}.whl", bytes[0])).unwrap();
        let digest = Sha256::of(bytes).to_string();
        let hashes = Hashes::new([("sha256", digest.as_str())].into_iter());
        Located::target(&path, &TargetFile { length: bytes.len() as u64, hashes, custom: None })
    }

    fn keep(cache: &FileCache, bytes: &[u8]) -> Located {
        let (file, incoming) = (located(bytes), cache.incoming(bytes.len() as u64).unwrap());
        (&**incoming.file()).write_all(bytes).unwrap();
        cache.keep(&file, incoming).unwrap();
        file
    }

    fn kept(cache: &FileCache, file: &Located) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        cache.open(file)?.read_to_end(&mut bytes).unwrap();
        Some(bytes)
    }

    #[test]
    fn what_was_kept_is_read_and_what_was_changed_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = FileCache::new(folder.path().join("cache"), 1 << 20);
        let file = keep(&cache, b"abc");
        assert_eq!(kept(&cache, &file).unwrap(), b"abc");
        let path = cache.path_of(&file).unwrap();
        for changed in [&b"abd"[..], b"ab", b"abcd", b""] {
            keep(&cache, b"abc");
            fs::write(&path, changed).unwrap();
            assert_eq!(kept(&cache, &file), None, "{changed:?}");
            assert!(!path.exists());
        }
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let cache = FileCache::new(folder.path(), 1000);
        let files: Vec<_> = (0..4).map(|i| keep(&cache, &[i; 200])).collect();
        for (age, file) in [(100, 1), (300, 0), (200, 2), (400, 3)] {
            let kept = File::open(cache.path_of(&files[file]).unwrap()).unwrap();
            kept.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        }
        // A use counts.
        assert!(kept(&cache, &files[3]).is_some());
        let newest = [keep(&cache, &[4; 200]), keep(&cache, &[5; 200])];
        let there = |file: &Located| cache.path_of(file).unwrap().exists();
        let left: Vec<_> = files.iter().map(there).collect();
        assert_eq!(left, [false, true, false, true]);
        assert!(newest.iter().all(there));
        // One that is longer than everything may be is not kept at all.
        assert!(!there(&keep(&cache, &[6; 1001])));
    }

    #[test]
    fn many_at_once_keep_within_the_bound_and_read_whole_files() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8u8 {
                let folder = folder.path();
                // Each has its own view, as processes do.
                scope.spawn(move || {
                    let cache = FileCache::new(folder, 20_000);
                    for i in 0..60u8 {
                        let bytes = [thread.wrapping_add(i) % 50; 1000];
                        let file = keep(&cache, &bytes);
                        assert!(kept(&cache, &file).is_none_or(|kept| kept == bytes));
                    }
                });
            }
        });
        let cache = FileCache::new(folder.path(), 20_000);
        cache.make_room().unwrap();
        let folders = fs::read_dir(folder.path()).unwrap().flatten();
        let folders = folders.filter(|folder| folder.path().is_dir());
        let files = folders.flat_map(|folder| fs::read_dir(folder.path()).unwrap().flatten());
        let total: u64 = files.map(|file| file.metadata().unwrap().len()).sum();
        assert!(total <= 20_000, "{total}");
    }
}
