//! Publishing new root, targets and bins: what a key ceremony made after the first.
//!
//! The files wait in the database until they are published, in an order that leaves clients a valid index
//! at every moment ([`Stage`]):
//!
//! 1. roots under which what is published stays valid are created, one by one;
//! 2. a snapshot with the new targets and bins is signed by the new online key and decided like any other
//!    batch; where there is a root that goes with it, that is created just before `timestamp.json` is
//!    replaced;
//! 3. roots under which that snapshot is valid are created.
//!
//! A process that was stopped anywhere finds the rest in the database and goes on. A change whose online key
//! is not at hand waits, and holds up nothing.

use std::collections::BTreeSet;

use jiff::Timestamp;
use tracing::{error, info, warn};
use waxseal_tuf::metadata::{Targets, Unverified};
use waxseal_tuf::trusted::RootPhase;
use waxseal_tuf::{Limits, RoleName};

use crate::batch::{Changes, Contents, NewObject, State, Visitor, Writer};
use crate::bins::Bins;
use crate::ceremony::{self, BINS, Ceremony, Change, ChangedFile, OfflineRoles, Stage};
use crate::database::{CatalogChange, Decision, OfflinePart, ROOM};
use crate::error::Error;
use crate::online_keys::{OnlineKeys, online_keyids};
use crate::refile::Refiled;
use crate::repository::{ROOT, Repository, bins_metadata, read_claims};
use crate::snapshot_file::{OfflineFile, OfflineFiles};
use crate::snapshot_process::{Published, SnapshotProcess};
use crate::store::{Object, StoreKey};

impl Repository {
    /// Root, targets and bins as they are published.
    pub fn offline_roles(&self) -> Result<OfflineRoles, Error> {
        let published = |role| Ok::<_, Error>(self.published_offline(role)?.1);
        let root = RootPhase::new(&published(ROOT)?, &Limits::default());
        let refused = |error| Error::Change(ceremony::ChangeError::Refused(error));
        let (targets, bins) = (published(RoleName::targets())?, published(BINS)?);
        OfflineRoles::verify(root.map_err(refused)?, &targets, &bins).map_err(refused)
    }

    /// What the next snapshot lists of `targets` and `bins`.
    pub(crate) fn published_offline_files(&self) -> Result<OfflineFiles, Error> {
        let listed = |role| {
            let (version, bytes) = self.published_offline(role)?;
            Ok::<_, Error>(OfflineFile::of(version, &bytes, self.hash_algorithms()))
        };
        Ok(OfflineFiles { bins: listed(BINS)?, targets: listed(RoleName::targets())? })
    }

    fn published_offline(&self, role: RoleName) -> Result<(u64, Vec<u8>), Error> {
        let version = self.database().role(&role)?.map_or(0, |row| row.published);
        let problem = format!("the metadata of its role `{role}` is missing");
        let bytes = self.metadata_file(&StoreKey::Metadata { version, role })?;
        Ok((version, bytes.ok_or(Error::NotARepository { problem })?))
    }

    /// Records what a ceremony signed, if it may follow what is published: the snapshot process publishes it,
    /// in this or another process.
    pub fn change_offline_roles(
        &self,
        ceremony: &Ceremony,
        now: Timestamp,
    ) -> Result<Change, Error> {
        let change = ceremony::check(&self.offline_roles()?, ceremony, now)?;
        self.check_lengths_in(change.after.bins())?;
        // When some of it is published, the rest is in another stage than it was recorded for.
        let waiting = self.database().waiting_change()?;
        let is_brought = |waits: &ChangedFile| {
            change
                .files
                .iter()
                .any(|file| ChangedFile { stage: waits.stage, ..file.clone() } == *waits)
        };
        if waiting.is_empty() || !waiting.iter().all(is_brought) {
            self.database().record_change(&change.files)?;
        }
        self.wake().wake();
        Ok(change)
    }

    /// Refuses fewer bins where one of them would become longer than clients read.
    fn check_lengths_in(&self, bins: Bins) -> Result<(), Error> {
        let old = self.bins();
        if bins.count() >= old.count() {
            return Ok(());
        }
        let mut lengths = vec![0; bins.count() as usize];
        for row in self.database().bins()? {
            let bin = row.number / (old.count() / bins.count());
            if let Some(length) = lengths.get_mut(bin as usize) {
                *length += row.published.map_or(0, |file| file.length);
            }
        }
        let longest = (0..).zip(lengths).max_by_key(|(_, length)| *length);
        match longest.filter(|(_, length)| *length > ROOM) {
            Some((bin, length)) => {
                let (bin, bins) = (bins.role(bin), bins.good_count(length));
                Err(Error::BinTooLong { bin, length, limit: ROOM, bins })
            }
            None => Ok(()),
        }
    }

    /// Gives up the change that waits, as long as none of its targets and bins are in the store; whether it
    /// did. Roots that are published stay.
    pub fn withdraw_change(&self) -> Result<bool, Error> {
        for file in self.database().waiting_change()? {
            let key = StoreKey::Metadata { version: file.version, role: file.role };
            if file.stage == Stage::WithSnapshot && self.metadata_file(&key)?.is_some() {
                return Ok(false);
            }
        }
        self.database().withdraw_change()
    }
}

impl SnapshotProcess {
    /// Publishes the new offline roles that wait, if any do and their online key is at hand.
    pub(crate) fn publish_change(
        &self,
        state: &mut State,
        now: Timestamp,
    ) -> Result<Option<Published>, Error> {
        let database = self.repository.database();
        let mut published = None;
        loop {
            let waiting = database.waiting_change()?;
            let Some(next) = waiting.first() else { return Ok(published) };
            if next.stage == Stage::WithSnapshot {
                let files: Vec<_> =
                    waiting.into_iter().filter(|file| file.stage == Stage::WithSnapshot).collect();
                match self.publish_with_snapshot(state, &files, now) {
                    Ok(Some(snapshot)) => published = Some(snapshot),
                    Ok(None) => return Ok(published),
                    // It holds up nothing else.
                    Err(too_long @ Error::BinTooLong { .. }) => {
                        error!("new offline roles wait and cannot be published: {too_long}");
                        database.abandon(self.epoch)?;
                        *state = self.read_state()?;
                        return Ok(published);
                    }
                    Err(error) => return Err(error),
                }
                continue;
            }
            self.create_root(next)?;
            database.root_published(self.epoch, next)?;
            info!(version = next.version, "published a root");
        }
    }

    /// Whether there is something that [`SnapshotProcess::publish_change`] would publish.
    pub(crate) fn can_publish_change(&self) -> Result<bool, Error> {
        let waiting = self.repository.database().waiting_change()?;
        let Some(next) = waiting.first() else { return Ok(false) };
        let bins = waiting.iter().find(|file| file.role == BINS);
        let key = match bins {
            Some(bins) if next.stage == Stage::WithSnapshot => {
                let bins: Targets = read_claims("bins.json", &bins.bytes)?;
                self.keys.one_of(online_keyids(&bins)).is_ok()
            }
            _ => true,
        };
        Ok(key)
    }

    /// One snapshot with the new targets and bins. Every bin is signed again where the online key changes;
    /// `None` when the new one is not at hand.
    fn publish_with_snapshot(
        &self,
        state: &mut State,
        files: &[ChangedFile],
        now: Timestamp,
    ) -> Result<Option<Published>, Error> {
        let database = self.repository.database();
        let bins_role = match files.iter().find(|file| file.role == BINS) {
            Some(file) => read_claims::<Targets>("bins.json", &file.bytes)?,
            None => bins_metadata(self.repository.store(), database)?,
        };
        let keyids = online_keyids(&bins_role).to_vec();
        let Ok(online) = self.keys.one_of(&keyids) else {
            warn!(
                keyids = ?keyids,
                "new offline roles wait for their online key: name it in waxseal.toml and start again"
            );
            return Ok(None);
        };
        let not_ours = || Error::NotARepository {
            problem: "the new `bins` does not delegate to a power of two of bins".to_owned(),
        };
        let bins = Bins::of(&bins_role).ok_or_else(not_ours)?;
        let old = self.repository.bins();
        // Written down otherwise they are the same bins.
        let (rows, refiled) = (state.bins.clone(), bins.count() != old.count());
        let targets = refiled.then(|| Refiled::new(&self.repository, &rows, bins));
        if refiled {
            info!(from = old.count(), to = bins.count(), "file all targets in other bins");
            *state = state.with_bins(bins);
        }
        let mut to_sign: Vec<u32> = match keyids == state.online && !refiled {
            true => state.unsigned_bins(),
            false => (0..bins.count()).collect(),
        };
        // What is restored after a compromise goes with the new keys.
        let mut plan = match files.iter().any(|file| file.role == ROOT) && !refiled {
            true => {
                let entries = self.next_entries(database.published_serial()?, u64::MAX)?;
                Some((self.planner(state)?.plan(&entries)?, entries.last().map(|last| last.serial)))
            }
            false => None,
        };
        if let Some((plan, _)) = &plan {
            let all: BTreeSet<_> = plan.bins().chain(to_sign).collect();
            to_sign = all.into_iter().collect();
        }
        let object = |file: &ChangedFile| NewObject {
            key: StoreKey::Metadata { version: file.version, role: file.role.clone() },
            bytes: file.bytes.clone(),
        };
        let mut objects: Vec<_> =
            files.iter().filter(|file| file.role != ROOT).map(object).collect();
        let listed = self.repository.published_offline_files()?;
        let listed_of = |role: RoleName, published: OfflineFile| {
            let new = files.iter().find(|file| file.role == role);
            let algorithms = self.repository.hash_algorithms();
            new.map_or(published, |file| OfflineFile::of(file.version, &file.bytes, algorithms))
        };
        state.snapshot_text.update_offline(&OfflineFiles {
            bins: listed_of(BINS, listed.bins),
            targets: listed_of(RoleName::targets(), listed.targets),
        });
        let last = plan.as_ref().and_then(|(_, last)| *last);
        let after = database.published_serial()?;
        let none = CatalogChange::default();
        let (changes, catalog, links): (&dyn Changes, _, _) = match (&targets, &mut plan) {
            (Some(targets), _) => (targets, &none, Vec::new()),
            (None, Some((plan, _))) => {
                objects.append(&mut plan.objects);
                let links = std::mem::take(&mut plan.links);
                (&*plan, &plan.catalog, links)
            }
            (None, None) => (&Nothing, &none, Vec::new()),
        };
        let part = if refiled { OfflinePart::RolesAndBins } else { OfflinePart::Roles };
        let contents = Contents {
            after,
            serial: last.unwrap_or(after),
            objects: &objects,
            links: &links,
            catalog,
            bins: to_sign,
            changes,
            offline: Some(part),
        };
        let _hold = database.hold_objects()?;
        let writer = Writer { bins, ..self.writer(online, now) };
        let batch = writer.write(state, &contents, &|_| {})?;
        let published = self.commit(&batch)?;
        info!(snapshot = published.snapshot, "published new targets and bins");
        *state = self.read_state()?;
        Ok(Some(published))
    }

    /// Records a snapshot as published. From then on the repository goes by other bins, where the snapshot
    /// has all targets in others.
    pub(crate) fn finish(&self, batch: &Decision) -> Result<(), Error> {
        let database = self.repository.database();
        let finish = || database.finish(self.epoch, batch, Timestamp::now());
        if batch.offline.is_none() {
            return finish();
        }
        let waiting = database.waiting_change()?;
        let Some(file) = waiting.iter().find(|file| file.role == BINS) else { return finish() };
        let bins = Bins::of(&read_claims("bins.json", &file.bytes)?);
        let bins = bins.unwrap_or_else(|| self.repository.bins());
        self.repository.current_bins().change(bins, || {
            finish()?;
            self.repository.forget_bins();
            Ok(())
        })
    }

    /// Creates the roots that go with the snapshot which is decided.
    pub(crate) fn create_roots_of_snapshot(&self) -> Result<(), Error> {
        let waiting = self.repository.database().waiting_change()?;
        let mut roots =
            waiting.iter().filter(|file| file.stage == Stage::WithSnapshot && file.role == ROOT);
        roots.try_for_each(|root| self.create_root(root))
    }

    /// From here on clients see it.
    fn create_root(&self, root: &ChangedFile) -> Result<(), Error> {
        let key = StoreKey::Metadata { version: root.version, role: ROOT };
        Ok(self.repository.store().create(&[Object { key: &key, bytes: &root.bytes }])?)
    }
}

/// Refuses keys of which none is trusted, now or by what waits.
pub(crate) fn check_keys(repository: &Repository, keys: &OnlineKeys) -> Result<(), Error> {
    let database = repository.database();
    let published = bins_metadata(repository.store(), database)?;
    let trusted = keys.one_of(online_keyids(&published));
    let Err(refused) = trusted else { return Ok(()) };
    let waiting = database.waiting_change()?;
    let waits = waiting.iter().filter(|file| file.role == BINS).any(|file| {
        let bins = Unverified::<Targets>::parse(&file.bytes);
        bins.is_ok_and(|bins| keys.one_of(online_keyids(bins.claims())).is_ok())
    });
    if waits { Ok(()) } else { Err(refused) }
}

/// Bins in which nothing changes.
struct Nothing;

impl Changes for Nothing {
    fn length(&self, _: u32) -> u64 {
        0
    }

    fn visit(&self, _: u32, visitor: Visitor<'_>) -> Result<(), Error> {
        visitor(&[])
    }
}
