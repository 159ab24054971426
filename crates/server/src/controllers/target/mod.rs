//! Targets of other indexes.

mod create;

pub(crate) use create::create;
