use std::process::ExitCode;

use super::shown::Shown;
use super::uri_or_path;
use crate::output;

/// List the keys in a folder or on tokens, without asking for a secret.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// A folder, or which tokens: `pkcs11:` for all, of the module of `WAXSEAL_PKCS11_MODULE` or
    /// `?module-path=PATH`
    #[arg(value_name = "DIR|URI", default_value = "pkcs11:")]
    place: String,

    /// As JSON
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let found = waxseal_signing::list(&uri_or_path(&self.place)?)?;
        let shown: Vec<_> = found.iter().map(Shown::of).collect();
        if self.json {
            output::json(&shown)?;
            return Ok(ExitCode::SUCCESS);
        }
        if shown.is_empty() {
            output::note("there is no key");
        } else {
            output::table(
                &["key", "scheme", "keyid begins", "kept by"],
                shown.iter().map(Shown::row),
            );
        }
        for info in &found {
            if let Some(problem) = &info.problem {
                output::warning(&format!("{}: {problem}", info.uri));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
