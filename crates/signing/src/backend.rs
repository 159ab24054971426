//! The places that keys can be in, one implementation of [`KeyBackend`] each.

use std::fmt;

use waxseal_tuf::{PublicKey, Signer};

use crate::encrypted::Encryption;
use crate::env::EnvBackend;
use crate::error::KeyError;
use crate::file::FileBackend;
use crate::passphrases::Passphrases;
use crate::pkcs11::Pkcs11Backend;
use crate::private_key::Scheme;
use crate::uri::KeyUri;

/// Every place, in the order in which help lists them. Another one is a file of its own and a line here.
static BACKENDS: [&dyn KeyBackend; 3] = [&FileBackend, &Pkcs11Backend, &EnvBackend];

/// A kind of place for private keys, such as files, or the tokens behind PKCS#11.
///
/// Errors and [`KeyInfo`] never hold a key, a passphrase or a PIN.
pub trait KeyBackend: Sync {
    /// The scheme of its URIs, in lower case.
    fn scheme(&self) -> &'static str;

    /// How its URIs look, for an error that lists what there is.
    fn form(&self) -> &'static str;

    /// The attributes that may come after `?`; each is there once and has a value, but for
    /// `development`.
    fn attributes(&self) -> &'static [&'static str];

    /// Refuses a URI that names no place, and gives the others in one spelling.
    fn check(&self, uri: KeyUri) -> Result<KeyUri, KeyError>;

    /// Makes a key ready to sign. Secrets come from where the URI says, or else from `passphrases`.
    fn open(
        &self,
        uri: &KeyUri,
        passphrases: &dyn Passphrases,
    ) -> Result<Box<dyn Signer>, KeyError>;

    /// Makes a new key where the URI says, and never over one that is there. The result's URI is the one
    /// to open it with.
    fn generate(
        &self,
        uri: &KeyUri,
        scheme: Scheme,
        passphrases: &dyn Passphrases,
    ) -> Result<KeyInfo, KeyError>;

    /// What can be said of a key. The public key is left out where it takes a secret that neither the
    /// URI nor `passphrases` gives.
    fn inspect(&self, uri: &KeyUri, passphrases: &dyn Passphrases) -> Result<KeyInfo, KeyError>;

    /// What keys there are in a place, such as a folder or all tokens; asks for no secret.
    fn list(&self, uri: &KeyUri) -> Result<Vec<KeyInfo>, KeyError>;

    /// Fails where a new key of this scheme cannot be made or cannot sign, before anything is made.
    fn check_scheme(&self, uri: &KeyUri, scheme: Scheme) -> Result<(), KeyError>;
}

/// What can be said of a key without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// Where it is.
    pub uri: KeyUri,
    /// The public half, where it is known.
    pub public_key: Option<PublicKey>,
    /// What keeps it.
    pub protection: Protection,
    /// Why it cannot be used as it is.
    pub problem: Option<String>,
}

/// What keeps a key from whoever can read its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protection {
    /// A passphrase.
    Encrypted(Encryption),
    /// Nothing.
    Unencrypted,
    /// A device that does not give it away.
    Token {
        /// The token's label.
        token: String,
        /// Who made it, its model and its serial number.
        device: String,
    },
    /// It is the public half alone.
    PublicOnly,
    /// It could not be read.
    Unknown,
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encrypted(encryption) => write!(f, "passphrase ({encryption})"),
            Self::Unencrypted => f.write_str("none (unencrypted)"),
            Self::Token { token, device } => write!(f, "token {token} ({device})"),
            Self::PublicOnly => f.write_str("public key"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// The backend of a scheme, in any case.
pub(crate) fn find(scheme: &str) -> Option<&'static dyn KeyBackend> {
    BACKENDS.into_iter().find(|backend| backend.scheme().eq_ignore_ascii_case(scheme))
}

/// The backend of the scheme of a URI.
pub(crate) fn of(scheme: &'static str) -> &'static dyn KeyBackend {
    // A URI is made with the scheme of a backend.
    find(scheme).unwrap_or(&FileBackend)
}

/// How URIs look, all of them.
pub(crate) fn forms() -> String {
    BACKENDS.map(KeyBackend::form).join(", ")
}
