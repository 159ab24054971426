//! The programs of others that the tests run against, pinned: pip, uv, twine, python-tuf and bandersnatch;
//! poetry, pdm and pipx.
//!
//! Under `target/peers`: `venv`, the first five; `tools`, the others; `seed`, the pip that a test's own
//! virtual environment starts with; `packages`, what the tests upload. All are made again when what
//! they are made from changes.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command::{command, output, run};
use crate::{debian, paths};

/// Makes `target/peers` as the pins say; quick when it is so already.
pub(crate) fn install() -> Result<()> {
    debian::install()?;
    let peers = paths::peers();
    fs::create_dir_all(&peers).with_context(|| format!("cannot make {}", peers.display()))?;
    let lock = peers.join("lock");
    // Two runs at once would install into each other's folders. The lock ends with the process.
    let lock = File::create(&lock)
        .and_then(|file| file.lock().map(|()| file))
        .with_context(|| format!("cannot lock {}", lock.display()))?;

    let python = output(&mut command("python3", ["-c", "import sys; print(sys.version)"]))?;
    let pinned_peers = pins("peers.txt")?;
    let tools = pins("tools.txt")?;
    let packages = pins("packages.txt")?;
    make(&peers.join("venv"), &format!("{python}\n{pinned_peers}"), install_peers)?;
    make(&peers.join("tools"), &format!("{python}\n{tools}"), install_tools)?;
    make(&peers.join("seed"), &format!("{python}\n{pinned_peers}"), download_seed)?;
    make(&peers.join("packages"), &format!("{python}\n{packages}"), download_packages)?;
    drop(lock);
    Ok(())
}

/// Makes a folder anew unless its stamp, written last, says that it was made from the same.
fn make(folder: &Path, made_from: &str, fill: fn(&Path) -> Result<()>) -> Result<()> {
    let stamp = folder.with_extension("stamp");
    if fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == made_from) && folder.is_dir() {
        return Ok(());
    }
    // The stamp goes first and comes last: what was made half-way carries none.
    gone(fs::remove_file(&stamp), &stamp)?;
    gone(fs::remove_dir_all(folder), folder)?;
    eprintln!("Making {}", folder.display());
    fill(folder)?;
    fs::write(&stamp, made_from).with_context(|| format!("cannot write {}", stamp.display()))
}

fn gone(removed: io::Result<()>, path: &Path) -> Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn install_peers(venv: &Path) -> Result<()> {
    install_pins(venv, "peers.txt")
}

fn install_tools(venv: &Path) -> Result<()> {
    install_pins(venv, "tools.txt")
}

/// A virtual environment with nothing but the pins; the check fails when they miss a dependency.
fn install_pins(venv: &Path, file: &str) -> Result<()> {
    let mut make = command("python3", ["-m", "venv"]);
    run(make.arg(venv).env_remove("PYTHONHOME").env_remove("PYTHONPATH"))?;
    let mut install = pip_of(venv, "install");
    run(install.arg("--no-deps").arg("--requirement").arg(pin_file(file)))?;
    run(&mut pip_of(venv, "check"))
}

fn download_seed(folder: &Path) -> Result<()> {
    let mut download = pip("download");
    download.args(["--no-deps", "--only-binary", ":all:", "--dest"]).arg(folder);
    run(download.arg("--constraint").arg(pin_file("peers.txt")).arg("pip"))
}

fn download_packages(folder: &Path) -> Result<()> {
    let mut download = pip("download");
    run(download.arg("--dest").arg(folder).arg("--requirement").arg(pin_file("packages.txt")))
}

/// The peers' pip. It reaches the registry as the machine says, and takes files from nowhere else.
fn pip(verb: &str) -> Command {
    pip_of(&paths::peers().join("venv"), verb)
}

/// The pip of an environment, likewise.
fn pip_of(venv: &Path, verb: &str) -> Command {
    let python = venv.join("bin/python");
    let mut pip = command(python, ["-m", "pip", verb, "--quiet", "--disable-pip-version-check"]);
    for (name, _) in env::vars_os() {
        if takes_files_from_elsewhere(&name) {
            pip.env_remove(name);
        }
    }
    pip
}

/// Settings of pip and uv other than how to reach the registry: find-links, extra indexes, …
fn takes_files_from_elsewhere(variable: &OsStr) -> bool {
    const REACH: [&str; 10] = [
        "PIP_CACHE_DIR",
        "PIP_CERT",
        "PIP_CLIENT_CERT",
        "PIP_CONFIG_FILE",
        "PIP_DEFAULT_TIMEOUT",
        "PIP_INDEX_URL",
        "PIP_PROXY",
        "PIP_RETRIES",
        "PIP_TIMEOUT",
        "PIP_TRUSTED_HOST",
    ];
    let name = variable.to_string_lossy();
    let of_a_tool = ["PIP_", "UV_", "PYTHON"].iter().any(|prefix| name.starts_with(prefix));
    of_a_tool && !REACH.contains(&name.as_ref())
}

fn pins(file: &str) -> Result<String> {
    let file = pin_file(file);
    fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
}

fn pin_file(name: &str) -> std::path::PathBuf {
    paths::root().join("xtask").join(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn every_pin_is_exact() {
        for file in ["peers.txt", "tools.txt", "packages.txt"] {
            for line in pins(file).unwrap().lines() {
                let is_pin = !(line.is_empty() || line.starts_with('#') || line.starts_with("--"));
                assert!(!is_pin || line.contains("=="), "{file}: {line}");
            }
        }
    }

    #[test]
    fn pip_reaches_the_registry_and_takes_files_from_nowhere_else() {
        for kept in ["PIP_CERT", "PIP_INDEX_URL", "PATH", "SSL_CERT_FILE"] {
            assert!(!takes_files_from_elsewhere(OsStr::new(kept)), "{kept}");
        }
        for dropped in ["PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "UV_INDEX", "PYTHONPATH"] {
            assert!(takes_files_from_elsewhere(OsStr::new(dropped)), "{dropped}");
        }
    }

    #[test]
    fn a_folder_is_made_again_only_when_its_source_changes_or_making_it_failed() {
        let folder = env::temp_dir().join(format!("waxseal-xtask-{}", std::process::id()));
        let fill = |folder: &Path| Ok(fs::create_dir(folder)?);
        make(&folder, "one", fill).unwrap();
        fs::write(folder.join("kept"), "").unwrap();
        make(&folder, "one", fill).unwrap();
        assert!(folder.join("kept").exists());

        let half_way = |folder: &Path| {
            fs::create_dir(folder)?;
            anyhow::bail!("no network")
        };
        make(&folder, "two", half_way).unwrap_err();
        fs::write(folder.join("half"), "").unwrap();
        make(&folder, "one", fill).unwrap();
        assert!(!folder.join("half").exists());

        fs::remove_dir_all(&folder).unwrap();
        fs::remove_file(folder.with_extension("stamp")).unwrap();
    }
}
