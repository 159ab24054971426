//! Keys that tests sign with.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(clippy::missing_panics_doc, reason = "everything here panics where a test cannot go on")]

use std::sync::Arc;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PSS_SHA256, RsaKeyPair,
};
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::{KeyId, PublicKey, SignError, Signer};

/// A key of any type that TUF knows.
#[derive(Debug, Clone)]
pub struct TestKey {
    public: PublicKey,
    pair: Pair,
}

#[derive(Debug, Clone)]
enum Pair {
    Ed25519([u8; 32]),
    Ecdsa(Arc<EcdsaKeyPair>),
    Rsa(Arc<RsaKeyPair>),
}

impl TestKey {
    /// The Ed25519 key that follows from this label, so that tests are the same every time.
    pub fn new(label: &str) -> Self {
        let seed = Sha256::of(label.as_bytes()).0;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        let public = PublicKey::ed25519(pair.public_key().as_ref().try_into().unwrap());
        Self { public, pair: Pair::Ed25519(seed) }
    }

    /// A new ECDSA key on P-256.
    pub fn ecdsa_p256() -> Self {
        Self::ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING)
    }

    /// A new ECDSA key on P-384.
    pub fn ecdsa_p384() -> Self {
        Self::ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING)
    }

    fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> Self {
        let pair = EcdsaKeyPair::generate(algorithm).unwrap();
        let der = pair.public_key().as_der().unwrap();
        let public = PublicKey::from_spki(der.as_ref()).unwrap();
        Self { public, pair: Pair::Ecdsa(Arc::new(pair)) }
    }

    /// A new RSA key of 2048 bits, which signs with PSS.
    pub fn rsa() -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der = pair.public_key().as_der().unwrap();
        let public = PublicKey::from_spki(der.as_ref()).unwrap();
        Self { public, pair: Pair::Rsa(Arc::new(pair)) }
    }

    /// A key of each type, with the type's name.
    pub fn of_each_type() -> [(&'static str, Self); 4] {
        [
            ("ed25519", Self::new("ed25519")),
            ("ecdsa-sha2-nistp256", Self::ecdsa_p256()),
            ("ecdsa-sha2-nistp384", Self::ecdsa_p384()),
            ("rsassa-pss-sha256", Self::rsa()),
        ]
    }

    /// The keyid under which the simulator lists it.
    pub fn keyid(&self) -> KeyId {
        self.public.default_keyid()
    }
}

impl Signer for TestKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let random = SystemRandom::new();
        Ok(match &self.pair {
            Pair::Ed25519(seed) => {
                let pair = Ed25519KeyPair::from_seed_unchecked(seed).unwrap();
                pair.sign(message).as_ref().to_vec()
            }
            Pair::Ecdsa(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PSS_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
        })
    }
}
