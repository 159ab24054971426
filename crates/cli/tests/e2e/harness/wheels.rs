//! Wheels made for a test, where those of the registry do not do.

use std::path::{Path, PathBuf};

use waxseal_testkit::peers::{self, CleanCommand};

/// What a wheel is to be like.
pub(crate) struct Wheel<'a> {
    /// The project's name in the filename, which is also that of its one module.
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    /// The name in its METADATA; the same, unless a test wants another.
    pub(crate) metadata_name: &'a str,
    /// The module's text.
    pub(crate) module: &'a str,
    /// What it needs.
    pub(crate) requires: &'a [&'a str],
    /// For which machines it is.
    pub(crate) tag: &'a str,
}

impl<'a> Wheel<'a> {
    pub(crate) fn new(name: &'a str, version: &'a str) -> Self {
        let (metadata_name, module, requires, tag) = (name, "", &[][..], "py3-none-any");
        Self { name, version, metadata_name, module, requires, tag }
    }
}

/// Makes wheels in a folder, and gives their paths.
pub(crate) fn make_wheels(folder: &Path, wheels: &[Wheel<'_>]) -> Vec<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/data/make_wheels.py");
    let words = wheels.iter().flat_map(|w| {
        let words = [w.name, w.version, w.metadata_name, w.module, &w.requires.join(","), w.tag];
        words.map(ToOwned::to_owned)
    });
    let made = CleanCommand::new(peers::python()).arg(script).arg(folder).args(words);
    let made = made.run().success().stdout;
    made.lines().map(PathBuf::from).collect()
}
