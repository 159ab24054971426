//! The verifying loopback proxy: a plain Simple index for pip, uv and poetry, of which every byte was
//! checked against signed metadata.
//!
//! ```text
//! pip ── /simple/flask/ ──▶ Proxy ── target path ──▶ Client ── verified bytes ──▶ pip
//!                             └── anything else ──▶ Refusal ── 409 with the reason ──▶ pip's screen
//! ```
//!
//! * A page is passed on, unchanged, after it was verified whole; so is a file. While a large one is
//!   still coming, the answer begins with at most nine of its bytes, one every ten seconds, so that
//!   the tool waits: too few to be an archive, which tools read only up to the archive's own end.
//! * A [`Refusal`] is neither "not found" nor a server's error, because pip and uv go elsewhere after
//!   the one and try for long after the other: it is status 409, and the reason phrase says why. pip
//!   shows nothing of an error on a project's page, so it gets a page of one file whose name is the
//!   reason, and that file is refused.
//! * [`Proxy`] answers at a loopback address of its own; a [`Forward`] answers one program for the
//!   index's own address, so that what the program writes down names the index.
//! * What no role lists is honestly not found: the index signs that it is absent.

mod answer;
mod content;
mod files;
mod forward;
mod fresh;
mod minimum_age;
mod pages;
mod proxy;
mod refusal;
mod request;
mod server;
mod settings;

pub use forward::{Forward, Policy, Secrets, is_at_or_below};
pub use minimum_age::{HeldBack, MinimumAge, in_words};
pub use proxy::Proxy;
pub use refusal::Refusal;
pub use server::{Bound, Error, Exposure};
pub use settings::{HearOfSlowFile, Settings, SlowFile};
pub use waxseal_index::simple::Links;
