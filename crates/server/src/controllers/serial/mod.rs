//! How far what was accepted is on its way to clients.

mod show;

pub(crate) use show::show;
