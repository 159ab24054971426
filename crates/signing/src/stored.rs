//! A key as PEM, whatever it lies in, and what opens it.

use waxseal_tuf::Signer as _;

use crate::backend::{KeyInfo, Protection};
use crate::encrypted::KeyPem;
use crate::error::KeyError;
use crate::passphrases::{Passphrases, new_passphrase, with_passphrase};
use crate::private_key::{PrivateKey, Scheme};
use crate::uri::{KeyUri, PASSPHRASE_SOURCE};
use zeroize::Zeroizing;

/// Opens the key of this PEM. `place` names it to people.
pub(crate) fn open(
    pem: &str,
    place: &str,
    uri: &KeyUri,
    passphrases: &dyn Passphrases,
) -> Result<PrivateKey, KeyError> {
    match KeyPem::read(pem, place)? {
        KeyPem::Plain(_) if !uri.is_development() => {
            Err(KeyError::Unencrypted { place: place.to_owned(), uri: uri.to_string() })
        }
        KeyPem::Plain(document) => {
            PrivateKey::from_der(document.as_bytes(), place, &uri.to_string())
        }
        KeyPem::Encrypted(key) => {
            let source = uri.source(PASSPHRASE_SOURCE)?;
            let text = uri.to_string();
            let document =
                with_passphrase(place, &text, source.as_ref(), passphrases, |passphrase| {
                    Ok(key.decrypt(passphrase))
                })?;
            PrivateKey::from_der(document.as_bytes(), place, &text)
        }
    }
}

/// What can be said of the key of this PEM.
pub(crate) fn inspect(
    pem: &str,
    place: &str,
    uri: &KeyUri,
    passphrases: &dyn Passphrases,
) -> Result<KeyInfo, KeyError> {
    let public = |key: PrivateKey| Some(key.public_key().clone());
    let (protection, public_key, problem) = match KeyPem::read(pem, place)? {
        KeyPem::Plain(document) => {
            let key = PrivateKey::from_der(document.as_bytes(), place, &uri.to_string())?;
            let problem = (!uri.is_development())
                .then(|| "it is not encrypted, and its URI does not say `?development`".to_owned());
            (Protection::Unencrypted, public(key), problem)
        }
        KeyPem::Encrypted(key) => {
            let opened = match open(pem, place, uri, passphrases) {
                Err(KeyError::NoPassphrase { .. }) => None,
                opened => public(opened?),
            };
            (Protection::Encrypted(key.encryption()), opened, None)
        }
    };
    Ok(KeyInfo { uri: uri.clone(), public_key, protection, problem })
}

/// A new key and its PEM, encrypted unless the URI is one for development.
pub(crate) fn generate(
    place: &str,
    uri: &KeyUri,
    scheme: Scheme,
    passphrases: &dyn Passphrases,
) -> Result<(PrivateKey, Zeroizing<String>), KeyError> {
    let passphrase = match uri.is_development() {
        true => None,
        false => {
            let source = uri.source(PASSPHRASE_SOURCE)?;
            Some(new_passphrase(place, &uri.to_string(), source.as_ref(), passphrases)?)
        }
    };
    let key = PrivateKey::generate(scheme)?;
    let pem = match &passphrase {
        Some(passphrase) => key.to_encrypted_pem(passphrase)?,
        None => key.to_pkcs8_pem()?,
    };
    Ok((key, pem))
}
