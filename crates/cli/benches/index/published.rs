//! What an index in a data folder has published, read as anybody could read it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// The published snapshot.
pub(crate) struct Published {
    /// The folder of the metadata files.
    pub(crate) folder: PathBuf,
    /// The filename of the snapshot.
    pub(crate) snapshot_file: String,
    /// Its version.
    pub(crate) version: u64,
    versions: BTreeMap<String, u64>,
}

impl Published {
    /// That of the index in `data`.
    pub(crate) fn read(data: &Path) -> Self {
        let folder = data.join("store/tuf/metadata");
        let timestamp = read_json(&folder.join("timestamp.json"));
        let version = timestamp["signed"]["meta"]["snapshot.json"]["version"].as_u64().unwrap();
        let snapshot_file = format!("{version}.snapshot.json");
        let snapshot = read_json(&folder.join(&snapshot_file));
        let listed = snapshot["signed"]["meta"].as_object().unwrap();
        let versions = listed.iter().map(|(file, meta)| {
            (file.trim_end_matches(".json").to_owned(), meta["version"].as_u64().unwrap())
        });
        let versions = versions.collect();
        Self { folder, snapshot_file, version, versions }
    }

    /// How many bins there are.
    pub(crate) fn bins(&self) -> u32 {
        let bins = self.versions.keys().filter(|role| role.starts_with("bin-"));
        u32::try_from(bins.count()).unwrap()
    }

    /// The number of bins is two to this power.
    pub(crate) fn bit_length(&self) -> u8 {
        u8::try_from(self.bins().ilog2()).unwrap()
    }

    /// The filename of a bin.
    pub(crate) fn bin_file(&self, bin: u32) -> String {
        let digits = usize::from(self.bit_length().div_ceil(4));
        let role = format!("bin-{bin:0digits$x}");
        format!("{}.{role}.json", self.versions[&role])
    }

    /// How many bytes a metadata file has.
    pub(crate) fn size(&self, file: &str) -> u64 {
        let path = self.folder.join(file);
        fs::metadata(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).len()
    }

    /// How many bytes the snapshot has.
    pub(crate) fn snapshot_size(&self) -> u64 {
        self.size(&self.snapshot_file)
    }

    /// How many bytes these bins have.
    pub(crate) fn bin_sizes(&self, bins: impl IntoIterator<Item = u32>) -> Vec<u64> {
        bins.into_iter().map(|bin| self.size(&self.bin_file(bin))).collect()
    }

    /// The targets of a bin.
    pub(crate) fn targets(&self, bin: u32) -> Map<String, Value> {
        targets_of(&self.folder.join(self.bin_file(bin)))
    }

    /// Deletes every bin and snapshot that is older than this snapshot: benchmarks publish more than
    /// disks hold. Answers whether there was any.
    pub(crate) fn delete_older(&self) -> bool {
        let mut any = false;
        for entry in fs::read_dir(&self.folder).unwrap() {
            let entry = entry.unwrap();
            if self.is_older(&entry.file_name().to_string_lossy()) {
                fs::remove_file(entry.path()).unwrap();
                any = true;
            }
        }
        any
    }

    /// Whether a file is of a version before the published one.
    fn is_older(&self, file: &str) -> bool {
        let mut parts = file.split('.');
        let version = parts.next().and_then(|version| version.parse::<u64>().ok());
        let (Some(version), Some(role)) = (version, parts.next()) else { return false };
        let published = match role {
            "snapshot" => Some(&self.version),
            role if role.starts_with("bin-") => self.versions.get(role),
            _ => None,
        };
        published.is_some_and(|published| version < *published)
    }
}

/// The targets that a metadata file lists.
pub(crate) fn targets_of(file: &Path) -> Map<String, Value> {
    match read_json(file)["signed"]["targets"].take() {
        Value::Object(targets) => targets,
        other => panic!("targets are an object: {other}"),
    }
}

fn read_json(path: &Path) -> Value {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
