use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;
use waxseal_client::{IndexUrl, Settings};
use waxseal_mirror::{Base, Exported, Filter, Index, Outcome, SyncOptions};

use super::{KeepOptions, duration, failed, lines_of, show, span, threads};
use crate::failure::{self, Exit, Failure};
use crate::output::{self, Steps};
use crate::trust::TrustOption;

/// Bring a mirror up to date.
#[derive(Debug, clap::Args)]
pub(super) struct Sync {
    /// The index, which is trusted (`waxseal trust add`)
    #[arg(value_name = "URL", required = true)]
    index: Option<String>,

    /// The folder of the copy, which is made where it is not there
    #[arg(value_name = "DIR", required = true)]
    folder: Option<PathBuf>,

    /// Copy only this project; repeatable [default: what was copied last time, at first all projects]
    #[arg(long = "project", value_name = "NAME")]
    projects: Vec<String>,

    /// Copy only the projects that this file names, one a line
    #[arg(long, value_name = "FILE")]
    projects_from: Option<PathBuf>,

    /// Leave this project out; repeatable
    #[arg(long, value_name = "NAME")]
    exclude: Vec<String>,

    /// Copy all projects, after only some were copied
    #[arg(long, conflicts_with_all = ["projects", "projects_from", "exclude"])]
    all_projects: bool,

    #[command(flatten)]
    keep: KeepOptions,

    /// Hash everything that is there, and fetch again what is missing or changed
    #[arg(long)]
    verify: bool,

    /// Stay, and bring it up to date again and again, after so long each time, such as `5m`
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "air_gap")]
    every: Option<Duration>,

    /// Then write what changed since the last time to this new file, for `waxseal mirror import`
    #[arg(long, value_name = "FILE")]
    air_gap: Option<PathBuf>,

    /// What changed since this snapshot, by its version; 0 for everything
    #[arg(long, value_name = "SNAPSHOT", requires = "air_gap")]
    since: Option<u64>,

    /// Where the same files are too, asked when the index fails; trusted with nothing; repeatable
    #[arg(long = "mirror", value_name = "URL")]
    mirrors: Vec<IndexUrl>,

    /// How many files are fetched at a time [default: twice as many as there are cores, 4 to 16]
    #[arg(long, value_name = "COUNT")]
    jobs: Option<usize>,

    /// As JSON: one document, or with --every one a line for each round
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    trust: TrustOption,
}

/// How a round ended, as `--json` shows it.
#[derive(Serialize)]
struct Round {
    #[serde(flatten)]
    outcome: Option<Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exported: Option<Exported>,
}

impl Sync {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        // Without a subcommand there are both.
        let (index, folder) = (self.index.as_deref(), self.folder.as_deref());
        let (Some(index), Some(folder)) = (index, folder) else {
            anyhow::bail!("neither an index nor a command was named");
        };
        let (url, credentials) = IndexUrl::parse(index)?;
        let trust = self.trust.stores()?.find(&url)?;
        let settings =
            Settings { credentials, mirrors: self.mirrors.clone(), ..Settings::default() };
        let index = Index::new(&url, settings).map_err(failed)?;
        let options = SyncOptions {
            filter: self.filter()?,
            keep: self.keep.keep(),
            check_all: self.verify,
            threads: self.jobs.unwrap_or_else(threads).max(1),
        };
        if let Some(file) = self.air_gap.as_ref().filter(|file| file.exists()) {
            let problem = format!("{} is there already", file.display());
            return Err(Failure::new(Exit::Usage, problem, "name a new file").into());
        }
        let mirror = waxseal_mirror::Mirror::new(folder);
        let round = || {
            // The root may have been replaced by hand since the last round.
            let trust = self.trust.stores()?.find(&trust.index().url)?;
            let steps = Steps::after_a_while();
            let progress = |far| show(&steps, "mirroring", far);
            let now = Timestamp::now();
            let outcome = mirror.sync(&index, &trust, &options, now, &progress);
            steps.clear();
            outcome.map_err(failed)
        };
        if let Some(every) = self.every {
            return self.stay(&mirror, every, round);
        }
        let began = Instant::now();
        let outcome = round()?;
        let exported = self.air_gap.as_ref().map(|file| {
            let base = match self.since {
                None => Base::LastExport,
                Some(0) => Base::Nothing,
                Some(snapshot) => Base::Snapshot(snapshot),
            };
            mirror.export(file, base, Timestamp::now()).map_err(failed)
        });
        let exported = exported.transpose()?;
        if self.json {
            let (outcome, lag_seconds) = (Some(outcome), None);
            output::json(&Round { outcome, problem: None, lag_seconds, exported })?;
            return Ok(ExitCode::SUCCESS);
        }
        output::line(&in_words(&outcome, began.elapsed()));
        if outcome.elsewhere > 0 {
            output::line(&format!(
                "{} files are not here: their pages link to other hosts, or list nothing to verify them by",
                outcome.elsewhere
            ));
        }
        if let (Some(exported), Some(file)) = (exported, &self.air_gap) {
            let Exported { from, snapshot, entries, bytes } = exported;
            let from = from.map_or("everything".to_owned(), |from| format!("from snapshot {from}"));
            output::line(&format!(
                "{}: {from} to snapshot {snapshot}, {entries} files, {}",
                file.display(),
                output::size(bytes)
            ));
        }
        Ok(ExitCode::SUCCESS)
    }

    /// One round after another. What fails in one may be well in the next, and what is published stays.
    fn stay(
        &self,
        mirror: &waxseal_mirror::Mirror,
        every: Duration,
        round: impl Fn() -> anyhow::Result<Outcome>,
    ) -> anyhow::Result<ExitCode> {
        loop {
            let began = Instant::now();
            let result = round();
            if let Err(error) = &result
                && is_for_good(error)
            {
                return result.map(|_| ExitCode::SUCCESS);
            }
            let now = Timestamp::now();
            let status = mirror.status().ok();
            let lag_seconds = status.as_ref().and_then(|status| status.lag_seconds(now));
            if self.json {
                let problem = result.as_ref().err().map(failure::text);
                let outcome = result.as_ref().ok().copied();
                let round = Round { outcome, problem, lag_seconds, exported: None };
                output::line(&serde_json::to_string(&round)?);
            } else {
                let expires = status.as_ref().and_then(|status| status.expires);
                let left = expires.map(|expires| expires.duration_since(now).as_secs());
                let left = match left {
                    Some(left) if left > 0 => {
                        format!("clients believe it for another {}", span(left))
                    }
                    Some(_) => "it has expired, and clients refuse it".to_owned(),
                    None => "nothing is published yet".to_owned(),
                };
                match &result {
                    Ok(outcome) => {
                        output::line(&format!("{}; {left}", in_words(outcome, began.elapsed())));
                    }
                    Err(error) => {
                        let lag = lag_seconds.map_or("it was never up to date".to_owned(), |lag| {
                            format!("it was up to date {} ago", span(lag))
                        });
                        output::warning(&format!("{}; {lag}; {left}", failure::text(error)));
                    }
                }
            }
            std::thread::sleep(every.saturating_sub(began.elapsed()));
        }
    }

    /// What the options say of projects; `None` where they say nothing.
    fn filter(&self) -> anyhow::Result<Option<Filter>> {
        let mut only = self.projects.clone();
        if let Some(file) = &self.projects_from {
            let names = lines_of(file)?;
            if names.is_empty() {
                let problem = format!("{} names no project", file.display());
                return Err(Failure::new(Exit::Usage, problem, "write one name a line").into());
            }
            only.extend(names);
        }
        if only.is_empty() && self.exclude.is_empty() {
            return Ok(self.all_projects.then(Filter::default));
        }
        let invalid = |name: &str| {
            let hint = "names of projects are letters, digits, `.`, `-` and `_`";
            Failure::new(Exit::Usage, format!("{name:?} is not the name of a project"), hint)
        };
        Ok(Some(Filter::of_names(&only, &self.exclude).map_err(|name| invalid(&name))?))
    }
}

/// Whether no later round can do better.
fn is_for_good(error: &anyhow::Error) -> bool {
    use waxseal_client::Error as E;
    let client = error.chain().find_map(|cause| cause.downcast_ref::<E>());
    let failure = error.chain().find_map(|cause| cause.downcast_ref::<Failure>());
    matches!(client, Some(E::NotTrusted { .. } | E::NoIndex))
        || failure.is_some_and(Failure::is_wrong_use)
}

fn in_words(outcome: &Outcome, took: Duration) -> String {
    let Outcome { snapshot, roles, files, bytes, removed, totals, .. } = outcome;
    let seconds = took.as_secs_f64();
    if !outcome.changed {
        let removed = match removed {
            0 => String::new(),
            removed => format!(", {removed} files removed"),
        };
        return format!("snapshot {snapshot} is up to date{removed} ({seconds:.1} s)");
    }
    format!(
        "snapshot {snapshot} is published, with {} targets of {}: {roles} roles and {files} files came, {}; \
         {removed} files removed ({seconds:.1} s)",
        totals.targets,
        output::size(totals.bytes.unsigned_abs()),
        output::size(*bytes)
    )
}
