use std::io;
use std::path::PathBuf;

use crate::backend;
use crate::pkcs11::TokenError;
use crate::strength::Weakness;
use crate::uri::PASSPHRASE_SOURCE;

/// Why a private key cannot be had or kept. The texts never hold key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The text is not a key URI.
    #[error("{problem}; a key URI is one of: {}", backend::forms())]
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
    /// A file cannot be read.
    #[error(
        "cannot read the {what} {}: {source}; check that it is there, and that whoever runs this may \
         read it", path.display()
    )]
    Read {
        /// What is in it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Someone other than the owner may use a file with a secret.
    #[error(
        "the {what} {} has mode {mode:04o}, so that others than its owner can get at what is in it: \
         run `chmod 600 {}`, and replace it if someone may have read it",
        path.display(), path.display()
    )]
    Exposed {
        /// What is in it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A key that may be used only encrypted is not.
    #[error(
        "{place} is not encrypted, so that whoever reads it can sign: give it a passphrase with \
         `waxseal key passphrase {uri}`, or, for a trial alone, say so in its URI: \
         \"{uri}?development\""
    )]
    Unencrypted {
        /// Where it is.
        place: String,
        /// Its URI.
        uri: String,
    },
    /// A passphrase is needed, and nobody can be asked.
    #[error(
        "{place} is encrypted, and there is no terminal to ask for its passphrase: run this at one, or say \
         in the key's URI where the passphrase is, in a file (\"{}\") or in a variable (\"{}\")",
        with_source(uri, PASSPHRASE_SOURCE, "file:PATH"),
        with_source(uri, PASSPHRASE_SOURCE, "env:NAME")
    )]
    NoPassphrase {
        /// What it opens.
        place: String,
        /// The key's URI.
        uri: String,
    },
    /// A new passphrase is needed, and nobody can be asked.
    #[error(
        "a new passphrase is needed for {place}, and there is no terminal to ask for it: run this at one, \
         or say where it is, in a file (\"{}\") or in a variable (\"{}\")",
        with_source(uri, PASSPHRASE_SOURCE, "file:PATH"),
        with_source(uri, PASSPHRASE_SOURCE, "env:NAME")
    )]
    NoNewPassphrase {
        /// What is to be encrypted.
        place: String,
        /// The key's URI.
        uri: String,
    },
    /// The passphrase is another one, or the file is damaged.
    #[error("the passphrase {from} does not open {place}; nothing was changed")]
    WrongPassphrase {
        /// What it was to open.
        place: String,
        /// Where the passphrase came from.
        from: String,
    },
    /// A new passphrase would be guessed.
    #[error("this passphrase is too weak: {weakness}")]
    WeakPassphrase {
        /// Why.
        weakness: Weakness,
    },
    /// A new passphrase was not typed twice.
    #[error("the two passphrases are not the same")]
    Unlike,
    /// Whoever was asked gave no answer.
    #[error("no passphrase or PIN was typed: {source}")]
    Ask {
        /// What the terminal says.
        source: io::Error,
    },
    /// There is no secret or key where a URI says.
    #[error("{place} {problem}")]
    Source {
        /// Where it was to be.
        place: String,
        /// What is there.
        problem: &'static str,
    },
    /// A token, or what speaks to it, cannot do it.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// This cannot be done with a key in that place.
    #[error("{problem}")]
    Unsupported {
        /// Why.
        problem: &'static str,
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

/// A URI as a person would write it with a source of a secret.
pub(crate) fn with_source(uri: &str, attribute: &str, source: &str) -> String {
    let separator = if uri.contains('?') { '&' } else { '?' };
    format!("{uri}{separator}{attribute}={source}")
}
