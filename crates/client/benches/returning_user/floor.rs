//! What no client can do without: for each file that has to be verified, as many Ed25519
//! verifications as its threshold asks for (each hashes the file with SHA-512), and the SHA-256 of
//! the files whose hash is listed. With aws-lc-rs directly, on bytes that were taken apart before.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use data_encoding::HEXLOWER;
use serde_json::Value;

use crate::world::{Scenario, User, World};

/// The cryptography of one run.
pub(crate) struct Floor {
    signatures: Vec<Signed>,
    hashed: Vec<Vec<u8>>,
}

struct Signed {
    payload: Vec<u8>,
    signature: Vec<u8>,
    key: Vec<u8>,
}

impl Floor {
    /// The stored timestamp and snapshot count: versions must not fall below theirs. Yesterday's bin
    /// does not: it is not the one that snapshot lists.
    pub(crate) fn of(world: &World, scenario: Scenario) -> Self {
        let repository = world.repository(scenario.bins);
        let (yesterday, today) = (&repository.yesterday, &repository.today);
        let mut files: Vec<&[u8]> = today.values().map(Vec::as_slice).collect();
        let mut hashed = Vec::new();
        for (role, bytes) in yesterday {
            let base = matches!(role.as_str(), "timestamp" | "snapshot");
            if base && scenario.user == User::Returning {
                files.push(bytes);
            }
        }
        if scenario.user == User::Unchanged {
            // The stored one, and the same again from the repository.
            let (_, timestamp) =
                today.iter().find(|(role, _)| role.as_str() == "timestamp").unwrap();
            files.push(timestamp);
        }
        let (_, snapshot) = today.iter().find(|(role, _)| role.as_str() == "snapshot").unwrap();
        hashed.push(snapshot.clone());

        let keys: BTreeMap<String, Vec<u8>> =
            today.values().flat_map(|bytes| keys_in(bytes)).collect();
        let threshold_of_root = 2;
        let signatures = files
            .into_iter()
            .flat_map(|file| signed(file, &keys).into_iter().take(threshold_of_root))
            .collect();
        Self { signatures, hashed }
    }

    pub(crate) fn run(&self) {
        for signed in &self.signatures {
            let key = UnparsedPublicKey::new(&ED25519, &signed.key);
            key.verify(&signed.payload, &signed.signature).unwrap();
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
fn keys_in(file: &[u8]) -> Vec<(String, Vec<u8>)> {
    let file: Value = serde_json::from_slice(file).unwrap();
    let signed = &file["signed"];
    let lists = [&signed["keys"], &signed["delegations"]["keys"]];
    let keys = lists.into_iter().filter_map(Value::as_object).flatten();
    keys.map(|(keyid, key)| (keyid.clone(), unhex(&key["keyval"]["public"]))).collect()
}

fn signed(file: &[u8], keys: &BTreeMap<String, Vec<u8>>) -> Vec<Signed> {
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
