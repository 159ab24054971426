//! A mirror, and one run that brings it up to date.

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use waxseal_client::{IndexUrl, MetadataStore, Settings, TrustStore};
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
use crate::status::Status;
use crate::upstream::{Index, Upstream};
use crate::view::{self, ROOT, SNAPSHOT, Shown, TIMESTAMP};
use crate::walk::{Staged, Walk, locked};

/// How often a run begins again because the index has moved on and removed a file meanwhile.
const OVERTAKEN: u32 = 3;

/// How often progress is told at most.
const TELL_EVERY: Duration = Duration::from_millis(50);

/// A folder with a copy of an index.
#[derive(Debug, Clone)]
pub struct Mirror {
    pub(crate) folder: Folder,
}

/// While it lives, no other process works on the mirror.
pub(crate) struct Work {
    pub(crate) folders: Folders,
    _lock: File,
}

impl Mirror {
    /// The mirror in this folder, which need not be there yet.
    pub fn new(folder: impl AsRef<Path>) -> Self {
        Self { folder: Folder::new(folder.as_ref()) }
    }

    /// Brings the mirror up to date with the index, which this trust store trusts. Whatever happens, clients of
    /// the folder see whole snapshots; the same call goes on where one before was interrupted.
    pub fn sync(
        &self,
        index: &Index,
        trust: &TrustStore,
        options: &SyncOptions,
        now: Timestamp,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Outcome, Error> {
        let work = self.begin(index.url())?;
        let mut state = self.state_of(trust)?;
        let run = Run {
            folder: &self.folder,
            folders: &work.folders,
            upstream: index,
            settings: index.settings(),
            options,
            now,
            progress,
        };
        let store = self.trust_store(trust)?;
        let mut result = run.run(&store, &mut state);
        for _ in 1..OVERTAKEN {
            match &result {
                Err(error) if error.may_be_overtaken() => {
                    tracing::debug!("the index may have moved on: {error}");
                    result = run.run(&store, &mut state);
                }
                _ => break,
            }
        }
        self.told(&work.folders, &state, &store, now, result)
    }

    /// The index that it is a mirror of.
    pub fn index(&self) -> Result<IndexUrl, Error> {
        let state = State::load(&self.folder)?;
        let no_mirror = || Error::NoMirror { path: self.folder.base().to_owned() };
        Ok(state.ok_or_else(no_mirror)?.index)
    }

    /// How the mirror is doing, by its last round.
    pub fn status(&self) -> Result<Status, Error> {
        let status = Status::load(&self.folder)?;
        status.ok_or_else(|| Error::NoMirror { path: self.folder.base().to_owned() })
    }

    /// Locks the mirror, and makes it where there is none.
    pub(crate) fn begin(&self, index: &IndexUrl) -> Result<Work, Error> {
        let private = self.folder.private("");
        if !private.is_dir() {
            let base = self.folder.base();
            let is_empty = fs::read_dir(base).map_or(Ok(true), |mut there| {
                there.next().transpose().map(|first| first.is_none())
            });
            if !is_empty.map_err(Error::io("list", base))? {
                return Err(Error::NotEmpty { path: base.to_owned() });
            }
            if !base.is_dir() {
                fs::create_dir_all(base).map_err(Error::io("make", base))?;
                // A web server has to read it, whatever the umask.
                let mode = Permissions::from_mode(0o755);
                fs::set_permissions(base, mode).map_err(Error::io("set the mode of", base))?;
            }
            let made = DirBuilder::new().mode(0o700).recursive(true).create(&private);
            made.map_err(Error::io("make", &private))?;
        }
        let work = self.lock()?;
        if let Some(state) = State::load(&self.folder)?
            && state.index != *index
        {
            let path = self.folder.base().to_owned();
            let (there, asked) = (state.index.to_string(), index.to_string());
            return Err(Error::OtherIndex { path, there, asked });
        }
        let staged = self.folder.private("staged");
        fs::create_dir_all(&staged).map_err(Error::io("make", &staged))?;
        Ok(work)
    }

    pub(crate) fn lock(&self) -> Result<Work, Error> {
        let path = self.folder.private("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = file.map_err(Error::io("open", &path))?;
        self.locked(lock.try_lock())?;
        let folders = Folders::new(self.folder.base(), &self.folder.private("tmp"))?;
        Ok(Work { folders, _lock: lock })
    }

    /// Locks the mirror for reading: nobody changes it meanwhile.
    pub(crate) fn lock_to_read(&self) -> Result<Option<File>, Error> {
        // In a copy of the folder there need be none.
        let Ok(lock) = File::open(self.folder.private("lock")) else { return Ok(None) };
        self.locked(lock.try_lock_shared())?;
        Ok(Some(lock))
    }

    fn locked(&self, result: Result<(), TryLockError>) -> Result<(), Error> {
        let path = self.folder.base();
        result.map_err(|error| match error {
            TryLockError::WouldBlock => Error::Busy { path: path.to_owned() },
            TryLockError::Error(error) => Error::io("lock", path)(error),
        })
    }

    pub(crate) fn state_of(&self, trust: &TrustStore) -> Result<State, Error> {
        let (index, root) = (&trust.index().url, trust.index().fingerprint);
        let mut state = State::load(&self.folder)?;
        if let Some(state) = &mut state {
            state.root = root;
        }
        Ok(state.unwrap_or_else(|| State::new(index.clone(), root)))
    }

    /// The mirror's own trust, which begins with the root that the user trusts, and never goes back.
    pub(crate) fn trust_store(&self, trust: &TrustStore) -> Result<MetadataStore, Error> {
        let folder = self.folder.trust(trust.index().fingerprint);
        let store = MetadataStore::new(folder.join("metadata"), &folder);
        store.create()?;
        if store.read(&ROOT)?.is_none() {
            let root = trust.metadata().read(&ROOT)?;
            let not_trusted =
                || waxseal_client::Error::NotTrusted { url: trust.index().url.to_string() };
            store.write(&ROOT, &root.ok_or_else(not_trusted)?)?;
        }
        Ok(store)
    }

    /// The result of a round, of which the status says how it ended.
    pub(crate) fn told(
        &self,
        folders: &Folders,
        state: &State,
        store: &MetadataStore,
        now: Timestamp,
        result: Result<Outcome, Error>,
    ) -> Result<Outcome, Error> {
        match (self.write_status(folders, state, store, now, &result), result) {
            // What went wrong first is what people have to know of.
            (Err(error), Err(first)) => {
                tracing::warn!("the status is not written: {error}");
                Err(first)
            }
            (written, result) => written.and(result),
        }
    }

    fn write_status(
        &self,
        folders: &Folders,
        state: &State,
        store: &MetadataStore,
        now: Timestamp,
        result: &Result<Outcome, Error>,
    ) -> Result<(), Error> {
        // A status that cannot be read is no reason not to write the next.
        let before = Status::load(&self.folder).ok().flatten();
        let shown = Shown::read(&self.folder)?;
        let published = state.published();
        let read = |role| Ok::<_, Error>(store.read(role)?);
        let newest = read(&SNAPSHOT)?.and_then(|bytes| {
            let read =
                waxseal_tuf::metadata::Unverified::<waxseal_tuf::metadata::Snapshot>::parse(&bytes);
            read.ok().map(|read| read.claims().version)
        });
        let up_to_date = match result {
            Ok(_) => Some(now),
            Err(_) => before.and_then(|before| before.up_to_date),
        };
        let status = Status {
            index: state.index.clone(),
            snapshot: shown.as_ref().map(|shown| shown.snapshot.version),
            timestamp: shown.as_ref().map(|shown| shown.timestamp),
            expires: shown.as_ref().map(|shown| shown.expires.min(shown.snapshot.expires)),
            projects: published.map_or_else(String::new, |kept| kept.filter.to_string()),
            totals: published.map(|kept| kept.totals).unwrap_or_default(),
            kept: state.kept.iter().map(|kept| kept.snapshot).collect(),
            newest_seen: newest,
            up_to_date,
            last_round: now,
            problem: result.as_ref().err().map(ToString::to_string),
            exported: state.exported.as_ref().map(|kept| kept.snapshot),
        };
        status.save(&self.folder, folders)
    }
}

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
