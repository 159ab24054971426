use std::path::PathBuf;
use std::process::ExitCode;

use jiff::Timestamp;
use waxseal_repository::audit::{self, Counts, Finding, Report, Settings};
use waxseal_repository::database::Database;

use crate::failure::Exit;
use crate::output;

/// Read an index as the strictest client does, and compare it with its database.
///
/// Nothing is changed, and the index may be served meanwhile. The exit code is 0 where all is well and
/// 4 where something is wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct Repo {
    /// The index's data folder; or a store alone, such as a mirror's copy, without the database
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// Hash the bytes of every file, not only those of pages and small files
    #[arg(long)]
    deep: bool,

    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Repo {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let (store, database) = super::open(&self.folder)?;
        if let Some(database) = &database {
            super::check_published(&self.folder, &store, database)?;
        }
        let settings = Settings { now: Timestamp::now(), deep: self.deep };
        let contract = database.as_ref().map(|database| database as &dyn Database);
        let report =
            super::with_progress(|progress| audit::audit(&store, contract, settings, progress))?;
        super::check_unchanged(&self.folder, database.as_ref())?;
        if self.json {
            output::json(&report)?;
        } else {
            show(&report);
        }
        Ok(if report.valid { ExitCode::SUCCESS } else { Exit::Findings.into() })
    }
}

/// Findings first, and the table of what was checked at the end, where it is seen.
fn show(report: &Report) {
    list("findings", &report.findings, report.counts.findings);
    list("warnings", &report.warnings, report.counts.warnings);
    output::heading("checked");
    let rows = rows(&report.counts);
    output::table(
        &["what", "count"],
        rows.into_iter().map(|(what, count)| vec![what.to_owned(), count.to_string()]),
    );
    output::line("");
    let snapshot =
        report.snapshot.map_or("no snapshot".to_owned(), |version| format!("snapshot {version}"));
    let elsewhere = report.counts.elsewhere;
    if elsewhere > 0 {
        output::line(&format!("{elsewhere} targets whose files are not in this store"));
    }
    match report.valid {
        true => output::line(&format!("{snapshot} is valid")),
        false => output::line(&format!("{snapshot}: {} findings", report.counts.findings)),
    }
}

fn list(heading: &str, found: &[Finding], count: u64) {
    if found.is_empty() {
        return;
    }
    output::heading(heading);
    for Finding { path, problem, hint, .. } in found {
        output::line(&format!("{path} {problem}"));
        output::line(&format!("  {hint}"));
    }
    let more = count - found.len() as u64;
    if more > 0 {
        output::line(&format!("and {more} more"));
    }
}

fn rows(counts: &Counts) -> Vec<(&'static str, u64)> {
    vec![
        ("versions of root", counts.roots),
        ("bins", counts.bins),
        ("targets", counts.targets),
        ("  files in this store", counts.target_files),
        ("  hashed", counts.hashed),
        ("  files elsewhere", counts.elsewhere),
        ("Simple pages", counts.pages),
        ("  files on them", counts.listed_files),
        ("  files they vouch for", counts.vouched_files),
        ("plain names", counts.plain_names),
        ("journal entries, published", counts.journal_entries),
        ("  paths of the API as they say", counts.journalled),
        ("  paths an import came after", counts.imported_over),
        ("journal entries, waiting", counts.waiting_entries),
        ("metadata of earlier snapshots", counts.old_metadata),
        ("metadata not published", counts.unpublished_metadata),
        ("files that nothing names", counts.garbage),
        ("  bytes of those", counts.garbage_bytes),
    ]
}
