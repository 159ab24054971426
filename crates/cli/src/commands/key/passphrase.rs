use std::process::ExitCode;

use super::uri_or_path;
use crate::output;
use crate::terminal::Terminal;

/// Set or change the passphrase of a key in a file.
///
/// The file has its old contents or its new ones, whatever happens. Copies elsewhere keep their old
/// passphrase.
#[derive(Debug, clap::Args)]
pub(crate) struct Passphrase {
    /// The file or its key URI, in which `?passphrase-source=` says where the old passphrase is
    key: String,

    /// Where the new passphrase is, `file:PATH` or `env:NAME` [default: it is asked for]
    #[arg(long, value_name = "SOURCE")]
    new_source: Option<String>,
}

impl Passphrase {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let uri = uri_or_path(&self.key)?;
        waxseal_signing::change_passphrase(&uri, self.new_source.as_deref(), &Terminal)?;
        output::note("the key is encrypted with the new passphrase");
        Ok(ExitCode::SUCCESS)
    }
}
