//! Store, journal, catalog, bins, the snapshot process and the key ceremony.

pub mod database;
mod error;
pub mod store;

pub use error::{Error, StoreError};
