//! Whether the server runs, and whether it can serve.

mod live;
mod ready;

pub(crate) use live::live;
pub(crate) use ready::ready;
