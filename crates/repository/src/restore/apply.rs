use std::collections::BTreeMap;
use std::fmt::Display;

use waxseal_index::{DistributionFilename, paths};
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::{TargetFile, TargetPath};

use super::RestoreError;
use super::compare::{Waiting, stale};
use super::places::Places;
use super::plan::{Change, Decision, FilePlan, Good, GoodFile, Plan, ProjectPlan, State};
use crate::database::{AddTarget, CoreMetadata, Restoration, Revocable, TargetsEntry, UploadEntry};
use crate::error::Error;
use crate::repository::{Repository, target_path};
use crate::store::Store;

/// How many targets of another index one journal entry changes.
const TARGETS_AN_ENTRY: usize = 1000;

/// What a plan did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Restored {
    /// Files that are what they were again.
    pub restored: u64,
    /// Files that were added, and are gone.
    pub removed: u64,
    /// Files that stay as they are.
    pub kept: u64,
    /// The serial of its last journal entry; that of the one before where it changed nothing.
    pub serial: u64,
}

impl Repository {
    /// Whether a plan can be carried out, as far as that can be told without the bytes of files: what it does,
    /// where it was recorded before.
    pub fn check_restoration(&self, plan: &Plan) -> Result<Option<Restored>, RestoreError> {
        let restored = Restored::of(&plan.decided()?);
        if let Some(serial) = self.database().restoration(plan.id())? {
            return Ok(Some(Restored { serial, ..restored }));
        }
        let now = State::of(self)?;
        match now == plan.compared {
            true => Ok(None),
            false => Err(stale(&plan.compared, &now)),
        }
    }

    /// Records what is decided in a plan, once: the same plan again changes nothing. The snapshot process
    /// publishes it. `progress` is told how many files are at hand, and of how many.
    ///
    /// Nothing may be accepted meanwhile: the caller holds the writer's lock, and no server runs.
    pub fn restore(
        &self,
        plan: &Plan,
        copies: &[&dyn Store],
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Restored, RestoreError> {
        if let Some(restored) = self.check_restoration(plan)? {
            return Ok(restored);
        }
        let decided = plan.decided()?;
        let restored = Restored::of(&decided);
        // Objects that nothing names yet are not garbage meanwhile.
        let _hold = self.database().hold_objects()?;
        let mut made = Made {
            repository: self,
            places: Places { store: self.store(), copies },
            reason: format!("not in snapshot {}, the last known good one", plan.last_known_good),
            by: format!("waxseal restore, snapshot {}", plan.last_known_good),
            waiting: Waiting::read(self)?,
            parts: Vec::new(),
            revoked: Vec::new(),
            targets: BTreeMap::new(),
        };
        let mut done = 0;
        for (project, file, decision) in decided {
            if decision == Decision::Restore {
                made.file(&project.name, file)?;
                done += u64::from(file.change != Change::Added);
                progress(done, restored.restored);
            }
        }
        let serial = self.database().append_restoration(plan.id(), &made.finish())?;
        self.wake().wake();
        Ok(Restored { serial, ..restored })
    }
}

impl Restored {
    fn of(decided: &[(&ProjectPlan, &FilePlan, Decision)]) -> Self {
        let count = |is: &dyn Fn(Change, Decision) -> bool| {
            decided.iter().filter(|(_, file, decision)| is(file.change, *decision)).count() as u64
        };
        Self {
            restored: count(&|change, to| to == Decision::Restore && change != Change::Added),
            removed: count(&|change, to| to == Decision::Restore && change == Change::Added),
            kept: count(&|_, to| to == Decision::Keep),
            serial: 0,
        }
    }
}

impl FilePlan {
    fn malformed(&self, problem: impl Display) -> RestoreError {
        RestoreError::Malformed { path: self.path.clone(), problem: problem.to_string() }
    }
}

/// Journal entries on their way.
struct Made<'a> {
    repository: &'a Repository,
    places: Places<'a>,
    reason: String,
    by: String,
    waiting: Waiting,
    parts: Vec<Restoration>,
    revoked: Vec<Revocable>,
    /// Targets to add or to remove where no file of a project is behind them.
    targets: BTreeMap<TargetPath, Option<TargetFile>>,
}

impl Made<'_> {
    fn file(&mut self, project: &str, file: &FilePlan) -> Result<(), RestoreError> {
        let path = TargetPath::new(file.path.clone()).map_err(|error| file.malformed(error))?;
        match &file.good {
            Some(Good::File(good)) => {
                let upload = self.upload(project, file, good)?;
                self.parts.push(upload);
            }
            Some(Good::Target { target }) => {
                let target = TargetFile::from_json(target.as_bytes());
                let target = target.map_err(|error| file.malformed(error))?;
                self.targets.insert(path, Some(target));
            }
            Some(Good::Unknown { .. }) => {
                let problem = "what its page said of it is not known: make the plan again, with a mirror or a \
                               backup that has the page as one of the --copies"
                    .to_owned();
                return Err(RestoreError::Lost { path: file.path.clone(), problem });
            }
            None if file.change != Change::Added => self.make_pages_again(project)?,
            None => match self.hosted_file(project, &path)? {
                Some(filename) => self.revoked.push(Revocable::File {
                    identity: filename.identity(),
                    filename: filename.to_string(),
                }),
                None => {
                    // With the core metadata beside it, should that be there.
                    if path.as_str().starts_with("packages/") {
                        self.targets.insert(target_path(format!("{path}.metadata"))?, None);
                    }
                    self.targets.insert(path, None);
                }
            },
        }
        Ok(())
    }

    /// The file at this path, if it was uploaded here.
    fn hosted_file(
        &self,
        project: &str,
        path: &TargetPath,
    ) -> Result<Option<DistributionFilename>, Error> {
        let name = path.as_str().strip_prefix("packages/").and_then(|rest| rest.split_once('/'));
        let Some((_, name)) = name.filter(|(folder, _)| *folder == project) else {
            return Ok(None);
        };
        let waits = || {
            let mut files = self.waiting.projects.get(project).into_iter().flatten();
            files.any(|file| file.filename == name)
        };
        let is_there = self.repository.database().project_file(project, name)?.is_some() || waits();
        Ok(is_there.then(|| name.parse().ok()).flatten())
    }

    fn upload(
        &self,
        project: &str,
        file: &FilePlan,
        good: &GoodFile,
    ) -> Result<Restoration, RestoreError> {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        let filename: DistributionFilename = name.parse().map_err(|error| file.malformed(error))?;
        if paths::distribution(&filename) != file.path || filename.project().as_str() != project {
            return Err(file.malformed("its path is not that of a file of its project"));
        }
        let digest = |text: &str| text.parse::<Sha256>().map_err(|error| file.malformed(error));
        let sha256 = digest(&good.sha256)?;
        let size = self.places.bring(&target_path(paths::distribution(&filename))?, sha256)?;
        if size != good.size {
            return Err(
                file.malformed(format!("it has {} bytes, and {size} have its digest", good.size))
            );
        }
        let metadata = match &good.metadata_sha256 {
            None => None,
            Some(text) => {
                let sha256 = digest(text)?;
                let path = target_path(paths::core_metadata(&filename))?;
                Some(CoreMetadata { sha256, size: self.places.bring(&path, sha256)? })
            }
        };
        let entry = UploadEntry {
            project: project.to_owned(),
            display_name: self.display_name(project)?,
            version: filename.version().to_string(),
            filename: name.to_owned(),
            sha256,
            sha512: None,
            size,
            metadata,
            requires_python: good.requires_python.clone(),
            uploaded_by: self.by.clone(),
            upload_time: good.upload_time,
        };
        Ok(Restoration::Upload { entry: Box::new(entry), identity: filename.identity() })
    }

    /// A project's name as its newest upload spells it; no page says that.
    fn display_name(&self, project: &str) -> Result<String, Error> {
        let row = self.repository.database().project(project)?;
        Ok(row.map_or_else(|| project.to_owned(), |row| row.display_name))
    }

    /// Has a project's pages made again.
    fn make_pages_again(&mut self, project: &str) -> Result<(), RestoreError> {
        let rows = self.repository.database().project_files(project)?;
        let Some(row) = rows.into_iter().next() else { return Ok(()) };
        let filename: DistributionFilename = row.filename.parse().map_err(|error| {
            let name = row.filename.clone();
            Error::CatalogDamaged { name, problem: format!("{error}") }
        })?;
        let entry = UploadEntry {
            project: row.project,
            display_name: self.display_name(project)?,
            version: row.version,
            filename: row.filename,
            sha256: row.sha256,
            sha512: None,
            size: row.size,
            metadata: row.metadata,
            requires_python: row.requires_python,
            uploaded_by: self.by.clone(),
            upload_time: row.upload_time,
        };
        self.parts
            .push(Restoration::Upload { entry: Box::new(entry), identity: filename.identity() });
        Ok(())
    }

    fn finish(mut self) -> Vec<Restoration> {
        if !self.revoked.is_empty() {
            self.parts.push(Restoration::Revoke { files: self.revoked, reason: self.reason });
        }
        let targets: Vec<_> = self.targets.into_iter().collect();
        for part in targets.chunks(TARGETS_AN_ENTRY) {
            let (add, remove): (Vec<_>, Vec<_>) = part.iter().partition(|(_, file)| file.is_some());
            let add = add.into_iter().filter_map(|(path, file)| {
                Some(AddTarget { path: path.clone(), file: file.clone()? })
            });
            self.parts.push(Restoration::Targets(TargetsEntry {
                add: add.collect(),
                remove: remove.into_iter().map(|(path, _)| path.clone()).collect(),
                by: self.by.clone(),
            }));
        }
        self.parts
    }
}
