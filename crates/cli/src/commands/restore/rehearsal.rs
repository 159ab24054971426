//! A copy of an index, to try on it what is to be done.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::Timestamp;
use tempfile::TempDir;
use waxseal_repository::WriterLock;
use waxseal_repository::audit::{Settings, audit};

use crate::data_folder::DataFolder;
use crate::failure::Failure;
use crate::output;

/// The copy, beside the index; it is gone when this is dropped. No server of the index runs meanwhile.
pub(super) struct Rehearsal {
    place: TempDir,
    folder: DataFolder,
    /// The folder of the index itself.
    index: PathBuf,
    _lock: WriterLock,
}

impl Rehearsal {
    /// Objects in the store are never written to, so that a second name of each will do; all else is copied.
    pub(super) fn copy(index: &DataFolder) -> anyhow::Result<Self> {
        let lock = index.lock()?;
        let path = std::path::absolute(index.path())?;
        let beside = path.parent().unwrap_or(&path);
        let place = tempfile::Builder::new()
            .prefix(".waxseal-rehearsal-")
            .tempdir_in(beside)
            .with_context(|| format!("cannot make a folder in {}", beside.display()))?;
        let copied = place.path().join("data");
        copy_folder(&path, &copied, false)
            .with_context(|| format!("cannot copy {} to rehearse on it", path.display()))?;
        Ok(Self { folder: DataFolder::open(&copied)?, index: path, place, _lock: lock })
    }

    /// An error that was met in the copy, as it will be met in the index.
    pub(super) fn of_index(&self, error: anyhow::Error) -> anyhow::Error {
        let met = self.folder.path().display().to_string();
        match error.downcast_ref::<Failure>() {
            Some(failure) => failure.of_place(&met, &self.index.display().to_string()).into(),
            None => error,
        }
    }

    pub(super) fn folder(&self) -> &DataFolder {
        &self.folder
    }

    /// How many things are wrong in it, which are shown.
    pub(super) fn audit(&self) -> anyhow::Result<u64> {
        let (store, database) = self.folder.open_to_read()?;
        let settings = Settings { now: Timestamp::now(), deep: false };
        let bar = output::steps();
        let report = audit(&store, Some(&database), settings, &mut |progress| {
            bar.set_length(progress.total.max(progress.done));
            bar.set_position(progress.done);
            bar.set_message(progress.what);
        });
        bar.finish_and_clear();
        let report =
            report.with_context(|| format!("cannot audit {}", self.place.path().display()))?;
        for finding in &report.findings {
            output::warning(&format!("{} {}", finding.path, finding.problem));
        }
        Ok(report.counts.findings)
    }
}

fn copy_folder(from: &Path, to: &Path, is_store: bool) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (name, target) = (entry.file_name(), to.join(entry.file_name()));
        match name.to_str() {
            // Locks, and what is on its way.
            Some("writer.lock" | ".store") => continue,
            Some(name) if name.ends_with(".sqlite-shm") => continue,
            _ => {}
        }
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target, is_store || name == "store")?;
        } else if !is_store || fs::hard_link(entry.path(), &target).is_err() {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
