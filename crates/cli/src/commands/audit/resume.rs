//! How far a deep audit is, in a file: the bins whose targets were all right.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use waxseal_repository::audit::Done;
use waxseal_repository::{Error, StoreError};
use waxseal_tuf::RoleName;
use waxseal_tuf::hash::Sha256;

use crate::failure::{Exit, Failure};

/// What the file begins with, before the URL or the folder.
const HEAD: &str = "waxseal audit repo --deep ";

/// A line for each bin: its role, and the SHA-256 of its file. One that was signed anew is looked at anew.
#[derive(Debug)]
pub(super) struct DoneBins {
    path: PathBuf,
    known: HashSet<(String, String)>,
    file: Mutex<File>,
}

impl DoneBins {
    /// What an audit of this index has left, or a new file.
    pub(super) fn open(path: &Path, place: &str) -> anyhow::Result<Self> {
        let failed = || format!("cannot use {}", path.display());
        let head = format!("{HEAD}{place}");
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read.with_context(failed)?,
        };
        // Before its first line was whole, nothing was done.
        let (first, rest) = text.split_once('\n').unwrap_or_default();
        if first != head && !head.starts_with(&text) {
            return Err(Failure::new(
                Exit::Usage,
                format!("{} is not of a deep audit of {place}", path.display()),
                "name the file of that audit, or one that is not there yet; nothing was changed",
            )
            .into());
        }
        let (whole, _torn) = rest.rsplit_once('\n').unwrap_or_default();
        let known = whole.lines().filter_map(|line| line.split_once(' '));
        let known = known.map(|(role, sha256)| (role.to_owned(), sha256.to_owned())).collect();
        let mut kept = format!("{head}\n");
        if !whole.is_empty() {
            kept.push_str(whole);
            kept.push('\n');
        }
        fs::write(path, kept).with_context(failed)?;
        let file = OpenOptions::new().append(true).open(path).with_context(failed)?;
        Ok(Self { path: path.to_owned(), known, file: Mutex::new(file) })
    }

    /// Removes the file: the audit came to its end, and the next one begins anew.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        let failed = || format!("cannot remove {}", self.path.display());
        fs::remove_file(&self.path).with_context(failed)
    }
}

impl Done for DoneBins {
    fn contains(&self, role: &RoleName, sha256: Sha256) -> bool {
        self.known.contains(&(role.to_string(), sha256.to_string()))
    }

    fn add(&self, role: &RoleName, sha256: Sha256) -> Result<(), Error> {
        let line = format!("{role} {sha256}\n");
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(line.as_bytes()).map_err(|source| {
            StoreError::Io { action: "write", path: self.path.clone(), source }.into()
        })
    }
}
