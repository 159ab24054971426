use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jiff::Timestamp;
use serde::Serialize;
use waxseal_repository::archive::{self, Appended, ArchiveError};

use super::pin::PinOptions;
use super::place::Opened;
use crate::failure::{Exit, Failure};
use crate::output;

/// Append the digests of a snapshot and of every target to a file, for a device that is on no network.
///
/// The file grows with what changed. What was written stays as it is; `waxseal audit check` holds an index
/// against it, after a compromise, say.
#[derive(Debug, clap::Args)]
pub(crate) struct Archive {
    /// The URL of an index or a mirror; or a data folder, or a store alone
    #[arg(value_name = "DIR|URL")]
    source: PathBuf,

    /// The archive; made where it is not there
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Remove what an interrupted run left at the end of the archive, before anything is appended
    #[arg(long)]
    repair: bool,

    #[command(flatten)]
    pin: PinOptions,

    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What `audit archive --json` shows.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    archive: &'a Path,
    snapshot: u64,
    full: bool,
    added: u64,
    removed: u64,
    bytes: u64,
    /// Bytes of a torn end that were removed.
    repaired_bytes: u64,
}

impl Archive {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let repaired_bytes = match self.repair {
            true => archive::repair(&self.file)?,
            false => 0,
        };
        if repaired_bytes > 0 {
            output::note(&format!("removed {repaired_bytes} bytes that were torn off"));
        }
        let opened = Opened::at(&self.source)?;
        let pin = self.pin.of_places(&[&opened])?;
        let there = archive::Archive::open(&self.file)?;
        let bar = output::steps();
        bar.set_message("bins");
        let appended = archive::append(
            &there,
            &self.file,
            (opened.store(), &pin),
            Timestamp::now(),
            &mut |done, total| {
                bar.set_length(total);
                bar.set_position(done);
            },
        );
        bar.finish_and_clear();
        let Appended { snapshot, full, added, removed, bytes } =
            appended.map_err(|error| refused(error, &self.source))?;
        if self.json {
            let archive = &self.file;
            let shown = Shown { archive, snapshot, full, added, removed, bytes, repaired_bytes };
            output::json(&shown)?;
        } else {
            let archive = self.file.display();
            output::line(&match bytes {
                0 => format!("{archive} has snapshot {snapshot} already"),
                bytes => format!(
                    "{archive} has snapshot {snapshot} now: {added} targets came or changed, {removed} went; \
                     {bytes} bytes were appended"
                ),
            });
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// An index that is not whole is a finding, and no failure of the program.
pub(super) fn refused(error: ArchiveError, source: &Path) -> anyhow::Error {
    match error {
        ArchiveError::Findings(_) => Failure::new(
            Exit::Findings,
            error.to_string(),
            format!("`waxseal audit repo {}` lists all of it", output::quoted_path(source)),
        )
        .into(),
        ArchiveError::Older { .. } => Failure::new(
            Exit::Findings,
            error.to_string(),
            "compare its fingerprint with the archive's, and ask the operator; the archive was left as it is",
        )
        .into(),
        error => error.into(),
    }
}
