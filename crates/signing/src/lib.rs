//! Private keys behind key URIs.
//!
//! A key URI says where a private key is; [`open`] turns it into a [`waxseal_tuf::Signer`], and the
//! rest of the program sees nothing else of the key.
//!
//! | URI | where the key is |
//! |---|---|
//! | `file:PATH` | a PEM file with a key in PKCS#8, readable by its owner alone |
//! | `pkcs11:token=TOKEN;object=NAME` | a token behind PKCS#11 (RFC 7512): an HSM, a smart card |
//! | `env:NAME` | a variable with the PEM itself, for containers |
//!
//! Keys are Ed25519 or ECDSA P-256. PEM is encrypted with a passphrase, unless the URI ends in
//! `?development`. Passphrases and PINs come from where the URI says (`?passphrase-source=`,
//! `?pin-source=`, each `file:PATH` or `env:NAME`), or from [`Passphrases`], a person at a terminal.
//! Another place for keys is another [`KeyBackend`].
//!
//! No text that this crate makes, error or `Debug`, holds a key, a passphrase or a PIN.

mod backend;
mod encrypted;
mod env;
mod error;
mod file;
mod passphrases;
mod pkcs11;
mod private_file;
mod private_key;
mod secret;
mod stored;
mod strength;
mod uri;

pub use backend::{KeyBackend, KeyInfo, Protection};
pub use encrypted::Encryption;
pub use error::KeyError;
pub use file::{change_passphrase, create_key_file};
pub use passphrases::{Nobody, Passphrases, Question, Wanted};
pub use pkcs11::{PinState, TokenError};
pub use private_key::{PrivateKey, Scheme};
pub use secret::Secret;
pub use strength::Weakness;
pub use uri::KeyUri;

use waxseal_tuf::Signer;

/// Makes the key at `uri` ready to sign.
pub fn open(uri: &KeyUri, passphrases: &dyn Passphrases) -> Result<Box<dyn Signer>, KeyError> {
    uri.backend().open(uri, passphrases)
}

/// Makes a new key at `uri`, and never over one that is there.
pub fn generate(
    uri: &KeyUri,
    scheme: Scheme,
    passphrases: &dyn Passphrases,
) -> Result<KeyInfo, KeyError> {
    uri.backend().generate(uri, scheme, passphrases)
}

/// What can be said of the key at `uri`; with [`Nobody`] what takes no secret but that of the URI.
pub fn inspect(uri: &KeyUri, passphrases: &dyn Passphrases) -> Result<KeyInfo, KeyError> {
    uri.backend().inspect(uri, passphrases)
}

/// The keys in a folder (`file:`), or on the tokens that the URI fits (`pkcs11:`), without any secret.
pub fn list(uri: &KeyUri) -> Result<Vec<KeyInfo>, KeyError> {
    uri.backend().list(uri)
}

/// Fails where no key of this scheme can be made at `uri`, or could not sign there.
pub fn check_scheme(uri: &KeyUri, scheme: Scheme) -> Result<(), KeyError> {
    uri.backend().check_scheme(uri, scheme)
}
