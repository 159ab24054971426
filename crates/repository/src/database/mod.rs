//! The database: journal, catalog, the batch being published, the log of the online key's use, and
//! tokens.
//!
//! [`Database`] is the contract; [`SqliteDatabase`] keeps it.

mod batch;
mod catalog;
mod contract;
mod growth;
mod journal;
mod key_use;
mod listing;
mod migrate;
mod objects;
mod offline;
mod pending;
mod read_only;
mod restoration;
mod revocation;
mod row;
mod sqlite;
mod targets_entry;
mod token;

pub use batch::{Batch, CatalogChange, Decision, Epoch, OfflinePart, Reservation, SnapshotRow};
pub use catalog::{BinFile, BinRow, CoreMetadata, FileRow, ProjectRow, RoleRow};
pub use contract::{
    Catalog, Collecting, Database, HashListings, Hold, Holds, Journal, KeyUses, OfflineChanges,
    Publication, Restorations, Revocations, Tokens,
};
pub(crate) use growth::ROOM;
pub use growth::{FullBin, Growth};
pub use journal::{Appended, Entry, JournalRow, UploadAppend, UploadEntry};
pub(crate) use pending::project_of;
pub use pending::{
    AppendedTargets, Conflict, ConflictReason, Content, Expected, IdempotencyKey, MAX_CONFLICTS,
    TargetsAppend,
};
pub use restoration::Restoration;
pub use revocation::{AppendedRevocation, Revocable, Revocation, RevokeEntry};
pub use sqlite::SqliteDatabase;
pub use targets_entry::{AddTarget, TargetsEntry};
pub use token::{TokenRow, TokenScope, TokenSecret};
