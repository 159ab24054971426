//! One file for each command.

mod apply;
mod copies;
mod plan;
mod rehearsal;
mod text;

use std::process::ExitCode;

use anyhow::Error;
use waxseal_repository::restore::RestoreError;

use crate::failure::{Exit, Failure};

/// Restore an index after a compromise, as people decide.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Restore {
    Plan(plan::Plan),
    Apply(apply::Apply),
}

impl Restore {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Plan(plan) => plan.run(),
            Self::Apply(apply) => apply.run(),
        }
    }
}

/// What to do about it.
fn refused(error: RestoreError) -> Error {
    let hint = match &error {
        RestoreError::Snapshot { .. } => {
            "name an archive, a mirror or a backup that has it, and with --fingerprint or --root what is known \
             of its root"
        }
        RestoreError::NoPages { .. } => {
            "name mirrors or backups that have them with --copies; a cache of an old snapshot will do"
        }
        RestoreError::Undecided { .. } => {
            "write `keep` or `restore` in place of `?` in the plan, for a project or for a file of it"
        }
        RestoreError::Lost { .. } => {
            "nothing was changed; or keep it as it is: `decide = \"keep\"`"
        }
        RestoreError::Malformed { .. } => "nothing was changed; correct the plan, or make it again",
        RestoreError::Stale { .. } => {
            "nothing was changed; make the plan again with `waxseal restore plan`, while no server runs"
        }
        RestoreError::TooMany { .. } => {
            "or replace the data folder by a backup, with the keys of a new ceremony (docs/compromise.md)"
        }
        RestoreError::Archive(_) | RestoreError::Index(_) => return error.into(),
    };
    Failure::new(Exit::Failed, error.to_string(), hint).into()
}
