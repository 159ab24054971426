use std::io;
use std::path::PathBuf;

/// Why a private key cannot be had or kept. The texts never hold key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The text is not a key URI.
    #[error("{problem}; a key URI is one of: file:PATH")]
    Uri {
        /// What is wrong with it.
        problem: String,
    },
    /// The name is not one of a scheme that keys can have here.
    #[error("{scheme:?} is not a scheme that can sign here; one of: ed25519, ecdsa-sha2-nistp256")]
    Scheme {
        /// The name.
        scheme: String,
    },
    /// The key file cannot be read.
    #[error(
        "cannot read the key file {}: {source}; check that it is there, and that whoever runs this may \
         read it", path.display()
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Someone other than the owner may use the key file.
    #[error(
        "the key file {} has mode {mode:04o}, so that others than its owner can get at the key: \
         run `chmod 600 {}`, and replace the key if someone may have read it",
        path.display(), path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// What is there is not a private key of a known kind.
    #[error("{place} {problem}")]
    Malformed {
        /// Where the text came from: a file, or `the text`.
        place: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// There is a file already; a key file is never written over.
    #[error("{} exists already: give the new key another name, or move the old one away", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The key file cannot be written durably.
    #[error("cannot write the key file {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The crypto library could not make or encode a key.
    #[error("the crypto library could not {action}: the system's random generator may be missing")]
    Crypto {
        /// What it was to do.
        action: &'static str,
    },
}
