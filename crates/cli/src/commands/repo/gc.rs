use std::process::ExitCode;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use waxseal_repository::{Collected, GcOptions, GcProgress};

use super::DataOption;
use crate::data_folder::DataFolder;
use crate::output::{self, Steps};

/// Remove what no snapshot names that a client may still be using.
///
/// Kept are the last three snapshots and all of the grace time, with everything they name, what waits in
/// the journal, and every root. A running server does this by itself; both at once is fine.
#[derive(Debug, clap::Args)]
pub(crate) struct Gc {
    #[command(flatten)]
    data: DataOption,

    /// How long a snapshot is kept after the next one [default: what waxseal.toml of the index says]
    #[arg(long, value_name = "MINUTES")]
    grace: Option<u32>,

    /// Remove nothing, and say what would be removed
    #[arg(long)]
    dry_run: bool,

    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What `repo gc --json` shows.
#[derive(Debug, Serialize)]
struct Report {
    dry_run: bool,
    /// Snapshots that were kept.
    snapshots: usize,
    /// Objects that were looked at.
    seen: u64,
    /// Objects that were removed, or in a dry run would be.
    removed: u64,
    removed_bytes: u64,
    /// Files that are not objects of the index; they are left alone.
    foreign: u64,
}

impl Gc {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let folder = DataFolder::open(&self.data.data)?;
        let minutes = self.grace.unwrap_or(folder.config()?.gc_grace_minutes);
        let grace = SignedDuration::from_mins(i64::from(minutes));
        let options = GcOptions { grace, dry_run: self.dry_run, ..GcOptions::default() };
        let repository = folder.repository()?;
        let steps = Steps::after_a_while();
        let progress = |now: &GcProgress| show(&steps, now);
        let collected = repository.collect_garbage(&options, Timestamp::now(), &progress);
        steps.clear();
        let Collected { snapshots, seen, removed, removed_bytes, foreign } = collected?;
        if self.json {
            let dry_run = self.dry_run;
            output::json(&Report { dry_run, snapshots, seen, removed, removed_bytes, foreign })?;
            return Ok(ExitCode::SUCCESS);
        }
        output::field(
            "kept",
            &format!("{snapshots} snapshots, of {minutes} minutes and the last 3"),
        );
        output::field("seen", &format!("{seen} objects"));
        let verb = if self.dry_run { "to remove" } else { "removed" };
        output::field(verb, &format!("{removed} objects, {removed_bytes} bytes"));
        if foreign > 0 {
            output::field("left alone", &format!("{foreign} files that are not the index's"));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn show(steps: &Steps, now: &GcProgress) {
    let far = |now: &Collected| format!("{} objects seen, {} removed", now.seen, now.removed);
    match now {
        GcProgress::Marking { snapshots } => {
            steps.show("marking", &format!("{snapshots} snapshots read"), None);
        }
        GcProgress::Listing(now) => steps.show("listing", &far(now), None),
        GcProgress::Comparing { bins, total } => {
            let far = format!("{bins} of {total} bins");
            steps.show("comparing", &far, Some((*bins as u64, *total as u64)));
        }
        GcProgress::Removing(now) => steps.show("removing", &far(now), None),
    }
}
