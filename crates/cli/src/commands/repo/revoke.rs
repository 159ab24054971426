use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;
use waxseal_repository::database::{AppendedRevocation, Database, Revocable, Revocation};
use waxseal_repository::{Error, Repository};

use super::super::DataOption;
use crate::data_folder::DataFolder;
use crate::failure::{Exit, Failure};
use crate::host;
use crate::output;

/// How many names are shown that may have been meant.
const NEAR: usize = 5;

/// Take back projects or files: out of bins and pages in one snapshot, with the reason in the journal.
///
/// A running server publishes that within seconds; where none runs, this command does. From then on no
/// upload takes the name: not the file again, and of a project no file at all. The bytes stay in the store
/// until garbage collection takes them. What came through the API or an import is removed there.
#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option that is given or not")]
pub(crate) struct Revoke {
    /// Projects, by any spelling of their names, and filenames
    #[arg(value_name = "PROJECT|FILENAME", required_unless_present = "list")]
    names: Vec<String>,

    /// Why: it stands in the journal, and whoever uploads the name again is told
    #[arg(long, value_name = "TEXT", required_unless_present = "list")]
    reason: Option<String>,

    /// Let what was revoked be uploaded again: files with the bytes they had, with a project its files too
    #[arg(long)]
    undo: bool,

    /// Show what is revoked, and why
    #[arg(long, conflicts_with_all = ["names", "reason", "undo", "yes"])]
    list: bool,

    /// Do not ask before a whole project goes
    #[arg(long)]
    yes: bool,

    /// How long a running server is waited for, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,

    /// As JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    data: DataOption,
}

/// What `repo revoke --json` shows.
#[derive(Debug, Serialize)]
struct Report {
    /// The journal's entry; none where all of it was so before.
    serial: Option<u64>,
    /// The first snapshot that has it.
    snapshot: Option<u64>,
    projects: Vec<String>,
    files: Vec<String>,
    /// What was revoked before, and is left as it was.
    already: Vec<Listed>,
}

/// Something that is revoked, as `repo revoke --list --json` shows it.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    kind: &'static str,
    serial: u64,
    revoked: Timestamp,
    reason: String,
}

impl From<Revocation> for Listed {
    fn from(it: Revocation) -> Self {
        let kind = if it.is_project { "project" } else { "file" };
        let Revocation { name, serial, revoked_at, reason, .. } = it;
        Self { name, kind, serial, revoked: revoked_at, reason }
    }
}

impl Revoke {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let folder = DataFolder::open(&self.data.data)?;
        if self.list {
            return self.show_all(&*folder.database()?);
        }
        let what = self.names.iter().map(|name| named(name)).collect::<anyhow::Result<Vec<_>>>()?;
        let reason = self.reason.as_deref().unwrap_or_default().trim();
        if reason.is_empty() {
            return Err(Failure::new(
                Exit::Usage,
                "the reason is empty",
                "say in a few words why, with --reason: people will ask",
            )
            .into());
        }
        let repository = folder.repository()?;
        if !self.undo && !self.yes {
            ask(repository.database(), &what)?;
        }
        let appended = match self.undo {
            true => repository.readmit(&what, reason)?,
            false => repository.revoke(&what, reason)?,
        };
        let mut report = match appended {
            AppendedRevocation::Unknown(names) => return Err(unknown(&repository, &names)?.into()),
            AppendedRevocation::New { serial, entry, before } => Report {
                serial: Some(serial),
                snapshot: None,
                projects: entry.projects,
                files: entry.files,
                already: before.into_iter().map(Listed::from).collect(),
            },
            AppendedRevocation::Nothing { before } => Report {
                serial: None,
                snapshot: None,
                projects: Vec::new(),
                files: Vec::new(),
                already: before.into_iter().map(Listed::from).collect(),
            },
        };
        // An earlier run may have been killed after it had recorded it.
        let before = report.already.iter().map(|it| it.serial);
        if let Some(serial) = before.chain(report.serial).max() {
            self.publish(&folder, &repository, serial)?;
            report.snapshot = repository.database().snapshot_of_serial(serial)?;
        }
        match self.json {
            true => output::json(&report)?,
            false => self.show(&report),
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Has the journal published up to `serial`, by this process or by the server that runs.
    fn publish(
        &self,
        folder: &DataFolder,
        repository: &Arc<Repository>,
        serial: u64,
    ) -> anyhow::Result<()> {
        let database = repository.database();
        let is_published = || Ok::<_, Error>(database.published_serial()? >= serial);
        if is_published()? {
            return Ok(());
        }
        match host::snapshot_process(folder, Arc::clone(repository)) {
            Ok(process) => process.publish_all(Timestamp::now())?,
            Err(error) => match error.downcast_ref::<Error>() {
                Some(Error::SecondWriter { .. }) => {
                    output::note("a server runs: it publishes what was recorded");
                    let until = Instant::now() + Duration::from_secs(self.wait);
                    while Instant::now() < until && !is_published()? {
                        std::thread::sleep(Duration::from_millis(100));
                    }
                }
                _ => {
                    let recorded =
                        "it was recorded as entry {} of the journal, and cannot be published now";
                    return Err(error.context(recorded.replace("{}", &serial.to_string())));
                }
            },
        }
        match is_published()? {
            true => Ok(()),
            false => Err(Failure::new(
                Exit::Failed,
                format!("recorded as entry {serial} of the journal, and not published yet"),
                "clients still find it: the server's log and /readyz say what holds it up; run this again \
                 to wait for it",
            )
            .into()),
        }
    }

    fn show(&self, report: &Report) {
        let Report { serial, snapshot, projects, files, already } = report;
        for it in already {
            output::line(&format!(
                "{} is revoked already, at serial {}, because: {}",
                it.name, it.serial, it.reason
            ));
        }
        let Some(serial) = serial else {
            if self.undo {
                output::line("none of it is revoked: nothing was changed");
            }
            return;
        };
        let (what, then) = match self.undo {
            true => ("may be uploaded again", "with the bytes they had"),
            false => ("revoked", ""),
        };
        for name in projects {
            output::line(&format!("project {name}: {what}"));
        }
        for name in files {
            output::line(format!("{name}: {what} {then}").trim_end());
        }
        let snapshot =
            snapshot.map_or_else(String::new, |snapshot| format!(", snapshot {snapshot}"));
        output::line(&format!("journal entry {serial}{snapshot}"));
    }

    fn show_all(&self, database: &dyn Database) -> anyhow::Result<ExitCode> {
        let all: Vec<_> = database.revocations()?.into_iter().map(Listed::from).collect();
        if self.json {
            output::json(&all)?;
            return Ok(ExitCode::SUCCESS);
        }
        let rows = all.into_iter().map(|it| {
            let revoked = it.revoked.strftime("%Y-%m-%d %H:%M").to_string();
            vec![it.serial.to_string(), revoked, it.kind.to_owned(), it.name, it.reason]
        });
        output::table(&["serial", "revoked (UTC)", "what", "name", "reason"], rows);
        Ok(ExitCode::SUCCESS)
    }
}

/// What a person named.
fn named(text: &str) -> anyhow::Result<Revocable> {
    text.parse().map_err(|error| {
        Failure::new(
            Exit::Usage,
            format!("{text:?} is neither a filename nor the name of a project: {error}"),
            "give it as it stands on the Simple page, without a folder",
        )
        .into()
    })
}

/// Asks before whole projects go that are there.
fn ask(database: &dyn Database, what: &[Revocable]) -> anyhow::Result<()> {
    let mut going = Vec::new();
    for name in what {
        let Revocable::Project { name } = name else { continue };
        let files = database.project_files(name)?.len();
        if files > 0 {
            going.push(format!("{name} ({files} files)"));
        }
    }
    if going.is_empty() {
        return Ok(());
    }
    let going = going.join(", ");
    if !io::stdin().is_terminal() {
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "nobody is there to be asked whether all of {going} is to go; nothing was changed"
            ),
            "run it with --yes",
        )
        .into());
    }
    anstream::print!(
        "All of {going} is taken back, and no upload to it is accepted. Go on? [y/N] "
    );
    io::stdout().flush()?;
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    match matches!(line.trim(), "y" | "Y" | "yes") {
        true => Ok(()),
        false => Err(Failure::new(
            Exit::Failed,
            "nothing was changed",
            "to take back single files, name them",
        )
        .into()),
    }
}

/// What to say of names that nothing was uploaded under, with some that may have been meant.
fn unknown(repository: &Repository, names: &[String]) -> anyhow::Result<Failure> {
    let database = repository.database();
    let mut near = Vec::new();
    for name in names {
        let what = named(name)?;
        let project = what.project().unwrap_or_default();
        if let Revocable::File { filename, .. } = what {
            let rows = database.project_files(&project)?;
            near.extend(nearest(&filename, rows.into_iter().map(|row| row.filename)));
        }
        if near.is_empty() {
            near.extend(nearest(&project, database.project_names()?));
        }
    }
    let hint = match near.is_empty() {
        true => "`waxseal repo revoke` takes what was uploaded here; targets of the API or of an import are \
                 removed through the API (docs/api.md)"
            .to_owned(),
        false => format!("there are {}", near.join(", ")),
    };
    let names = names.join(", ");
    let problem = format!("nothing was ever uploaded here as {names}; nothing was changed");
    Ok(Failure::new(Exit::Failed, problem, hint))
}

/// Those of `candidates` that differ little from `name`, the nearest first.
fn nearest(name: &str, candidates: impl IntoIterator<Item = String>) -> Vec<String> {
    let far = (name.len() / 4).max(2);
    let mut near: Vec<_> = candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= far)
        .map(|candidate| (distance(name, &candidate), candidate))
        .filter(|(distance, _)| *distance <= far)
        .collect();
    near.sort();
    near.into_iter().take(NEAR).map(|(_, candidate)| candidate).collect()
}

/// How many bytes have to be added, removed or replaced (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_may_have_been_meant_are_near() {
        assert_eq!(
            ["flask", "flsak", "", "flasks"].map(|name| distance("flask", name)),
            [0, 2, 5, 1]
        );
        let names = ["flask", "flash", "flasky-admin", "click"].map(str::to_owned);
        assert_eq!(nearest("flaskk", names), ["flask", "flash"]);
    }

    #[test]
    fn a_filename_is_told_from_a_project() {
        let is_file = |text| matches!(named(text), Ok(Revocable::File { .. }));
        assert!(is_file("flask-3.0-py3-none-any.whl") && is_file("flask-3.0.tar.gz"));
        let project = named("Foo_Bar.baz").map(|what| what.name().to_owned());
        assert!(project.is_ok_and(|name| name == "foo-bar-baz"));
        assert!(named("../flask").is_err() && named("").is_err());
    }
}
