//! Store, journal, catalog, bins, the snapshot process and the key ceremony.
//!
//! The crate is synchronous and knows no HTTP and no key backend: it is handed
//! [`waxseal_tuf::Signer`]s. Where to begin:
//!
//! | module | what it holds |
//! |---|---|
//! | [`Repository`] | what a web process does: accept uploads, read what is published |
//! | [`target_changes`] | what another index asks for through the API |
//! | [`SnapshotProcess`] | the one writer, and how it resumes |
//! | [`ceremony`] | making root, targets and bins |
//! | [`bins`] | which role signs a target |
//! | [`key_use`] | the log of what the online key signed |
//! | [`restore`] | making targets again what they were before a compromise |
//! | [`archive`] | digests of it for a device that is on no network |
//! | [`audit`] | what a strict client and the database say of it |
//! | [`store`] | what clients download, and the contract that keeps it safe |
//! | [`database`] | journal, catalog, the batch being published, tokens |

mod accept_targets;
pub mod archive;
pub mod audit;
mod batch;
mod batch_log;
mod bin_file;
pub mod bins;
pub mod ceremony;
mod cores;
mod current_bins;
pub mod database;
mod error;
mod gc;
mod hash_algorithms;
pub mod import;
pub mod key_use;
mod layout;
mod lock;
mod offline_change;
mod online_keys;
mod plan;
mod recent_bins;
mod recover;
mod refile;
mod relist;
mod renewal;
mod repository;
pub mod restore;
mod revoke;
mod role_status;
mod snapshot_file;
mod snapshot_process;
pub mod store;
pub mod target_changes;
mod together;
mod vouched;

pub use accept_targets::AcceptedTargets;
pub use batch::Lifetimes;
pub use error::{Error, StoreError};
pub use gc::{Collected, GcOptions, GcProgress};
pub use hash_algorithms::{HashAlgorithms, InvalidHashAlgorithms, Listing};
pub use layout::Layout;
pub use lock::{Holder, LOCK_PATIENCE, LockHeld};
pub use online_keys::OnlineKeys;
pub use recover::{ForeignFile, Recovered};
pub use repository::{Accepted, Publishing, Repository, Upload};
pub use role_status::{
    Due, PublishedRole, REMINDERS, RoleSigner, due, is_offline, is_within, published_roles,
};
pub use snapshot_process::{Published, SnapshotProcess, Stop, WriterLock};
pub use target_changes::TargetChanges;
