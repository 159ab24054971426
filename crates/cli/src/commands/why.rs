use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use jiff::Timestamp;

use super::block_on;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::trust::IndexOptions;
use crate::why::{self, Explanation, Local, Subject};

/// Show why a file is trusted: who vouches for it, from the root down.
///
/// Everything shown was verified now, with the index's newest metadata: who signed which role, who
/// delegated to it, when it expires, and which digest the last of them lists. A file on this machine is
/// compared with what the index signs under its name.
#[derive(Debug, clap::Args)]
pub(crate) struct Why {
    #[command(flatten)]
    index: IndexOptions,

    /// A project, the name of a wheel or sdist, a target path, or a file on this machine
    #[arg(value_name = "PROJECT|FILE")]
    subject: String,

    /// As JSON
    #[arg(long)]
    json: bool,

    /// As a picture too, `-` for stdout and nothing else
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

impl Why {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let to_stdout = self.svg.as_ref().is_some_and(|file| file.as_os_str() == "-");
        if to_stdout && self.json {
            let problem = "--json and --svg - both want stdout";
            let hint = "name a file for the picture";
            return Err(Failure::new(Exit::Usage, problem, hint).into());
        }
        let subject = Subject::read(&self.subject)?;
        let client = self.index.client()?;
        let now = Timestamp::now();
        let explanation = block_on(async {
            client.refresh(now).await?;
            Explanation::of(&client, &subject).await
        })?;
        if let Some(file) = &self.svg {
            let picture = why::svg(&explanation, now);
            match to_stdout {
                true => io::stdout().write_all(picture.as_bytes())?,
                false => std::fs::write(file, picture)
                    .with_context(|| format!("cannot write {}", file.display()))?,
            }
        }
        match (self.json, to_stdout) {
            (true, _) => output::json(&explanation)?,
            (false, true) => {}
            (false, false) => why::show(&explanation, now),
        }
        match &explanation.local {
            Some(Local { path, problem: Some(problem), .. }) => {
                let problem = format!("{} is not what the index signs: {problem}", path.display());
                let hint = "do not use it: `waxseal download` gets the file that was signed";
                Err(Failure::new(Exit::Refused, problem, hint).into())
            }
            _ => Ok(ExitCode::SUCCESS),
        }
    }
}
