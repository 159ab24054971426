//! The update workflow step by step, attacks on it, and agreement with python-tuf.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod attacks;
mod chain;
mod client;
mod corpora;
mod hostile_input;
mod key_types;
mod known_answers;
mod limits;
mod python_tuf;
mod search;
mod shapes;
mod step_5_3_root;
mod step_5_4_timestamp;
mod step_5_5_snapshot;
mod step_5_6_targets;
mod step_5_7_target;
