use std::io;
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

/// Print completions for a shell.
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> ExitCode {
        let mut command = super::Arguments::command();
        clap_complete::generate(self.shell, &mut command, "waxseal", &mut io::stdout());
        ExitCode::SUCCESS
    }
}
