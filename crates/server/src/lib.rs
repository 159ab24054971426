//! The web side of an index: the upload API that twine and uv speak, the Simple API, metadata and
//! files under the paths of the store, and the API for other indexes.
//!
//! This crate cannot sign: it takes uploads into the journal and serves what the snapshot process
//! published. [`router`] is all of it as a value that tests can call; [`serve`] puts it behind a
//! listener, with limits.
//!
//! A handler in `controllers/<noun>/<verb>` is thin. What it leans on:
//!
//! | module | what it holds |
//! |---|---|
//! | `multipart` | reading a form in bounded memory |
//! | `spool` | a file on its way to the store, hashed while it comes |
//! | `object` | answering with an object: validators, ranges, streaming |
//! | `freshness` | whether what is published has expired |
//! | `error` | what went wrong, as status, reason phrase and text |
//! | `problem` | the same for the API, as problem details in JSON |
//! | `api` | waiting until something is published, and reading a body of the API |
//! | `observe` | log, panics and security headers, around every request |

mod api;
mod auth;
mod compress;
mod controllers;
mod error;
mod freshness;
mod multipart;
mod object;
mod observe;
mod problem;
mod range;
mod router;
mod serve;
mod spool;
mod state;
mod url_path;

pub use error::{Error, ReadinessProblem};
pub use problem::Problem;
pub use router::router;
pub use serve::{Limits, serve};
pub use state::{AppState, Settings};
