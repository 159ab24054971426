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
        if self == Self::Ed25519 && has_small_order(der.as_ref().last_chunk()?) {
            return None;
        }
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

/// Whether an Ed25519 key is a point of small order (RFC 8032, 5.1): it has no private key, and anybody
/// can sign for it. With 32 zeros, which a person may put where a key is to come, 64 zeros are a
/// signature of every fourth message.
fn has_small_order(public: &[u8; 32]) -> bool {
    let mut y = *public;
    // The sign of the x coordinate makes no difference.
    y[31] &= 0x7f;
    SMALL_ORDER.contains(&y)
}

/// The y coordinates of the eight points of small order, 0 and 1 also with p added.
const SMALL_ORDER: [[u8; 32]; 7] = {
    const fn near_p(first: u8) -> [u8; 32] {
        let mut y = [0xff; 32];
        (y[0], y[31]) = (first, 0x7f);
        y
    }
    let mut one = [0; 32];
    one[0] = 1;
    [
        [0; 32],
        one,
        // p - 1, p and p + 1.
        near_p(0xec),
        near_p(0xed),
        near_p(0xee),
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef,
            0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88,
            0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10,
            0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77,
            0x92, 0xac, 0x03, 0x7a,
        ],
    ]
};

fn raw_ed25519(public: &str) -> Option<[u8; 32]> {
    HEXLOWER_PERMISSIVE.decode(public.as_bytes()).ok()?.try_into().ok()
}

/// The bytes between the first header and its footer (RFC 7468), whatever the width of the lines.
pub(super) fn from_pem(text: &str) -> Option<Vec<u8>> {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use data_encoding::HEXLOWER;

    use super::*;

    /// A point of small order is its own signature for some of the messages, with s = 0.
    #[test]
    fn ed25519_keys_that_anybody_can_sign_for_are_no_keys() {
        for y in SMALL_ORDER {
            for sign in [0, 0x80] {
                let mut public = y;
                public[31] |= sign;
                assert!(Scheme::Ed25519.read(&HEXLOWER.encode(&public)).is_none(), "{public:x?}");
            }
        }
        // The list is right: without it each of these verifies what nobody signed.
        let signatures: Vec<Vec<u8>> = SMALL_ORDER
            .iter()
            .flat_map(|y| [0, 0x80].map(|sign| [&y[..31], &[y[31] | sign], &[0; 32]].concat()))
            .collect();
        for y in SMALL_ORDER.iter().filter(|y| !matches!(y[0], 0xed | 0xee)) {
            let key = ParsedPublicKey::new(&ED25519, y).unwrap();
            let forged = (0..100_u8).any(|message| {
                signatures.iter().any(|signature| key.verify_sig(&[message], signature).is_ok())
            });
            assert!(forged, "{y:x?}");
        }
    }
}
