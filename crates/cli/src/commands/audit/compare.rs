use std::path::PathBuf;
use std::process::ExitCode;

use jiff::Timestamp;
use serde::Serialize;
use waxseal_repository::audit::{
    self, Ahead, Comparison, Pin, Place, Report, Settings, StoredTargets, WalkSettings, Walked,
};

use super::pin::PinOptions;
use super::place::Opened;
use super::repo::{CONNECTIONS, list};
use crate::failure::Exit;
use crate::output;

/// Hold two places that have one index against each other.
///
/// Both are verified from one root: a mirror and its origin, or two mirrors. One may be behind, which is no
/// finding. Where both have one version of a role with other bytes, somebody was given something else; what
/// differs is named by project. The exit code is 0 where all is well and 4 where something is wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct Compare {
    /// The URL of an index or a mirror; or a data folder, or a store alone
    #[arg(value_name = "DIR|URL")]
    first: PathBuf,

    /// The same of the other place
    #[arg(value_name = "DIR|URL")]
    second: PathBuf,

    /// Fetch and hash every target of both
    #[arg(long)]
    deep: bool,

    /// As JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    pin: PinOptions,
}

/// What a program is told.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    comparison: &'a Comparison,
    /// The audit of the first place alone.
    first_report: &'a Report,
    /// The same of the second.
    second_report: &'a Report,
}

impl Compare {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let (first, second) = (Opened::at(&self.first)?, Opened::at(&self.second)?);
        let pin = self.pin.of_places(&[&first, &second])?;
        let seen_first = self.walk(&first, &pin)?;
        let seen_second = self.walk(&second, &pin)?;
        let comparison =
            audit::compare((first.store(), &seen_first), (second.store(), &seen_second))?;
        let (first_report, second_report) = (&seen_first.report, &seen_second.report);
        if self.json {
            output::json(&Shown { comparison: &comparison, first_report, second_report })?;
        } else {
            self.show(&comparison, first_report, second_report);
        }
        Ok(if comparison.valid { ExitCode::SUCCESS } else { Exit::Findings.into() })
    }

    fn walk(&self, opened: &Opened, pin: &Pin) -> anyhow::Result<Walked> {
        let audit = Settings { now: Timestamp::now(), deep: self.deep };
        let settings = WalkSettings { audit, pin, since: None, threads: CONNECTIONS };
        let walked = match opened {
            Opened::Folder(store) => {
                let place = Place { store, targets: &StoredTargets(store), done: None };
                super::with_progress(|progress| audit::walk(place, settings, progress))
            }
            Opened::Url(index, _) => {
                let place = Place { store: index, targets: index, done: None };
                super::with_progress(|progress| audit::walk(place, settings, progress))
            }
        };
        Ok(walked?)
    }

    fn show(&self, comparison: &Comparison, first_report: &Report, second_report: &Report) {
        let (first, second) = (self.first.display(), self.second.display());
        for (place, report) in [(&first, first_report), (&second, second_report)] {
            list(&format!("findings in {place}"), &report.findings, report.counts.findings);
            list(&format!("warnings of {place}"), &report.warnings, report.counts.warnings);
        }
        let differences = comparison.differences.len() as u64;
        list("one version, other bytes", &comparison.differences, differences);
        for project in &comparison.projects {
            let name = if project.project.is_empty() { "no project" } else { &project.project };
            output::heading(&format!("different in {name}"));
            for target in &project.targets {
                let digest = |digest: &Option<String>| {
                    digest.clone().unwrap_or_else(|| "nothing".to_owned())
                };
                output::line(&target.path);
                output::line(&format!("  {} in the first place", digest(&target.first)));
                output::line(&format!("  {} in the second", digest(&target.second)));
            }
        }
        output::heading("compared");
        let row = |place: String, versions: &audit::Versions| {
            let numbers = [versions.root, versions.timestamp, versions.snapshot];
            std::iter::once(place).chain(numbers.map(|number| number.to_string())).collect()
        };
        output::table(
            &["place", "root", "timestamp", "snapshot"],
            [
                row(first.to_string(), &comparison.first),
                row(second.to_string(), &comparison.second),
            ],
        );
        output::line("");
        let behind = comparison.snapshots_behind;
        let unit = if behind == 1 { "snapshot" } else { "snapshots" };
        let ahead = |ahead, other| format!("{ahead} is ahead: {other} is {behind} {unit} behind");
        output::line(&match comparison.ahead {
            Ahead::Neither => "both have the same versions".to_owned(),
            Ahead::First => ahead(&first, &second),
            Ahead::Second => ahead(&second, &first),
        });
        output::line(&match (comparison.valid, comparison.different) {
            (true, _) => "where versions are the same, nothing differs".to_owned(),
            (false, 0) => "see what was found in each of them".to_owned(),
            (false, different) => format!("{different} roles and targets differ"),
        });
    }
}
