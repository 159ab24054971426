//! Publishing what was accepted.

mod create;

pub(crate) use create::create;
