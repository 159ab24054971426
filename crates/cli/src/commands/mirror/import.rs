use std::path::PathBuf;
use std::process::ExitCode;

use jiff::Timestamp;
use serde::Serialize;
use waxseal_mirror::{Error, ImportOptions, Manifest, Outcome};

use super::{KeepOptions, failed, show, threads, trust_of};
use crate::failure::{Exit, Failure};
use crate::output::{self, Steps};
use crate::trust::TrustOption;

/// Apply an update that `waxseal mirror --air-gap` wrote on another network.
///
/// The file is trusted with nothing: all of it is verified from the root that is trusted here.
#[derive(Debug, clap::Args)]
pub(super) struct Import {
    /// The update
    #[arg(value_name = "FILE")]
    update: PathBuf,

    /// The folder of the mirror, which is made where it is not there
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// The trusted index that it is of [default: that of the mirror, or the only one that is trusted]
    #[arg(long, value_name = "URL", env = "WAXSEAL_INDEX", hide_env_values = true)]
    index: Option<String>,

    /// Take it also if it is of other projects than the mirror has
    #[arg(long)]
    other_projects: bool,

    #[command(flatten)]
    keep: KeepOptions,

    /// As JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    trust: TrustOption,
}

#[derive(Serialize)]
struct Imported {
    from: Option<u64>,
    #[serde(flatten)]
    outcome: Outcome,
}

impl Import {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mirror = waxseal_mirror::Mirror::new(&self.folder);
        let trust = trust_of(&mirror, self.index.as_deref(), &self.trust)?;
        let options = ImportOptions {
            keep: self.keep.keep(),
            threads: threads(),
            other_projects: self.other_projects,
        };
        let steps = Steps::after_a_while();
        let progress = |far| show(&steps, "importing", far);
        let imported = mirror.import(&self.update, &trust, options, Timestamp::now(), &progress);
        steps.clear();
        let (manifest, outcome) = imported.map_err(refused)?;
        let Manifest { from, filter, .. } = manifest;
        if self.json {
            output::json(&Imported { from, outcome })?;
            return Ok(ExitCode::SUCCESS);
        }
        let Outcome { snapshot, changed, totals, files, .. } = outcome;
        let text = match changed {
            true => format!(
                "snapshot {snapshot} is published, with {} targets of {}: {files} files came",
                totals.targets,
                output::size(totals.bytes.unsigned_abs())
            ),
            false => format!("snapshot {snapshot} was here already"),
        };
        output::line(&text);
        if !filter.is_everything() {
            output::line(&format!("this mirror has {filter}"));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What a refusal means where no network is to blame.
fn refused(error: Error) -> anyhow::Error {
    let Error::Client(client) = &error else { return failed(error) };
    let hint = match client.slug() {
        "rollback" => {
            "the update is older than what this mirror has: apply updates in the order they were written"
        }
        "changed" | "unsigned" | "malformed" | "inconsistent" => {
            "clients see nothing of it: the update was changed or damaged on its way, or is of an index \
             with another root; bring it over again"
        }
        _ => return failed(error),
    };
    Failure::new(Exit::Refused, error.to_string(), hint).into()
}
