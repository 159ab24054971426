//! How a failed command ends: what went wrong on stderr, then a hint on its own line, and an exit
//! code that programs can rely on.

use std::fmt;
use std::process::ExitCode;

use waxseal_signing::KeyError;

use crate::output;

/// The exit codes of `waxseal`. `pip` and `run` otherwise end with the code of the tool they ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Something failed: the network, the disk, a missing file.
    Failed = 1,
    /// The command line asks for something that cannot be done.
    Usage = 2,
    /// Verification refused something: what came is not what the index published.
    Refused = 3,
    /// An audit came to its end and found something wrong.
    Findings = 4,
    /// All is well now, and somebody has to do something soon: a role of a key ceremony runs out.
    Due = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A failure with its exit code, and what the person can do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    problem: String,
    hint: String,
}

impl Failure {
    /// A failure with a hint.
    pub(crate) fn new(exit: Exit, problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { exit, problem: problem.into(), hint: hint.into() }
    }

    /// Whether the command line, and not the machine or the network, has to be another one.
    pub(crate) fn is_wrong_use(&self) -> bool {
        self.exit == Exit::Usage
    }

    /// The same of another place than it was met in.
    pub(crate) fn of_place(&self, met: &str, place: &str) -> Self {
        let (problem, hint) = (self.problem.replace(met, place), self.hint.replace(met, place));
        Self { exit: self.exit, problem, hint }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

impl std::error::Error for Failure {}

/// An error with its causes, on one line.
pub(crate) fn text(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        // Many an error says its cause itself.
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Shows an error and gives its exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    output::error(&text(error));
    let failure = error.chain().find_map(|cause| cause.downcast_ref::<Failure>());
    let client = error.chain().find_map(|cause| cause.downcast_ref::<waxseal_client::Error>());
    let key = error.chain().find_map(|cause| cause.downcast_ref::<KeyError>());
    let (exit, hint) = match (failure, client) {
        // Of keys each text says what to do.
        (None, None) if key.is_some_and(is_wrong_use) => (Exit::Usage, None),
        (Some(failure), _) => (failure.exit, Some(failure.hint.clone())),
        (None, Some(client)) => {
            let refused = matches!(
                client,
                waxseal_client::Error::Verification { .. }
                    | waxseal_client::Error::Promised { .. }
                    | waxseal_client::Error::Unverifiable { .. }
                    | waxseal_client::Error::Fingerprint { .. }
                    | waxseal_client::Error::BundleFingerprint { .. }
                    | waxseal_client::Error::OtherRoot { .. }
                    | waxseal_client::Error::Follows { .. }
            );
            (if refused { Exit::Refused } else { Exit::Failed }, Some(client.hint().to_string()))
        }
        (None, None) => (Exit::Failed, None),
    };
    if let Some(hint) = hint {
        output::hint(&hint);
    }
    exit.into()
}

/// Whether the command line, and not the machine, has to be another one.
fn is_wrong_use(error: &KeyError) -> bool {
    use KeyError::{Exists, Scheme, Unsupported, Uri};

    matches!(error, Uri { .. } | Scheme { .. } | Exists { .. } | Unsupported { .. })
}
