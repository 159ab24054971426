//! What the API is, for programs that make clients of it.

mod show;

pub(crate) use show::show;
