//! The store's contract on every store, the database from outside, and the snapshot process as
//! clients see it.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod accept;
mod archive;
mod audit;
mod audit_finds;
mod audit_journalled;
mod audit_keys;
mod audit_large;
mod bin_length;
mod ceremony;
mod cold;
mod contract;
mod database;
mod database_contract;
mod filesystem;
mod full_disk;
mod gc;
mod import;
mod index;
mod layout;
mod locks;
mod offline_change;
mod open;
mod publish;
mod relist;
mod renewal;
mod restore;
mod resume;
mod resume_targets;
mod review;
mod revoke;
mod run;
mod target_changes;
mod targets;
mod thief;

use waxseal_repository::store::StoreKey;
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::{RoleName, TargetPath};

fn metadata(version: u64, role: &str) -> StoreKey {
    StoreKey::Metadata { version, role: RoleName::new(role).unwrap() }
}

fn target(path: &str, bytes: &[u8]) -> StoreKey {
    StoreKey::Target { path: TargetPath::new(path).unwrap(), digest: Sha256::of(bytes).into() }
}

fn file(path: &str) -> StoreKey {
    StoreKey::File(TargetPath::new(path).unwrap())
}

fn metadata_names(store: &dyn waxseal_repository::store::Store) -> Vec<String> {
    let listed = store.list(waxseal_repository::store::Area::Metadata).unwrap();
    listed.filter_map(|listed| Some(listed.unwrap().key?.path())).collect()
}
