use std::collections::{BTreeMap, BTreeSet};

use waxseal_index::paths::{PROJECT_LIST_HTML, PROJECT_LIST_JSON};
use waxseal_index::{DistributionFilename, NormalizedName};
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::{TargetFile, TargetPath};

use super::good::{GoodTarget, LastKnownGood};
use super::hosted::Hosted;
use super::places::Places;
use super::plan::{Change, FilePlan, Good, Plan, State};
use super::{MOST_DIFFERENCES, RestoreError};
use crate::bin_file::Entries;
use crate::database::{BinRow, Entry, JournalRow, UploadEntry, project_of};
use crate::error::Error;
use crate::repository::Repository;

/// Journal entries are read in such numbers.
const ENTRIES: u64 = 1024;

/// A path at which the index has another target than the good snapshot.
pub(super) struct Difference {
    pub(super) now: Option<TargetFile>,
    pub(super) good: Option<TargetFile>,
}

/// What differs, by path.
pub(super) type Differences = BTreeMap<String, Difference>;

/// What was accepted and is not published yet.
#[derive(Default)]
pub(super) struct Waiting {
    /// What entries of another index make of a path, by bin.
    targets: BTreeMap<u32, BTreeMap<TargetPath, Option<TargetFile>>>,
    /// Files of projects of this index that come or go, by project and in the order of the journal.
    pub(super) projects: BTreeMap<String, Vec<WaitingFile>>,
}

/// A file that waits to come or to go.
pub(super) struct WaitingFile {
    pub(super) serial: u64,
    pub(super) filename: String,
    /// `None`: it is revoked.
    pub(super) upload: Option<UploadEntry>,
}

/// Compares the targets of an index, with what waits to be published, with those of a snapshot that is known
/// to be good. `progress` is told how many bins were compared, and of how many.
pub fn compare(
    repository: &Repository,
    (good, snapshot): (LastKnownGood<'_>, u64),
    places: Places<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Plan, RestoreError> {
    let compared = State::of(repository)?;
    let waiting = Waiting::read(repository)?;
    let (snapshot_sha256, mut targets) = good.open(snapshot)?;
    let mut found = Found { snapshot, count: 0, projects: BTreeMap::new() };
    let mut next = targets.next()?;
    let rows = repository.database().bins()?;
    for (number, row) in (0..).zip(&rows) {
        progress(number, rows.len() as u64);
        for (order, path, now) in targets_now(repository, row, &waiting)? {
            while let Some(gone) = next.take_if(|next| next.order.0 < order.0) {
                found.add(&gone.path, None, Some(gone.file))?;
                next = targets.next()?;
            }
            match next.take_if(|next| next.order == order) {
                Some(was) => {
                    if !is_same(&was, &now) {
                        found.add(path.as_str(), Some(now), Some(was.file))?;
                    }
                    next = targets.next()?;
                }
                None => found.add(path.as_str(), Some(now), None)?,
            }
        }
    }
    while let Some(gone) = next {
        found.add(&gone.path, None, Some(gone.file))?;
        next = targets.next()?;
    }
    let projects = found.by_project(repository, places, &waiting)?;
    if State::of(repository)? != compared {
        return Err(stale(&compared, &State::of(repository)?));
    }
    Ok(Plan { last_known_good: snapshot, snapshot_sha256, compared, projects })
}

pub(super) fn stale(planned: &State, now: &State) -> RestoreError {
    RestoreError::Stale {
        planned: planned.snapshot,
        planned_serial: planned.serial,
        now: now.snapshot,
        now_serial: now.serial,
    }
}

/// The targets of a bin with what waits, in the order of the hashes of their paths.
fn targets_now(
    repository: &Repository,
    row: &BinRow,
    waiting: &Waiting,
) -> Result<Vec<(Sha256, TargetPath, TargetFile)>, Error> {
    let mut targets = BTreeMap::new();
    if let Some(file) = repository.published_bin(row)? {
        let entries = Entries::of_file(&file);
        entries
            .and_then(|entries| entries.for_each(|path, file| _ = targets.insert(path, file)))
            .map_err(|_| repository.bin_not_ours(row))?;
        repository.forget_bin(row.number);
    }
    for (path, file) in waiting.targets.get(&row.number).into_iter().flatten() {
        match file {
            Some(file) => targets.insert(path.clone(), file.clone()),
            None => targets.remove(path),
        };
    }
    let ordered =
        |(path, file): (TargetPath, _)| (Sha256::of(path.as_str().as_bytes()), path, file);
    let mut targets: Vec<_> = targets.into_iter().map(ordered).collect();
    targets.sort_unstable_by_key(|(order, ..)| order.0);
    Ok(targets)
}

/// An archive has one digest of each target; metadata says more.
fn is_same(good: &GoodTarget, now: &TargetFile) -> bool {
    let digests: BTreeMap<_, _> = now.hashes.iter().collect();
    let mut both =
        good.file.hashes.iter().filter_map(|(algorithm, digest)| {
            digests.get(algorithm).map(|listed| *listed == digest)
        });
    let same = both.next() == Some(true) && both.all(|same| same);
    same && good.file.length == now.length && (!good.whole || good.file.custom == now.custom)
}

impl Waiting {
    pub(super) fn read(repository: &Repository) -> Result<Self, Error> {
        let database = repository.database();
        let mut this = Self::default();
        let mut serial = database.published_serial()?;
        loop {
            let rows = database.waiting(serial, ENTRIES)?;
            let Some(last) = rows.last() else { return Ok(this) };
            serial = last.serial;
            for row in rows {
                this.add(repository, row);
            }
        }
    }
}

impl Waiting {
    fn add(&mut self, repository: &Repository, row: JournalRow) {
        let mut file = |filename: String, upload| {
            let Ok(parsed) = filename.parse::<DistributionFilename>() else { return };
            let files = self.projects.entry(parsed.project().to_string()).or_default();
            files.push(WaitingFile { serial: row.serial, filename, upload });
        };
        match row.entry {
            Entry::Upload(upload) => file(upload.filename.clone(), Some(upload)),
            Entry::Revoke(entry) => entry.files.into_iter().for_each(|name| file(name, None)),
            Entry::Readmit(_) => {}
            Entry::Targets(entry) => {
                let add = entry.add.into_iter().map(|target| (target.path, Some(target.file)));
                for (path, file) in add.chain(entry.remove.into_iter().map(|path| (path, None))) {
                    let bin = self.targets.entry(repository.bins().bin_of(&path)).or_default();
                    bin.insert(path, file);
                }
            }
        }
    }
}

struct Found {
    snapshot: u64,
    count: u64,
    projects: BTreeMap<String, Differences>,
}

impl Found {
    fn add(
        &mut self,
        path: &str,
        now: Option<TargetFile>,
        good: Option<TargetFile>,
    ) -> Result<(), RestoreError> {
        self.count += 1;
        if self.count > MOST_DIFFERENCES {
            return Err(RestoreError::TooMany { snapshot: self.snapshot });
        }
        let project = project_of(path).unwrap_or_default().to_owned();
        let differences = self.projects.entry(project).or_default();
        differences.insert(path.to_owned(), Difference { now, good });
        Ok(())
    }

    fn by_project(
        mut self,
        repository: &Repository,
        places: Places<'_>,
        waiting: &Waiting,
    ) -> Result<Vec<super::ProjectPlan>, RestoreError> {
        let database = repository.database();
        if database.hosts_projects()?
            && let Some(of_none) = self.projects.get_mut("")
        {
            // The lists of projects follow from them.
            of_none.retain(|path, _| ![PROJECT_LIST_HTML, PROJECT_LIST_JSON].contains(&&**path));
        }
        let waiting_alone: BTreeSet<_> = waiting.projects.keys().cloned().collect();
        for project in waiting_alone {
            self.projects.entry(project).or_default();
        }
        let mut plans = BTreeMap::new();
        let mut without_page = Vec::new();
        for (project, differences) in self.projects {
            let name = NormalizedName::of(&project).ok().filter(|name| name.as_str() == project);
            let is_hosted =
                database.is_hosted(&project)? || waiting.projects.contains_key(&project);
            let files = match name.filter(|_| is_hosted) {
                None => differences.iter().map(|(path, found)| target(path, found)).collect(),
                Some(name) => {
                    let hosted = Hosted { repository, places, waiting, project: name };
                    match hosted.files(&differences)? {
                        Some(files) => files,
                        None => {
                            without_page.push(project);
                            continue;
                        }
                    }
                }
            };
            plans.insert(project, files);
        }
        if !without_page.is_empty() {
            let (snapshot, count) = (self.snapshot, without_page.len());
            without_page.truncate(10);
            return Err(RestoreError::NoPages { snapshot, count, names: without_page });
        }
        Ok(Plan::sorted(plans))
    }
}

/// The difference at a path of another index.
fn target(path: &str, found: &Difference) -> FilePlan {
    let good = found.good.as_ref();
    FilePlan {
        path: path.to_owned(),
        change: change_of(found.now.is_some(), good.is_some()),
        decide: None,
        note: None,
        now: found.now.as_ref().map(described),
        good: good.map(|file| Good::Target {
            target: String::from_utf8_lossy(&file.to_canonical()).into_owned(),
        }),
    }
}

pub(super) fn change_of(is_there: bool, was_there: bool) -> Change {
    match (is_there, was_there) {
        (true, false) => Change::Added,
        (false, _) => Change::Removed,
        (true, true) => Change::Changed,
    }
}

/// A digest of a target, for people.
pub(super) fn described(file: &TargetFile) -> String {
    let mut digests = file.hashes.iter();
    digests.next().map_or_else(String::new, |(name, digest)| format!("{name}:{digest}"))
}
