use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use jiff::Timestamp;
use serde::Serialize;
use waxseal_repository::import::{ImportOptions, ImportProgress, Imported};

use super::DataOption;
use crate::data_folder::DataFolder;
use crate::host;
use crate::output;

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

/// How often a line says how far it is, where no bar does.
const EVERY: Duration = Duration::from_secs(10);

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
        let shown = Shown::new();
        let imported =
            process.import(&self.file, &options, Timestamp::now(), &|now| shown.show(now));
        shown.bar.finish_and_clear();
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

/// What is being done: as a bar on a terminal, and as lines for a log.
struct Shown {
    bar: ProgressBar,
    /// The last line, where there are lines: of which step it was, and when.
    line: Option<Mutex<Option<(&'static str, Instant)>>>,
}

impl Shown {
    fn new() -> Self {
        let lines = !std::io::stderr().is_terminal() || tracing::enabled!(tracing::Level::INFO);
        Self { bar: output::steps(), line: lines.then(Mutex::default) }
    }

    fn show(&self, now: ImportProgress) {
        let (step, far, done, total) = match now {
            ImportProgress::Reading { bytes, total, targets } => {
                let far = format!("{bytes} of {total} bytes, {targets} targets");
                ("reading", far, bytes, total)
            }
            ImportProgress::Comparing { bins, total } => {
                ("comparing", format!("{bins} of {total} bins"), bins as u64, total as u64)
            }
            ImportProgress::Signing { bins, total } => {
                ("signing", format!("{bins} of {total} bins"), bins as u64, total as u64)
            }
        };
        self.bar.set_length(total);
        self.bar.set_position(done);
        let message = format!("{step}, {far}");
        if self.is_time_for_a_line(step) {
            self.bar.suspend(|| output::note(&message));
        }
        self.bar.set_message(message);
    }

    /// At the beginning of each step, and every few seconds.
    fn is_time_for_a_line(&self, step: &'static str) -> bool {
        let Some(line) = &self.line else { return false };
        let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
        let due = line.is_none_or(|(last, at)| last != step || at.elapsed() >= EVERY);
        if due {
            *line = Some((step, Instant::now()));
        }
        due
    }
}
