//! The update workflow of TUF section 5 as a state machine: it says what it needs, the caller moves
//! the bytes.
//!
//! ```text
//! let mut updater = Updater::new(&trusted_root, now, Limits::default())?;
//! loop {
//!     let answer = match updater.step() {
//!         Step::Load(role) => Answer::Loaded(trust_store.read(&role)?),
//!         Step::Fetch(file) => match http_get(&file.path, file.max_length)? {
//!             Some(bytes) => Answer::Fetched(bytes),
//!             None => Answer::NotFound,
//!         },
//!         Step::Store(role, bytes) => { trust_store.write(&role, &bytes)?; Answer::Stored }
//!         Step::Done => break,
//!     };
//!     updater = updater.answer(answer)?;
//! }
//! let mut trusted = updater.finish()?;
//! ```
//!
//! After that a [`Search`] finds one target, with the same steps. An error consumes the machine; what
//! was stored until then was verified, and the next update goes on from it.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp as Time;

use crate::chain::Chain;
use crate::error::Error;
use crate::limits::Limits;
use crate::metadata::{TargetFile, Targets};
use crate::names::{RoleName, TargetPath};
use crate::trusted::{Delegated, RootPhase, SnapshotPhase, TimestampPhase, TrustedMetadata};
use crate::verify::Verified;

/// What the workflow needs next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Read the role's metadata from the trust store; answer [`Answer::Loaded`].
    Load(RoleName),
    /// Fetch a metadata file; answer [`Answer::Fetched`] or [`Answer::NotFound`].
    Fetch(MetadataFile),
    /// Write the role's metadata to the trust store, durably, as it is; answer [`Answer::Stored`].
    Store(RoleName, Arc<[u8]>),
    /// Nothing: the result is there.
    Done,
}

/// A metadata file to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataFile {
    /// The role.
    pub role: RoleName,
    /// Path below the metadata URL, one segment, percent-encoded already.
    pub path: String,
    /// The most bytes to take.
    pub max_length: u64,
    /// How long it is, where metadata says so: for showing progress.
    pub length: Option<u64>,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// What the trust store has.
    Loaded(Option<Vec<u8>>),
    /// The file's bytes.
    Fetched(Vec<u8>),
    /// The repository has no such file.
    NotFound,
    /// Written.
    Stored,
}

/// Brings root, timestamp, snapshot and the top-level targets up to date.
#[derive(Debug)]
pub struct Updater {
    now: Time,
    limits: Limits,
    rotations: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    FetchRoot(RootPhase),
    StoreRoot(RootPhase),
    LoadTimestamp(TimestampPhase),
    FetchTimestamp(TimestampPhase),
    StoreTimestamp(SnapshotPhase),
    LoadSnapshot(SnapshotPhase),
    FetchSnapshot(SnapshotPhase),
    StoreSnapshot(TrustedMetadata),
    Targets(TrustedMetadata, Acquire),
    Done(TrustedMetadata),
}

impl Updater {
    /// Starts an update at the fixed time `now` (TUF 5.1) from a root that is trusted already
    /// (TUF 5.2).
    pub fn new(trusted_root: &[u8], now: Time, limits: Limits) -> Result<Self, Error> {
        let root = RootPhase::new(trusted_root, &limits)?;
        let state = after_root(root, now, limits.root_rotations)?;
        Ok(Self { now, limits, rotations: 0, state })
    }

    /// What is needed next.
    pub fn step(&self) -> Step {
        match &self.state {
            State::FetchRoot(phase) => self.fetch_root(phase),
            State::StoreRoot(phase) => store(RoleName::ROOT, phase.root().bytes()),
            State::LoadTimestamp(_) => load(RoleName::TIMESTAMP),
            State::FetchTimestamp(_) => Step::Fetch(MetadataFile {
                role: role(RoleName::TIMESTAMP),
                path: TimestampPhase::PATH.to_owned(),
                max_length: self.limits.timestamp,
                length: None,
            }),
            State::StoreTimestamp(phase) => store(RoleName::TIMESTAMP, phase.timestamp().bytes()),
            State::LoadSnapshot(_) => load(RoleName::SNAPSHOT),
            State::FetchSnapshot(phase) => self.fetch_snapshot(phase),
            State::StoreSnapshot(trusted) => store(RoleName::SNAPSHOT, trusted.snapshot().bytes()),
            State::Targets(trusted, acquire) => acquire.step(trusted, &self.limits),
            State::Done(_) => Step::Done,
        }
    }

    fn fetch_root(&self, phase: &RootPhase) -> Step {
        Step::Fetch(MetadataFile {
            role: role(RoleName::ROOT),
            path: phase.next_path(),
            max_length: self.limits.root,
            length: None,
        })
    }

    fn fetch_snapshot(&self, phase: &SnapshotPhase) -> Step {
        let length = phase.timestamp().snapshot.length;
        let max_length = self.limits.snapshot.min(length.unwrap_or(u64::MAX));
        let (role, path) = (role(RoleName::SNAPSHOT), phase.path());
        Step::Fetch(MetadataFile { role, path, max_length, length })
    }

    /// Takes the answer to [`Updater::step`].
    pub fn answer(mut self, answer: Answer) -> Result<Self, Error> {
        check_length(&self.step(), &answer)?;
        self.state = match (self.state, answer) {
            (State::FetchRoot(mut phase), Answer::Fetched(bytes)) => {
                phase.update(&bytes)?;
                self.rotations += 1;
                State::StoreRoot(phase)
            }
            (State::FetchRoot(phase), Answer::NotFound) => {
                State::LoadTimestamp(phase.finish(self.now)?)
            }
            (State::StoreRoot(phase), Answer::Stored) => {
                let left = self.limits.root_rotations.saturating_sub(self.rotations);
                after_root(phase, self.now, left)?
            }
            (State::LoadTimestamp(mut phase), Answer::Loaded(bytes)) => {
                if let Some(bytes) = bytes {
                    phase.load(&bytes);
                }
                State::FetchTimestamp(phase)
            }
            (State::FetchTimestamp(mut phase), Answer::Fetched(bytes)) => {
                match phase.update(&bytes)? {
                    true => State::StoreTimestamp(phase.finish()?),
                    false => State::LoadSnapshot(phase.finish()?),
                }
            }
            (State::StoreTimestamp(phase), Answer::Stored) => State::LoadSnapshot(phase),
            (State::LoadSnapshot(mut phase), Answer::Loaded(bytes)) => {
                if let Some(bytes) = bytes {
                    phase.load(&bytes);
                }
                match phase.is_current() {
                    true => targets_of(phase.finish()?),
                    false => State::FetchSnapshot(phase),
                }
            }
            (State::FetchSnapshot(mut phase), Answer::Fetched(bytes)) => {
                phase.update(&bytes)?;
                State::StoreSnapshot(phase.finish()?)
            }
            (State::StoreSnapshot(trusted), Answer::Stored) => targets_of(trusted),
            (State::Targets(mut trusted, acquire), answer) => {
                match acquire.answer(&mut trusted, answer)? {
                    Acquired::Not(acquire) => State::Targets(trusted, acquire),
                    Acquired::Role(_) => State::Done(trusted),
                }
            }
            (State::FetchTimestamp(_), Answer::NotFound) => {
                return Err(missing(TimestampPhase::PATH, RoleName::ROOT));
            }
            (State::FetchSnapshot(phase), Answer::NotFound) => {
                return Err(missing(&phase.path(), RoleName::TIMESTAMP));
            }
            _ => return Err(Error::Misuse { expected: "the answer to its last step" }),
        };
        Ok(self)
    }

    /// The trusted metadata, after [`Step::Done`].
    pub fn finish(self) -> Result<TrustedMetadata, Error> {
        match self.state {
            State::Done(trusted) => Ok(trusted),
            _ => Err(Error::Misuse { expected: "every step before the last" }),
        }
    }
}

/// The next root, unless as many as may be were followed: then what is trusted by now has to do
/// (TUF 5.3.3).
fn after_root(root: RootPhase, now: Time, left: u64) -> Result<State, Error> {
    Ok(match left {
        0 => State::LoadTimestamp(root.finish(now)?),
        _ => State::FetchRoot(root),
    })
}

fn targets_of(trusted: TrustedMetadata) -> State {
    let delegated = Delegated { role: RoleName::targets(), delegator: None };
    State::Targets(trusted, Acquire::new(delegated, None))
}

fn role(name: &'static str) -> RoleName {
    RoleName::from_static(name)
}

fn load(name: &'static str) -> Step {
    Step::Load(role(name))
}

fn store(name: &'static str, bytes: &Arc<[u8]>) -> Step {
    Step::Store(role(name), Arc::clone(bytes))
}

fn missing(file: &str, named_by: &'static str) -> Error {
    Error::Missing { file: file.to_owned(), named_by: role(named_by) }
}

fn check_length(step: &Step, answer: &Answer) -> Result<(), Error> {
    match (step, answer) {
        (Step::Fetch(file), Answer::Fetched(bytes)) if bytes.len() as u64 > file.max_length => {
            let got = bytes.len() as u64;
            let expected = file.max_length;
            Err(Error::Length { file: file.path.clone(), expected, exact: false, got })
        }
        _ => Ok(()),
    }
}

/// Brings one targets role in: from the trust store if that has the version that snapshot lists,
/// else from the repository.
#[derive(Debug)]
struct Acquire {
    delegated: Delegated,
    delegator: Option<Arc<Verified<Targets>>>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Load,
    Fetch,
    Store(Arc<Verified<Targets>>),
}

enum Acquired {
    Not(Acquire),
    Role(Arc<Verified<Targets>>),
}

impl Acquire {
    fn new(delegated: Delegated, delegator: Option<Arc<Verified<Targets>>>) -> Self {
        Self { delegated, delegator, stage: Stage::Load }
    }

    fn step(&self, trusted: &TrustedMetadata, limits: &Limits) -> Step {
        let role = self.delegated.role.clone();
        match &self.stage {
            Stage::Load => Step::Load(role),
            Stage::Fetch => {
                let length = trusted.metafile(&role).ok().and_then(|listed| listed.length);
                let max_length = limits.targets.min(length.unwrap_or(u64::MAX));
                Step::Fetch(MetadataFile { path: self.path(trusted), role, max_length, length })
            }
            Stage::Store(targets) => Step::Store(role, Arc::clone(targets.bytes())),
        }
    }

    /// The version is there: a role that snapshot does not list gets no further than its load.
    fn path(&self, trusted: &TrustedMetadata) -> String {
        let role = &self.delegated.role;
        trusted.path(role, trusted.metafile(role).map_or(0, |listed| listed.version))
    }

    fn answer(self, trusted: &mut TrustedMetadata, answer: Answer) -> Result<Acquired, Error> {
        let delegator = self.delegator.as_ref();
        let stage = match (self.stage, answer) {
            (Stage::Load, Answer::Loaded(bytes)) => {
                // Not listed in snapshot: say so now, not by asking for a file that has no version.
                trusted.metafile(&self.delegated.role)?;
                let local = bytes
                    .and_then(|bytes| trusted.load_targets(&self.delegated, delegator, &bytes));
                match local {
                    Some(targets) => return Ok(Acquired::Role(targets)),
                    None => Stage::Fetch,
                }
            }
            (Stage::Fetch, Answer::Fetched(bytes)) => {
                Stage::Store(trusted.update_targets(&self.delegated, delegator, &bytes)?)
            }
            (Stage::Store(targets), Answer::Stored) => return Ok(Acquired::Role(targets)),
            (Stage::Fetch, Answer::NotFound) => {
                let this = Self { stage: Stage::Fetch, ..self };
                return Err(missing(&this.path(trusted), RoleName::SNAPSHOT));
            }
            _ => return Err(Error::Misuse { expected: "the answer to its last step" }),
        };
        Ok(Acquired::Not(Self { stage, ..self }))
    }
}

/// The pre-order depth-first search for one target (TUF 5.6.7), with the steps of [`Updater`].
///
/// It borrows the trusted metadata only while it works, so that several searches can share one.
#[derive(Debug)]
pub struct Search {
    path: TargetPath,
    limits: Limits,
    visited: BTreeSet<RoleName>,
    pattern_work: u64,
    /// Roles still to search, the next one last.
    pending: Vec<Pending>,
    acquire: Option<Acquire>,
    /// Roles that were searched, and who led to each, in that order.
    searched: Vec<(Delegated, Arc<Verified<Targets>>)>,
    found: Option<TargetFile>,
}

#[derive(Debug)]
struct Pending {
    delegated: Delegated,
    delegator: Option<Arc<Verified<Targets>>>,
}

impl Search {
    /// Starts a search for `path`. `limits` bounds this search; those of the update that made `trusted`
    /// bound what is read of each file.
    pub fn new(path: TargetPath, trusted: &TrustedMetadata, limits: Limits) -> Result<Self, Error> {
        let top = Delegated { role: RoleName::targets(), delegator: None };
        let pending = vec![Pending { delegated: top, delegator: None }];
        let (visited, acquire, found) = (BTreeSet::new(), None, None);
        let searched = Vec::new();
        let mut search =
            Self { path, limits, visited, pattern_work: 0, pending, acquire, searched, found };
        search.visit_pending(trusted)?;
        Ok(search)
    }

    /// What is needed next.
    pub fn step(&self, trusted: &TrustedMetadata) -> Step {
        match &self.acquire {
            Some(acquire) => acquire.step(trusted, &self.limits),
            None => Step::Done,
        }
    }

    /// Takes the answer to [`Search::step`].
    pub fn answer(mut self, trusted: &mut TrustedMetadata, answer: Answer) -> Result<Self, Error> {
        check_length(&self.step(trusted), &answer)?;
        let acquire = self.acquire.take();
        let acquire = acquire.ok_or(Error::Misuse { expected: "no answer after the last step" })?;
        let delegated = acquire.delegated.clone();
        match acquire.answer(trusted, answer)? {
            Acquired::Not(acquire) => self.acquire = Some(acquire),
            Acquired::Role(targets) => {
                self.search_role(delegated, &targets)?;
                self.visit_pending(trusted)?;
            }
        }
        Ok(self)
    }

    /// After [`Step::Done`]: the target, or `None` where no role lists it.
    pub fn finish(self) -> Option<TargetFile> {
        self.found
    }

    /// After [`Step::Done`], for showing to people: the roles that led to the target; where no role lists
    /// it, those that led to the last one that was asked. `trusted` is the set that was searched.
    pub fn chain(&self, trusted: &TrustedMetadata) -> Result<Chain, Error> {
        let mut way = Vec::new();
        let mut next = self.searched.last();
        while let Some((delegated, targets)) = next {
            way.push((&delegated.role, &**targets));
            // Each role is searched once, and its delegator before it.
            let by = delegated.delegator.as_ref();
            next = by.and_then(|by| self.searched.iter().find(|(found, _)| found.role == *by));
        }
        way.reverse();
        Chain::new(trusted, &self.path, self.found.as_ref(), &way)
    }

    /// Goes through roles that are at hand, until one must be acquired or the search ends.
    fn visit_pending(&mut self, trusted: &TrustedMetadata) -> Result<(), Error> {
        while let Some(Pending { delegated, delegator }) = self.pending.pop() {
            if self.visited.contains(&delegated.role) {
                continue;
            }
            // The top-level targets role is among the visited, and no delegated one.
            if self.visited.len() as u64 > self.limits.delegations {
                let limit = self.limits.delegations;
                return Err(Error::TooMany { what: "delegated roles in one search", limit });
            }
            self.visited.insert(delegated.role.clone());
            match trusted.targets(&delegated, delegator.as_deref()) {
                Some(targets) => self.search_role(delegated, &Arc::clone(targets))?,
                None => {
                    self.acquire = Some(Acquire::new(delegated, delegator));
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn search_role(
        &mut self,
        delegated: Delegated,
        targets: &Arc<Verified<Targets>>,
    ) -> Result<(), Error> {
        let name = delegated.role.clone();
        self.searched.push((delegated, Arc::clone(targets)));
        if let Some(file) = targets.target(&self.path) {
            self.found = Some(file.clone());
            self.pending.clear();
            return Ok(());
        }
        let Some(delegations) = &targets.delegations else { return Ok(()) };
        let work = delegations.pattern_work(&self.path);
        self.pattern_work = self.pattern_work.saturating_add(work);
        if self.pattern_work > self.limits.pattern_work {
            let limit = self.limits.pattern_work;
            return Err(Error::TooMany {
                what: "steps to match path patterns in one search",
                limit,
            });
        }
        let mut children = Vec::new();
        for (role, terminating) in delegations.roles_for(&self.path) {
            let delegated = Delegated { role, delegator: Some(name.clone()) };
            children.push(Pending { delegated, delegator: Some(Arc::clone(targets)) });
            if terminating {
                // Nothing after this role may answer, neither its siblings nor its parent's.
                self.pending.clear();
                break;
            }
        }
        self.pending.extend(children.into_iter().rev());
        Ok(())
    }
}

/// A target file being checked as it streams by (TUF 5.7.3).
#[derive(Debug, Clone)]
pub struct TargetCheck {
    path: TargetPath,
    length: u64,
    /// Whether `length` is the file's, and not only the most that it may have.
    exact: bool,
    seen: u64,
    checker: crate::hash::HashChecker,
}

impl TargetCheck {
    /// Starts checking the file at `path` against its metadata.
    pub fn new(path: TargetPath, file: &TargetFile) -> Result<Self, Error> {
        let checker = file.hashes.checker();
        let checker = checker.ok_or_else(|| Error::NoKnownHash { file: path.to_string() })?;
        Ok(Self { path, length: file.length, exact: true, seen: 0, checker })
    }

    /// The same for a file of which only digests are known: its `length` is the most it may have.
    pub fn at_most(path: TargetPath, file: &TargetFile) -> Result<Self, Error> {
        Ok(Self { exact: false, ..Self::new(path, file)? })
    }

    /// Takes the next bytes; an error as soon as there are too many.
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.seen = self.seen.saturating_add(bytes.len() as u64);
        if self.seen > self.length {
            return Err(self.wrong_length());
        }
        self.checker.update(bytes);
        Ok(())
    }

    /// Bytes still to come, or that may come at most.
    pub fn missing(&self) -> u64 {
        self.length.saturating_sub(self.seen)
    }

    /// The file is at its end: checks length and every known digest.
    pub fn finish(self) -> Result<(), Error> {
        if self.exact && self.seen != self.length {
            return Err(self.wrong_length());
        }
        let file = self.path.to_string();
        self.checker.finish().map_err(|mismatch| Error::Hash { file, mismatch })
    }

    fn wrong_length(&self) -> Error {
        let file = self.path.to_string();
        Error::Length { file, expected: self.length, exact: self.exact, got: self.seen }
    }
}
