//! A TUF repository in memory, honest or not, and a client's loop without disk and network.
//!
//! A test changes the typed fields ([`Simulator::root`], [`Simulator::timestamp`], …) and publishes;
//! what types cannot express it changes in the JSON, signed again ([`Simulator::resign`]) or not
//! ([`Simulator::replace_text`]), or in the bytes ([`Simulator::files`]).
//!
//! - `write_…` signs a role as it is, whatever its version, and changes what names it, unpublished;
//! - `publish_…` gives it the next version, and publishes every role above it as well.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(clippy::missing_panics_doc, reason = "everything here panics where a test cannot go on")]

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use jiff::Timestamp as Time;
use waxseal_tuf::hash::{Hashes, Sha256};
use waxseal_tuf::json::{Object, Value};
use waxseal_tuf::metadata::{
    self, DelegatedRole, Delegations, Keys, MetaFile, MetaFiles, Paths, Role, RoleKeys, Roles,
    Root, Snapshot, SuccinctRoles, TargetFile, Targets, Timestamp, TopLevelRoles,
};
use waxseal_tuf::{
    Answer, Error, MetadataFile, RoleName, Search, Signer, Step, TargetPath, TrustedMetadata,
    Updater,
};

pub use crate::keys::TestKey;

/// The moment at which the simulated clients live.
pub const NOW: &str = "2030-01-01T00:00:00Z";

/// What a client's trust store holds.
pub type Store = BTreeMap<RoleName, Vec<u8>>;

/// Runs an update to its end. `fetch` answers `None` where there is no such file.
pub fn drive(
    mut updater: Updater,
    store: &mut Store,
    mut fetch: impl FnMut(&MetadataFile) -> Option<Vec<u8>>,
) -> Result<TrustedMetadata, Error> {
    while let Some(answer) = answer(updater.step(), store, &mut fetch) {
        updater = updater.answer(answer)?;
    }
    updater.finish()
}

/// Runs a search to its end.
pub fn drive_search(
    mut search: Search,
    trusted: &mut TrustedMetadata,
    store: &mut Store,
    mut fetch: impl FnMut(&MetadataFile) -> Option<Vec<u8>>,
) -> Result<Option<TargetFile>, Error> {
    while let Some(answer) = answer(search.step(trusted), store, &mut fetch) {
        search = search.answer(trusted, answer)?;
    }
    Ok(search.finish())
}

fn answer(
    step: Step,
    store: &mut Store,
    fetch: &mut impl FnMut(&MetadataFile) -> Option<Vec<u8>>,
) -> Option<Answer> {
    match step {
        Step::Load(role) => Some(Answer::Loaded(store.get(&role).cloned())),
        Step::Fetch(file) => Some(fetch(&file).map_or(Answer::NotFound, Answer::Fetched)),
        Step::Store(role, bytes) => {
            store.insert(role, bytes.to_vec());
            Some(Answer::Stored)
        }
        Step::Done => None,
    }
}

/// The role of this name.
pub fn role(name: &str) -> RoleName {
    RoleName::new(name).unwrap()
}

/// The target path of this text.
pub fn target_path(path: &str) -> TargetPath {
    TargetPath::new(path).unwrap()
}

/// A repository in memory.
#[derive(Debug, Clone)]
pub struct Simulator {
    /// Root as it is next written.
    pub root: Root,
    /// Timestamp as it is next written.
    pub timestamp: Timestamp,
    /// Snapshot as it is next written.
    pub snapshot: Snapshot,
    /// Targets and every delegated role as they are next written.
    pub targets: BTreeMap<RoleName, Targets>,
    /// Who signs each role when it is next written.
    pub signers: BTreeMap<RoleName, Vec<TestKey>>,
    /// What clients can fetch, by path below the metadata URL.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The bytes of target files by target path.
    pub target_files: BTreeMap<String, Vec<u8>>,
}

impl Default for Simulator {
    fn default() -> Self {
        Self::new()
    }
}

impl Simulator {
    /// A repository with version 1 of the four top-level roles published: root signed by two of
    /// three keys, the others by one, no target files.
    pub fn new() -> Self {
        let (year, day) = (time("2031-01-01T00:00:00Z"), time("2030-01-02T00:00:00Z"));
        let none = || RoleKeys { keyids: Vec::new(), threshold: 1 };
        let roles =
            TopLevelRoles { root: none(), timestamp: none(), snapshot: none(), targets: none() };
        let keys = Keys::new();
        let targets = Targets {
            version: 1,
            expires: year,
            name: None,
            targets: BTreeMap::new(),
            delegations: None,
        };
        let mut this = Self {
            root: Root {
                version: 1,
                expires: year,
                consistent_snapshot: true,
                keys,
                roles,
                holders: BTreeMap::new(),
            },
            timestamp: Timestamp { version: 1, expires: day, snapshot: MetaFile::version(1) },
            snapshot: Snapshot { version: 1, expires: day, roles: MetaFiles::default() },
            targets: BTreeMap::from([(RoleName::targets(), targets)]),
            signers: BTreeMap::new(),
            files: BTreeMap::new(),
            target_files: BTreeMap::new(),
        };
        this.rotate("root", &["root-a", "root-b", "root-c"], 2);
        for role in ["timestamp", "snapshot", "targets"] {
            this.rotate(role, &[role], 1);
        }
        this.write_root();
        this.write_targets("targets");
        this.write_snapshot();
        this.write_timestamp();
        this
    }

    /// The reference time of clients.
    pub fn now() -> Time {
        time(NOW)
    }

    /// The root that clients came with.
    pub fn first_root(&self) -> Vec<u8> {
        self.files["1.root.json"].clone()
    }

    /// Answers a client.
    pub fn fetch(&self, file: &MetadataFile) -> Option<Vec<u8>> {
        self.files.get(&file.path).cloned()
    }

    /// Gives a top-level role new keys, one of each label. A root that is written next is signed by
    /// the old root keys as well, as a rotation needs.
    pub fn rotate(&mut self, name: &str, labels: &[&str], threshold: u64) {
        self.rotate_to(name, labels.iter().map(|label| TestKey::new(label)).collect(), threshold);
    }

    /// The same with keys of any type.
    pub fn rotate_to(&mut self, name: &str, new: Vec<TestKey>, threshold: u64) {
        let keys = RoleKeys { keyids: new.iter().map(TestKey::keyid).collect(), threshold };
        self.root.keys.extend(new.iter().map(|key| (key.keyid(), key.public_key().clone())));
        let roles = &mut self.root.roles;
        match name {
            "root" => roles.root = keys,
            "timestamp" => roles.timestamp = keys,
            "snapshot" => roles.snapshot = keys,
            "targets" => roles.targets = keys,
            _ => panic!("{name} is not a top-level role"),
        }
        let signers = self.signers.entry(role(name)).or_default();
        signers.retain(|old| name == "root" && !new.iter().any(|key| key.keyid() == old.keyid()));
        signers.extend(new);
    }

    /// Lets a role list a target file of this content.
    pub fn add_target(&mut self, name: &str, path: &str, content: &[u8]) {
        let hashes = Hashes::sha256(Sha256::of(content));
        let file = TargetFile { length: content.len() as u64, hashes, custom: None };
        self.role(name).targets.insert(path.to_owned(), file);
        self.target_files.insert(path.to_owned(), content.to_vec());
    }

    /// Lets `by` list a delegation to `name` after those it has, signed by one key that is labelled
    /// with the name, and writes an empty version 1 of that role where there is none. `by` is not
    /// written.
    pub fn delegate(&mut self, by: &str, name: &str, paths: Paths, terminating: bool) {
        self.delegate_to(by, name, TestKey::new(name), paths, terminating);
    }

    /// The same to a role that is signed by this key.
    pub fn delegate_to(
        &mut self,
        by: &str,
        name: &str,
        key: TestKey,
        paths: Paths,
        terminating: bool,
    ) {
        let keys = RoleKeys { keyids: vec![key.keyid()], threshold: 1 };
        let delegated = DelegatedRole { name: role(name), keys, terminating, paths };
        let delegations = self.delegations(by, || Roles::Listed(Vec::new()));
        delegations.keys.insert(key.keyid(), key.public_key().clone());
        match &mut delegations.roles {
            Roles::Listed(roles) => roles.push(delegated),
            Roles::Succinct(_) => panic!("{by} has succinct delegations"),
        }
        self.add_role(name, key);
    }

    /// Lets `by` delegate to `2^bit_length` succinct bins, signed by one key that is labelled with
    /// the prefix, and writes an empty version 1 of each, which states its name. `by` is not written.
    pub fn delegate_bins(&mut self, by: &str, bit_length: u8, name_prefix: &str) {
        let key = TestKey::new(name_prefix);
        let keys = RoleKeys { keyids: vec![key.keyid()], threshold: 1 };
        let bins = SuccinctRoles { keys, bit_length, name_prefix: name_prefix.to_owned() };
        let delegations = self.delegations(by, || Roles::Succinct(bins.clone()));
        delegations.keys.insert(key.keyid(), key.public_key().clone());
        for bin in (0..1 << bit_length).map(|bin| bins.name(bin)) {
            self.add_role(bin.as_str(), key.clone());
            self.role(bin.as_str()).name = Some(bin.clone());
            self.write_targets(bin.as_str());
        }
    }

    fn delegations(&mut self, by: &str, roles: impl FnOnce() -> Roles) -> &mut Delegations {
        let delegations = &mut self.role(by).delegations;
        delegations.get_or_insert_with(|| Delegations { keys: Keys::new(), roles: roles() })
    }

    fn add_role(&mut self, name: &str, key: TestKey) {
        if self.targets.contains_key(&role(name)) {
            return;
        }
        let expires = self.snapshot.expires;
        let targets = Targets {
            version: 1,
            expires,
            name: None,
            targets: BTreeMap::new(),
            delegations: None,
        };
        self.targets.insert(role(name), targets);
        self.signers.insert(role(name), vec![key]);
        self.write_targets(name);
    }

    /// The targets or delegated role of this name.
    pub fn role(&mut self, name: &str) -> &mut Targets {
        let targets = self.targets.get_mut(&role(name));
        targets.unwrap_or_else(|| panic!("there is no role {name}"))
    }

    /// Writes root.
    pub fn write_root(&mut self) {
        let bytes = self.signed("root", &self.root);
        self.files.insert(format!("{}.root.json", self.root.version), bytes);
    }

    /// Writes a targets role; the snapshot that is written next lists its version.
    pub fn write_targets(&mut self, name: &str) {
        let targets = self.role(name).clone();
        let bytes = self.signed(name, &targets);
        self.files.insert(self.path(name, targets.version), bytes);
        self.snapshot.roles.insert(role(name), MetaFile::version(targets.version));
    }

    /// Writes snapshot; the timestamp that is written next lists its version, length and digest.
    pub fn write_snapshot(&mut self) {
        let bytes = self.signed("snapshot", &self.snapshot);
        self.timestamp.snapshot = metafile(self.snapshot.version, &bytes);
        self.files.insert(self.path("snapshot", self.snapshot.version), bytes);
    }

    /// Writes timestamp.
    pub fn write_timestamp(&mut self) {
        let bytes = self.signed("timestamp", &self.timestamp);
        self.files.insert("timestamp.json".to_owned(), bytes);
    }

    /// Publishes the next root, signed by the old root keys too if they were rotated since; who
    /// signs the one after it are the keys it names.
    pub fn publish_root(&mut self) {
        self.root.version += 1;
        self.write_root();
        let keyids = self.root.roles.root.keyids.clone();
        let signers = self.signers.entry(role("root")).or_default();
        signers.retain(|key| keyids.contains(&key.keyid()));
    }

    /// Publishes the next version of a targets role, of snapshot and of timestamp.
    pub fn publish_targets(&mut self, name: &str) {
        self.role(name).version += 1;
        self.write_targets(name);
        self.publish_snapshot();
    }

    /// Publishes the next snapshot and timestamp.
    pub fn publish_snapshot(&mut self) {
        self.snapshot.version += 1;
        self.write_snapshot();
        self.publish_timestamp();
    }

    /// Publishes the next timestamp.
    pub fn publish_timestamp(&mut self) {
        self.timestamp.version += 1;
        self.write_timestamp();
    }

    /// Where a role of this version lies, below the metadata URL.
    pub fn path(&self, name: &str, version: u64) -> String {
        let name_encoded = role(name).encoded();
        match self.root.consistent_snapshot && name != "timestamp" || name == "root" {
            true => format!("{version}.{name_encoded}.json"),
            false => format!("{name_encoded}.json"),
        }
    }

    /// Length and digest of a role as it was last written, which snapshot may list.
    pub fn metafile(&self, name: &str) -> MetaFile {
        let version = self.targets[&role(name)].version;
        metafile(version, &self.files[&self.path(name, version)])
    }

    fn signed<T: Role>(&self, name: &str, signed: &T) -> Vec<u8> {
        let signers = self.signers[&role(name)].iter().map(|key| key as &dyn Signer);
        metadata::sign(signed, &signers.collect::<Vec<_>>()).unwrap()
    }

    /// Changes a published file's `signed` value and signs it again as role `name` is signed.
    pub fn resign(&mut self, path: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let signers = self.signers[&role(name)].clone();
        self.edit(path, |file| {
            let Value::Object(object) = file else { panic!("{path} is no object") };
            let mut signed = object.remove("signed").unwrap();
            change(&mut signed);
            object.insert("signatures", signatures(&signed, &signers));
            object.insert("signed", signed);
        });
    }

    /// Changes a published file's JSON, signatures included; nothing is signed again.
    pub fn edit(&mut self, path: &str, change: impl FnOnce(&mut Value)) {
        let mut value = Value::parse(&self.files[path]).unwrap();
        change(&mut value);
        self.files.insert(path.to_owned(), value.to_json());
    }

    /// Replaces the first occurrence of a text in a published file, which must be there; nothing is
    /// signed again.
    pub fn replace_text(&mut self, path: &str, from: &str, to: &str) {
        let text = String::from_utf8(self.files[path].clone()).unwrap();
        assert!(text.contains(from), "{path} does not contain {from}: {text}");
        self.files.insert(path.to_owned(), text.replacen(from, to, 1).into());
    }
}

/// A `signatures` value: one signature of each key, under its own keyid.
pub fn signatures(signed: &Value, keys: &[TestKey]) -> Value {
    let signatures = keys.iter().map(|key| signature(signed, key, key.keyid().as_str()));
    signatures.collect::<Vec<_>>().into()
}

/// A key's signature under any keyid.
pub fn signature(signed: &Value, key: &TestKey, keyid: &str) -> Value {
    let sig = HEXLOWER.encode(&key.sign(&signed.to_canonical()).unwrap());
    Object::from_iter([("keyid", keyid), ("sig", &sig)]).into()
}

/// Sets the value at a path of object keys and array indices to a JSON text; the last step may be
/// a key that is not there, or the index one past the end.
pub fn set(value: &mut Value, path: &[&str], json: &str) {
    let new = Value::parse(json.as_bytes()).unwrap();
    change(value, path, |_| Some(new));
}

/// Takes the value at a path out.
pub fn remove(value: &mut Value, path: &[&str]) -> Value {
    let mut removed = None;
    change(value, path, |old| {
        removed = old;
        None
    });
    removed.unwrap_or_else(|| panic!("there is nothing at {path:?}"))
}

/// Replaces the value at a path of object keys and array indices.
pub fn change(
    value: &mut Value,
    path: &[&str],
    replace: impl FnOnce(Option<Value>) -> Option<Value>,
) {
    let Some((first, rest)) = path.split_first() else { panic!("the path is empty") };
    let old = match value {
        Value::Object(object) => object.remove(first),
        Value::Array(values) => values.get(first.parse::<usize>().unwrap()).cloned(),
        _ => panic!("nothing can be at {first}"),
    };
    let new = match rest {
        [] => replace(old),
        _ => {
            let mut inner = old.unwrap_or_else(|| panic!("there is nothing at {first}"));
            change(&mut inner, rest, replace);
            Some(inner)
        }
    };
    match (value, new) {
        (Value::Object(object), Some(new)) => object.insert(*first, new),
        (Value::Array(values), new) => {
            let at = first.parse::<usize>().unwrap();
            values.splice(at..values.len().min(at + 1), new);
        }
        _ => {}
    }
}

/// What snapshot or timestamp lists for a file of these bytes.
pub fn metafile(version: u64, bytes: &[u8]) -> MetaFile {
    let hashes = Some(Hashes::sha256(Sha256::of(bytes)));
    MetaFile { version, length: Some(bytes.len() as u64), hashes }
}

/// A time such as [`NOW`].
pub fn time(text: &str) -> Time {
    text.parse().unwrap()
}

#[cfg(test)]
mod tests {
    use waxseal_tuf::Limits;

    use super::*;

    #[test]
    fn a_client_follows_what_is_published() {
        let mut repository = Simulator::new();
        repository.delegate_bins("targets", 2, "bin");
        repository.publish_targets("targets");
        let path = target_path("a/b.whl");
        let bin = format!("bin-{:x}", u64::from(Sha256::of(b"a/b.whl").0[0] >> 6));
        repository.add_target(&bin, path.as_str(), b"content");
        repository.publish_targets(&bin);
        repository.rotate("root", &["new"], 1);
        repository.publish_root();

        let mut store = Store::new();
        let first = repository.first_root();
        let updater = Updater::new(&first, Simulator::now(), Limits::default()).unwrap();
        let mut trusted = drive(updater, &mut store, |file| repository.fetch(file)).unwrap();
        assert_eq!((trusted.root().version, trusted.snapshot().version), (2, 3));
        let search = Search::new(path, &trusted, Limits::default()).unwrap();
        let fetch = |file: &MetadataFile| repository.fetch(file);
        let found = drive_search(search, &mut trusted, &mut store, fetch).unwrap();
        assert_eq!(found.unwrap().length, 7);
        assert!(store.contains_key(&role(&bin)));
    }

    #[test]
    fn json_is_changed_at_a_path() {
        let mut value = Value::parse(br#"{"a":[{"b":1},2],"c":3}"#).unwrap();
        set(&mut value, &["a", "0", "b"], "[true]");
        set(&mut value, &["a", "2"], "\"end\"");
        set(&mut value, &["d"], "{}");
        assert_eq!(remove(&mut value, &["c"]), Value::Integer(3));
        assert_eq!(remove(&mut value, &["a", "1"]), Value::Integer(2));
        assert_eq!(value.to_json(), br#"{"a":[{"b":[true]},"end"],"d":{}}"#);
    }
}
