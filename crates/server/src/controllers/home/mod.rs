//! The page that says what this is.

mod show;

pub(crate) use show::show;
