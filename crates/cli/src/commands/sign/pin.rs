use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use waxseal_client::Fingerprint;
use waxseal_tuf::Limits;
use waxseal_tuf::trusted::RootPhase;

use super::{Files, TrustedRoot, replace};
use crate::ceremony::review::missing;
use crate::ceremony::sheet::both_forms;
use crate::failure::{Exit, Failure};
use crate::output;

/// Keep a root as the one that you trust, for the next time you sign.
///
/// Roots that follow from it, with all their signatures, take its place; the first one is compared by its
/// fingerprint.
#[derive(Debug, clap::Args)]
pub(crate) struct Pin {
    /// Roots with all signatures, N.root.json, or a folder of them
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// The fingerprint of the first root, as the sheet of its ceremony has it
    #[arg(long, value_name = "FINGERPRINT")]
    fingerprint: Option<Fingerprint>,

    #[command(flatten)]
    trusted: TrustedRoot,
}

impl Pin {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let path = self.trusted.path()?;
        let files = Files::read(&self.files)?;
        let known = TrustedRoot { root: Some(path.clone()) };
        let known = if path.exists() { known.read()? } else { None };
        let mut newest = match known {
            Some(known) => known,
            None => self.first(&files)?,
        };
        let mut phase = RootPhase::new(&newest, &Limits::default())?;
        if let Ok(review) = files.review(Some(&newest)) {
            if let Some(line) = missing(&review).first() {
                return Err(Failure::new(
                    Exit::Usage,
                    format!("signatures are missing, {line}"),
                    "a root is kept when it has all of them: `waxseal sign combine`",
                )
                .into());
            }
            for step in &review.steps {
                let bytes = step.bytes();
                phase.update(bytes)?;
                newest = bytes.to_vec();
            }
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        replace(&path, &newest)?;
        output::line(&format!(
            "root version {} is the one that you trust now, in {}",
            phase.root().version,
            path.display()
        ));
        Ok(ExitCode::SUCCESS)
    }

    /// The oldest of the files, whose fingerprint must be the one that was named.
    fn first(&self, files: &Files) -> anyhow::Result<Vec<u8>> {
        let version =
            |bytes: &[u8]| crate::ceremony::current::claims(bytes).map(|root| root.version);
        let mut oldest: Option<(u64, &Vec<u8>)> = None;
        for (_, bytes) in &files.0 {
            let version = version(bytes)?;
            if oldest.is_none_or(|(least, _)| version < least) {
                oldest = Some((version, bytes));
            }
        }
        let (_, bytes) = oldest.context("no root was named")?;
        let is = Fingerprint::of(bytes);
        if self.fingerprint == Some(is) {
            return Ok(bytes.clone());
        }
        output::line("The fingerprint of the first of these roots is");
        output::lines(&both_forms(&is.to_string()));
        Err(Failure::new(
            Exit::Usage,
            match self.fingerprint {
                Some(_) => "that is not the fingerprint that was named",
                None => "there is no root that you trust yet",
            },
            "compare it with the sheet of the ceremony, and name it with --fingerprint",
        )
        .into())
    }
}
