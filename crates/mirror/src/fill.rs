//! Fetches the targets that a role lists and the one before it did not, and notes what is listed no more.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use waxseal_client::{IndexUrl, Located, Settings, files_on_page};
use waxseal_tuf::hash::Hashes;
use waxseal_tuf::metadata::Targets;
use waxseal_tuf::{RoleName, TargetFile, TargetPath};

use crate::durable::{Folders, length_of, read_if_there};
use crate::error::Error;
use crate::filter::Filter;
use crate::folder::{Folder, Plain, linked_name, target_name};
use crate::retire::{Recorder, Retired};
use crate::run::{Counters, add};
use crate::upstream::Upstream;
use crate::view::Shown;
use crate::walk::{Changed, Staged, Which, claims};

/// What the folder is filled with, and what is there.
pub(crate) struct Fill<'a> {
    pub(crate) folder: &'a Folder,
    pub(crate) folders: &'a Folders,
    pub(crate) upstream: &'a dyn Upstream,
    pub(crate) index: &'a IndexUrl,
    pub(crate) settings: &'a Settings,
    pub(crate) filter: &'a Filter,
    /// The snapshot that is published, and what of it is in the folder.
    pub(crate) old: Option<(&'a Shown, &'a Filter)>,
    pub(crate) staged: &'a Staged,
    /// Whether what is there is hashed.
    pub(crate) check_all: bool,
    pub(crate) counters: &'a Counters,
    pub(crate) recorder: &'a Recorder,
    pub(crate) progress: &'a (dyn Fn() + Sync),
}

/// What a role listed before.
pub(crate) struct Before {
    /// As it is published, without what a filter left out.
    pub(crate) old: BTreeMap<String, TargetFile>,
    /// As interrupted runs have staged it.
    pub(crate) left: Vec<Targets>,
}

impl Fill<'_> {
    /// What a role listed that has this version now, or is gone.
    pub(crate) fn before(&self, role: &RoleName, version: Option<u64>) -> Result<Before, Error> {
        let mut old = BTreeMap::new();
        if let Some((shown, filter)) = self.old
            && let Some(listed) = shown.snapshot.roles.get(role)
            && let Some(claims) = claims(self.folder, role, listed.version, Which::Published)?
        {
            old = claims.targets;
            old.retain(|path, _| {
                TargetPath::new(path.as_str()).is_ok_and(|path| filter.takes(&path))
            });
        }
        let left = self.staged.others(role, version).into_iter();
        let left = left
            .filter_map(|version| claims(self.folder, role, version, Which::Newest).transpose());
        Ok(Before { old, left: left.collect::<Result<_, _>>()? })
    }

    /// The targets of a role that are to be here.
    pub(crate) fn wanted<'t>(
        &self,
        role: &Changed,
        targets: &'t Targets,
    ) -> impl Iterator<Item = (TargetPath, &'t TargetFile)> {
        targets.targets.iter().filter_map(|(path, file)| {
            // A path that is none, or that no search finds here, no client can ask for.
            let path = TargetPath::new(path.as_str()).ok()?;
            (self.filter.takes(&path) && role.is_searched_for(&path)).then_some((path, file))
        })
    }

    /// Fetches what a role lists and is not here.
    pub(crate) fn role(&self, role: &Changed, targets: &Targets) -> Result<(), Error> {
        let before = self.before(&role.role, Some(role.version))?;
        let mut wanted = BTreeMap::new();
        for (path, file) in self.wanted(role, targets) {
            let old = before.old.get(path.as_str());
            if old != Some(file) || self.check_all {
                self.target(&path, file, old)?;
            }
            self.count(file, true);
            wanted.insert(path, file);
        }
        self.retire(&role.role, Some(role.version), &before, &wanted)
    }

    /// A role that is gone.
    pub(crate) fn vanished(&self, role: &RoleName) -> Result<(), Error> {
        let before = self.before(role, None)?;
        self.retire(role, None, &before, &BTreeMap::new())
    }

    fn count(&self, file: &TargetFile, more: bool) {
        use std::sync::atomic::Ordering::Relaxed;
        let sign = if more { 1 } else { -1 };
        let length = i64::try_from(file.length).unwrap_or(i64::MAX);
        self.counters.targets_more.fetch_add(sign, Relaxed);
        self.counters.bytes_more.fetch_add(sign * length, Relaxed);
    }

    /// Notes what a role listed and does not any more.
    fn retire(
        &self,
        role: &RoleName,
        version: Option<u64>,
        before: &Before,
        wanted: &BTreeMap<TargetPath, &TargetFile>,
    ) -> Result<(), Error> {
        let published = self.old.and_then(|(shown, _)| shown.snapshot.roles.get(role));
        let versions = published.map(|listed| listed.version).into_iter();
        for old in versions.chain(self.staged.others(role, version)) {
            if Some(old) != version {
                self.recorder.add(&Retired::Metadata { role: role.to_string(), version: old })?;
            }
        }
        for file in before.old.values() {
            self.count(file, false);
        }
        let left = before.left.iter().flat_map(|targets| &targets.targets);
        for (text, file) in before.old.iter().chain(left) {
            let Ok(path) = TargetPath::new(text.as_str()) else { continue };
            let now = wanted.get(&path).copied();
            if now == Some(file) {
                continue;
            }
            let kept: Vec<_> = now.iter().flat_map(|now| now.hashes.known()).collect();
            for digest in file.hashes.known().filter(|digest| !kept.contains(digest)) {
                let (path, digest) = (text.clone(), digest.to_string());
                self.recorder.add(&Retired::Target { path, digest })?;
            }
            if now.is_none() && matches!(Plain::of(&path), Some(Plain::File(_))) {
                self.recorder.add(&Retired::File { path: text.clone() })?;
            }
            let linked_now = match now {
                Some(now) => self.linked(&path, now)?,
                None => BTreeMap::new(),
            };
            for name in self.linked(&path, file)?.into_keys() {
                if !linked_now.contains_key(&name) {
                    self.recorder.add(&Retired::Linked { page: text.clone(), name })?;
                }
            }
        }
        Ok(())
    }

    /// Sees to it that a target is in the folder under its names.
    fn target(
        &self,
        path: &TargetPath,
        file: &TargetFile,
        old: Option<&TargetFile>,
    ) -> Result<(), Error> {
        let mut digests = file.hashes.known();
        let Some(first) = digests.next() else {
            // Nobody can verify it, and no client takes it.
            add(&self.counters.elsewhere, 1);
            return Ok(());
        };
        let main = self.folder.path(&target_name(path, &first.to_string()));
        let located = Located::target(path, file);
        let is_there = length_of(&main) == Some(file.length)
            && (!self.check_all || is_right(&main, &file.hashes));
        if !is_there {
            self.fetch(&located, &main)?;
        }
        for digest in digests {
            self.folders.link(&main, &self.folder.path(&target_name(path, &digest.to_string())))?;
        }
        // One that is there has other bytes, and is replaced together with the pages.
        if let Some(Plain::File(name)) = Plain::of(path) {
            let plain = self.folder.path(&name);
            if length_of(&plain).is_none() {
                self.folders.link(&main, &plain)?;
            }
        }
        if located.vouches_for_files() {
            let old = old.map(|old| self.linked(path, old)).transpose()?.unwrap_or_default();
            self.listed(&located, &main, &old)?;
        }
        Ok(())
    }

    /// Sees to it that the files that a page vouches for are in the folder, where they are below the index.
    fn listed(
        &self,
        page: &Located,
        path: &Path,
        old: &BTreeMap<String, Located>,
    ) -> Result<(), Error> {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        // A page that was signed and is none is copied as it is: nobody gets a file by it.
        let files =
            files_on_page(self.index, page, &bytes, self.settings).unwrap_or_else(|error| {
                tracing::warn!("{error}");
                add(&self.counters.elsewhere, 1);
                Vec::new()
            });
        for file in files {
            let Some(name) = file.below_index().and_then(linked_name) else {
                add(&self.counters.elsewhere, 1);
                continue;
            };
            let path = self.folder.path(&name);
            let was_listed = old.get(&name).is_some_and(|old| old.hashes() == file.hashes());
            let is_there = length_of(&path).is_some_and(|there| {
                file.length().is_none_or(|length| length == there)
                    && ((was_listed && !self.check_all) || is_right(&path, file.hashes()))
            });
            if !is_there {
                self.fetch(&file, &path)?;
            }
        }
        Ok(())
    }

    /// The names below the folder of what a page that is in it vouches for.
    fn linked(
        &self,
        path: &TargetPath,
        file: &TargetFile,
    ) -> Result<BTreeMap<String, Located>, Error> {
        linked_by(self.folder, self.index, self.settings, path, file)
    }

    fn fetch(&self, file: &Located, path: &Path) -> Result<(), Error> {
        let temporary = self.folders.temporary();
        let tell = |bytes| {
            add(&self.counters.bytes, bytes);
            (self.progress)();
        };
        self.upstream.save(file, &temporary, &tell)?;
        self.folders.place(&temporary, path)?;
        add(&self.counters.files, 1);
        (self.progress)();
        Ok(())
    }
}

/// The names below the folder of what a page that is in it vouches for.
pub(crate) fn linked_by(
    folder: &Folder,
    index: &IndexUrl,
    settings: &Settings,
    path: &TargetPath,
    file: &TargetFile,
) -> Result<BTreeMap<String, Located>, Error> {
    let page = Located::target(path, file);
    let digest = file.hashes.known().next().filter(|_| page.vouches_for_files());
    let Some(digest) = digest else { return Ok(BTreeMap::new()) };
    let there = read_if_there(&folder.path(&target_name(path, &digest.to_string())))?;
    let Some(bytes) = there else { return Ok(BTreeMap::new()) };
    let files = files_on_page(index, &page, &bytes, settings).unwrap_or_default().into_iter();
    Ok(files.filter_map(|file| Some((linked_name(file.below_index()?)?, file))).collect())
}

/// Whether a file has the bytes that its digests say.
pub(crate) fn is_right(path: &Path, hashes: &Hashes) -> bool {
    let (Ok(mut file), Some(mut checker)) = (File::open(path), hashes.checker()) else {
        return false;
    };
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return checker.finish().is_ok(),
            Ok(read) => checker.update(&buffer[..read]),
            Err(_) => return false,
        }
    }
}
