use std::process::ExitCode;

use jiff::Timestamp;
use serde::Serialize;

use super::{FolderArgument, failed, span};
use crate::output;

/// Show how a mirror is doing, and how far it may be behind.
#[derive(Debug, clap::Args)]
pub(super) struct Status {
    #[command(flatten)]
    folder: FolderArgument,

    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    status: waxseal_mirror::Status,
    lag_seconds: Option<i64>,
    is_expired: bool,
}

impl Status {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let status = waxseal_mirror::Mirror::new(&self.folder.folder).status().map_err(failed)?;
        let now = Timestamp::now();
        let (lag_seconds, is_expired) = (status.lag_seconds(now), status.is_expired(now));
        if self.json {
            output::json(&Shown { status, lag_seconds, is_expired })?;
            return Ok(ExitCode::SUCCESS);
        }
        let or = |value: Option<u64>| value.map_or("none".to_owned(), |value| value.to_string());
        output::line(&format!("mirror of {}", status.index));
        output::field("snapshot", &or(status.snapshot));
        if status.newest_seen > status.snapshot {
            output::field("newest", &format!("{}, which is not here yet", or(status.newest_seen)));
        }
        let lag = lag_seconds.map_or("never".to_owned(), |lag| format!("{} ago", span(lag)));
        output::field("up to date", &lag);
        if let Some(expires) = status.expires {
            let text = match is_expired {
                true => format!("{expires}: clients refuse it"),
                false => format!("{expires}, in {}", span(expires.duration_since(now).as_secs())),
            };
            output::field("expires", &text);
        }
        output::field("projects", &status.projects);
        let totals = status.totals;
        let has = format!("{}, {}", totals.targets, output::size(totals.bytes.unsigned_abs()));
        output::field("targets", &has);
        let kept: Vec<_> = status.kept.iter().map(u64::to_string).collect();
        output::field("kept", &kept.join(", "));
        if let Some(exported) = status.exported {
            output::field("exported", &exported.to_string());
        }
        let ago = now.duration_since(status.last_round).as_secs();
        output::field("last round", &format!("{} ago", span(ago)));
        if let Some(problem) = &status.problem {
            output::field("problem", problem);
        }
        Ok(ExitCode::SUCCESS)
    }
}
