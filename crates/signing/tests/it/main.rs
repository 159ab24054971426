//! Keys on a real token in software, through the real module.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod token;
