//! Updates as files, for networks that nothing else gets into: what a mirror writes of what changed.
//!
//! An update is a tar file: `manifest.json`, then metadata, then files, each under its name below the mirror's
//! folder. The manifest is for people and for early answers; what counts is what metadata says.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Read, Write};
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use waxseal_client::{IndexUrl, Settings};
use waxseal_tuf::{RoleName, TargetFile, TargetPath};

use crate::durable::sync_folder;
use crate::error::Error;
use crate::fill::linked_by;
use crate::filter::Filter;
use crate::folder::{self, metadata_name, target_name};
use crate::lookup::Lookup;
use crate::mirror::Mirror;
use crate::state::{Kept, State};
use crate::view::{self, ROOT, SNAPSHOT, Shown};
use crate::walk::{Which, claims};

/// The first entry of an update.
pub(crate) const MANIFEST: &str = "manifest.json";

/// What an update begins from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// What was exported last; nothing, the first time.
    LastExport,
    /// A snapshot that is kept here, by its version.
    Snapshot(u64),
    /// Nothing: everything is in the update.
    Nothing,
}

/// What an update says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of update files; 1.
    pub format: u32,
    /// The index that was mirrored.
    pub index: IndexUrl,
    /// The snapshot that who imports it must have, or a newer one; `None`: nothing.
    pub from: Option<u64>,
    /// The snapshot that it leads to.
    pub snapshot: u64,
    /// Version of its timestamp.
    pub timestamp: u64,
    /// Which projects are in it.
    pub filter: Filter,
    /// How many entries follow.
    pub entries: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// When it was written.
    pub written: Timestamp,
}

/// An update that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// The snapshot that it begins from; `None`: it holds everything.
    pub from: Option<u64>,
    /// The snapshot that it leads to.
    pub snapshot: u64,
    /// Files in it, metadata among them.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Mirror {
    /// Writes what changed since `base` to a new file, which appears whole or not at all.
    pub fn export(&self, output: &Path, base: Base, now: Timestamp) -> Result<Exported, Error> {
        let no_mirror = || Error::NoMirror { path: self.folder.base().to_owned() };
        if !self.folder.private("").is_dir() {
            return Err(no_mirror());
        }
        let work = self.lock()?;
        let mut state = State::load(&self.folder)?.ok_or_else(no_mirror)?;
        let shown = Shown::read(&self.folder)?.ok_or_else(no_mirror)?;
        let published = state.published().cloned().ok_or_else(no_mirror)?;
        let base = self.base(&state, base)?;
        let list = work.folders.temporary();
        let (entries, bytes) = self.list(&list, &state.index, &shown, &published, base.as_ref())?;
        let manifest = Manifest {
            format: 1,
            index: state.index.clone(),
            from: base.as_ref().map(|kept| kept.snapshot),
            snapshot: published.snapshot,
            timestamp: shown.timestamp,
            filter: published.filter.clone(),
            entries,
            bytes,
            written: now,
        };
        self.pack(output, &manifest, &list)?;
        state.exported = Some(published.clone());
        state.save(&self.folder, &work.folders)?;
        let Manifest { from, snapshot, .. } = manifest;
        Ok(Exported { from, snapshot, entries, bytes })
    }

    fn base(&self, state: &State, base: Base) -> Result<Option<Kept>, Error> {
        let asked = match base {
            Base::Nothing => return Ok(None),
            Base::LastExport => match &state.exported {
                // Its metadata is kept for this; where it is lost, everything is new.
                Some(last) if view::snapshot(&self.folder, last.snapshot)?.is_none() => {
                    return Ok(None);
                }
                last => return Ok(last.clone()),
            },
            Base::Snapshot(asked) => asked,
        };
        let all = state.kept.iter().chain(&state.exported);
        let found = all.clone().rev().find(|kept| kept.snapshot == asked).cloned();
        let not_kept = || {
            let mut kept_here: Vec<_> = all.map(|kept| kept.snapshot).collect();
            kept_here.sort_unstable();
            kept_here.dedup();
            Error::NotKept { snapshot: asked, kept_here }
        };
        found.map(Some).ok_or_else(not_kept)
    }

    /// Writes the names of what belongs into an update to a file, a line for each; how many there are, and how
    /// many bytes they have.
    fn list(
        &self,
        list: &Path,
        index: &IndexUrl,
        shown: &Shown,
        published: &Kept,
        base: Option<&Kept>,
    ) -> Result<(u64, u64), Error> {
        let output = File::create(list).map_err(Error::io("write", list))?;
        let mut lines =
            Lines { mirror: self, list, output: BufWriter::new(output), entries: 0, bytes: 0 };
        for version in 1.. {
            let name = metadata_name(version, &ROOT);
            // After a root was replaced by hand those before it may be missing.
            let is_there = self.folder.path(&name).is_file();
            if !is_there
                && version > 1
                && !self.folder.path(&metadata_name(version + 1, &ROOT)).is_file()
            {
                break;
            }
            if is_there {
                lines.add(&name)?;
            }
        }
        lines.add(folder::TIMESTAMP)?;
        lines.add(&metadata_name(shown.snapshot.version, &SNAPSHOT))?;
        let old = match base {
            Some(base) => {
                view::snapshot(&self.folder, base.snapshot)?.map(|old| (old, &base.filter))
            }
            None => None,
        };
        let other_filter = base.is_none_or(|base| base.filter != published.filter);
        let version_before = |role: &RoleName| {
            let listed = old.as_ref().and_then(|(snapshot, _)| snapshot.roles.get(role));
            listed.map(|listed| listed.version)
        };
        let changed = |role: &RoleName, version: u64| {
            let is_top = *role == RoleName::targets();
            is_top || other_filter || version_before(role) != Some(version)
        };
        // Metadata first: who imports it verifies it before anything else.
        for (role, listed) in shown.snapshot.roles.iter() {
            if changed(role, listed.version) {
                lines.add(&metadata_name(listed.version, role))?;
            }
        }
        let mut lookup = Lookup::new(&self.folder, shown.snapshot.clone(), Which::Published);
        for (role, listed) in shown.snapshot.roles.iter() {
            if !changed(role, listed.version) {
                continue;
            }
            let Some(new) = claims(&self.folder, role, listed.version, Which::Published)? else {
                continue;
            };
            let before = match version_before(role) {
                Some(version) => claims(&self.folder, role, version, Which::Published)?,
                None => None,
            };
            for (path, file) in &new.targets {
                let Ok(path) = TargetPath::new(path.as_str()) else { continue };
                let old = before.as_ref().and_then(|before| before.targets.get(path.as_str()));
                let old = old.filter(|_| base.is_some_and(|base| base.filter.takes(&path)));
                // What no search leads to is not here.
                if published.filter.takes(&path)
                    && old != Some(file)
                    && lookup.find(&path)?.as_ref() == Some(file)
                {
                    lines.add_target(index, &path, file, old)?;
                }
            }
        }
        lines.finish()
    }

    fn pack(&self, output: &Path, manifest: &Manifest, list: &Path) -> Result<(), Error> {
        let failed = || Error::io("write", output);
        let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let name = output.file_name().unwrap_or_default().to_string_lossy();
        let aside = parent.join(format!(".{name}.new"));
        let file = File::create(&aside).map_err(failed())?;
        let packed = (|| {
            let mut tar = tar::Builder::new(BufWriter::with_capacity(1 << 20, file));
            let bytes = serde_json::to_vec_pretty(manifest).unwrap_or_default();
            append(&mut tar, MANIFEST, bytes.len() as u64, &bytes[..])?;
            for name in BufReader::new(File::open(list)?).lines() {
                let name = name?;
                let file = File::open(self.folder.path(&name))?;
                let length = file.metadata()?.len();
                append(&mut tar, &name, length, file.take(length))?;
            }
            let mut written = tar.into_inner()?;
            written.flush()?;
            written.get_ref().sync_all()?;
            // A name that is taken stays what it is.
            std::fs::hard_link(&aside, output)
        })();
        let _ = std::fs::remove_file(&aside);
        packed.map_err(failed())?;
        sync_folder(parent)
    }
}

fn append(
    tar: &mut tar::Builder<impl Write>,
    name: &str,
    length: u64,
    bytes: impl Read,
) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(length);
    header.set_mode(0o644);
    header.set_entry_type(tar::EntryType::Regular);
    tar.append_data(&mut header, name, bytes)
}

/// The names that go into an update.
struct Lines<'a> {
    mirror: &'a Mirror,
    list: &'a Path,
    output: BufWriter<File>,
    entries: u64,
    bytes: u64,
}

impl Lines<'_> {
    fn add(&mut self, name: &str) -> Result<(), Error> {
        let path = self.mirror.folder.path(name);
        let is = std::fs::metadata(&path).map_err(Error::io("read", &path))?;
        self.entries += 1;
        self.bytes += is.len();
        writeln!(self.output, "{name}").map_err(Error::io("write", self.list))
    }

    /// One name of each target: who imports it gives it the others.
    fn add_target(
        &mut self,
        index: &IndexUrl,
        path: &TargetPath,
        file: &TargetFile,
        old: Option<&TargetFile>,
    ) -> Result<(), Error> {
        let Some(digest) = file.hashes.known().next() else { return Ok(()) };
        let was_there = old.is_some_and(|old| old.hashes.known().any(|known| known == digest));
        if !was_there {
            self.add(&target_name(path, &digest.to_string()))?;
        }
        let settings = Settings::default();
        let folder = &self.mirror.folder;
        let before = match old {
            Some(old) => linked_by(folder, index, &settings, path, old)?,
            None => std::collections::BTreeMap::new(),
        };
        for (name, located) in linked_by(folder, index, &settings, path, file)? {
            if before.get(&name).is_none_or(|before| before.hashes() != located.hashes()) {
                self.add(&name)?;
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(u64, u64), Error> {
        self.output.flush().map_err(Error::io("write", self.list))?;
        Ok((self.entries, self.bytes))
    }
}
