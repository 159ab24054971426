//! The proxy between clients, real and simulated, and mirrors that lie.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod elsewhere;
mod files;
mod forward;
mod layout_index;
mod minimum_age;
mod not_yet_signed;
mod pages;
mod peers;
mod refusals;
mod world;
