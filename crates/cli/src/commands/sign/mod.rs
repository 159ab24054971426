mod add;
mod combine;
mod pin;
mod show;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use etcetera::base_strategy::{BaseStrategy as _, choose_base_strategy};
use waxseal_repository::ceremony::review::{Review, ReviewError, RootFile};

use crate::ceremony::bundle::read_bounded;
use crate::failure::{Exit, Failure};

/// Show, sign and put together new roots, as a holder of a root key, anywhere and in any order.
///
/// `waxseal sign --key URI FILE...` shows what would change against the root that you trust, asks, and adds
/// your signature.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Sign {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    add: add::Add,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Show(show::Show),
    Combine(combine::Combine),
    Pin(pin::Pin),
}

impl Sign {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Some(Command::Show(show)) => show.run(),
            Some(Command::Combine(combine)) => combine.run(),
            Some(Command::Pin(pin)) => pin.run(),
            None => self.add.run(),
        }
    }
}

/// The root that the signer trusts.
#[derive(Debug, clap::Args)]
struct TrustedRoot {
    /// The root that you trust [default: the one that `waxseal sign pin` keeps for this user]
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
}

impl TrustedRoot {
    /// Where it is.
    fn path(&self) -> anyhow::Result<PathBuf> {
        if let Some(path) = &self.root {
            return Ok(path.clone());
        }
        let base = choose_base_strategy()
            .context("this user has no home folder: name the root that you trust with --root")?;
        Ok(base.data_dir().join("waxseal").join("signer").join("root.json"))
    }

    /// Its bytes; `None` where there is none, and none was named.
    fn read(&self) -> anyhow::Result<Option<Vec<u8>>> {
        let path = self.path()?;
        match read_bounded(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && self.root.is_none() => {
                Ok(None)
            }
            Err(error) => {
                Err(error).with_context(|| format!("cannot read the root {}", path.display()))
            }
        }
    }
}

/// Later roots came, and there is nothing to compare them with.
fn nothing_trusted() -> anyhow::Error {
    Failure::new(
        Exit::Usage,
        "there is no root that you trust, so that nothing can be compared with it",
        "name the last published root with --root, or keep it with `waxseal sign pin`",
    )
    .into()
}

/// Root files, by the names they were given with.
struct Files(Vec<(PathBuf, Vec<u8>)>);

impl Files {
    /// Reads files; of a folder, those in it that are roots.
    fn read(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let mut files = Vec::new();
        for path in paths {
            if path.is_dir() {
                let mut inside = roots_in(path)
                    .with_context(|| format!("cannot look into {}", path.display()))?;
                inside.sort();
                anyhow::ensure!(
                    !inside.is_empty(),
                    "there is no N.root.json in {}",
                    path.display()
                );
                for path in inside {
                    files.push((path.clone(), read(&path)?));
                }
            } else {
                files.push((path.clone(), read(path)?));
            }
        }
        Ok(Self(files))
    }

    /// Against the root that is trusted. Where there is none, only the first root of an index can be shown.
    fn review(&self, trusted: Option<&[u8]>) -> anyhow::Result<Review> {
        self.with(|files| match Review::new(trusted, files) {
            Err(ReviewError::Gap { missing: 1 }) if trusted.is_none() => Err(nothing_trusted()),
            review => Ok(review?),
        })
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&[RootFile<'_>]) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let names: Vec<_> = self.0.iter().map(|(path, _)| path.display().to_string()).collect();
        let files: Vec<_> =
            names.iter().zip(&self.0).map(|(name, (_, bytes))| RootFile { name, bytes }).collect();
        work(&files)
    }

    /// The files that hold this version of root.
    fn of_version(&self, version: u64) -> Vec<&Path> {
        let holds = |bytes: &[u8]| {
            crate::ceremony::current::claims(bytes).is_ok_and(|root| root.version == version)
        };
        let files = self.0.iter().filter(|(_, bytes)| holds(bytes));
        files.map(|(path, _)| path.as_path()).collect()
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    read_bounded(path).with_context(|| format!("cannot read {}", path.display()))
}

fn roots_in(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut roots = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let version = name.strip_suffix(".root.json").and_then(|text| text.parse::<u64>().ok());
        if version.is_some() {
            roots.push(path);
        }
    }
    Ok(roots)
}

/// Writes a file in place of the one that is there, whole or not at all.
fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    use std::io::Write as _;

    let failed = || format!("cannot write {}", path.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().permissions(readable()).tempfile_in(folder);
    let file = file.as_mut().map_err(|error| anyhow::anyhow!("{}: {error}", failed()))?;
    file.write_all(bytes).with_context(failed)?;
    file.as_file().sync_all().with_context(failed)?;
    fs::rename(file.path(), path).with_context(failed)?;
    fs::File::open(folder).and_then(|folder| folder.sync_all()).with_context(failed)
}

fn readable() -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt as _;

    fs::Permissions::from_mode(0o644)
}
