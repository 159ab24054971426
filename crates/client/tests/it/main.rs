//! The client against an index that is honest, a mirror that is not, and a trust store on disk.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod conformance;
mod crashes;
mod downloads;
mod hostile_mirror;
mod interop;
mod layout_index;
mod mirrors;
mod refusals;
mod remembered;
mod replacement;
mod root_chain;
mod transport;
mod trust;
mod world;
