//! A target file as a whole: in memory, or on disk.

use std::fs::{File, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use bytes::{Bytes, BytesMut};
use tempfile::NamedTempFile;
use waxseal_tuf::{TargetCheck, TargetFile, TargetPath};

use crate::blocking::blocking;
use crate::download::Download;
use crate::fetcher::Location;
use crate::sources::Sources;
use crate::{Client, Error, Located};

/// Most bytes set aside at once for a file whose length only metadata says.
const MAX_RESERVE: u64 = 1 << 20;

/// Bytes of a file that are gathered before they are written.
const WRITTEN_AT_ONCE: usize = 1 << 16;

impl Client {
    /// A whole target file, verified. It is held in memory.
    pub async fn read(&self, path: &TargetPath, file: &TargetFile) -> Result<Bytes, Error> {
        let located = Located::target(path, file);
        if let Some(bytes) = self.cached_bytes(&located).await {
            return Ok(bytes);
        }
        let mut honest = HonestSource::sought(&self.sources);
        let bytes = loop {
            let whole = async { whole(self.download(path, file).await?).await };
            match whole.await {
                Err(error) if honest.may_be_next(&error) => {}
                result => break result?,
            }
        };
        self.keep_bytes(&located, &bytes).await;
        Ok(bytes)
    }

    /// A whole file, verified. It is held in memory.
    pub async fn read_located(&self, file: &Located) -> Result<Bytes, Error> {
        if let Some(bytes) = self.cached_bytes(file).await {
            return Ok(bytes);
        }
        let bytes = self.fetch_whole(file).await?;
        self.keep_bytes(file, &bytes).await;
        Ok(bytes)
    }

    async fn fetch_whole(&self, file: &Located) -> Result<Bytes, Error> {
        let mut honest = HonestSource::of(file, &self.sources);
        loop {
            let whole = async { whole(self.download_located(file).await?).await };
            match whole.await {
                Err(error) if honest.may_be_next(&error) => {}
                result => return result,
            }
        }
    }

    /// Fetches a target file into `destination`, which appears complete and verified or not at all.
    /// Where it is already, complete and verified, nothing is fetched and nothing is touched.
    /// `progress` hears how many bytes more are there.
    pub async fn save(
        &self,
        path: &TargetPath,
        file: &TargetFile,
        destination: &Path,
        progress: impl FnMut(u64),
    ) -> Result<(), Error> {
        self.save_located(&Located::target(path, file), destination, progress).await
    }

    /// The same for a file wherever it is.
    pub async fn save_located(
        &self,
        file: &Located,
        destination: &Path,
        mut progress: impl FnMut(u64),
    ) -> Result<(), Error> {
        check_replaceable(destination)?;
        let (check, there) = (file.check()?, destination.to_owned());
        let sought = file.clone();
        if let Some(length) = blocking(move || verified_length(check, &sought, &there)).await {
            progress(length);
            return Ok(());
        }
        if let Some(kept) = self.cached(file).await {
            let length = write_aside(destination, kept).await?;
            progress(length);
            return Ok(());
        }
        let mut honest = HonestSource::of(file, &self.sources);
        let mut told = 0;
        loop {
            let mut written = 0;
            let tell = |bytes| {
                written += bytes;
                if written > told {
                    progress(written - told);
                    told = written;
                }
            };
            match self.save_once(file, destination, tell).await {
                Err(error) if honest.may_be_next(&error) => {}
                result => return result,
            }
        }
    }

    async fn save_once(
        &self,
        file: &Located,
        destination: &Path,
        mut progress: impl FnMut(u64),
    ) -> Result<(), Error> {
        let mut download = self.download_located(file).await?;
        let failed = || Error::disk(destination, "cannot write it");
        let (mut output, aside) = aside(destination).map_err(failed())?.into_parts();
        loop {
            let piece = next_piece(&mut download).await?;
            if piece.is_empty() {
                break;
            }
            let length = piece.len() as u64;
            output = blocking(move || {
                std::io::Write::write_all(&mut output, &piece)?;
                Ok(output)
            })
            .await
            .map_err(failed())?;
            progress(length);
        }
        blocking(move || output.sync_all()).await.map_err(failed())?;
        aside.persist(destination).map_err(|error| failed()(error.error))
    }
}

/// A file beside the destination, as any program would make it: the umask decides who may read it.
fn aside(destination: &Path) -> io::Result<NamedTempFile> {
    let folder = destination.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut builder = tempfile::Builder::new();
    builder.permissions(Permissions::from_mode(0o666));
    builder.tempfile_in(folder.unwrap_or(Path::new(".")))
}

/// Writes a file of the cache, which was verified, to its destination.
async fn write_aside(destination: &Path, mut kept: File) -> Result<u64, Error> {
    let to = destination.to_owned();
    let written = blocking(move || {
        let mut aside = aside(&to)?;
        let length = io::copy(&mut kept, &mut aside)?;
        aside.as_file().sync_all()?;
        aside.persist(&to).map_err(|error| error.error)?;
        Ok(length)
    });
    written.await.map_err(Error::disk(destination, "cannot write it"))
}

async fn whole(mut download: Download) -> Result<Bytes, Error> {
    let reserve = usize::try_from(download.length().min(MAX_RESERVE)).unwrap_or_default();
    let mut bytes = BytesMut::with_capacity(reserve);
    while let Some(chunk) = download.next().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

/// Gets a whole file again while it comes changed and there are sources that were not asked: a
/// [`Download`] leaves the source of a changed file, and one of a mixture is asked for all of it.
struct HonestSource {
    left: usize,
}

impl HonestSource {
    fn sought(sources: &Sources) -> Self {
        // One for each source but the first, and one after a mixture.
        Self { left: if sources.count() > 1 { sources.count() } else { 0 } }
    }

    /// What is elsewhere is nowhere else.
    fn of(file: &Located, sources: &Sources) -> Self {
        match file.link() {
            Some(Location::Elsewhere(_)) => Self { left: 0 },
            _ => Self::sought(sources),
        }
    }

    fn may_be_next(&mut self, error: &Error) -> bool {
        let changed = error.slug() == "changed";
        let next = changed && self.left > 0;
        self.left = self.left.saturating_sub(1);
        next
    }
}

/// The next bytes, enough of them for a write: a source may send them one by one. Empty at the end.
async fn next_piece(download: &mut Download) -> Result<BytesMut, Error> {
    let mut piece = BytesMut::new();
    while piece.len() < WRITTEN_AT_ONCE
        && let Some(chunk) = download.next().await?
    {
        piece.extend_from_slice(&chunk);
    }
    Ok(piece)
}

/// The length of the file that is there, if it is whole and unchanged.
fn verified_length(mut check: TargetCheck, sought: &Located, path: &Path) -> Option<u64> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    if !sought.may_have(length) {
        return None;
    }
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).ok()? {
            0 => return check.finish().ok().map(|()| length),
            read => check.update(&buffer[..read]).ok()?,
        }
    }
}

/// A file is written aside and moved into place, which would put it in the place of a device or a
/// folder as well.
fn check_replaceable(destination: &Path) -> Result<(), Error> {
    match std::fs::metadata(destination) {
        Ok(there) if !there.is_file() => Err(Error::Disk {
            path: destination.to_owned(),
            problem: "it is not a file, and would be replaced by one".to_owned(),
        }),
        _ => Ok(()),
    }
}
