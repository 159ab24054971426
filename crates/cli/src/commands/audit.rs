use std::path::PathBuf;
use std::process::ExitCode;

use jiff::Timestamp;
use waxseal_repository::audit::{self, Counts, Finding, Report, Settings};
use waxseal_repository::database::{Database, SqliteDatabase};
use waxseal_repository::store::{FilesystemStore, Store as _, StoreKey};

use crate::data_folder::{DataFolder, published_snapshot};
use crate::failure::{Exit, Failure};
use crate::output;

/// Prove that an index is whole.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Audit {
    Repo(Repo),
}

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

impl Audit {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Repo(repo) => repo.run(),
        }
    }
}

impl Repo {
    fn run(self) -> anyhow::Result<ExitCode> {
        let (store, database) = self.open()?;
        if let Some(database) = &database {
            self.check_published(&store, database)?;
        }
        let bar = output::steps();
        let settings = Settings { now: Timestamp::now(), deep: self.deep };
        let contract = database.as_ref().map(|database| database as &dyn Database);
        let report = audit::audit(&store, contract, settings, &mut |progress| {
            bar.set_length(progress.total.max(progress.done));
            bar.set_position(progress.done);
            bar.set_message(progress.what);
        });
        bar.finish_and_clear();
        let report = report?;
        if database.is_some_and(|database| database.changed_while_read().unwrap_or(true)) {
            return Err(Failure::new(
                Exit::Failed,
                format!("{} was opened by a server during the audit", self.folder.display()),
                "audit again: beside a running server it reads what is committed",
            )
            .into());
        }
        if self.json {
            output::json(&report)?;
        } else {
            show(&report);
        }
        Ok(if report.valid { ExitCode::SUCCESS } else { Exit::Findings.into() })
    }

    fn open(&self) -> anyhow::Result<(FilesystemStore, Option<SqliteDatabase>)> {
        if self.folder.join("tuf/metadata").is_dir() {
            return Ok((FilesystemStore::open_to_read(&self.folder)?, None));
        }
        // Its own error speaks of an option that this command has not.
        let folder = DataFolder::open(&self.folder).map_err(|_| {
            Failure::new(
                Exit::Usage,
                format!(
                    "there is no index in {}: it has neither waxseal.toml nor tuf/metadata",
                    self.folder.display()
                ),
                "name the data folder of an index, or a store with tuf/metadata in it",
            )
        })?;
        let (store, database) = folder.open_to_read()?;
        Ok((store, Some(database)))
    }

    /// A new index is not one that lost its files, nor one whose first snapshot clients see while the
    /// database does not know it yet, as after a crash.
    fn check_published(
        &self,
        store: &FilesystemStore,
        database: &SqliteDatabase,
    ) -> anyhow::Result<()> {
        if published_snapshot(database)?.is_some() || store.open(&StoreKey::Timestamp)?.is_some() {
            return Ok(());
        }
        let (waxseal, data) = (output::own_command(), output::quoted_path(&self.folder));
        Err(Failure::new(
            Exit::Failed,
            format!("nothing is published yet in {}", self.folder.display()),
            format!(
                "`{waxseal} serve --data {data}` or `{waxseal} repo import --data {data} FILE` \
                 publishes its first snapshot"
            ),
        )
        .into())
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
