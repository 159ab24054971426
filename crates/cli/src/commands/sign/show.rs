use std::path::PathBuf;
use std::process::ExitCode;

use super::{Files, TrustedRoot};
use crate::ceremony::review::{Shown, described, missing};
use crate::output;

/// Show what new roots would change, against the root that you trust, and who has signed.
///
/// Nothing is taken from a server, and nothing from what the files claim beside it.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// New roots, N.root.json, in any order, or a folder of them
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    #[command(flatten)]
    trusted: TrustedRoot,

    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let review = Files::read(&self.files)?.review(self.trusted.read()?.as_deref())?;
        if self.json {
            output::json(&Shown::of(&review))?;
            return Ok(ExitCode::SUCCESS);
        }
        output::lines(&described(&review));
        match missing(&review).as_slice() {
            [] => output::note(
                "all signatures are there: `waxseal repo publish-root` takes these files",
            ),
            _ => output::note("`waxseal sign --key URI FILE...` adds yours"),
        }
        Ok(ExitCode::SUCCESS)
    }
}
