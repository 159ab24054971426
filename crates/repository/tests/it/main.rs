//! The store's contract on every store, and the database from outside.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod contract;
mod database;
mod filesystem;

use waxseal_repository::store::StoreKey;
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::{RoleName, TargetPath};

fn metadata(version: u64, role: &str) -> StoreKey {
    StoreKey::Metadata { version, role: RoleName::new(role).unwrap() }
}

fn target(path: &str, bytes: &[u8]) -> StoreKey {
    StoreKey::Target { path: TargetPath::new(path).unwrap(), digest: Sha256::of(bytes) }
}

fn file(path: &str) -> StoreKey {
    StoreKey::File(TargetPath::new(path).unwrap())
}
