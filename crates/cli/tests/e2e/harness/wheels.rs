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
}

impl<'a> Wheel<'a> {
    pub(crate) fn new(name: &'a str, version: &'a str) -> Self {
        Self { name, version, metadata_name: name, module: "" }
    }
}

/// Makes wheels in a folder, and gives their paths.
pub(crate) fn make_wheels(folder: &Path, wheels: &[Wheel<'_>]) -> Vec<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/data/make_wheels.py");
    let words = wheels.iter().flat_map(|w| [w.name, w.version, w.metadata_name, w.module]);
    let made = CleanCommand::new(peers::python()).arg(script).arg(folder).args(words);
    let made = made.run().success().stdout;
    made.lines().map(PathBuf::from).collect()
}
