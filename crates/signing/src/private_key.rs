use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{Digest, SHA256};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::error::{KeyRejected, Unspecified};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use waxseal_tuf::hash::Hashed;
use waxseal_tuf::{PublicKey, SignError, Signer};
use zeroize::Zeroizing;

use crate::encrypted::{self, KeyPem};
use crate::error::KeyError;
use crate::secret::Secret;

/// How a key signs; by its name in metadata (TUF 4.2, `scheme`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scheme {
    /// `ed25519` (RFC 8032): reads a message twice, with SHA-512, and needs no random numbers.
    #[default]
    Ed25519,
    /// `ecdsa-sha2-nistp256` (FIPS 186-5): reads a message once, with SHA-256, and needs a random number
    /// for each signature.
    EcdsaP256,
}

impl Scheme {
    /// All that can sign here.
    pub const ALL: [Self; 2] = [Self::Ed25519, Self::EcdsaP256];

    /// The name in metadata.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256 => "ecdsa-sha2-nistp256",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Scheme {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let named = Self::ALL.into_iter().find(|scheme| scheme.name() == text);
        named.ok_or_else(|| KeyError::Scheme { scheme: text.to_owned() })
    }
}

/// A private key in this process's memory.
pub struct PrivateKey {
    pair: Pair,
    public: PublicKey,
    /// Where it came from, for errors.
    place: String,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    EcdsaP256(EcdsaKeyPair),
}

impl PrivateKey {
    /// Makes a new key.
    pub fn generate(scheme: Scheme) -> Result<Self, KeyError> {
        let pair = Pair::generate(scheme).map_err(|_| KeyError::Crypto { action: "make a key" })?;
        Self::from_pair(pair, "in memory")
    }

    /// Reads an unencrypted PKCS#8 key in PEM, as OpenSSL and Python's cryptography write it.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, KeyError> {
        let problem = "is encrypted with a passphrase, which this takes no part in";
        match KeyPem::read(pem, "the text")? {
            KeyPem::Plain(document) => Self::from_der(document.as_bytes(), "the text", "in memory"),
            KeyPem::Encrypted(_) => {
                Err(KeyError::Malformed { place: "the text".to_owned(), problem })
            }
        }
    }

    /// The key as unencrypted PKCS#8 in PEM: version 1, which OpenSSL and Python's cryptography
    /// read.
    pub fn to_pkcs8_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        encrypted::plain(&self.to_der()?)
    }

    /// How it signs.
    pub fn scheme(&self) -> Scheme {
        match self.pair {
            Pair::Ed25519(_) => Scheme::Ed25519,
            Pair::EcdsaP256(_) => Scheme::EcdsaP256,
        }
    }

    /// The key as PKCS#8 in PEM, encrypted with a passphrase as `encrypted.rs` says.
    pub fn to_encrypted_pem(&self, passphrase: &Secret) -> Result<Zeroizing<String>, KeyError> {
        encrypted::encrypt(&self.to_der()?, passphrase)
    }

    /// Reads PKCS#8 from `place`, which an error names; `origin` is what the key is known by after.
    pub(crate) fn from_der(der: &[u8], place: &str, origin: &str) -> Result<Self, KeyError> {
        let pair = Pair::from_pkcs8(der).map_err(|_| KeyError::Malformed {
            place: place.to_owned(),
            problem: "is not an Ed25519 or an ECDSA P-256 key in PKCS#8",
        })?;
        Self::from_pair(pair, origin)
    }

    fn to_der(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        self.pair.to_pkcs8v1().map_err(|_| KeyError::Crypto { action: "encode a key" })
    }

    fn refused(&self) -> SignError {
        let problem = "the crypto library refused".to_owned();
        SignError { key: self.place.clone(), problem }
    }

    fn from_pair(pair: Pair, place: &str) -> Result<Self, KeyError> {
        let public = pair.public_key().ok_or(KeyError::Crypto { action: "give the public key" })?;
        Ok(Self { pair, public, place: place.to_owned() })
    }
}

impl Pair {
    fn generate(scheme: Scheme) -> Result<Self, Unspecified> {
        Ok(match scheme {
            Scheme::Ed25519 => Self::Ed25519(Ed25519KeyPair::generate()?),
            Scheme::EcdsaP256 => {
                Self::EcdsaP256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?)
            }
        })
    }

    /// Each kind of key states in PKCS#8 which it is.
    fn from_pkcs8(der: &[u8]) -> Result<Self, KeyRejected> {
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8(der) {
            return Ok(Self::Ed25519(pair));
        }
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der).map(Self::EcdsaP256)
    }

    fn to_pkcs8v1(&self) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
        let copy = |der: &[u8]| Zeroizing::new(der.to_vec());
        match self {
            Self::Ed25519(pair) => pair.to_pkcs8v1().map(|der| copy(der.as_ref())),
            Self::EcdsaP256(pair) => pair.to_pkcs8v1().map(|der| copy(der.as_ref())),
        }
    }

    fn public_key(&self) -> Option<PublicKey> {
        match self {
            Self::Ed25519(pair) => {
                pair.public_key().as_ref().try_into().ok().map(PublicKey::ed25519)
            }
            Self::EcdsaP256(pair) => {
                let der: PublicKeyX509Der<'_> = pair.public_key().as_der().ok()?;
                PublicKey::from_spki(der.as_ref())
            }
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let signature = match self {
            Self::Ed25519(pair) => pair.try_sign(message)?,
            Self::EcdsaP256(pair) => pair.sign(&SystemRandom::new(), message)?,
        };
        Ok(signature.as_ref().to_vec())
    }

    /// ECDSA signs the SHA-256 of a message, Ed25519 reads the message itself.
    fn sign_hashed(&self, message: &Hashed) -> Result<Vec<u8>, Unspecified> {
        match self {
            Self::Ed25519(_) => self.sign(message.bytes()),
            Self::EcdsaP256(pair) => {
                let digest = Digest::import_less_safe(&message.sha256().0, &SHA256)?;
                Ok(pair.sign_digest(&digest)?.as_ref().to_vec())
            }
        }
    }
}

impl Signer for PrivateKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.pair.sign(message).map_err(|_| self.refused())
    }

    fn sign_hashed(&self, message: &Hashed) -> Result<Vec<u8>, SignError> {
        self.pair.sign_hashed(message).map_err(|_| self.refused())
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keyid = self.public.default_keyid();
        f.debug_struct("PrivateKey").field("keyid", &keyid.as_str()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use waxseal_tuf::metadata::{ROOM_FOR_SIGNATURES, sign_hashed};

    use super::*;

    /// The first key of RFC 8032, 7.1, as `openssl genpkey` lays it out.
    const RFC8032: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
        -----END PRIVATE KEY-----\n";

    #[test]
    fn a_key_of_each_scheme_reads_back_and_signs() {
        for scheme in Scheme::ALL {
            let key = PrivateKey::generate(scheme).unwrap();
            let again = PrivateKey::from_pkcs8_pem(&key.to_pkcs8_pem().unwrap()).unwrap();
            assert_eq!((again.scheme(), again.public_key()), (scheme, key.public_key()));
            let signature = again.sign(b"message").unwrap();
            assert!(key.public_key().verifies(b"message", &signature), "{scheme}");
            assert!(!key.public_key().verifies(b"other", &signature), "{scheme}");
            // The one says nothing else of a message ever, the other never the same again.
            let same = signature == key.sign(b"message").unwrap();
            assert_eq!(same, scheme == Scheme::Ed25519);
            let hashed = key.sign_hashed(&Hashed::new(b"message".to_vec())).unwrap();
            assert!(key.public_key().verifies(b"message", &hashed), "{scheme}");
        }
    }

    #[test]
    fn what_stands_around_a_signed_value_has_room() {
        for key in Scheme::ALL.map(|scheme| PrivateKey::generate(scheme).unwrap()) {
            // Signatures of ECDSA are not all of one length.
            for version in 1..50 {
                let signed = format!(r#"{{"version":{version}}}"#);
                let hashed = Hashed::new(signed.clone().into_bytes());
                let file = sign_hashed(hashed, &[&key]).unwrap();
                assert!(file.len() - signed.len() <= ROOM_FOR_SIGNATURES, "{}", file.len());
                let file = String::from_utf8(file).unwrap();
                assert!(file.ends_with(&format!(",\"signed\":{signed}}}")), "{file}");
            }
        }
    }

    #[test]
    fn the_public_key_names_the_scheme() {
        for scheme in Scheme::ALL {
            let key = PrivateKey::generate(scheme).unwrap();
            let public = format!("{:?}", key.public_key());
            assert!(public.contains(&format!("{:?}", scheme.name())), "{public}");
            assert_eq!(scheme.to_string().parse::<Scheme>().unwrap(), scheme);
        }
        let error = "rsa".parse::<Scheme>().unwrap_err().to_string();
        assert!(error.contains("ed25519, ecdsa-sha2-nistp256"), "{error}");
    }

    /// What `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256` wrote, and P-384.
    const P256: &str = "-----BEGIN PRIVATE KEY-----\n\
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgL1bDRGzcrYGu+O4e\n\
        BJYSECS0boSsR6+xcqQjed/lo9ihRANCAAReE4ZUF8AsxOuxL58lgWL9I+qouNy1\n\
        yujKeqrmP7BlykeYXrnKuFbRZmgA6P8ci9LD1Damlcnm47FDKxhu5udE\n\
        -----END PRIVATE KEY-----\n";
    const P384: &str = "-----BEGIN PRIVATE KEY-----\n\
        MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDBz80jdS6BWf96DXODl\n\
        HlDev9pMFyeM85QrptokUFqYIuYx1pMJOCYBaMzvjs1c5kWhZANiAATdY+relLkK\n\
        eWVIy72JGwXIWmRZrNc31/fXTqw+pyBEFRr3dGg1Dn6HJ3Ey13mTcYPQRosKFu2a\n\
        WkD8ijMrk+8m5De5yGcguis5xeNZ2ZzIokFeQlGrj7Pm4lcq7/wT7ik=\n\
        -----END PRIVATE KEY-----\n";

    #[test]
    fn a_key_of_openssl_is_read_and_one_of_another_curve_is_not() {
        let key = PrivateKey::from_pkcs8_pem(P256).unwrap();
        assert_eq!(key.scheme(), Scheme::EcdsaP256);
        assert!(key.public_key().verifies(b"message", &key.sign(b"message").unwrap()));
        let error = PrivateKey::from_pkcs8_pem(P384).unwrap_err().to_string();
        assert!(error.contains("not an Ed25519 or an ECDSA P-256 key"), "{error}");
    }

    #[test]
    fn two_generated_keys_differ() {
        let (a, b) = (
            PrivateKey::generate(Scheme::Ed25519).unwrap(),
            PrivateKey::generate(Scheme::Ed25519).unwrap(),
        );
        assert_ne!(a.public_key(), b.public_key());
    }

    #[test]
    fn the_written_form_is_pkcs8_version_1_to_the_byte() {
        let key = PrivateKey::from_pkcs8_pem(RFC8032).unwrap();
        assert_eq!(key.to_pkcs8_pem().unwrap().as_str(), RFC8032);
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let public = from_hex(public);
        assert_eq!(key.public_key(), &PublicKey::ed25519(public));
        // RFC 8032, 7.1, test 1: the signature over the empty message.
        assert_eq!(key.sign(b"").unwrap()[..4], [0xe5, 0x56, 0x43, 0x00]);
    }

    #[test]
    fn what_is_not_a_key_is_refused_and_not_repeated() {
        let secret = "sZ3v/Vpg";
        // One byte short of an Ed25519 key, with lengths that agree.
        let body = RFC8032.lines().nth(1).unwrap();
        let short = "MC0CAQAwBQYDK2VwBCEEH51hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn8=";
        for (pem, problem) in [
            (String::new(), "not a key in PEM"),
            (RFC8032.replace("IJ1h", "I*1h"), "not a key in PEM"),
            (RFC8032.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"), "encrypted in a way"),
            (RFC8032.replace("PRIVATE KEY", "OPENSSH PRIVATE KEY"), "not a PKCS#8"),
            // The object identifier of X25519 in place of Ed25519's.
            (RFC8032.replace("K2Vw", "K2Vu"), "not an Ed25519 or an ECDSA P-256 key"),
            (RFC8032.replace(body, short), "not an Ed25519 or an ECDSA P-256 key"),
            (RFC8032.replace("MC4C", "MC0C"), "not a key in PEM"),
        ] {
            let error = PrivateKey::from_pkcs8_pem(&pem).unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(text.contains(problem), "{pem}: {text}");
            assert!(!text.contains(secret) && !text.contains("K2V"), "{text}");
        }
    }

    #[test]
    fn debug_shows_the_keyid_and_not_the_key() {
        let key = PrivateKey::from_pkcs8_pem(RFC8032).unwrap();
        let keyid = key.public_key().default_keyid();
        assert_eq!(format!("{key:?}"), format!("PrivateKey {{ keyid: {:?}, .. }}", keyid.as_str()));
    }

    fn from_hex(hex: &str) -> [u8; 32] {
        let byte = |i: usize| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap();
        std::array::from_fn(byte)
    }
}
