//! Where things are in the checkout.

use std::path::{Path, PathBuf};

/// The checkout: the parent of this crate's folder.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// The Python tools and packages that the tests use; the same wherever cargo builds to.
pub(crate) fn peers() -> PathBuf {
    root().join("target/peers")
}

/// Tools of our own that cargo installs.
pub(crate) fn tools() -> PathBuf {
    root().join("target/tools")
}
