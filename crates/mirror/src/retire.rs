//! What a snapshot was the last to name, and its removal once nobody can be in the middle of it.
//!
//! A list says no more than what may be removed: before it is, each snapshot that is kept is asked whether it
//! names it. So a list that an interrupted run has left, or that names too much, does no harm.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, BufWriter, ErrorKind, Write as _};
use std::path::PathBuf;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use waxseal_client::{IndexUrl, Settings};
use waxseal_index::NormalizedName;
use waxseal_index::paths::{project_html, project_json};
use waxseal_tuf::{RoleName, TargetFile, TargetPath};

use crate::durable::{Folders, sync_folder};
use crate::error::Error;
use crate::fill::linked_by;
use crate::filter::Filter;
use crate::folder::{Folder, metadata_name, target_name};
use crate::lookup::Lookup;
use crate::state::{Kept, State};
use crate::view;
use crate::walk::{Which, locked};

/// Something that a snapshot named, a line of its list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Retired {
    /// A role's metadata.
    Metadata { role: String, version: u64 },
    /// A target under one of its digests.
    Target { path: String, digest: String },
    /// A target under its own name.
    File { path: String },
    /// A file that a page vouches for, by its name below the folder.
    Linked { page: String, name: String },
}

impl Retired {
    /// Its name below the folder; none for what is none.
    fn name(&self) -> Option<String> {
        Some(match self {
            Self::Metadata { role, version } => metadata_name(*version, &RoleName::new(role).ok()?),
            Self::Target { path, digest } => target_name(&TargetPath::new(path).ok()?, digest),
            Self::File { path } => format!("files/{}", TargetPath::new(path).ok()?),
            Self::Linked { name, .. } => TargetPath::new(name).ok()?.to_string(),
        })
    }
}

/// Writes the list of a snapshot that is about to be superseded. It takes up what is on it already.
pub(crate) struct Recorder {
    path: PathBuf,
    aside: PathBuf,
    file: Mutex<BufWriter<File>>,
}

impl Recorder {
    pub(crate) fn begin(folder: &Folder, id: u64) -> Result<Self, Error> {
        let path = folder.retired(id);
        let aside = folder.private(&format!("retired/{id}.new"));
        let parent = folder.private("retired");
        fs::create_dir_all(&parent).map_err(Error::io("make", &parent))?;
        match fs::copy(&path, &aside) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                File::create(&aside).map_err(Error::io("write", &aside))?;
            }
            Err(error) => return Err(Error::io("copy", &path)(error)),
        }
        let file = OpenOptions::new().append(true).open(&aside);
        let file = Mutex::new(BufWriter::new(file.map_err(Error::io("write", &aside))?));
        Ok(Self { path, aside, file })
    }

    pub(crate) fn add(&self, retired: &Retired) -> Result<(), Error> {
        let line = serde_json::to_string(retired).unwrap_or_default();
        let written = writeln!(locked(&self.file), "{line}");
        written.map_err(Error::io("write", &self.aside))
    }

    /// Makes the list durable and valid.
    pub(crate) fn finish(self) -> Result<(), Error> {
        let mut file = locked(&self.file);
        let written = file.flush().and_then(|()| file.get_ref().sync_all());
        written.map_err(Error::io("write", &self.aside))?;
        fs::rename(&self.aside, &self.path).map_err(Error::io("write", &self.path))?;
        self.path.parent().map_or(Ok(()), sync_folder)
    }
}

/// Removes what the lists name of snapshots that are not kept any more. How many files went.
pub(crate) fn remove(folder: &Folder, folders: &Folders, state: &State) -> Result<u64, Error> {
    let lists = expired_lists(folder, state)?;
    let Some(published) = state.published().filter(|_| !lists.is_empty()) else { return Ok(0) };
    let published = published.id;
    let mut namers = Vec::new();
    for kept in &state.kept {
        // Of a snapshot that cannot be read nothing is known: then nothing is removed.
        let Some(namer) = Namer::of(folder, state, kept)? else { return Ok(0) };
        namers.push(namer);
    }
    let mut exported = match &state.exported {
        Some(kept) => Namer::of(folder, state, kept)?,
        None => None,
    };
    let carried = Recorder::begin(folder, published)?;
    let (mut removed, mut is_carried) = (0, false);
    for list in &lists {
        let file = File::open(list).map_err(Error::io("read", list))?;
        for line in BufReader::new(file).lines() {
            let line = line.map_err(Error::io("read", list))?;
            let Ok(retired) = serde_json::from_str::<Retired>(&line) else { continue };
            let Some(name) = retired.name() else { continue };
            let is_named = any_names(&mut namers, &retired)?;
            if namers.iter().any(|namer| namer.lookup.is_damaged()) {
                tracing::warn!(
                    "nothing is removed while metadata of the mirror cannot be read: run it with --verify"
                );
                return Ok(removed);
            }
            if is_named {
                continue;
            }
            // An export is compared with the metadata of the one before.
            if matches!(retired, Retired::Metadata { .. })
                && let Some(exported) = &mut exported
                && exported.names(&retired)?
            {
                carried.add(&retired)?;
                is_carried = true;
                continue;
            }
            removed += u64::from(folders.remove(&folder.path(&name))?);
        }
    }
    if is_carried {
        carried.finish()?;
    } else {
        fs::remove_file(&carried.aside).map_err(Error::io("remove", &carried.aside))?;
    }
    folders.sync()?;
    for list in lists {
        fs::remove_file(&list).map_err(Error::io("remove", &list))?;
    }
    Ok(removed)
}

/// The lists of snapshots that are not kept.
fn expired_lists(folder: &Folder, state: &State) -> Result<Vec<PathBuf>, Error> {
    let path = folder.private("retired");
    let entries = match fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("list", &path)(error)),
    };
    let mut lists = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::io("list", &path))?.path();
        if path.extension().is_some() {
            // Of a run that was interrupted: the next one makes it anew.
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
            continue;
        }
        let id = path.file_name().and_then(|name| name.to_str()?.parse::<u64>().ok());
        if id.is_some_and(|id| state.kept.iter().all(|kept| kept.id != id)) {
            lists.push(path);
        }
    }
    Ok(lists)
}

fn any_names(namers: &mut [Namer<'_>], retired: &Retired) -> Result<bool, Error> {
    // The newest first: it is the likeliest.
    for namer in namers.iter_mut().rev() {
        if namer.names(retired)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A snapshot that is kept, to be asked what it names.
struct Namer<'a> {
    folder: &'a Folder,
    index: &'a IndexUrl,
    filter: &'a Filter,
    lookup: Lookup<'a>,
}

impl<'a> Namer<'a> {
    fn of(folder: &'a Folder, state: &'a State, kept: &'a Kept) -> Result<Option<Self>, Error> {
        let Some(snapshot) = view::snapshot(folder, kept.snapshot)? else { return Ok(None) };
        let lookup = Lookup::new(folder, snapshot, Which::Published);
        Ok(Some(Self { folder, index: &state.index, filter: &kept.filter, lookup }))
    }

    fn names(&mut self, retired: &Retired) -> Result<bool, Error> {
        Ok(match retired {
            Retired::Metadata { role, version } if role == RoleName::SNAPSHOT => {
                self.lookup.snapshot() == *version
            }
            Retired::Metadata { role, version } => {
                let role = RoleName::new(role).ok();
                role.and_then(|role| self.lookup.version(&role)) == Some(*version)
            }
            Retired::Target { path, digest } => {
                let found = self.find(path)?;
                found.is_some_and(|(_, file)| {
                    file.hashes.known().any(|known| known.to_string() == *digest)
                })
            }
            Retired::File { path } => {
                self.find(path)?.is_some() || self.is_linked_by_its_project(path)?
            }
            Retired::Linked { page, name } => {
                let as_target = name.strip_prefix("files/").map(|path| self.find(path));
                self.links(page, name)? || as_target.transpose()?.flatten().is_some()
            }
        })
    }

    fn find(&mut self, path: &str) -> Result<Option<(TargetPath, TargetFile)>, Error> {
        let Ok(path) = TargetPath::new(path) else { return Ok(None) };
        match self.filter.takes(&path) {
            true => Ok(self.lookup.find(&path)?.map(|file| (path, file))),
            false => Ok(None),
        }
    }

    /// Whether a page vouches for what has this name below the folder.
    fn links(&mut self, page: &str, name: &str) -> Result<bool, Error> {
        let Some((path, file)) = self.find(page)? else { return Ok(false) };
        let settings = Settings::default();
        let linked = linked_by(self.folder, self.index, &settings, &path, &file)?;
        Ok(linked.contains_key(name))
    }

    /// Whether a page of the project that a file below `packages/` is of does so.
    fn is_linked_by_its_project(&mut self, path: &str) -> Result<bool, Error> {
        let project = path.strip_prefix("packages/").and_then(|path| path.split_once('/'));
        let Some((project, _)) = project else { return Ok(false) };
        let Ok(project) = NormalizedName::of(project) else { return Ok(false) };
        let name = format!("files/{path}");
        for page in [project_json(&project), project_html(&project)] {
            if self.links(&page, &name)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
