use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use waxseal_repository::ceremony::review::combine;

use super::{Files, TrustedRoot, replace};
use crate::ceremony::review::missing;
use crate::failure::Exit;
use crate::output;

/// Put together what signers signed apart: of each root one file with the signatures of all.
///
/// The exit code is 4 as long as signatures are missing.
#[derive(Debug, clap::Args)]
pub(crate) struct Combine {
    /// The files that came back, or folders of them
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// The folder for the files with all signatures
    #[arg(long, value_name = "DIR")]
    output: PathBuf,

    #[command(flatten)]
    trusted: TrustedRoot,
}

impl Combine {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let files = Files::read(&self.files)?;
        // What the output folder has already counts too, and stays.
        let mut combined = Vec::new();
        for (version, bytes) in files.with(|files| Ok(combine(files)?))? {
            let path = self.output.join(format!("{version}.root.json"));
            let all = match path.exists() {
                true => {
                    let both = Files::read(std::slice::from_ref(&path))?.0;
                    let both = Files([both, vec![(path.clone(), bytes)]].concat());
                    both.with(|files| Ok(combine(files)?))?.remove(0).1
                }
                false => bytes,
            };
            combined.push((path, all));
        }
        let combined = Files(combined);
        // Before anything is written, for it may be none of this index.
        let review = combined.review(self.trusted.read()?.as_deref())?;
        fs::create_dir_all(&self.output)
            .with_context(|| format!("cannot make the folder {}", self.output.display()))?;
        for (path, bytes) in &combined.0 {
            replace(path, bytes)?;
        }
        for (path, _) in &combined.0 {
            output::line(&path.display().to_string());
        }
        match missing(&review).as_slice() {
            [] => {
                output::note("all signatures are there");
                Ok(ExitCode::SUCCESS)
            }
            lines => {
                output::warning(&format!("still to come: {}", lines.join("; ")));
                Ok(Exit::Findings.into())
            }
        }
    }
}
