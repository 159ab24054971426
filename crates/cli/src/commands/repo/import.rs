use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use jiff::Timestamp;
use serde::Serialize;
use waxseal_repository::import::{ImportOptions, ImportProgress, Imported};

use super::DataOption;
use crate::data_folder::DataFolder;
use crate::host;
use crate::output::{self, Steps};

/// Take over the targets of an index that exists, all of them in one snapshot.
///
/// FILE has a line of JSON for each target:
///
/// {"path": "packages/flask/flask-3.0-py3-none-any.whl", "length": 101760, "hashes": {"sha256": "…"}}
///
/// Nothing is published before the whole file was read and is right. Interrupted, run it again with the
/// same file: it goes on. The index must not be served meanwhile.
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// The file: JSON Lines, plain or packed by gzip or Zstandard
    file: PathBuf,

    #[command(flatten)]
    data: DataOption,

    /// Give targets that are published with other content the content of the file
    #[arg(long)]
    replace: bool,

    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What `repo import --json` shows.
#[derive(Debug, Serialize)]
struct Report {
    /// Targets in the file.
    targets: u64,
    /// Bins that were signed.
    bins: usize,
    /// Of these, what an interrupted import had written.
    resumed_bins: usize,
    /// The snapshot, unless all of it was published before.
    snapshot: Option<u64>,
    seconds: f64,
}

impl Import {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let begun = Instant::now();
        let folder = DataFolder::open(&self.data.data)?;
        let process = host::snapshot_process(&folder, folder.repository()?)?;
        let options = ImportOptions { replace: self.replace, ..ImportOptions::new(folder.path()) };
        let steps = Steps::new();
        let imported =
            process.import(&self.file, &options, Timestamp::now(), &|now| show(&steps, now));
        steps.clear();
        let Imported { targets, bins, resumed, published } = imported?;
        let report = Report {
            targets,
            bins,
            resumed_bins: resumed,
            snapshot: published.map(|published| published.snapshot),
            seconds: begun.elapsed().as_secs_f64(),
        };
        if self.json {
            output::json(&report)?;
            return Ok(ExitCode::SUCCESS);
        }
        output::field("targets", &targets.to_string());
        match published {
            Some(published) => {
                let resumed = match resumed {
                    0 => String::new(),
                    resumed => format!(", {resumed} of them by the run that was interrupted"),
                };
                output::field("signed", &format!("{bins} bins{resumed}"));
                output::field("published", &format!("in snapshot {}", published.snapshot));
            }
            None => output::field("published", "all of it was published before"),
        }
        output::field("time", &format!("{:.1} s", report.seconds));
        Ok(ExitCode::SUCCESS)
    }
}

fn show(steps: &Steps, now: ImportProgress) {
    match now {
        ImportProgress::Reading { bytes, total, targets } => {
            let far = format!("{bytes} of {total} bytes, {targets} targets");
            steps.show("reading", &far, Some((bytes, total)));
        }
        ImportProgress::Comparing { bins, total } => {
            let far = format!("{bins} of {total} bins");
            steps.show("comparing", &far, Some((bins as u64, total as u64)));
        }
        ImportProgress::Signing { bins, total } => {
            let far = format!("{bins} of {total} bins");
            steps.show("signing", &far, Some((bins as u64, total as u64)));
        }
    }
}
