//! Our side: what a client of this project finds in a folder, and a simulator written to one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};
use waxseal_testkit::simulator::{Simulator, Store, drive, drive_search, target_path};
use waxseal_tuf::metadata::TargetFile;
use waxseal_tuf::{Error, Limits, MetadataFile, Search, TrustedMetadata, Updater};

/// A client that came with version 1 of root, over a folder that has `metadata` and `targets`.
pub(super) struct Ours {
    metadata: PathBuf,
    pub(super) trusted: TrustedMetadata,
    store: Store,
}

impl Ours {
    /// A client that is up to date.
    pub(super) fn refreshed(folder: &Path) -> Result<Self, Error> {
        let (metadata, mut store) = (folder.join("metadata"), Store::new());
        let first_root = fs::read(metadata.join("1.root.json")).unwrap();
        let updater = Updater::new(&first_root, Simulator::now(), Limits::default())?;
        let trusted = drive(updater, &mut store, |file| read(&metadata, file))?;
        Ok(Self { metadata, trusted, store })
    }

    pub(super) fn find(&mut self, path: &str) -> Result<Option<TargetFile>, Error> {
        let search = Search::new(target_path(path), &self.trusted, Limits::default())?;
        let fetch = |file: &MetadataFile| read(&self.metadata, file);
        drive_search(search, &mut self.trusted, &mut self.store, fetch)
    }
}

fn read(metadata: &Path, file: &MetadataFile) -> Option<Vec<u8>> {
    fs::read(metadata.join(&file.path)).ok()
}

/// What was found, as the scripts spell it.
pub(super) fn found(file: &TargetFile) -> Json {
    json!({"length": file.length, "hashes": file.hashes.iter().collect::<BTreeMap<_, _>>()})
}

/// Writes a repository into a folder, as a server has it.
pub(super) fn write(simulator: &Simulator, folder: &Path) {
    for (path, bytes) in &simulator.files {
        create(&folder.join("metadata").join(path), bytes);
    }
    for targets in simulator.targets.values() {
        for (path, file) in &targets.targets {
            let location = match simulator.root.consistent_snapshot {
                true => target_path(path).with_digest(file.hashes.file_name_digest().unwrap()),
                false => path.clone(),
            };
            create(&folder.join("targets").join(location), &simulator.target_files[path]);
        }
    }
}

fn create(file: &Path, bytes: &[u8]) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, bytes).unwrap();
}
