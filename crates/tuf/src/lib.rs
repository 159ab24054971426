//! The Update Framework (TUF 1.0.34): metadata, verification and the update workflow, without I/O and
//! without a clock.
//!
//! | module | what it holds |
//! |---|---|
//! | [`metadata`] | the four kinds of metadata, read strictly and written canonically |
//! | [`verify`] | the one threshold check, and [`verify::Verified`], which nothing else makes |
//! | [`trusted`] | the rules by which metadata becomes trusted, as typed phases |
//! | [`updater`] | the order of an update, as a state machine that asks for bytes |
//! | [`chain`] | why a target is trusted, for people |
//! | [`keys`] | public keys, and the [`Signer`] that private keys implement elsewhere |
//! | [`json`], [`hash`] | reading JSON, its canonical form, and digests |
//! | [`Limits`], [`Error`] | what a repository may cause, and what went wrong and by whom |
//!
//! [`Updater`] is where a reader starts, and what a program embeds.

pub mod chain;
pub mod error;
mod fields;
pub mod hash;
pub mod json;
pub mod keys;
mod limits;
pub mod metadata;
mod names;
mod past;
pub mod paths;
pub mod spoken;
pub mod trusted;
pub mod updater;
pub mod verify;

pub use chain::{Chain, ChainKey, ChainRole, Covers};
pub use error::{Blame, Error};
pub use keys::{PublicKey, SignError, Signer};
pub use limits::Limits;
pub use metadata::TargetFile;
pub use names::{InvalidName, KeyId, RoleName, TargetPath};
pub use past::PastSnapshot;
pub use trusted::TrustedMetadata;
pub use updater::{Answer, MetadataFile, Search, Step, TargetCheck, Updater};
