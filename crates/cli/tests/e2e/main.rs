//! The main job end to end: the real binary, and the real pip, uv, twine and python-tuf of
//! `cargo xtask peers`.
//!
//! Every test starts what it needs on free ports and in temporary folders, so that tests run side by
//! side, in threads or in processes. A failure shows the screen that a person would have seen.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod harness;

mod adopt;
mod api;
mod appendix_a;
mod audit;
mod audit_compare;
mod audit_remote;
mod ceremony;
mod ceremony_changes;
mod ceremony_people;
mod clocks;
mod commands;
mod compromise;
mod crash;
mod crowd;
mod dead_mirror;
mod demo;
mod expiry;
mod hash_algorithms;
mod install;
mod keys;
mod layout_index;
mod mid_install;
mod mirroring;
mod offline;
mod other_sources;
mod own_address;
mod policy;
mod private_index;
mod propagation;
mod proxy;
mod proxy_crash;
mod python_tuf;
mod quickstart;
mod refused_uploads;
mod restore;
mod revoke;
mod start;
mod sweep;
mod tampering;
mod tools;
mod transport;
mod trust;
mod trust_bundle;
mod trust_replace;
mod upload;
mod why;
