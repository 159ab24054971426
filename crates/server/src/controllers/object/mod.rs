//! Objects of the store under their own paths: files, targets, metadata.

mod show;

pub(crate) use show::show;
