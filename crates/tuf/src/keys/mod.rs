//! Public keys, signatures, and what makes them.

mod material;

use std::fmt;

use data_encoding::HEXLOWER;

use crate::error::FormatError;
use crate::fields::Fields;
use crate::hash::{Hashed, Sha256};
use crate::json::{Element, Object, Value};
use crate::names::KeyId;
use material::{Scheme, from_pem, to_pem};

pub(crate) use material::Material;

/// A public key as metadata has it (TUF 4.2, `KEY`).
///
/// | `keytype` | `scheme` | `keyval.public` | signatures |
/// |---|---|---|---|
/// | `ed25519` | `ed25519` | 32 bytes in hex | 64 bytes in hex |
/// | `ecdsa` | `ecdsa-sha2-nistp256`, `ecdsa-sha2-nistp384` | PEM; point or DER in hex when read | DER in hex |
/// | `rsa` | `rsassa-pss-sha256` | PEM, 2048 to 8192 bits | salt as long as the hash, in hex |
///
/// An ECDSA key may have its scheme's name as its type, as older metadata does. A key of another type
/// or scheme, or with a value that does not fit them, is carried along and never verifies anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    value: Value,
    /// `None` where nothing can be verified with it.
    material: Option<Material>,
}

impl PublicKey {
    /// An Ed25519 key from its 32 bytes.
    pub fn ed25519(public: [u8; 32]) -> Self {
        let material = Scheme::Ed25519.material(&public);
        Self { value: key_value(Scheme::Ed25519, HEXLOWER.encode(&public)), material }
    }

    /// A key of any type in the table from its `SubjectPublicKeyInfo` (RFC 5280) as DER; `None` if
    /// it is of no such type.
    pub fn from_spki(der: &[u8]) -> Option<Self> {
        let read = |scheme: Scheme| Some((scheme, scheme.material(der)?));
        let (scheme, material) = Scheme::ALL.into_iter().find_map(read)?;
        let public = match scheme {
            // The 32 bytes are the last of the structure (RFC 8410).
            Scheme::Ed25519 => HEXLOWER.encode(material.spki().last_chunk::<32>()?),
            _ => to_pem(material.spki()),
        };
        Some(Self { value: key_value(scheme, public), material: Some(material) })
    }

    /// A key of any type in the table from PEM of its `SubjectPublicKeyInfo`; `None` if it is not that.
    pub fn from_pem(pem: &str) -> Option<Self> {
        Self::from_spki(&from_pem(pem)?)
    }

    /// PEM of its `SubjectPublicKeyInfo` (`-----BEGIN PUBLIC KEY-----`), which other tools read too; `None`
    /// where nothing can be verified with it.
    pub fn to_pem(&self) -> Option<String> {
        self.material.as_ref().map(|material| to_pem(material.spki()))
    }

    /// How it signs, by the name that metadata gives it (TUF 4.2): `ed25519`.
    pub fn scheme(&self) -> Option<&str> {
        let Value::Object(fields) = &self.value else { return None };
        match fields.get("scheme") {
            Some(Value::String(scheme)) => Some(scheme),
            _ => None,
        }
    }

    /// The keyid that this project gives a key: SHA-256 over the key's canonical form. Keys read
    /// from metadata keep the keyid they have there.
    pub fn default_keyid(&self) -> KeyId {
        KeyId::new(Sha256::of(&self.value.to_canonical()).to_string())
    }

    /// Whether `signature` over `message` is this key's.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.material.as_ref().is_some_and(|material| material.verifies(message, signature))
    }

    /// The key itself, without spelling; `None` where nothing can be verified with it.
    pub(crate) fn material(&self) -> Option<&Material> {
        self.material.as_ref()
    }

    pub(crate) fn read(element: Element<'_>) -> Result<Self, FormatError> {
        let fields = Fields::new(element)?;
        let (keytype, scheme) = (fields.string("keytype")?, fields.string("scheme")?);
        // What is in it is the key type's own business: not every kind has `public`.
        let public = fields.object("keyval", |keyval| Ok(keyval.string("public").ok()))?;
        let scheme = Scheme::named(keytype, scheme);
        let material = scheme.zip(public).and_then(|(scheme, public)| scheme.read(public));
        Ok(Self { value: element.to_value(), material })
    }

    pub(crate) fn to_value(&self) -> Value {
        self.value.clone()
    }
}

fn key_value(scheme: Scheme, public: String) -> Value {
    let key = Object::from_iter([
        ("keytype", Value::from(scheme.keytype())),
        ("scheme", Value::from(scheme.scheme())),
        ("keyval", Object::from_iter([("public", public)]).into()),
    ]);
    key.into()
}

/// A signature as metadata has it (TUF 4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The key it claims to be made with.
    pub keyid: KeyId,
    /// The signature's bytes; empty where metadata has something that is not hex, as other kinds of
    /// keys may, which verifies nothing here.
    pub sig: Vec<u8>,
}

/// Signs with one private key. Implemented where private keys live, not here.
pub trait Signer: fmt::Debug + Send + Sync {
    /// The public half.
    fn public_key(&self) -> &PublicKey;

    /// The signature over `message`.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;

    /// The same. A key that signs the message's SHA-256 takes the one that is there, rather than read
    /// the message once more.
    fn sign_hashed(&self, message: &Hashed) -> Result<Vec<u8>, SignError> {
        self.sign(message.bytes())
    }
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
    use crate::Limits;
    use crate::json::Document;

    fn key(json: &str) -> Result<PublicKey, FormatError> {
        PublicKey::read(Document::parse(json.as_bytes(), &Limits::default()).unwrap().root())
    }

    #[test]
    fn keyid_is_the_one_securesystemslib_computes() {
        // Computed with securesystemslib 1.6.0: `SSlibKey.from_crypto` over 32 zero bytes.
        let keyid = "7f7373360bc914a5d4a7bd87711615178beb6cf52494fcc49082ec65ba62908c";
        assert_eq!(PublicKey::ed25519([0; 32]).default_keyid().as_str(), keyid);
    }

    #[test]
    fn pem_is_that_of_openssl() {
        // `openssl pkey -pubout` of the first key of RFC 8032, 7.1.
        let pem = "-----BEGIN PUBLIC KEY-----\n\
                   MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n\
                   -----END PUBLIC KEY-----\n";
        let key = PublicKey::from_pem(pem).unwrap();
        assert_eq!(key.scheme(), Some("ed25519"));
        assert_eq!(key.to_pem().unwrap(), pem);
        let (p256, ..) = p256();
        assert_eq!(PublicKey::from_pem(&p256.to_pem().unwrap()).unwrap(), p256);
        assert_eq!(PublicKey::from_pem(&pem.replace("PUBLIC", "PRIVATE")), None);
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
            r#"{"keytype":"ed25519","scheme":"ecdsa-sha2-nistp256","keyval":{"public":"00"}}"#,
            r#"{"keytype":"ecdsa","scheme":"ecdsa-sha2-nistp256","keyval":{"public":""}}"#,
            r#"{"keytype":"ecdsa","scheme":"ecdsa-sha2-nistp256","keyval":{"public":"-----"}}"#,
            r#"{"keytype":"ecdsa","scheme":"ecdsa-sha2-nistp521","keyval":{"public":"04"}}"#,
            r#"{"keytype":"rsa","scheme":"rsassa-pss-sha256","keyval":{"public":"-----BEGIN PUBLIC KEY-----"}}"#,
            r#"{"keytype":"rsa","scheme":"rsassa-pss-sha256","keyval":{"public":"-----BEGIN CERTIFICATE-----AAAA-----END CERTIFICATE-----"}}"#,
        ] {
            let key = key(json).unwrap();
            assert!(!key.verifies(b"", &[0; 64]), "{json}");
            assert_eq!(key.to_value(), Value::parse(json.as_bytes()).unwrap());
        }
    }

    #[test]
    fn a_key_that_is_not_a_key_names_the_field() {
        let error = key(r#"{"keytype":"ed25519","scheme":1}"#).unwrap_err();
        assert_eq!(error.field, "scheme");
        assert_eq!(key("null").unwrap_err().field, "");
    }

    /// A key, the one spelling that is written, and its point in hex.
    fn p256() -> (PublicKey, String, String) {
        use aws_lc_rs::encoding::AsDer;
        use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let der = pair.public_key().as_der().unwrap();
        let key = PublicKey::from_spki(der.as_ref()).unwrap();
        (key, HEXLOWER.encode(der.as_ref()), HEXLOWER.encode(pair.public_key().as_ref()))
    }

    fn spelled(keytype: &str, scheme: &str, public: &str) -> PublicKey {
        let public = String::from_utf8(Value::from(public).to_json()).unwrap();
        let (keytype, scheme) = (format!("{keytype:?}"), format!("{scheme:?}"));
        let json =
            format!(r#"{{"keytype":{keytype},"scheme":{scheme},"keyval":{{"public":{public}}}}}"#);
        key(&json).unwrap()
    }

    #[test]
    fn every_spelling_of_an_ecdsa_key_is_the_same_key() {
        let (written, der, point) = p256();
        let pem = to_pem(&HEXLOWER.decode(der.as_bytes()).unwrap());
        let wide = pem.replace('\n', "\r\n").replacen("\r\n", "  \n", 3);
        let x = &point[2..66];
        let odd = u8::from_str_radix(&point[128..], 16).unwrap() & 1;
        let compressed = format!("0{}{x}", 2 + odd);
        let p256 = "ecdsa-sha2-nistp256";
        for public in [&pem, &wide, &der, &point, &compressed, &point.to_uppercase()] {
            for keytype in ["ecdsa", p256] {
                let read = spelled(keytype, p256, public);
                assert!(read.material().is_some(), "{keytype} {public}");
                assert_eq!(read.material(), written.material(), "{keytype} {public}");
            }
        }
        for (keytype, scheme) in
            [("rsa", p256), ("ecdsa-sha2-nistp384", p256), ("ecdsa", "ecdsa-sha2-nistp384")]
        {
            assert_eq!(spelled(keytype, scheme, &pem).material(), None, "{keytype} {scheme}");
        }
    }
}
