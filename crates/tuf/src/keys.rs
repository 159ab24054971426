//! Public keys, signatures, and what makes them.

use std::fmt;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};

use crate::error::FormatError;
use crate::fields::Fields;
use crate::hash::Sha256;
use crate::json::{Object, Value};
use crate::names::KeyId;

/// A public key as metadata has it (TUF 4.2, `KEY`).
///
/// A key of an unknown type or scheme, or with a value that does not fit them, is carried along and
/// never verifies anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    value: Value,
    material: Material,
}

/// The key itself, without spelling: what decides whether two entries are the same key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Material {
    Ed25519([u8; 32]),
    /// Of a kind that is not known here: verifies nothing, so that it is never compared.
    Unknown,
}

impl PublicKey {
    /// An Ed25519 key from its 32 bytes.
    pub fn ed25519(public: [u8; 32]) -> Self {
        let value = Object::from_iter([
            ("keytype", Value::from("ed25519")),
            ("scheme", Value::from("ed25519")),
            ("keyval", Object::from_iter([("public", HEXLOWER.encode(&public))]).into()),
        ]);
        Self { value: value.into(), material: Material::Ed25519(public) }
    }

    /// The keyid that this project gives a key: SHA-256 over the key's canonical form. Keys read
    /// from metadata keep the keyid they have there.
    pub fn default_keyid(&self) -> KeyId {
        KeyId::new(Sha256::of(&self.value.to_canonical()).to_string())
    }

    /// Whether `signature` over `message` is this key's.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Ed25519(public) => {
                UnparsedPublicKey::new(&ED25519, public).verify(message, signature).is_ok()
            }
            Material::Unknown => false,
        }
    }

    pub(crate) fn material(&self) -> &Material {
        &self.material
    }

    pub(crate) fn from_value(value: Value, field: &str) -> Result<Self, FormatError> {
        let mut fields = Fields::new(value.clone(), field)?;
        let keytype = fields.string("keytype")?;
        let scheme = fields.string("scheme")?;
        // What is in it is the key type's own business: not every kind has `public`.
        let mut keyval = fields.object("keyval")?;
        let material = match (keytype.as_str(), scheme.as_str()) {
            ("ed25519", "ed25519") => read_ed25519(&mut keyval).map(Material::Ed25519),
            _ => None,
        };
        let material = material.unwrap_or(Material::Unknown);
        Ok(Self { value, material })
    }

    pub(crate) fn to_value(&self) -> Value {
        self.value.clone()
    }
}

fn read_ed25519(keyval: &mut Fields) -> Option<[u8; 32]> {
    let public = keyval.string("public").ok()?;
    HEXLOWER_PERMISSIVE.decode(public.as_bytes()).ok()?.try_into().ok()
}

/// A signature as metadata has it (TUF 4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The key it claims to be made with.
    pub keyid: KeyId,
    /// The signature's bytes.
    pub sig: Vec<u8>,
}

/// Signs with one private key. Implemented where private keys live, not here.
pub trait Signer: fmt::Debug + Send + Sync {
    /// The public half.
    fn public_key(&self) -> &PublicKey;

    /// The signature over `message`.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
}

/// A private key could not sign: the device is missing, refused, or failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("key {key} could not sign: {problem}")]
pub struct SignError {
    /// Where the key is, without secrets: a key URI or `in memory`.
    pub key: String,
    /// What happened.
    pub problem: String,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use super::*;

    fn key(json: &str) -> Result<PublicKey, FormatError> {
        PublicKey::from_value(Value::parse(json.as_bytes()).unwrap(), "key")
    }

    #[test]
    fn keyid_is_the_one_securesystemslib_computes() {
        // Computed with securesystemslib 1.6.0: `SSlibKey.from_crypto` over 32 zero bytes.
        let keyid = "7f7373360bc914a5d4a7bd87711615178beb6cf52494fcc49082ec65ba62908c";
        assert_eq!(PublicKey::ed25519([0; 32]).default_keyid().as_str(), keyid);
    }

    #[test]
    fn keys_of_unknown_kind_or_wrong_length_are_carried_and_never_verify() {
        for json in [
            r#"{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"abcd"}}"#,
            r#"{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"not hex"}}"#,
            r#"{"keytype":"ed25519","scheme":"new","keyval":{"public":"00"}}"#,
            r#"{"keytype":"lattice","scheme":"x","keyval":{"public":""},"extra":[1]}"#,
            r#"{"keytype":"sigstore-oidc","scheme":"Fulcio","keyval":{"identity":"a","issuer":"b"}}"#,
            r#"{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":null}}"#,
        ] {
            let key = key(json).unwrap();
            assert!(!key.verifies(b"", &[0; 64]), "{json}");
            assert_eq!(key.to_value(), Value::parse(json.as_bytes()).unwrap());
        }
    }

    #[test]
    fn a_key_that_is_not_a_key_names_the_field() {
        let error = key(r#"{"keytype":"ed25519","scheme":1}"#).unwrap_err();
        assert_eq!(error.field, "key.scheme");
        assert_eq!(key("null").unwrap_err().field, "key");
    }
}
