//! One run that brings a mirror up to date, in the order that `lib.rs` tells.

use std::fs;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use waxseal_client::{MetadataStore, Settings};
use waxseal_tuf::TrustedMetadata;

use crate::durable::Folders;
use crate::error::Error;
use crate::fill::Fill;
use crate::filter::Filter;
use crate::folder::Folder;
use crate::plain;
use crate::publish;
use crate::retire::{self, Recorder, Retired};
use crate::run::{Counters, Outcome, Progress, SyncOptions, Totals, value};
use crate::state::{Kept, State};
use crate::upstream::Upstream;
use crate::view::{self, ROOT, SNAPSHOT, Shown, TIMESTAMP};
use crate::walk::{Staged, Walk, locked};

/// How often progress is told at most.
const TELL_EVERY: Duration = Duration::from_millis(50);

/// One run.
pub(crate) struct Run<'a> {
    pub(crate) folder: &'a Folder,
    pub(crate) folders: &'a Folders,
    pub(crate) upstream: &'a dyn Upstream,
    pub(crate) settings: &'a Settings,
    pub(crate) options: &'a SyncOptions,
    pub(crate) now: Timestamp,
    pub(crate) progress: &'a (dyn Fn(Progress) + Sync),
}

impl Run<'_> {
    pub(crate) fn run(&self, store: &MetadataStore, state: &mut State) -> Result<Outcome, Error> {
        self.upstream.refresh(store, self.now)?;
        let read = |role| -> Result<Vec<u8>, Error> {
            let not_trusted = || waxseal_client::Error::NotTrusted { url: state.index.to_string() };
            Ok(store.read(role)?.ok_or_else(not_trusted)?)
        };
        let trusted =
            view::trusted(&read(&ROOT)?, &read(&TIMESTAMP)?, &read(&SNAPSHOT)?, self.now)?;
        let shown = Shown::read(self.folder)?;
        settle(state, shown.as_ref(), self.now);
        let published = state.published().cloned().filter(|_| shown.is_some());
        let filter = self.options.filter.clone();
        let filter = filter.or_else(|| published.as_ref().map(|kept| kept.filter.clone()));
        let filter = filter.unwrap_or_default();
        let staged = Staged::list(self.folder)?;
        let other_root = !publish::has_root(self.folder, &trusted)?;
        let old = shown.as_ref().zip(published.as_ref());
        let is_same = old.is_some_and(|(shown, kept)| {
            shown.snapshot.version == trusted.snapshot().version && kept.filter == filter
        });
        let mut outcome = if is_same && !other_root && staged.is_empty() && !self.options.check_all
        {
            self.renew(&trusted, shown.as_ref(), state)?
        } else {
            self.update(&trusted, old, &filter, &staged, other_root, state)?
        };
        let gone = state.take_expired(self.options.keep, self.now);
        if !gone.is_empty() {
            state.save(self.folder, self.folders)?;
        }
        outcome.removed = retire::remove(self.folder, self.folders, state)?;
        Ok(outcome)
    }

    /// The snapshot is the one that is published; the timestamp may be newer.
    fn renew(
        &self,
        trusted: &TrustedMetadata,
        shown: Option<&Shown>,
        state: &mut State,
    ) -> Result<Outcome, Error> {
        let bytes = trusted.timestamp().bytes();
        if shown.is_none_or(|shown| shown.timestamp_bytes[..] != bytes[..]) {
            publish::timestamp(self.folder, self.folders, trusted)?;
            if let Some(kept) = state.kept.last_mut() {
                kept.timestamp = trusted.timestamp().version;
            }
            state.save(self.folder, self.folders)?;
        }
        let totals = state.published().map(|kept| kept.totals).unwrap_or_default();
        Ok(outcome(trusted, &Counters::default(), false, totals))
    }

    fn update(
        &self,
        trusted: &TrustedMetadata,
        old: Option<(&Shown, &Kept)>,
        filter: &Filter,
        staged: &Staged,
        other_root: bool,
        state: &mut State,
    ) -> Result<Outcome, Error> {
        let id = old.map_or(0, |(_, kept)| kept.id);
        let recorder = Recorder::begin(self.folder, id)?;
        let counters = Counters::default();
        // Everything is looked at where what is there cannot be told from the snapshot alone.
        let all = self.options.check_all || old.is_none_or(|(_, kept)| kept.filter != *filter);
        let roles = Mutex::new((0, 0));
        let told = Mutex::new(None::<Instant>);
        let tell = || {
            let mut told = locked(&told);
            if told.is_some_and(|told| told.elapsed() < TELL_EVERY) {
                return;
            }
            *told = Some(Instant::now());
            let (files, bytes) = (value(&counters.files), value(&counters.bytes));
            (self.progress)(Progress { roles: *locked(&roles), files, bytes });
        };
        let fill = Fill {
            folder: self.folder,
            folders: self.folders,
            upstream: self.upstream,
            index: &state.index,
            settings: self.settings,
            filter,
            old: old.map(|(shown, kept)| (shown, &kept.filter)),
            staged,
            check_all: self.options.check_all,
            counters: &counters,
            recorder: &recorder,
            progress: &tell,
        };
        let walk = Walk {
            folder: self.folder,
            upstream: self.upstream,
            trusted,
            old: old.map(|(shown, _)| shown).filter(|_| !all),
            other_root,
            staged,
            threads: self.options.threads,
            counters: &counters,
        };
        let far = |done, total| {
            *locked(&roles) = (done, total);
            tell();
        };
        let changed = walk.run(&far, &|role, targets| fill.role(role, targets))?;

        let listed = old
            .into_iter()
            .flat_map(|(shown, _)| shown.snapshot.roles.iter().map(|(role, _)| role));
        let mut vanished = publish::vanished(listed, trusted);
        let staged_roles: Vec<_> = staged.roles().filter(|role| *role != SNAPSHOT).collect();
        vanished.extend(publish::vanished(staged_roles.iter(), trusted));
        vanished.iter().try_for_each(|role| fill.vanished(role))?;
        let threads = self.options.threads;
        plain::show(&fill, trusted.snapshot(), &changed, &vanished, all, threads)?;

        publish::metadata(self.folder, self.folders, trusted, &changed)?;
        publish::roots(self.folder, self.folders, self.upstream, trusted)?;
        let before = old.map(|(_, kept)| kept.totals).unwrap_or_default();
        let totals = totals(before, &counters);
        if let Some((shown, _)) = old
            && shown.snapshot.version != trusted.snapshot().version
        {
            let (role, version) = (SNAPSHOT.to_string(), shown.snapshot.version);
            recorder.add(&Retired::Metadata { role, version })?;
        }
        for version in staged.others(&SNAPSHOT, Some(trusted.snapshot().version)) {
            recorder.add(&Retired::Metadata { role: SNAPSHOT.to_string(), version })?;
        }
        recorder.finish()?;
        self.folders.sync()?;
        let next = Kept {
            id: state.next_id(),
            snapshot: trusted.snapshot().version,
            timestamp: trusted.timestamp().version,
            filter: filter.clone(),
            totals,
            superseded: None,
        };
        state.next = Some(next.clone());
        state.save(self.folder, self.folders)?;
        publish::timestamp(self.folder, self.folders, trusted)?;
        state.promote(next, self.now);
        state.save(self.folder, self.folders)?;
        let staged = self.folder.private("staged");
        fs::remove_dir_all(&staged).map_err(Error::io("empty", &staged))?;
        fs::create_dir_all(&staged).map_err(Error::io("make", &staged))?;
        Ok(outcome(trusted, &counters, true, totals))
    }
}

/// Takes what the folder shows for what is published: a crash may have come between that and the record.
fn settle(state: &mut State, shown: Option<&Shown>, now: Timestamp) {
    let Some(shown) = shown else { return };
    let is_shown = |kept: &Kept| kept.snapshot == shown.snapshot.version;
    if let Some(next) =
        state.next.take_if(|next| is_shown(next) && next.timestamp == shown.timestamp)
    {
        state.promote(next, now);
    }
    // A record that was lost, or is another folder's.
    if !state.published().is_some_and(is_shown) {
        state.kept.clear();
    }
}

fn totals(before: Totals, counters: &Counters) -> Totals {
    use std::sync::atomic::Ordering::Relaxed;
    Totals {
        targets: before.targets + counters.targets_more.load(Relaxed),
        bytes: before.bytes + counters.bytes_more.load(Relaxed),
    }
}

fn outcome(
    trusted: &TrustedMetadata,
    counters: &Counters,
    changed: bool,
    totals: Totals,
) -> Outcome {
    Outcome {
        snapshot: trusted.snapshot().version,
        timestamp: trusted.timestamp().version,
        changed,
        roles: value(&counters.roles),
        files: value(&counters.files),
        bytes: value(&counters.bytes),
        removed: 0,
        elsewhere: value(&counters.elsewhere),
        totals,
    }
}
