use std::process::ExitCode;

use waxseal_signing::{Nobody, inspect};

use super::shown::{Shown, show};
use super::uri_or_path;
use crate::output;
use crate::terminal::Terminal;

/// Say of a key what it is, where it is and what keeps it.
///
/// Nobody is asked for a passphrase or PIN. Of a public key it shows the words to compare with its holder.
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// A key URI, or a file with a private or a public key in PEM
    key: String,

    /// Ask for the passphrase or PIN where the keyid takes one
    #[arg(long)]
    unlock: bool,

    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let uri = uri_or_path(&self.key)?;
        let info = match self.unlock {
            true => inspect(&uri, &Terminal)?,
            false => inspect(&uri, &Nobody)?,
        };
        match self.json {
            true => output::json(&Shown::of(&info))?,
            false => show(&info),
        }
        if let Some(problem) = &info.problem {
            output::warning(problem);
        }
        Ok(ExitCode::SUCCESS)
    }
}
