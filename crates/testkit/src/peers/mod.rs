//! The peers that `cargo xtask peers` installs under `target/peers`, and what they are given.
//!
//! A test that finds one missing fails, and says how to install it; it is never skipped.

mod clean;
mod softhsm;
mod venv;

#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

pub use clean::{CleanCommand, Outcome, Running};
pub use softhsm::SoftHsm;
pub use venv::{Venv, venv};

/// The peers' Python, with python-tuf and securesystemslib.
///
/// # Panics
/// If it is missing.
pub fn python() -> PathBuf {
    tool("python")
}

/// The peers' pip, for `pip --python …`; a test that installs wants a [`Venv`] of its own.
///
/// # Panics
/// If it is missing.
pub fn pip() -> PathBuf {
    tool("pip")
}

/// The pinned pip as the wheel that it is installed from.
///
/// # Panics
/// If it is missing.
pub fn pip_wheel() -> PathBuf {
    let mut wheels = files(&present("seed"));
    assert_eq!(wheels.len(), 1, "the seed is one wheel: {wheels:?}");
    wheels.remove(0)
}

/// The pinned uv.
///
/// # Panics
/// If it is missing.
pub fn uv() -> PathBuf {
    tool("uv")
}

/// The pinned twine.
///
/// # Panics
/// If it is missing.
pub fn twine() -> PathBuf {
    tool("twine")
}

/// The pinned poetry.
///
/// # Panics
/// If it is missing.
pub fn poetry() -> PathBuf {
    other_tool("poetry")
}

/// The pinned pdm.
///
/// # Panics
/// If it is missing.
pub fn pdm() -> PathBuf {
    other_tool("pdm")
}

/// The pinned pipx.
///
/// # Panics
/// If it is missing.
pub fn pipx() -> PathBuf {
    other_tool("pipx")
}

/// Wheels and sdists as the registry has them, sorted by filename: flask and requests with their
/// dependencies, numpy, an sdist with its build backend, and `backports.tarfile`, whose file is not
/// called by its normalized name.
///
/// # Panics
/// If they are missing.
pub fn packages() -> Vec<PathBuf> {
    let mut packages = files(&present("packages"));
    packages.sort();
    packages
}

/// The one file among [`packages`] whose name begins so, such as `numpy-`.
///
/// # Panics
/// If there is none, or more than one.
pub fn package(start: &str) -> PathBuf {
    let mut found = packages();
    found.retain(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start))
    });
    assert_eq!(found.len(), 1, "one package's file begins with {start:?}: {found:?}");
    found.remove(0)
}

fn tool(name: &str) -> PathBuf {
    present("venv").join("bin").join(name)
}

/// One of the tools that have an environment of their own.
fn other_tool(name: &str) -> PathBuf {
    present("tools").join("bin").join(name)
}

/// A folder of `target/peers`, which is there only when it was filled to the end.
fn present(name: &str) -> PathBuf {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers");
    let stamp = peers.join(name).with_extension("stamp");
    assert!(stamp.exists(), "missing peer {name}: run `cargo xtask peers`");
    let folder = peers.join(name);
    folder.canonicalize().unwrap_or_else(|error| {
        panic!("missing peer {} ({error}): run `cargo xtask peers`", folder.display())
    })
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries =
        entries.unwrap_or_else(|error| panic!("cannot list {}: {error}", folder.display()));
    entries.into_iter().map(|entry| entry.path()).collect()
}
