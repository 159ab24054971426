use std::fmt;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use pkcs8::SecretDocument;
use pkcs8::der::pem::LineEnding;
use waxseal_tuf::{PublicKey, SignError, Signer};
use zeroize::Zeroizing;

use crate::error::KeyError;

const PEM_LABEL: &str = "PRIVATE KEY";

/// An Ed25519 private key in this process's memory.
pub struct PrivateKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
    /// Where it came from, for errors.
    place: String,
}

impl PrivateKey {
    /// Makes a new key.
    pub fn generate() -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::generate();
        let place = "in memory";
        Self::from_pair(pair.map_err(|_| KeyError::Crypto { action: "make a key" })?, place)
    }

    /// Reads an unencrypted PKCS#8 key in PEM, as OpenSSL and Python's cryptography write it.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, KeyError> {
        Self::read_pem(pem, "the text", "in memory")
    }

    /// The key as unencrypted PKCS#8 in PEM: version 1, which OpenSSL and Python's cryptography
    /// read.
    pub fn to_pkcs8_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        let encode = || KeyError::Crypto { action: "encode a key" };
        let der = self.pair.to_pkcs8v1().map_err(|_| encode())?;
        let document = SecretDocument::try_from(der.as_ref()).map_err(|_| encode())?;
        document.to_pem(PEM_LABEL, LineEnding::LF).map_err(|_| encode())
    }

    /// Reads PEM from `place`, which an error names; `origin` is what the key is known by after.
    pub(crate) fn read_pem(pem: &str, place: &str, origin: &str) -> Result<Self, KeyError> {
        let malformed = |problem| KeyError::Malformed { place: place.to_owned(), problem };
        let (label, document) = SecretDocument::from_pem(pem.trim_start())
            .map_err(|_| malformed("is not a key in PEM (`-----BEGIN PRIVATE KEY-----` …)"))?;
        match label {
            PEM_LABEL => {}
            "ENCRYPTED PRIVATE KEY" => {
                return Err(malformed(
                    "is encrypted with a passphrase, which is not supported: decrypt it with \
                     `openssl pkey -in OLD -out NEW`, on a disk that only you can read",
                ));
            }
            _ => return Err(malformed("is PEM, but not a PKCS#8 `PRIVATE KEY`")),
        }
        let pair = Ed25519KeyPair::from_pkcs8(document.as_bytes());
        Self::from_pair(pair.map_err(|_| malformed("is not an Ed25519 key in PKCS#8"))?, origin)
    }

    fn from_pair(pair: Ed25519KeyPair, place: &str) -> Result<Self, KeyError> {
        let public = pair.public_key().as_ref().try_into();
        let public = public.map_err(|_| KeyError::Crypto { action: "give the public key" })?;
        Ok(Self { pair, public: PublicKey::ed25519(public), place: place.to_owned() })
    }
}

impl Signer for PrivateKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let failed = |_| SignError {
            key: self.place.clone(),
            problem: "the crypto library refused".to_owned(),
        };
        Ok(self.pair.try_sign(message).map_err(failed)?.as_ref().to_vec())
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
    use super::*;

    /// The first key of RFC 8032, 7.1, as `openssl genpkey` lays it out.
    const RFC8032: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
        -----END PRIVATE KEY-----\n";

    #[test]
    fn a_key_reads_back_and_signs_the_same() {
        let key = PrivateKey::generate().unwrap();
        let again = PrivateKey::from_pkcs8_pem(&key.to_pkcs8_pem().unwrap()).unwrap();
        assert_eq!(again.public_key(), key.public_key());
        let signature = again.sign(b"message").unwrap();
        assert_eq!(signature, key.sign(b"message").unwrap());
        assert!(key.public_key().verifies(b"message", &signature));
        assert!(!key.public_key().verifies(b"other", &signature));
    }

    #[test]
    fn two_generated_keys_differ() {
        let (a, b) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
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
            (RFC8032.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"), "encrypted"),
            (RFC8032.replace("PRIVATE KEY", "OPENSSH PRIVATE KEY"), "not a PKCS#8"),
            // The object identifier of X25519 in place of Ed25519's.
            (RFC8032.replace("K2Vw", "K2Vu"), "not an Ed25519 key"),
            (RFC8032.replace(body, short), "not an Ed25519 key"),
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
