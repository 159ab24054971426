//! Private keys behind key URIs.
//!
//! A key URI says where a private key is; [`open`] turns it into a [`waxseal_tuf::Signer`], and the
//! rest of the program sees nothing else of the key.
//!
//! | URI | where the key is |
//! |---|---|
//! | `file:PATH` | a PEM file with an Ed25519 or ECDSA P-256 key in PKCS#8, readable by its owner alone |
//!
//! No text that this crate makes, error or `Debug`, holds key material.

mod error;
mod file;
mod private_key;
mod uri;

pub use error::KeyError;
pub use file::create_key_file;
pub use private_key::{PrivateKey, Scheme};
pub use uri::KeyUri;

use waxseal_tuf::Signer;

/// Makes the key at `uri` ready to sign.
pub fn open(uri: &KeyUri) -> Result<Box<dyn Signer>, KeyError> {
    match uri {
        KeyUri::File(path) => Ok(Box::new(file::read_key_file(path)?)),
    }
}
