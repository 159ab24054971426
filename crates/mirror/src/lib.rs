//! A mirror: a folder with a verified copy of an index, which any web server or bucket serves.
//!
//! It holds no key and serves nothing. What is in the folder is the public layout, so that clients that
//! verify use it as they use the index, and plain pip does too.
//!
//! | item | what it is |
//! |---|---|
//! | [`Mirror`] | the folder: [`sync`](Mirror::sync), [`import`](Mirror::import), [`export`](Mirror::export), [`verify`](Mirror::verify), [`status`](Mirror::status) |
//! | [`Index`] | where files come from over the network |
//! | [`Filter`] | which projects are copied |
//! | [`Keep`] | how long older snapshots stay |
//!
//! One run goes this way (`sync.rs`):
//!
//! 1. **Refreshed**: `upstream.rs` brings the mirror's own trust store up to date, which refuses what goes
//!    back.
//! 2. **Compared**: roles whose version is that of the published snapshot are passed over (`walk.rs`). Each
//!    other one is verified and staged.
//! 3. **Fetched**: `fill.rs` fetches the targets that a staged role lists and the one before did not, verifies
//!    them and gives them their names.
//! 4. **Shown to plain clients**: `plain.rs` replaces pages, which link to nothing that is not there.
//! 5. **Published**: `publish.rs` adds metadata and, when everything is durable, replaces `timestamp.json`.
//! 6. **Cleared**: `retire.rs` removes what no kept snapshot names.

mod durable;
mod error;
mod exchange;
mod fill;
mod filter;
mod folder;
mod import;
mod lookup;
mod mirror;
mod parallel;
mod plain;
mod publish;
mod retire;
mod run;
mod state;
mod status;
mod sync;
mod upstream;
mod verify;
mod view;
mod walk;

pub use error::Error;
pub use exchange::{Base, Exported, Manifest};
pub use filter::Filter;
pub use import::ImportOptions;
pub use mirror::Mirror;
pub use run::{Outcome, Progress, SyncOptions, Totals};
pub use state::Keep;
pub use status::Status;
pub use upstream::Index;
pub use verify::{Found, Verified};
