//! `waxseal mirror`: a verified copy of an index in a folder, for any web server.

mod import;
mod status;
mod sync;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use jiff::SignedDuration;
use waxseal_client::{IndexUrl, TrustStore};
use waxseal_mirror::{Error, Keep, Progress};

use crate::failure::{Exit, Failure};
use crate::output::{Steps, size};
use crate::trust::TrustOption;

/// Keep a verified copy of an index, whole or of some projects, which any web server can serve.
///
/// Everything is verified before clients see it, and each run costs what changed. The folder is the index's
/// public layout: clients that verify use it with --mirror, and plain pip as an index. `waxseal mirror URL DIR`
/// makes the copy and brings it up to date; an interrupted run goes on with the same command.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Mirror {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    sync: sync::Sync,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Import(import::Import),
    Verify(verify::Verify),
    Status(status::Status),
}

impl Mirror {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Some(Command::Import(command)) => command.run(),
            Some(Command::Verify(command)) => command.run(),
            Some(Command::Status(command)) => command.run(),
            None => self.sync.run(),
        }
    }
}

/// The folder of a mirror that is there.
#[derive(Debug, Clone, clap::Args)]
struct FolderArgument {
    /// The mirror's folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// How long older snapshots stay.
#[derive(Debug, Clone, clap::Args)]
struct KeepOptions {
    /// How many snapshots are kept whole, the newest among them, so that slow clients finish
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    keep: usize,

    /// How long a snapshot is kept at least after a newer one was published, such as `30m` or `48h`
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
    grace: Duration,
}

impl KeepOptions {
    fn keep(&self) -> Keep {
        Keep { snapshots: self.keep, grace: self.grace }
    }
}

/// A length of time as people write it.
fn duration(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration = text.parse().map_err(|error| format!("{error}"))?;
    Duration::try_from(parsed).map_err(|_| "is negative".to_owned())
}

/// What this user trusts of the index that a folder is a mirror of, or that is named.
fn trust_of(
    mirror: &waxseal_mirror::Mirror,
    index: Option<&str>,
    trust: &TrustOption,
) -> anyhow::Result<TrustStore> {
    let stores = trust.stores()?;
    let url = match index {
        Some(url) => Some(IndexUrl::parse(url)?.0),
        None => mirror.index().ok(),
    };
    Ok(match url {
        Some(url) => stores.find(&url)?,
        None => stores.find_default()?,
    })
}

/// The failure as this program shows it, with its exit code.
fn failed(error: Error) -> anyhow::Error {
    let exit = match &error {
        Error::NotEmpty { .. } | Error::OtherIndex { .. } | Error::NotKept { .. } => Exit::Usage,
        _ if error.is_refusal() => Exit::Refused,
        _ => Exit::Failed,
    };
    let failure = Failure::new(exit, error.to_string(), error.hint());
    match error {
        Error::Client(error) => error.into(),
        _ => failure.into(),
    }
}

/// How many threads fetch and verify, where none are named.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(8, |cores| (cores.get() * 2).clamp(4, 16))
}

/// Shows how far a run is.
fn show(steps: &Steps, step: &'static str, progress: Progress) {
    let Progress { roles: (done, total), files, bytes } = progress;
    let far = format!("{done} of {total} roles, {files} files, {}", size(bytes));
    steps.show(step, &far, (total > 0).then_some((done, total)));
}

/// How long something is, for people.
fn span(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Names that are in a file, one a line; `#` begins a remark.
fn lines_of(path: &PathBuf) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(path);
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    Ok(lines.filter(|line| !line.is_empty()).map(ToOwned::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(duration("5m"), Ok(Duration::from_mins(5)));
        assert_eq!(duration("1h 30m"), Ok(Duration::from_mins(90)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert!(duration("-5m").is_err() && duration("soon").is_err());
    }

    #[test]
    fn spans_are_short() {
        assert_eq!((span(90).as_str(), span(7200).as_str()), ("90 s", "2 h"));
    }
}
