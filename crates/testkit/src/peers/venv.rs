//! Virtual environments for tests to install into.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::clean::CleanCommand;

/// A virtual environment with nothing but pip in it.
#[derive(Debug)]
pub struct Venv {
    root: PathBuf,
}

/// Makes a virtual environment at `root`, with the pinned pip.
///
/// # Panics
/// If a peer is missing, or the environment cannot be made.
pub fn venv(root: &Path) -> Venv {
    // ensurepip takes 2 s and brings an older pip; uv installs the pinned one in 50 ms.
    CleanCommand::new(super::python())
        .args(["-m", "venv", "--without-pip"])
        .arg(root)
        .run()
        .success();
    let seed = super::present("seed");
    let python = root.join("bin/python");
    let from_seed = ["--offline", "--no-index", "--no-cache", "--link-mode", "copy"];
    let mut install = CleanCommand::new(super::uv()).args(["pip", "install"]).args(from_seed);
    install = install.arg("--find-links").arg(seed).arg("--python").arg(python).arg("pip");
    install.run().success();
    Venv { root: root.to_owned() }
}

impl Venv {
    /// The environment's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The environment's Python.
    pub fn python(&self) -> PathBuf {
        self.root.join("bin/python")
    }

    /// The environment's own pip.
    pub fn pip(&self) -> PathBuf {
        self.root.join("bin/pip")
    }

    /// A program, started as in a shell where the environment is activated.
    ///
    /// # Panics
    /// If the environment's path holds a `:`.
    pub fn command(&self, program: impl AsRef<OsStr>) -> CleanCommand {
        let path = env::var_os("PATH").unwrap_or_default();
        let dirs = std::iter::once(self.root.join("bin")).chain(env::split_paths(&path));
        let path = env::join_paths(dirs).unwrap_or_else(|error| {
            panic!("{} does not fit into PATH: {error}", self.root.display())
        });
        CleanCommand::new(program).env("VIRTUAL_ENV", &self.root).env("PATH", path)
    }

    /// What is installed beside pip, as `name-version`, sorted.
    ///
    /// # Panics
    /// If the environment is broken.
    pub fn installed(&self) -> Vec<String> {
        let lib = super::files(&self.root.join("lib"));
        let site_packages = lib.iter().map(|python| python.join("site-packages"));
        let mut installed: Vec<String> = site_packages
            .flat_map(|folder| super::files(&folder))
            .filter_map(|path| {
                let name = path.file_name()?.to_str()?.strip_suffix(".dist-info")?;
                (!name.starts_with("pip-")).then(|| name.to_owned())
            })
            .collect();
        installed.sort();
        installed
    }
}
