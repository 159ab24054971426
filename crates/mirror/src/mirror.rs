//! A mirror as others have it in hand: its folder, its lock, what it trusts and how it is doing.

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use jiff::Timestamp;
use waxseal_client::{IndexUrl, MetadataStore, TrustStore};
use waxseal_tuf::metadata::{Snapshot, Unverified};

use crate::durable::Folders;
use crate::error::Error;
use crate::folder::Folder;
use crate::run::{Outcome, Progress, SyncOptions};
use crate::state::State;
use crate::status::Status;
use crate::sync::Run;
use crate::upstream::Index;
use crate::view::{ROOT, SNAPSHOT, Shown};

/// How often a run begins again because the index has moved on and removed a file meanwhile.
const OVERTAKEN: u32 = 3;

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
            let read = Unverified::<Snapshot>::parse(&bytes);
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
