use std::net::SocketAddr;
use std::process::ExitCode;

use clap::ValueEnum;

use crate::output;

/// Print what sets pip, uv, pdm and pipx up for a `waxseal proxy` that runs.
///
/// Put `eval "$(waxseal shell-env)"` into your shell's start-up file, next to a proxy that runs as a service.
#[derive(Debug, clap::Args)]
pub(crate) struct ShellEnv {
    /// Where the proxy listens
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8459")]
    listen: SocketAddr,

    /// For which shell
    #[arg(long, value_enum, default_value_t)]
    shell: Shell,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Shell {
    /// sh, bash, zsh and their like
    #[default]
    Sh,
    /// fish
    Fish,
    /// `KEY=value` lines, for a container or an `.env` file
    Dotenv,
}

impl ShellEnv {
    pub(super) fn run(&self) -> ExitCode {
        let index = format!("http://{}/simple/", self.listen);
        // pip keeps a cache of what a trusted host sends over http, and of nothing else over http.
        let host = self.listen.to_string();
        for (name, value) in [
            ("PIP_INDEX_URL", index.as_str()),
            // A list of nothing: pip takes an empty variable for none, and a configuration file would count.
            ("PIP_EXTRA_INDEX_URL", " "),
            ("PIP_FIND_LINKS", " "),
            ("PIP_TRUSTED_HOST", &host),
            ("UV_DEFAULT_INDEX", &index),
            ("PDM_PYPI_URL", &index),
        ] {
            output::line(&match self.shell {
                Shell::Sh => format!("export {name}='{value}'"),
                Shell::Fish => format!("set -gx {name} '{value}'"),
                Shell::Dotenv => format!("{name}={value}"),
            });
        }
        ExitCode::SUCCESS
    }
}
