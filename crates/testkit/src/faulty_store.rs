//! A store that fails when it is told to, and that is watched: after every write no name may have another
//! content than it ever had, and whoever is set to watch looks at what there is.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(clippy::missing_panics_doc, reason = "everything here panics where a test cannot go on")]

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tempfile::NamedTempFile;
use waxseal_repository::StoreError;
use waxseal_repository::store::{
    Area, Creation, Link, Listed, Listing, Object, OpenObject, Store, StoreKey,
};
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::metadata::{Timestamp, Unverified};

use crate::faults::Faults;

pub use crate::faults::Fault;

/// The most bytes of an object here.
const LIMIT: u64 = 1 << 26;

/// One store under test; clones are the same one.
#[derive(Clone)]
pub struct FaultyStore(Arc<Shared>);

struct Shared {
    inner: Mutex<Arc<dyn Store>>,
    state: Mutex<State>,
    hook: Mutex<Option<Hook>>,
    watch: Mutex<Option<Watch>>,
    faults: Faults,
}

/// Is told of a moment: before or after which write.
pub type Hook = Box<dyn FnMut(&str) + Send>;

/// Looks at the store after the write that it is told.
pub type Watch = Arc<dyn Fn(&dyn Store, &str) + Send + Sync>;

#[derive(Default)]
struct State {
    /// How many writes met a full disk.
    found_full: usize,
    /// Whether the disk is full: only the reserve is left, where there is one.
    full: bool,
    /// Whether space is set aside; `None` where it never was.
    reserve: Option<bool>,
    /// How many removals fail, having done a half.
    failing_removals: usize,
    /// An index that was imported: its files are not in its store.
    files_elsewhere: bool,
    /// Everything that was ever seen, by path; every version of timestamp by itself.
    history: BTreeMap<String, Sha256>,
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyStore")
    }
}

impl FaultyStore {
    /// The store `inner`, which fails as `faults` says.
    pub fn new(inner: Arc<dyn Store>, faults: Faults) -> Self {
        Self(Arc::new(Shared {
            inner: Mutex::new(inner),
            state: Mutex::default(),
            hook: Mutex::default(),
            watch: Mutex::default(),
            faults,
        }))
    }

    /// Goes on with the same store as another process opened it.
    pub fn reopened(&self, inner: Arc<dyn Store>) {
        *lock(&self.0.inner) = inner;
    }

    /// Lets `count` writes fail, from the write number `from` since the beginning.
    pub fn fail(&self, from: usize, count: usize, fault: Fault) {
        self.0.faults.fail(from, count, fault);
    }

    /// Lets the next `count` writes fail.
    pub fn fail_next(&self, count: usize, fault: Fault) {
        let from = self.calls().len();
        self.fail(from, count, fault);
    }

    /// How many calls failed.
    pub fn failed(&self) -> usize {
        self.0.faults.failed() + lock(&self.0.state).found_full
    }

    /// The writes so far.
    pub fn calls(&self) -> Vec<&'static str> {
        self.0.faults.calls()
    }

    /// Fills the disk, or frees space.
    pub fn fill(&self, full: bool) {
        lock(&self.0.state).full = full;
    }

    /// Lets the next `count` removals do a half and fail.
    pub fn fail_removals(&self, count: usize) {
        lock(&self.0.state).failing_removals = count;
    }

    /// Lets the store be without the files that its targets name: nothing is read at every write.
    pub fn files_are_elsewhere(&self) {
        lock(&self.0.state).files_elsewhere = true;
    }

    /// Lets `watch` look at the store after every write, unless its files are elsewhere.
    pub fn set_watch(&self, watch: Watch) {
        *lock(&self.0.watch) = Some(watch);
    }

    /// Calls `hook` before and after every write.
    pub fn set_hook(&self, hook: Option<Hook>) {
        *lock(&self.0.hook) = hook;
    }

    /// The store itself, which neither fails nor is watched.
    pub fn unwatched(&self) -> Arc<dyn Store> {
        lock(&self.0.inner).clone()
    }

    /// Does a write, or fails as it was told to; `part` does so much of it.
    fn write(
        &self,
        method: &'static str,
        do_part: impl FnOnce(&dyn Store, Fault) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let fault = self.0.faults.write(method);
        {
            let mut state = lock(&self.0.state);
            // What the reserve gives back is enough for a few writes.
            if state.full && state.reserve != Some(false) {
                state.found_full += usize::from(fault.is_none());
                return Err(full(method));
            }
        }
        self.call_hook(&format!("before {method}"));
        let done = do_part(&*self.unwatched(), fault.unwrap_or(Fault::All));
        self.watch(method);
        self.call_hook(&format!("after {method}"));
        done?;
        match fault {
            None => Ok(()),
            Some(fault) => Err(StoreError::Io {
                action: "reach",
                path: format!("{method} ({fault:?} done)").into(),
                source: io::Error::from(io::ErrorKind::TimedOut),
            }),
        }
    }

    fn watch(&self, method: &str) {
        if lock(&self.0.state).files_elsewhere {
            return;
        }
        let inner = self.unwatched();
        self.remember(&*inner);
        let watch = lock(&self.0.watch).clone();
        if let Some(watch) = watch {
            watch(&*inner, method);
        }
    }

    fn call_hook(&self, moment: &str) {
        if let Some(hook) = &mut *lock(&self.0.hook) {
            hook(moment);
        }
    }

    /// Takes an object out of the memory of what there was.
    pub fn forget(&self, key: &StoreKey) {
        lock(&self.0.state).history.remove(&key.path());
    }

    /// Compares all objects with what they were before.
    pub fn remember(&self, store: &dyn Store) {
        let history = &mut lock(&self.0.state).history;
        for (name, digest) in contents(store) {
            let before = *history.entry(name.clone()).or_insert(digest);
            assert_eq!(before, digest, "{name} has had another content");
        }
    }
}

/// The digest of every object, by path; `timestamp.json` by its version.
pub fn contents(store: &dyn Store) -> BTreeMap<String, Sha256> {
    let areas = [Area::Metadata, Area::Targets, Area::Files];
    let listed = areas.into_iter().flat_map(|area| store.list(area).unwrap().map(Result::unwrap));
    let content = |Listed { path, key, .. }| {
        let key = key.unwrap_or_else(|| panic!("{path} is in nobody's place"));
        let bytes = store.read(&key, LIMIT).unwrap().unwrap();
        let name = match key {
            StoreKey::Timestamp => {
                let timestamp = Unverified::<Timestamp>::parse(&bytes).unwrap();
                format!("{path} version {}", timestamp.claims().version)
            }
            _ => path,
        };
        (name, Sha256::of(&bytes))
    };
    listed.map(content).collect()
}

impl Store for FaultyStore {
    fn create(&self, objects: &[Object<'_>]) -> Result<(), StoreError> {
        self.write("create", |store, fault| store.create(fault.part(objects)))
    }

    fn create_from_file(
        &self,
        key: &StoreKey,
        file: NamedTempFile,
        beside: &[Object<'_>],
    ) -> Result<(), StoreError> {
        self.write("create_from_file", |store, fault| match fault {
            Fault::Nothing => Ok(()),
            Fault::FirstHalf => store.create(beside),
            Fault::SecondHalf => store.create_from_file(key, file, &[]),
            Fault::All => store.create_from_file(key, file, beside),
        })
    }

    fn link(&self, links: &[Link]) -> Result<(), StoreError> {
        self.write("link", |store, fault| store.link(fault.part(links)))
    }

    fn replace_timestamp(&self, expected: Option<Sha256>, bytes: &[u8]) -> Result<(), StoreError> {
        self.write("replace_timestamp", |store, fault| match fault {
            fault if fault.is_done() => store.replace_timestamp(expected, bytes),
            _ => Ok(()),
        })
    }

    fn read(&self, key: &StoreKey, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.unwatched().read(key, limit)
    }

    fn open(&self, key: &StoreKey) -> Result<Option<OpenObject>, StoreError> {
        self.unwatched().open(key)
    }

    fn remove(&self, keys: &[StoreKey]) -> Result<(), StoreError> {
        let state = &mut *lock(&self.0.state);
        // What is removed may come again: a name keeps its content while it is there.
        for key in keys {
            state.history.remove(&key.path());
        }
        let fails = state.failing_removals > 0;
        state.failing_removals = state.failing_removals.saturating_sub(1);
        match fails {
            false => self.unwatched().remove(keys),
            true => {
                self.unwatched().remove(Fault::FirstHalf.part(keys))?;
                let source = io::Error::from(io::ErrorKind::TimedOut);
                Err(StoreError::Io { action: "reach", path: "remove".into(), source })
            }
        }
    }

    fn list(&self, area: Area) -> Result<Listing<'_>, StoreError> {
        let listed: Vec<_> = self.unwatched().list(area)?.collect();
        Ok(Box::new(listed.into_iter()))
    }

    fn set_reserve(&self) -> Result<(), StoreError> {
        let mut state = lock(&self.0.state);
        if state.full {
            state.reserve = Some(false);
            return Err(full("set_reserve"));
        }
        state.reserve = Some(true);
        Ok(())
    }

    fn use_reserve(&self) -> Result<(), StoreError> {
        lock(&self.0.state).reserve = Some(false);
        Ok(())
    }

    fn has_reserve(&self) -> Result<bool, StoreError> {
        Ok(lock(&self.0.state).reserve.unwrap_or(true))
    }

    fn spool(&self) -> Result<NamedTempFile, StoreError> {
        self.unwatched().spool()
    }
}

fn full(method: &str) -> StoreError {
    let source = io::Error::from(io::ErrorKind::StorageFull);
    StoreError::Io { action: "reach", path: method.into(), source }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A store as somebody sees it whose reads are answered otherwise, or noted.
pub struct ReadBy {
    /// The store as it is.
    pub store: Arc<dyn Store>,
    /// What is read of an object.
    pub read: Read,
}

/// Answers a read, with the store as it is.
pub type Read =
    Box<dyn Fn(&dyn Store, &StoreKey, u64) -> Result<Option<Vec<u8>>, StoreError> + Send + Sync>;

impl fmt::Debug for ReadBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReadBy")
    }
}

impl Store for ReadBy {
    fn create(&self, objects: &[Object<'_>]) -> Result<(), StoreError> {
        self.store.create(objects)
    }

    fn begin(&self) -> Result<Box<dyn Creation + '_>, StoreError> {
        self.store.begin()
    }

    fn create_from_file(
        &self,
        key: &StoreKey,
        file: NamedTempFile,
        beside: &[Object<'_>],
    ) -> Result<(), StoreError> {
        self.store.create_from_file(key, file, beside)
    }

    fn link(&self, links: &[Link]) -> Result<(), StoreError> {
        self.store.link(links)
    }

    fn replace_timestamp(&self, expected: Option<Sha256>, bytes: &[u8]) -> Result<(), StoreError> {
        self.store.replace_timestamp(expected, bytes)
    }

    fn read(&self, key: &StoreKey, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
        (self.read)(&*self.store, key, limit)
    }

    fn open(&self, key: &StoreKey) -> Result<Option<OpenObject>, StoreError> {
        self.store.open(key)
    }

    fn remove(&self, keys: &[StoreKey]) -> Result<(), StoreError> {
        self.store.remove(keys)
    }

    fn list(&self, area: Area) -> Result<Listing<'_>, StoreError> {
        self.store.list(area)
    }

    fn set_reserve(&self) -> Result<(), StoreError> {
        self.store.set_reserve()
    }

    fn use_reserve(&self) -> Result<(), StoreError> {
        self.store.use_reserve()
    }

    fn has_reserve(&self) -> Result<bool, StoreError> {
        self.store.has_reserve()
    }

    fn spool(&self) -> Result<NamedTempFile, StoreError> {
        self.store.spool()
    }
}
