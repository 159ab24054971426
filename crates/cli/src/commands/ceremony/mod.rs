mod export;
mod perform;
mod plan;
mod rehearse;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::ceremony::current::Current;
use crate::output;

/// Hold a key ceremony: make root, targets and bins, on a machine that is on no network.
///
/// A plan says what they are to be; the first ceremony of an index makes them, and each later one renews
/// them, changes holders, thresholds, keys or bins, or answers a compromise.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Ceremony {
    Plan(plan::Plan),
    Rehearse(rehearse::Rehearse),
    Perform(perform::Perform),
    Export(export::Export),
}

impl Ceremony {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Plan(plan) => plan.run(),
            Self::Rehearse(rehearse) => rehearse.run(),
            Self::Perform(perform) => perform.run(),
            Self::Export(export) => export.run(),
        }
    }
}

/// What is published already.
#[derive(Debug, clap::Args)]
struct FromOption {
    /// What is published, for a ceremony after the first: a bundle of `ceremony export`, or a folder
    #[arg(long, value_name = "BUNDLE")]
    from: Option<PathBuf>,

    /// The root that you trust, from which what is published must follow [default: the oldest in BUNDLE,
    /// whose fingerprint is shown to be compared]
    #[arg(long, value_name = "FILE", requires = "from")]
    root: Option<PathBuf>,
}

impl FromOption {
    /// As it was typed, to be repeated in the next command.
    fn as_words(&self) -> String {
        let words = [("--from", &self.from), ("--root", &self.root)];
        let given = words.iter().filter_map(|(name, path)| {
            Some(format!(" {name} {}", output::quoted_path(path.as_deref()?)))
        });
        given.collect()
    }

    fn read(&self) -> anyhow::Result<Option<Current>> {
        let from = self.from.as_deref();
        from.map(|from| Current::read(from, self.root.as_deref())).transpose()
    }
}
