//! What no client can do without: for each file that has to be verified, as many verifications as
//! its threshold asks for (each hashes the file, Ed25519 with SHA-512), and the SHA-256 of the files
//! whose hash is listed. With aws-lc-rs directly, on bytes that were taken apart before.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey};
use data_encoding::{BASE64, HEXLOWER};
use serde_json::Value;
use waxseal_testkit::simulator::Store;
use waxseal_tuf::RoleName;

use crate::world::{Scenario, User, World};

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
    /// The stored timestamp and snapshot count: versions must not fall below theirs. Yesterday's bin
    /// does not: it is not the one that snapshot lists.
    pub(crate) fn of(world: &World, scenario: Scenario) -> Self {
        let repository = world.repository(scenario.kind);
        let (yesterday, today) = (&repository.yesterday, &repository.today);
        let file_of = |store: &Store, name| store[&RoleName::from_static(name)].clone();
        let mut files: Vec<Vec<u8>> = today.values().cloned().collect();
        match scenario.user {
            User::Returning => files.extend(
                [RoleName::TIMESTAMP, RoleName::SNAPSHOT].map(|name| file_of(yesterday, name)),
            ),
            // The stored one, and the same again from the repository.
            User::Unchanged => files.push(file_of(today, RoleName::TIMESTAMP)),
            User::First => {}
        }
        let keys: BTreeMap<String, Key> = today.values().flat_map(|bytes| keys_in(bytes)).collect();
        // Root is signed by three; two are asked for, as of targets and bins.
        let signatures = files.iter().flat_map(|file| signed(file, &keys).into_iter().take(2));
        Self { signatures: signatures.collect(), hashed: vec![file_of(today, RoleName::SNAPSHOT)] }
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
    // The files are written in canonical form: what is signed is a part of the bytes.
    let separator = b",\"signed\":";
    let at = file.windows(separator.len()).position(|window| window == separator).unwrap();
    let payload = &file[at + separator.len()..file.len() - 1];
    let file: Value = serde_json::from_slice(file).unwrap();
    let signatures = file["signatures"].as_array().unwrap();
    let signed = signatures.iter().map(|signature| Signed {
        payload: payload.to_vec(),
        signature: unhex(&signature["sig"]),
        key: keys[signature["keyid"].as_str().unwrap()].clone(),
    });
    signed.collect()
}

fn unhex(text: &Value) -> Vec<u8> {
    HEXLOWER.decode(text.as_str().unwrap().as_bytes()).unwrap()
}
