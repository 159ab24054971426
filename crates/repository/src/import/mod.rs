//! Import: takes over an index that exists, all of its targets in one snapshot.
//!
//! The file has a line of JSON for each target (`lines`). It is read once, checked whole, and sorted
//! by bin on disk (`partitions`), so that millions of targets need little memory. Nothing is written to
//! the store before the last line was read, and nothing is visible to clients before all of it is there.
//!
//! An import that was interrupted is begun again with the same file: what it had signed and written is
//! found, compared and kept.

mod lines;
mod partitions;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::Timestamp;
use waxseal_index::paths;
use waxseal_tuf::hash::Sha256;

use self::partitions::Partitions;
use crate::batch::{Changes, Contents, Visitor};
use crate::bin_file::{Change, Entries, NotOurs};
use crate::cores::on_all_cores;
use crate::database::{CatalogChange, Revocation};
use crate::error::Error;
use crate::plan::{Plan, Planner};
use crate::snapshot_process::{Published, SnapshotProcess};

/// How many problems of one kind an error names.
const SHOWN: usize = 10;

/// How an import is done.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// Whether a target that is published with other content gets the one of the file.
    pub replace: bool,
    /// A folder for about as many bytes as the file has, unpacked. They are gone afterwards, however it
    /// ends.
    pub scratch: PathBuf,
    /// About how many bytes of targets are kept in memory while the file is read.
    pub memory: usize,
}

impl ImportOptions {
    /// The usual options, with a scratch folder.
    pub fn new(scratch: impl Into<PathBuf>) -> Self {
        Self { replace: false, scratch: scratch.into(), memory: 384 << 20 }
    }
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportProgress {
    /// The file is read.
    Reading {
        /// Bytes of the file so far, packed as it is.
        bytes: u64,
        /// Bytes of the file.
        total: u64,
        /// Targets so far.
        targets: u64,
    },
    /// Bins are compared with what is published.
    Comparing {
        /// Bins so far.
        bins: usize,
        /// Bins that the file has targets in.
        total: usize,
    },
    /// Bins are signed and written.
    Signing {
        /// Bins so far.
        bins: usize,
        /// Bins to sign.
        total: usize,
    },
}

/// What an import did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// Targets in the file.
    pub targets: u64,
    /// Bins that were signed.
    pub bins: usize,
    /// Those among them that an interrupted import of the same file had written.
    pub resumed: usize,
    /// The snapshot; `None` when all of it was published before.
    pub published: Option<Published>,
}

/// An import that did not happen. What is published is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read, or not unpacked.
    #[error(
        "cannot read {}: {source}; nothing was published: {}", path.display(), mending(source.kind())
    )]
    File {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },

    /// The scratch folder cannot be used.
    #[error(
        "cannot use {} for the targets to be sorted: {source}; nothing was published: {}",
        path.display(), mending_scratch(source.kind())
    )]
    Scratch {
        /// The folder.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },

    /// A line is not a target.
    #[error("line {line}: {problem}; nothing was published: correct the file and import it again")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },

    /// Two lines say different things of one target.
    #[error(
        "{path} is in the file twice, with different content{}; nothing was published: keep the line \
         that is right and import again", in_lines(*lines)
    )]
    Twice {
        /// The target's path.
        path: String,
        /// The numbers of two such lines, where they are found again.
        lines: Option<(u64, u64)>,
    },

    /// A target belongs to a project whose files are uploaded to this index.
    #[error(
        "{path} belongs to a project whose files are uploaded to this index, and uploads alone change \
         it; nothing was published: take its lines out of the file"
    )]
    Hosted {
        /// The target's path.
        path: String,
    },

    /// Targets are published with other content.
    #[error(
        "{count} targets are published with other content, such as {}; nothing was published: import \
         with `--replace` if the file is right", paths.join(", ")
    )]
    Conflict {
        /// How many there are.
        count: u64,
        /// The first of them.
        paths: Vec<String>,
    },

    /// The repository failed.
    #[error(transparent)]
    Repository(#[from] Error),
}

impl SnapshotProcess {
    /// Publishes all targets of a file in one snapshot, at the time `now`; what waits in the journal is
    /// published before.
    pub fn import(
        &self,
        file: &Path,
        options: &ImportOptions,
        now: Timestamp,
        progress: &(dyn Fn(ImportProgress) + Sync),
    ) -> Result<Imported, ImportError> {
        let bins = self.repository().bins();
        let partitions = Partitions::new(bins, options)?;
        let algorithms = self.repository().hash_algorithms();
        let into = lines::Takes { bins, layout: self.layout(), algorithms };
        let source = lines::read(file, into, &partitions, progress)?;

        self.publish_before_import(source, now)?;
        let (changed, imported) =
            self.compare(&partitions, options, progress).map_err(|error| match error {
                ImportError::Twice { path, .. } => {
                    let lines = lines::different(file, &path, into);
                    ImportError::Twice { path, lines }
                }
                other => other,
            })?;
        // What the first snapshot of an index has in any case: every bin, and the project list.
        let state = self.read_state()?;
        let first = state.snapshot.expires.is_none();
        let unsigned =
            state.bins.iter().filter(|row| row.published.is_none()).map(|row| row.number);
        let planner = Planner {
            repository: self.repository(),
            layout: self.layout(),
            first,
            restores: false,
        };
        let plan = planner.plan(&[])?;
        let bins: BTreeSet<_> = changed.into_iter().chain(unsigned).chain(plan.bins()).collect();
        let targets = partitions.targets();
        if bins.is_empty() {
            return Ok(Imported { targets, bins: 0, resumed: 0, published: None });
        }
        let total = bins.len();
        let serial = self.repository().database().published_serial()?;
        let contents = Contents {
            after: serial,
            serial,
            objects: &plan.objects,
            links: &plan.links,
            catalog: &CatalogChange { imported, ..CatalogChange::default() },
            bins: bins.into_iter().collect(),
            changes: &WithPlan { partitions: &partitions, plan: &plan },
            offline: None,
        };
        let signing = |bins| progress(ImportProgress::Signing { bins, total });
        let (published, resumed) = self.publish_import(&contents, source, now, &signing)?;
        Ok(Imported { targets, bins: total, resumed, published: Some(published) })
    }

    /// The bins in which something changes, and the projects that have files and no page. Targets that
    /// are published as the file has them change nothing; others are conflicts.
    fn compare(
        &self,
        partitions: &Partitions,
        options: &ImportOptions,
        progress: &(dyn Fn(ImportProgress) + Sync),
    ) -> Result<(Vec<u32>, Vec<String>), ImportError> {
        let rows = self.read_state()?.bins;
        let named = partitions.bins();
        let total = named.len();
        let database = self.repository().database();
        let mut projects: HashSet<_> = database.project_names()?.into_iter().collect();
        // Of those that are revoked an import makes nothing either.
        projects.extend(database.revocations()?.iter().filter_map(Revocation::project));
        let done = AtomicUsize::new(0);
        let compare = |bins: &[u32]| -> Result<Comparison<'_>, Error> {
            let mut found = Comparison::new(&projects);
            for bin in bins {
                let done = done.fetch_add(1, Ordering::Relaxed);
                if done.is_multiple_of(256) {
                    progress(ImportProgress::Comparing { bins: done, total });
                }
                let row = &rows[*bin as usize];
                let file = self.repository().published_bin(row)?;
                let file = file.as_ref().map(|file| file.as_slice());
                let entries = file.map_or(Ok(Entries::default()), Entries::of_file);
                let entries = entries.map_err(|_| self.repository().bin_not_ours(row))?;
                let before = file.map_or(0, |file| file.len() as u64);
                partitions.visit(*bin, &mut |changes| {
                    let compared = found.compare(*bin, entries, changes);
                    let (more, less) = compared.map_err(|_| self.repository().bin_not_ours(row))?;
                    // Before anything is written: signing finds it in the midst of the bins.
                    let after = (before + more).saturating_sub(less);
                    self.repository().bins().check_length(*bin, before, after)
                })?;
            }
            Ok(found)
        };
        let mut found = Comparison::new(&projects);
        for part in on_all_cores(&named, compare) {
            found.add(part?);
        }
        if let Some(path) = found.twice {
            return Err(ImportError::Twice { path, lines: None });
        }
        if let Some(path) = found.hosted {
            return Err(ImportError::Hosted { path });
        }
        match found.conflicts == 0 || options.replace {
            true => {
                let without = found.with_files.difference(&found.with_page).cloned().collect();
                Ok((found.changed, without))
            }
            false => Err(ImportError::Conflict { count: found.conflicts, paths: found.shown }),
        }
    }
}

/// What differs between a file and what is published.
struct Comparison<'a> {
    /// The projects whose files are uploaded here.
    projects: &'a HashSet<String>,
    changed: Vec<u32>,
    /// Projects that the file has distribution files of.
    with_files: HashSet<String>,
    /// Projects that it has a page of, which stands against uploads as long as it is published.
    with_page: HashSet<String>,
    /// A path of one of `projects`.
    hosted: Option<String>,
    /// A path that has two contents in the file.
    twice: Option<String>,
    conflicts: u64,
    /// The first of them.
    shown: Vec<String>,
}

impl<'a> Comparison<'a> {
    fn new(projects: &'a HashSet<String>) -> Self {
        let (changed, shown) = (Vec::new(), Vec::new());
        let (with_files, with_page) = (HashSet::new(), HashSet::new());
        Self {
            projects,
            changed,
            with_files,
            with_page,
            hosted: None,
            twice: None,
            conflicts: 0,
            shown,
        }
    }

    /// What was found in the bins after these.
    fn add(&mut self, later: Self) {
        self.changed.extend(later.changed);
        self.with_files.extend(later.with_files);
        self.with_page.extend(later.with_page);
        self.hosted = self.hosted.take().or(later.hosted);
        self.twice = self.twice.take().or(later.twice);
        self.conflicts += later.conflicts;
        self.shown.extend(later.shown);
        self.shown.truncate(SHOWN);
    }

    /// Compares a bin with what the file has in it; by how many bytes of entries that makes it longer,
    /// and of how many it takes the place, both about.
    fn compare(
        &mut self,
        bin: u32,
        entries: Entries<'_>,
        changes: &[Change<'_>],
    ) -> Result<(u64, u64), NotOurs> {
        let twice = changes.windows(2).find(|pair| pair[0].path == pair[1].path);
        if let (None, Some(pair)) = (&self.twice, twice) {
            self.twice = Some(pair[0].path.to_owned());
        }
        for change in changes {
            self.remember_project(change.path);
        }
        let there = entries.find_each(changes.iter().map(|change| change.path))?;
        let differ = changes.iter().zip(there).filter(|(change, there)| change.file != *there);
        let (mut any, mut more, mut less) = (false, 0, 0);
        for (change, there) in differ {
            any = true;
            more += change.length() as u64;
            less += there.map_or(0, |there| (change.path.len() + there.len() + 4) as u64);
            if self.hosted.is_none() && self.is_hosted(change.path) {
                self.hosted = Some(change.path.to_owned());
            }
            if there.is_some() && !self.is_empty_list(change.path) {
                self.conflicts += 1;
                if self.shown.len() < SHOWN {
                    self.shown.push(change.path.to_owned());
                }
            }
        }
        if any {
            self.changed.push(bin);
        }
        Ok((more, less))
    }

    fn remember_project(&mut self, path: &str) {
        let folder = match paths::is_project_page(path) {
            true => path.strip_prefix("simple/").map(|rest| (rest, &mut self.with_page)),
            false => path.strip_prefix("packages/").map(|rest| (rest, &mut self.with_files)),
        };
        let Some((rest, projects)) = folder else { return };
        if let Some((project, _)) = rest.split_once('/')
            && !projects.contains(project)
        {
            projects.insert(project.to_owned());
        }
    }

    /// Whether uploads own this path.
    fn is_hosted(&self, path: &str) -> bool {
        if is_list(path) {
            return !self.projects.is_empty();
        }
        let rest = path.strip_prefix("packages/").or_else(|| path.strip_prefix("simple/"));
        let project = rest.and_then(|rest| rest.split_once('/')).map(|(project, _)| project);
        project.is_some_and(|project| self.projects.contains(project))
    }

    /// Whether this is the project list while there are no projects: what is published of it says so,
    /// and gives way.
    fn is_empty_list(&self, path: &str) -> bool {
        self.projects.is_empty() && is_list(path)
    }
}

fn is_list(path: &str) -> bool {
    matches!(path, paths::PROJECT_LIST_JSON | paths::PROJECT_LIST_HTML)
}

/// The targets of a file, and what a plan has beside them.
struct WithPlan<'a> {
    partitions: &'a Partitions,
    plan: &'a Plan,
}

impl Changes for WithPlan<'_> {
    fn length(&self, bin: u32) -> u64 {
        self.partitions.length(bin) + self.plan.length(bin)
    }

    fn visit(&self, bin: u32, visitor: Visitor<'_>) -> Result<(), Error> {
        self.plan.visit(bin, &mut |planned| {
            self.partitions.visit(bin, &mut |of_file| {
                if planned.is_empty() {
                    return visitor(of_file);
                }
                let both: BTreeMap<_, _> =
                    planned.iter().chain(of_file).map(|change| (change.path, *change)).collect();
                visitor(&both.into_values().collect::<Vec<_>>())
            })
        })
    }
}

/// What makes two import files one: the digest of their bytes.
pub(crate) type Source = Sha256;

/// What to do about a file that cannot be read.
fn mending(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::IsADirectory => {
            "give the path of a file that can be read"
        }
        io::ErrorKind::UnexpectedEof => "it is cut off: copy or pack it again, then import it",
        _ => "it may be damaged: copy or pack it again, then import it",
    }
}

/// What to do about a scratch folder that cannot be used.
fn mending_scratch(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "make room for about as many bytes as the file has, unpacked, and import again"
        }
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
            "see that you may write to it, and import again"
        }
        _ => "check the disk that it is on, and import again",
    }
}

/// `, in lines 3 and 7`, where that is known.
fn in_lines(lines: Option<(u64, u64)>) -> String {
    lines.map_or_else(String::new, |(first, second)| format!(", in lines {first} and {second}"))
}

fn file_error(path: &Path) -> impl Fn(io::Error) -> ImportError {
    let path = path.to_owned();
    move |source| ImportError::File { path: path.clone(), source }
}

fn open(path: &Path) -> Result<(File, u64), ImportError> {
    let file = File::open(path).map_err(file_error(path))?;
    let length = file.metadata().map_err(file_error(path))?.len();
    Ok((file, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_about_the_scratch_folder_goes_by_what_happened() {
        for (number, advice) in [(28, "make room for about"), (13, "may write"), (5, "the disk")] {
            let source = io::Error::from_raw_os_error(number);
            let error = ImportError::Scratch { path: "/data".into(), source }.to_string();
            assert!(error.contains(advice) && error.contains("/data"), "{error}");
        }
    }
}
