use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use waxseal_repository::audit::keys::{
    Entry, KeyCounts, KeyFinding, KeyReport, KeysAudit, KeysError, TakeLine, lines, of_database,
};
use waxseal_repository::key_use::Head;
use waxseal_repository::store::{FilesystemStore, Store};

use crate::failure::{Exit, Failure};
use crate::output;

/// Compare what the online key signed with the log of its use.
///
/// Every use of the online key is in a log, each record chained to the one before. This goes through the
/// log, and looks for every timestamp, snapshot and bin of the store in it: one that is not there was
/// signed by somebody else. Nothing is changed, and the index may be served meanwhile. The exit code is 0
/// where all is well and 4 where something is wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct Keys {
    /// The index's data folder; with --log, a store that is compared with it, or nothing
    #[arg(value_name = "DIR", required_unless_present = "log")]
    folder: Option<PathBuf>,

    /// Read the log from a file that --export wrote, not from the index's database
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,

    /// Where the log ended at an earlier time, from a machine that the index cannot change; may be given
    /// more than once
    #[arg(long = "head", value_name = "NUMBER:HASH")]
    heads: Vec<Head>,

    /// Write the log to a new file, a line of JSON for each record
    #[arg(long, value_name = "FILE", conflicts_with = "log")]
    export: Option<PathBuf>,

    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Keys {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut export = self.export.as_deref().map(Export::create).transpose()?;
        let mut line = |text: &str| export.as_mut().map_or(Ok(()), |export| export.line(text));
        let report = self.audit(&mut line)?;
        if let Some(export) = export {
            export.finish()?;
        }
        if self.json {
            output::json(&report)?;
        } else {
            show(&report);
        }
        Ok(if report.valid { ExitCode::SUCCESS } else { Exit::Findings.into() })
    }

    fn audit(&self, line: TakeLine<'_>) -> anyhow::Result<KeyReport> {
        let opened = self.folder.as_deref().map(super::open).transpose()?;
        let store = opened.as_ref().map(|(store, _)| store);
        if let Some(path) = &self.log {
            let failed = || format!("cannot read the log {}", path.display());
            let file = File::open(path).with_context(failed)?;
            return self.compare(store, lines(BufReader::new(file)), None).with_context(failed);
        }
        let folder = self.folder.as_deref().unwrap_or(Path::new("."));
        let Some((store, Some(database))) = &opened else {
            return Err(Failure::new(
                Exit::Usage,
                format!("{} is a store alone, and has no log", folder.display()),
                "name the data folder of the index, or give its log with --log FILE",
            )
            .into());
        };
        super::check_published(folder, store, database)?;
        let report = self.compare(Some(store), of_database(database), Some(line))?;
        super::check_unchanged(folder, Some(database))?;
        Ok(report)
    }

    fn compare<'a>(
        &'a self,
        store: Option<&'a FilesystemStore>,
        log: impl Iterator<Item = Result<Entry, KeysError>>,
        export: Option<TakeLine<'a>>,
    ) -> anyhow::Result<KeyReport> {
        let store = store.map(|store| store as &dyn Store);
        let audit = KeysAudit { store, heads: &self.heads, export };
        Ok(super::with_progress(|progress| audit.run(log, progress))?)
    }
}

/// A file that is there when it is whole.
struct Export {
    path: PathBuf,
    file: BufWriter<tempfile::NamedTempFile>,
}

impl Export {
    fn create(path: &Path) -> anyhow::Result<Self> {
        if path.exists() {
            return Err(Failure::new(
                Exit::Usage,
                format!("{} is there already", path.display()),
                "name a file that is not there yet; nothing was changed",
            )
            .into());
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")));
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file) })
    }

    fn line(&mut self, text: &str) -> io::Result<()> {
        self.file.write_all(text.as_bytes())?;
        self.file.write_all(b"\n")
    }

    fn finish(self) -> anyhow::Result<()> {
        let failed = || format!("cannot write {}", self.path.display());
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error);
        let file = file.with_context(failed)?;
        file.as_file().sync_all().with_context(failed)?;
        file.persist_noclobber(&self.path).with_context(failed)?;
        Ok(())
    }
}

fn show(report: &KeyReport) {
    if !report.findings.is_empty() {
        output::heading("findings");
    }
    for finding in &report.findings {
        output::line(&described(finding));
        output::line(&format!("  {}", finding.hint));
    }
    let counts = &report.counts;
    let more = counts.findings - report.findings.len() as u64;
    if more > 0 {
        output::line(&format!("and {more} more"));
    }
    output::heading("checked");
    output::table(
        &["what", "count"],
        rows(counts).map(|(what, count)| vec![what.to_owned(), count.to_string()]),
    );
    output::line("");
    if let (Some(first), Some(last)) = (&report.first, &report.last) {
        output::line(&format!("from {first} to {last}"));
    }
    match &report.head {
        Some(head) => output::line(&format!("the log ends at {head}")),
        None => output::line("the log is empty"),
    }
    output::line(&match counts.findings {
        0 => "every signature that was checked is in the log".to_owned(),
        findings => format!("{findings} findings"),
    });
}

/// What is wrong, with the digest that tells it apart.
fn described(finding: &KeyFinding) -> String {
    let KeyFinding { problem, role, version, sha256, .. } = finding;
    match (role, version, sha256) {
        (Some(role), Some(version), Some(sha256)) => {
            format!("{problem} ({role} version {version}, sha256 {sha256})")
        }
        _ => problem.clone(),
    }
}

fn rows(counts: &KeyCounts) -> impl Iterator<Item = (&'static str, u64)> {
    [
        ("records", counts.records),
        ("values signed", counts.signed),
        ("  never published", counts.never_published),
        ("  signed again after an interruption", counts.signed_again),
        ("values from before the log", counts.before_the_log),
        ("files in the store", counts.files),
        ("  in the log", counts.files_in_the_log),
    ]
    .into_iter()
}
