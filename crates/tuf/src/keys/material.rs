//! The key in a `KEY` object, whatever its spelling.

use std::cmp::Ordering;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, ParsedPublicKey,
    RSA_PSS_2048_8192_SHA256, VerificationAlgorithm,
};
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};

/// A key that can verify, in the one form that decides whether two entries are the same key: its
/// `SubjectPublicKeyInfo` as DER, EC points uncompressed.
#[derive(Debug, Clone)]
pub(crate) struct Material {
    spki: Vec<u8>,
    key: Arc<ParsedPublicKey>,
}

/// How a scheme of TUF 4.2 spells and uses a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Ed25519,
    EcdsaP256,
    EcdsaP384,
    RsaPssSha256,
}

impl Scheme {
    pub(super) const ALL: [Self; 4] =
        [Self::Ed25519, Self::EcdsaP256, Self::EcdsaP384, Self::RsaPssSha256];

    /// The scheme of these two fields, if it is known. ECDSA keys had the scheme's name as their
    /// type before TUF 1.0.27, and still have it in the first roots of sigstore.
    pub(super) fn named(keytype: &str, scheme: &str) -> Option<Self> {
        let known = Self::ALL.into_iter().find(|known| known.scheme() == scheme)?;
        let older = matches!(known, Self::EcdsaP256 | Self::EcdsaP384) && keytype == scheme;
        (older || keytype == known.keytype()).then_some(known)
    }

    pub(super) fn keytype(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256 | Self::EcdsaP384 => "ecdsa",
            Self::RsaPssSha256 => "rsa",
        }
    }

    pub(super) fn scheme(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256 => "ecdsa-sha2-nistp256",
            Self::EcdsaP384 => "ecdsa-sha2-nistp384",
            Self::RsaPssSha256 => "rsassa-pss-sha256",
        }
    }

    fn algorithm(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Ed25519 => &ED25519,
            Self::EcdsaP256 => &ECDSA_P256_SHA256_ASN1,
            Self::EcdsaP384 => &ECDSA_P384_SHA384_ASN1,
            Self::RsaPssSha256 => &RSA_PSS_2048_8192_SHA256,
        }
    }

    /// Reads `keyval.public`; `None` if it is no key of this scheme.
    pub(super) fn read(self, public: &str) -> Option<Material> {
        match self {
            Self::Ed25519 => self.material(&raw_ed25519(public)?),
            // Hex of the point or of the DER, as go-tuf wrote it before it wrote PEM.
            Self::EcdsaP256 | Self::EcdsaP384 if !public.contains("-----") => {
                self.material(&HEXLOWER_PERMISSIVE.decode(public.as_bytes()).ok()?)
            }
            Self::EcdsaP256 | Self::EcdsaP384 | Self::RsaPssSha256 => {
                self.material(&from_pem(public)?)
            }
        }
    }

    /// The key of these bytes: a `SubjectPublicKeyInfo`, or the bare key.
    pub(super) fn material(self, bytes: &[u8]) -> Option<Material> {
        let key = ParsedPublicKey::new(self.algorithm(), bytes).ok()?;
        let der: PublicKeyX509Der<'_> = key.as_der().ok()?;
        Some(Material { spki: der.as_ref().to_vec(), key: Arc::new(key) })
    }
}

impl Material {
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(message, signature).is_ok()
    }

    pub(super) fn spki(&self) -> &[u8] {
        &self.spki
    }
}

impl PartialEq for Material {
    fn eq(&self, other: &Self) -> bool {
        self.spki == other.spki
    }
}

impl Eq for Material {}

impl PartialOrd for Material {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Material {
    fn cmp(&self, other: &Self) -> Ordering {
        self.spki.cmp(&other.spki)
    }
}

fn raw_ed25519(public: &str) -> Option<[u8; 32]> {
    HEXLOWER_PERMISSIVE.decode(public.as_bytes()).ok()?.try_into().ok()
}

/// The bytes between the first header and its footer (RFC 7468), whatever the width of the lines.
fn from_pem(text: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    if !matches!(label, "PUBLIC KEY" | "RSA PUBLIC KEY") {
        return None;
    }
    let base64: Vec<u8> = body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    BASE64.decode(&base64).ok()
}

/// The text of a `SubjectPublicKeyInfo`, in lines of 64 characters.
pub(super) fn to_pem(spki: &[u8]) -> String {
    let base64 = BASE64.encode(spki);
    let mut pem = String::from("-----BEGIN PUBLIC KEY-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END PUBLIC KEY-----\n");
    pem
}
