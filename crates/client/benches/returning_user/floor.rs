//! What no client can do without: for each file that has to be verified, as many verifications as
//! its threshold asks for (each hashes the file, Ed25519 with SHA-512), and the SHA-256 of the files
//! whose hash is listed. With aws-lc-rs directly, on bytes that were taken apart before.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey};
use data_encoding::{BASE64, HEXLOWER};
use serde_json::Value;
use waxseal_tuf::{RoleName, json};

use crate::world::{Scenario, World};

/// The cryptography of one run.
pub(crate) struct Floor {
    signatures: Vec<Signed>,
    hashed: Vec<Vec<u8>>,
}

struct Signed {
    payload: Vec<u8>,
    signature: Vec<u8>,
    key: Key,
}

type Key = UnparsedPublicKey<Vec<u8>>;

impl Floor {
    /// Every role once, as it is today. What is stored from yesterday does not count: it only has to
    /// be compared with, and matters only to a client that would refuse something for its sake.
    pub(crate) fn of(world: &World, scenario: Scenario) -> Self {
        let today = &world.repository(scenario.kind).today;
        let keys: BTreeMap<String, Key> = today.values().flat_map(|bytes| keys_in(bytes)).collect();
        // Root is signed by three; two are asked for, as of targets and bins.
        let signatures = today.values().flat_map(|file| signed(file, &keys).into_iter().take(2));
        let snapshot = today[&RoleName::from_static(RoleName::SNAPSHOT)].clone();
        Self { signatures: signatures.collect(), hashed: vec![snapshot] }
    }

    pub(crate) fn run(&self) {
        for signed in &self.signatures {
            signed.key.verify(&signed.payload, &signed.signature).unwrap();
        }
        for bytes in &self.hashed {
            std::hint::black_box(digest(&SHA256, bytes));
        }
    }

    pub(crate) fn describe(&self) -> String {
        let signed: usize = self.signatures.iter().map(|signed| signed.payload.len()).sum();
        let hashed: usize = self.hashed.iter().map(Vec::len).sum();
        let (count, signed, hashed) = (self.signatures.len(), signed / 1000, hashed / 1000);
        format!("{count} signatures over {signed} KB, SHA-256 of {hashed} KB")
    }
}

/// Every key of root and of delegations, by keyid.
fn keys_in(file: &[u8]) -> Vec<(String, Key)> {
    let file: Value = serde_json::from_slice(file).unwrap();
    let signed = &file["signed"];
    let lists = [&signed["keys"], &signed["delegations"]["keys"]];
    let keys = lists.into_iter().filter_map(Value::as_object).flatten();
    keys.map(|(keyid, key)| (keyid.clone(), key_of(key))).collect()
}

fn key_of(key: &Value) -> Key {
    let public = &key["keyval"]["public"];
    match key["keytype"].as_str().unwrap() {
        "ed25519" => UnparsedPublicKey::new(&ED25519, unhex(public)),
        "ecdsa" => {
            let pem = public.as_str().unwrap().lines().filter(|line| !line.starts_with("-----"));
            let der = BASE64.decode(pem.collect::<String>().as_bytes()).unwrap();
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, der)
        }
        other => panic!("no key of type {other} signs here"),
    }
}

fn signed(file: &[u8], keys: &BTreeMap<String, Key>) -> Vec<Signed> {
    let json::Value::Object(object) = json::Value::parse(file).unwrap() else {
        panic!("metadata is an object")
    };
    let payload = object.get("signed").unwrap().to_canonical();
    let file: Value = serde_json::from_slice(file).unwrap();
    let signatures = file["signatures"].as_array().unwrap();
    let signed = signatures.iter().map(|signature| Signed {
        payload: payload.clone(),
        signature: unhex(&signature["sig"]),
        key: keys[signature["keyid"].as_str().unwrap()].clone(),
    });
    signed.collect()
}

fn unhex(text: &Value) -> Vec<u8> {
    HEXLOWER.decode(text.as_str().unwrap().as_bytes()).unwrap()
}
