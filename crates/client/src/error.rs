//! What can go wrong between an index and a verified file.

use std::path::{Path, PathBuf};

use waxseal_tuf::{Blame, InvalidName};

use crate::{Fingerprint, IndexUrl};

/// Why there is no verified answer. No text holds credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The index, a mirror or the network handed out something it must not.
    #[error(transparent)]
    Verification(#[from] waxseal_tuf::Error),
    /// The same of a file that a project's page vouches for (layout `index`).
    #[error("{error} (promised by the page {page}, asked of {from})")]
    Promised {
        /// What is wrong with the file.
        error: Box<waxseal_tuf::Error>,
        /// The target path of the page.
        page: String,
        /// The URL it was asked of.
        from: String,
    },
    /// A project's page lists a file in a way by which nobody can verify it, or is no page.
    #[error("{file} cannot be verified: the page {page} {problem}")]
    Unverifiable {
        /// The file's name.
        file: String,
        /// The target path of the page.
        page: String,
        /// What the page says or lacks.
        problem: String,
    },
    /// The bytes could not be had.
    #[error("{url}: {problem}")]
    Transport {
        /// What was asked for.
        url: String,
        /// What happened.
        problem: TransportProblem,
    },
    /// It would have to be fetched, and nothing is to be ([`Settings::offline`](crate::Settings)).
    #[error("offline: {problem}")]
    Offline {
        /// What is not known, or not any more.
        problem: String,
    },
    /// The index hands it out, and no role lists it yet (PEP 458, "Producing Consistent Snapshots").
    #[error(
        "the index serves it and has not signed it yet: full protection is not yet available, but \
         will be shortly"
    )]
    NotYetSigned {
        /// What was asked for, below the index's URL.
        path: String,
    },
    /// A target was replaced by a newer one while it was being fetched.
    #[error("{path} was replaced in the index while it was being fetched")]
    Superseded {
        /// Its target path.
        path: String,
    },
    /// A file of the trust store, or one to be written, cannot be used.
    #[error("{}: {problem}", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, and why it failed.
        problem: String,
    },
    /// Another process refreshes the index, and does not come to an end.
    #[error("another waxseal process holds the trust store {}", folder.display())]
    Busy {
        /// The trust store.
        folder: PathBuf,
    },
    /// The index has no root in the trust store.
    #[error("the index {url} is not trusted on this machine")]
    NotTrusted {
        /// The index.
        url: String,
    },
    /// An index must be named, because none is trusted.
    #[error("no index is trusted on this machine")]
    NoIndex,
    /// An index must be named, because several are trusted.
    #[error("several indexes are trusted on this machine: {}", list(urls))]
    SeveralIndexes {
        /// The trusted ones.
        urls: Vec<IndexUrl>,
    },
    /// The index is trusted with another root already.
    #[error("the index {url} is trusted already, with root {trusted}, not {given}")]
    OtherRoot {
        /// The index.
        url: String,
        /// Fingerprint of the root it was added with.
        trusted: Fingerprint,
        /// Fingerprint of the root given now.
        given: Fingerprint,
    },
    /// The root is one that the trusted root leads to, or came from.
    #[error(
        "nothing to replace: root version {version} of {url} and the trusted root follow from each other"
    )]
    Follows {
        /// The index.
        url: String,
        /// The version of the root that was to be trusted instead.
        version: u64,
    },
    /// The root that the index serves is not the one that was asked for.
    #[error("the root of {url} has the fingerprint {got}, expected {expected}")]
    Fingerprint {
        /// The index.
        url: String,
        /// What the caller gave.
        expected: Fingerprint,
        /// What the index serves.
        got: Fingerprint,
    },
    /// The file is no trust bundle that can be used.
    #[error("this is no trust bundle: {problem}")]
    Bundle {
        /// What is wrong with it.
        problem: String,
    },
    /// The trust bundle is not the one that was asked for.
    #[error("the trust bundle has the fingerprint {got}, expected {expected}")]
    BundleFingerprint {
        /// What the caller gave.
        expected: Fingerprint,
        /// That of the bundle.
        got: Fingerprint,
    },
    /// The text is not a fingerprint.
    #[error("{text:?} is not a fingerprint: it is the SHA-256 of a root, 64 hex digits")]
    InvalidFingerprint {
        /// The text, cut.
        text: String,
    },
    /// The text is not the URL of an index.
    #[error("{url:?} is not the URL of an index: {problem}")]
    InvalidUrl {
        /// The text, without credentials.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The name cannot be a target path.
    #[error(transparent)]
    InvalidName(#[from] InvalidName),
    /// The calling program asked for a target before [`Client::refresh`](crate::Client::refresh).
    #[error("the metadata was not refreshed yet: this is a mistake of the calling program")]
    NotRefreshed,
}

impl Error {
    /// What to do next, as one sentence.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Verification(error) => verification_hint(error),
            Self::Promised { error, .. } => verification_hint(error),
            Self::Unverifiable { .. } => {
                "the page was signed like that: ask the index's operator to list the file's SHA-256"
            }
            Self::Transport { problem, .. } => problem.hint(),
            Self::Offline { .. } => {
                "run the same once where the index can be reached, without --offline: what is fetched \
                 then is kept"
            }
            Self::NotYetSigned { .. } => {
                "wait a minute, and run the command again; tell the index's operator if it stays so"
            }
            Self::Superseded { .. } => "run the command again",
            Self::Disk { .. } => {
                "check the file's permissions and the free space; a damaged trust store is made \
                 anew by `waxseal trust remove` and `waxseal trust add`"
            }
            Self::Busy { .. } => {
                "wait for that waxseal process; if it is stopped or hangs, end it and run the \
                 command again"
            }
            Self::NotTrusted { .. } | Self::NoIndex => {
                "ask the index's operator for the root's fingerprint, over a way you trust, and run \
                 `waxseal trust add URL --fingerprint FINGERPRINT`"
            }
            Self::SeveralIndexes { .. } => "name one of them with `--index URL`",
            Self::OtherRoot { .. } => {
                "if its operator has announced, over another channel, that the root keys were replaced, \
                 run `waxseal trust replace URL --fingerprint FINGERPRINT` with what was announced"
            }
            Self::Follows { .. } => {
                "update does it: every command that uses the index does that first"
            }
            Self::Fingerprint { .. } => {
                "nothing was trusted: compare the fingerprint with the operator's again; if it is \
                 right, what answers at this URL is not that index"
            }
            Self::Bundle { .. } => {
                "nothing was trusted: get it again, or ask who publishes it; `waxseal trust bundle` makes one"
            }
            Self::BundleFingerprint { .. } => {
                "nothing was trusted: compare the fingerprint with that of who publishes the bundle; a new \
                 bundle has a new one"
            }
            Self::InvalidFingerprint { .. } => "copy it again from where the operator shows it",
            Self::InvalidUrl { .. } => "give it as https://HOST/PATH, without user and password",
            Self::InvalidName(_) => "target paths are relative, such as `packages/NAME/FILE`",
            Self::NotRefreshed => "report this as a defect of waxseal",
        }
    }

    /// Whether the index, the mirror that was asked or the way to it caused this, so that another
    /// mirror may do better.
    pub fn blames_source(&self) -> bool {
        match self {
            Self::Verification(error) => error.blame() != Blame::Caller,
            Self::Promised { error, .. } => error.blame() != Blame::Caller,
            Self::Transport { .. } => true,
            _ => false,
        }
    }

    /// One lower-case word for programs: `rollback`, `changed`, `unreachable`, …; stable.
    pub fn slug(&self) -> &'static str {
        match self {
            Self::Verification(error) => error.slug(),
            Self::Promised { error, .. } => error.slug(),
            Self::Unverifiable { .. } => "unverifiable",
            Self::Transport { problem, .. } => problem.slug(),
            Self::Offline { .. } => "offline",
            Self::NotYetSigned { .. } => "not-yet-signed",
            Self::Superseded { .. } => "superseded",
            Self::Disk { .. } => "disk",
            Self::Busy { .. } => "busy",
            Self::NotTrusted { .. } | Self::NoIndex => "not-trusted",
            Self::SeveralIndexes { .. } => "several-indexes",
            Self::OtherRoot { .. } => "other-root",
            Self::Follows { .. } => "nothing-to-replace",
            Self::Fingerprint { .. }
            | Self::BundleFingerprint { .. }
            | Self::InvalidFingerprint { .. } => "fingerprint",
            Self::Bundle { .. } => "bundle",
            Self::InvalidUrl { .. } => "invalid-url",
            Self::InvalidName(_) => "invalid-name",
            Self::NotRefreshed => "internal",
        }
    }

    /// An operation on a file failed: `Error::disk(path, "cannot write it")` takes the reason.
    pub(crate) fn disk(path: &Path, tried: &str) -> impl FnOnce(std::io::Error) -> Self {
        let (path, tried) = (path.to_owned(), tried.to_owned());
        move |error| Self::Disk { path, problem: format!("{tried}: {error}") }
    }
}

fn verification_hint(error: &waxseal_tuf::Error) -> &'static str {
    use waxseal_tuf::Error as E;
    match error {
        E::Expired { .. } => {
            "check this machine's clock; if it is right, the mirror is stale or the index has \
             stopped signing: try later, or another mirror"
        }
        E::Rollback { .. } | E::RoleRemoved { .. } => {
            "the mirror serves older metadata than this machine has seen: try again later, and tell \
             the index's operator if it stays so"
        }
        E::Missing { .. } => {
            "check that the URL is that of a waxseal index; if it is, the mirror is incomplete: try \
             again later"
        }
        // The first files that keys other than the trusted ones would have signed.
        E::Signatures { role, .. } if ["root", "timestamp"].contains(&role.as_str()) => {
            "nothing of it was used, and this is how an attack looks: tell the index's operator. Only \
             where the operator has announced, over another channel than this index, that its root keys \
             were replaced, with the fingerprint of the new root: `waxseal trust replace URL \
             --fingerprint FINGERPRINT`"
        }
        E::Misuse { .. } => "report this as a defect of waxseal",
        _ => {
            "nothing of it was used; something between you and the index changes what it serves: \
             try again, and tell the index's operator if it stays so"
        }
    }
}

fn list(urls: &[IndexUrl]) -> String {
    urls.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Why bytes could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportProblem {
    /// No connection, or it broke before an answer.
    #[error("cannot be reached: {reason}")]
    Unreachable {
        /// The cause, as the network stack words it.
        reason: String,
    },
    /// The answer has a status that is neither success nor "not found".
    #[error("answers with status {status}")]
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// Nothing came for this long, or the whole took longer than allowed.
    #[error("did not answer within {seconds} seconds")]
    Timeout {
        /// How long was waited.
        seconds: u64,
    },
    /// Bytes come too slowly to be worth waiting for.
    #[error("sends less than {minimum_rate} bytes in a second")]
    Slow {
        /// The least accepted.
        minimum_rate: u64,
    },
    /// More bytes than the file may have.
    #[error("is longer than the {limit} bytes that such a file may have")]
    Endless {
        /// The most accepted.
        limit: u64,
    },
    /// A redirect that is not followed.
    #[error("redirects {reason}")]
    Redirect {
        /// Where or why.
        reason: String,
    },
    /// The body ended early or is not in its content encoding.
    #[error("was cut off: {reason}")]
    Interrupted {
        /// The cause, as the network stack words it.
        reason: String,
    },
}

impl TransportProblem {
    fn hint(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "check the URL, and that the index runs",
            Self::Redirect { .. } => "check the URL; the index's operator can say the right one",
            Self::Status { status: 401 | 403 } => "check the credentials for this index",
            Self::Status { .. }
            | Self::Timeout { .. }
            | Self::Slow { .. }
            | Self::Interrupted { .. } => "try again later, or another mirror",
            Self::Endless { .. } => "tell the index's operator: the mirror misbehaves",
        }
    }

    fn slug(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } | Self::Status { .. } => "unreachable",
            Self::Timeout { .. } | Self::Slow { .. } => "slow",
            Self::Endless { .. } => "endless",
            Self::Redirect { .. } => "redirect",
            Self::Interrupted { .. } => "interrupted",
        }
    }
}
