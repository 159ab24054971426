//! A person with a home, an active virtual environment, and waxseal.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use waxseal_testkit::peers::{self, CleanCommand, Venv, venv};

use super::index::Index;
use super::{WAXSEAL, tree};

/// Someone who installs packages, on a machine where nothing else is set up.
pub(crate) struct Person {
    folder: TempDir,
    pub(crate) venv: Venv,
}

/// A tool that installs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    Pip,
    Uv,
}

impl Tool {
    pub(crate) const BOTH: [Self; 2] = [Self::Pip, Self::Uv];
}

impl Person {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["home", "work"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let venv = venv(&folder.path().join("venv"));
        Self { folder, venv }
    }

    /// A person who trusts an index.
    pub(crate) fn trusting(index: &Index) -> Self {
        let person = Self::new();
        person.trust(index, &index.url);
        person
    }

    /// Trusts an index under a URL of it or of a mirror.
    pub(crate) fn trust(&self, index: &Index, url: &str) {
        self.waxseal(["trust", "add", url, "--fingerprint", &index.fingerprint]).run().success();
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// The folder in which the person works.
    pub(crate) fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// Any command.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> CleanCommand {
        let command = self.venv.command(program.as_ref());
        command.home(self.home()).current_dir(self.work()).env("COLUMNS", "300")
    }

    pub(crate) fn waxseal<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> CleanCommand {
        self.command(WAXSEAL).args(args)
    }

    /// `waxseal pip install …`, or the same with uv.
    pub(crate) fn install<'a>(
        &self,
        tool: Tool,
        args: impl IntoIterator<Item = &'a str>,
    ) -> CleanCommand {
        let command = match tool {
            Tool::Pip => self.waxseal(["pip", "install"]),
            Tool::Uv => self.waxseal(["run", "--"]).arg(peers::uv()).args(["pip", "install"]),
        };
        command.args(args)
    }

    /// Installs, with no verification between: what pip does of its own.
    pub(crate) fn plain_pip<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> CleanCommand {
        self.command(self.venv.pip()).env("PIP_CONFIG_FILE", "/dev/null").args(args)
    }

    /// Runs a line of Python in the environment.
    pub(crate) fn python(&self, code: &str) -> String {
        self.command(self.venv.python()).args(["-c", code]).run().success().stdout
    }

    /// What is trusted, byte for byte, without the files that are locks.
    pub(crate) fn trust_store(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = tree(&self.home().join(".local/share/waxseal/trust"));
        files.retain(|path, _| !path.ends_with("lock"));
        files
    }
}
