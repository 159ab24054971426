use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use jiff::Timestamp;
use waxseal_client::IndexUrl;
use waxseal_repository::StoreError;
use waxseal_repository::audit::{
    self, Checked, Counts, Finding, Place, Record, Report, Settings, TargetBytes, WalkSettings,
};
use waxseal_repository::database::Database;
use waxseal_repository::store::StoreKey;
use waxseal_tuf::metadata::TargetFile;

use super::pin::{self, PinOptions};
use super::remote::RemoteIndex;
use super::resume::DoneBins;
use crate::failure::{Exit, Failure};
use crate::output;

/// How many files are fetched at a time.
pub(super) const CONNECTIONS: usize = 8;
/// The longest record of an earlier audit: one of 2¹⁸ bins has 30 MB.
const RECORD_LIMIT: u64 = 256 << 20;

/// Read an index as the strictest client does, and compare it with its database.
///
/// Nothing is changed, and the index may be served meanwhile. An index at a URL is read over the network,
/// from a root that is trusted: one that `waxseal trust add` added, or the one that is given. The exit code
/// is 0 where all is well and 4 where something is wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct Repo {
    /// The index's data folder; or a store alone, such as a mirror's copy, without the database; or the
    /// URL of an index or a mirror
    #[arg(value_name = "DIR|URL")]
    place: PathBuf,

    /// Hash the bytes of every file, not only those of pages and small files; at a URL, fetch every target
    #[arg(long)]
    deep: bool,

    /// What --record wrote at an earlier audit: nothing may have gone back since, or been changed
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,

    /// Write versions and digests of all metadata, for --since of a later audit; in place of what is there
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,

    /// Keep in this file how far a deep audit is, and go on from there where one was interrupted
    #[arg(long, value_name = "FILE", requires = "deep")]
    resume: Option<PathBuf>,

    /// As JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    pin: PinOptions,
}

impl Repo {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let since = self.since.as_deref().map(read_record).transpose()?;
        let (report, record) = match url_of(&self.place) {
            Some(url) => self.remote(url, since.as_ref())?,
            None => self.local(since.as_ref())?,
        };
        if let (Some(file), Some(record)) = (&self.record, &record) {
            // What was found wrong is not what the next audit is to go by.
            if report.valid {
                write_record(file, record)?;
            } else {
                output::warning(&format!(
                    "{} was not written, for the audit found something",
                    file.display()
                ));
            }
        }
        if self.json {
            output::json(&report)?;
        } else {
            show(&report);
        }
        Ok(if report.valid { ExitCode::SUCCESS } else { Exit::Findings.into() })
    }

    fn local(&self, since: Option<&Record>) -> anyhow::Result<(Report, Option<Record>)> {
        let (store, database) = super::open(&self.place)?;
        if let Some(database) = &database {
            super::check_published(&self.place, &store, database)?;
        }
        let settings = Settings { now: Timestamp::now(), deep: self.deep };
        let contract = database.as_ref().map(|database| database as &dyn Database);
        let place = std::path::absolute(&self.place)?.display().to_string();
        let done = self.resume.as_deref().map(|file| DoneBins::open(file, &place)).transpose()?;
        let kept = done.as_ref().map(|done| done as &dyn audit::Done);
        let mut report = super::with_progress(|progress| {
            audit::audit_from((&store, contract), settings, kept, progress)
        })?;
        done.map_or(Ok(()), DoneBins::finish)?;
        let mut record = None;
        let given = self.pin.given()?;
        if given.is_some() || since.is_some() || self.record.is_some() {
            // Without another it is the one that the folder has.
            let pin = given.map_or_else(|| pin::of_folder(&store), Ok)?;
            let audit = Settings { deep: false, ..settings };
            let settings = WalkSettings { audit, pin: &pin, since, threads: 1 };
            let place = Place { store: &store, targets: &Elsewhere, done: None };
            let walked = super::with_progress(|progress| audit::walk(place, settings, progress))?;
            report.add_known(&walked.report);
            record = walked.record;
        }
        super::check_unchanged(&self.place, database.as_ref())?;
        Ok((report, record))
    }

    fn remote(
        &self,
        url: &str,
        since: Option<&Record>,
    ) -> anyhow::Result<(Report, Option<Record>)> {
        let (url, credentials) = IndexUrl::parse(url)?;
        let pin = self.pin.of_url(&url)?;
        let done = self
            .resume
            .as_deref()
            .map(|file| DoneBins::open(file, &url.to_string()))
            .transpose()?;
        let index = RemoteIndex::new(url, credentials)?;
        let audit = Settings { now: Timestamp::now(), deep: self.deep };
        let settings = WalkSettings { audit, pin: &pin, since, threads: CONNECTIONS };
        let place = Place {
            store: &index,
            targets: &index,
            done: done.as_ref().map(|done| done as &dyn audit::Done),
        };
        let walked = super::with_progress(|progress| audit::walk(place, settings, progress))?;
        if let Some(done) = done {
            done.finish()?;
        }
        Ok((walked.report, walked.record))
    }
}

/// The URL that a place is; `None` for a folder.
pub(super) fn url_of(place: &Path) -> Option<&str> {
    let is_url = |text: &&str| text.starts_with("http://") || text.starts_with("https://");
    place.to_str().filter(is_url)
}

/// A folder's targets are looked at by its own audit.
struct Elsewhere;

impl TargetBytes for Elsewhere {
    fn check(&self, _key: &StoreKey, _file: &TargetFile) -> Result<Checked, StoreError> {
        Ok(Checked::Right)
    }
}

fn read_record(path: &Path) -> anyhow::Result<Record> {
    let failed = || format!("cannot read the record {}", path.display());
    let mut text = String::new();
    let file = File::open(path).with_context(failed)?;
    file.take(RECORD_LIMIT).read_to_string(&mut text).with_context(failed)?;
    Ok(serde_json::from_str(&text).map_err(|error| {
        Failure::new(
            Exit::Usage,
            format!("{} is no record of an audit: {error}", path.display()),
            "name a file that `waxseal audit repo --record FILE` wrote",
        )
    })?)
}

/// It is there as it was, or as it is now.
fn write_record(path: &Path, record: &Record) -> anyhow::Result<()> {
    let failed = || format!("cannot write the record {}", path.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")));
    let mut file = file.with_context(failed)?;
    serde_json::to_writer_pretty(&mut file, record).with_context(failed)?;
    file.write_all(b"\n").with_context(failed)?;
    file.as_file().sync_all().with_context(failed)?;
    file.persist(path).with_context(failed)?;
    Ok(())
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

pub(super) fn list(heading: &str, found: &[Finding], count: u64) {
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
