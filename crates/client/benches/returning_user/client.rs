//! A client's loop over `waxseal-tuf`, with a trust store in memory and with one on disk.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use waxseal_testkit::simulator::{Simulator, Store};
use waxseal_tuf::{
    Answer, Limits, MetadataFile, RoleName, Search, Step, TargetFile, TargetPath, Updater,
};

use crate::world::{Scenario, World, write_store};

/// What a client keeps between runs.
pub(crate) trait TrustStore {
    fn load(&self, role: &RoleName) -> Option<Vec<u8>>;
    fn store(&mut self, role: &RoleName, bytes: &[u8]);
}

/// In memory: what is measured is `waxseal-tuf` alone.
pub(crate) struct Memory(pub(crate) Store);

impl TrustStore for Memory {
    fn load(&self, role: &RoleName) -> Option<Vec<u8>> {
        self.0.get(role).cloned()
    }

    fn store(&mut self, role: &RoleName, bytes: &[u8]) {
        self.0.insert(role.clone(), bytes.to_vec());
    }
}

/// In a folder, written as python-tuf writes: a temporary file, a rename, no fsync.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn filled(folder: &Path, trusted: &Store) -> Self {
        write_store(folder, trusted);
        Self(folder.to_owned())
    }

    /// One that is there.
    pub(crate) fn at(folder: &Path) -> Self {
        Self(folder.to_owned())
    }
}

impl TrustStore for Folder {
    fn load(&self, role: &RoleName) -> Option<Vec<u8>> {
        fs::read(self.0.join(role.metafile())).ok()
    }

    fn store(&mut self, role: &RoleName, bytes: &[u8]) {
        let mut file = tempfile::NamedTempFile::new_in(&self.0).unwrap();
        file.write_all(bytes).unwrap();
        file.persist(self.0.join(role.metafile())).unwrap();
    }
}

/// One run of a scenario, with the repository in memory.
pub(crate) fn run(world: &World, scenario: Scenario, store: &mut impl TrustStore) {
    let repository = world.repository(scenario.kind);
    let fetch = |file: &MetadataFile| repository.files.get(&file.path).cloned();
    let found = find(store, &repository.target, fetch);
    assert!(found.is_some(), "{} has no {}", scenario.name(), repository.target);
}

/// Brings everything up to date and finds one target.
pub(crate) fn find(
    store: &mut impl TrustStore,
    target: &TargetPath,
    fetch: impl Fn(&MetadataFile) -> Option<Vec<u8>>,
) -> Option<TargetFile> {
    let root = store.load(&RoleName::from_static(RoleName::ROOT)).unwrap();
    let mut updater = Updater::new(&root, Simulator::now(), Limits::default()).unwrap();
    while let Some(answer) = answer(updater.step(), store, &fetch) {
        updater = updater.answer(answer).unwrap();
    }
    let mut trusted = updater.finish().unwrap();
    let mut search = Search::new(target.clone(), &trusted, Limits::default()).unwrap();
    while let Some(answer) = answer(search.step(&trusted), store, &fetch) {
        search = search.answer(&mut trusted, answer).unwrap();
    }
    search.finish()
}

fn answer(
    step: Step,
    store: &mut impl TrustStore,
    fetch: &impl Fn(&MetadataFile) -> Option<Vec<u8>>,
) -> Option<Answer> {
    match step {
        Step::Load(role) => Some(Answer::Loaded(store.load(&role))),
        Step::Fetch(file) => Some(fetch(&file).map_or(Answer::NotFound, Answer::Fetched)),
        Step::Store(role, bytes) => {
            store.store(&role, &bytes);
            Some(Answer::Stored)
        }
        Step::Done => None,
    }
}
