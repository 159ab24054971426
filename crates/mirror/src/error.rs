//! What can go wrong between an index and a mirror of it.

use std::io;
use std::path::{Path, PathBuf};

/// Why a mirror was not brought up to date. What it shows to clients is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The index, a mirror of it or the network is to blame, or what came was refused.
    #[error(transparent)]
    Client(#[from] waxseal_client::Error),
    /// A file or folder of the mirror.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// What the mirror remembers of itself cannot be read.
    #[error("{} is damaged: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The folder is no mirror.
    #[error("{} is not a mirror that was made here", path.display())]
    NoMirror {
        /// The folder.
        path: PathBuf,
    },
    /// There is something in the folder, and no mirror.
    #[error("{} is not empty, and not a mirror", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The folder is a mirror of another index.
    #[error("{} is a mirror of {there}, not of {asked}", path.display())]
    OtherIndex {
        /// The folder.
        path: PathBuf,
        /// Of what it is a mirror.
        there: String,
        /// What was asked for.
        asked: String,
    },
    /// Another process works on the mirror.
    #[error("another process works on the mirror {}", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// The repository does not use consistent snapshots, so that no copy of it is ever whole.
    #[error("the index does not use consistent snapshots, and cannot be mirrored")]
    NotConsistent,
    /// An update file that cannot be used.
    #[error("{}: {problem}", path.display())]
    Update {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// A snapshot that is not kept any more, or was never mirrored.
    #[error("snapshot {snapshot} is not kept here: {}", kept(kept_here))]
    NotKept {
        /// What was asked for.
        snapshot: u64,
        /// Those that are kept.
        kept_here: Vec<u64>,
    },
}

impl Error {
    /// What to do next, as one sentence.
    pub fn hint(&self) -> String {
        match self {
            Self::Client(error) => error.hint().to_owned(),
            Self::Io { .. } => {
                "check its permissions and the free space; the same command goes on where it stopped"
                    .to_owned()
            }
            Self::Damaged { path, .. } => format!(
                "remove {} and run the command again with --verify: what is there is looked at, and used",
                path.display()
            ),
            Self::NoMirror { .. } => "`waxseal mirror URL DIR` makes one".to_owned(),
            Self::NotEmpty { .. } => "name a folder that is empty, or not there".to_owned(),
            Self::OtherIndex { .. } => "name another folder for the other index".to_owned(),
            Self::Busy { .. } => "wait for it, or end it".to_owned(),
            Self::NotConsistent => {
                "its operator can change that: see TUF 6.2, consistent snapshots".to_owned()
            }
            Self::Update { hint, .. } => hint.clone(),
            Self::NotKept { .. } => {
                "name one that is kept, or export all of it with --since 0".to_owned()
            }
        }
    }

    /// Whether verification refused something, as opposed to a failure of disk or network.
    pub fn is_refusal(&self) -> bool {
        use waxseal_client::Error as E;
        matches!(
            self,
            Self::Client(E::Verification(_) | E::Promised { .. } | E::Unverifiable { .. })
        )
    }

    /// Whether a file that metadata names was not there, which may be because the index has moved on.
    pub(crate) fn may_be_overtaken(&self) -> bool {
        use waxseal_client::Error as E;
        let Self::Client(error) = self else { return false };
        matches!(error, E::Superseded { .. }) || error.slug() == "missing"
    }

    /// An operation on a file failed: `Error::io("write", path)` takes the reason.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

impl From<waxseal_tuf::Error> for Error {
    fn from(error: waxseal_tuf::Error) -> Self {
        Self::Client(error.into())
    }
}

fn kept(snapshots: &[u64]) -> String {
    let list: Vec<_> = snapshots.iter().map(u64::to_string).collect();
    match list.is_empty() {
        true => "none is".to_owned(),
        false => format!("those that are kept: {}", list.join(", ")),
    }
}
