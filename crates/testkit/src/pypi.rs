//! A repository of PyPI's size, as far as one client looks at it: 16,384 bins of 1,282 targets, 21
//! million files in all. Only the bin that is looked into is made.
//!
//! It is signed as PEP 458 and this project's ceremony have it: root by two of three keys, targets and
//! bins by two of two, all the rest by one online key. The keys are Ed25519, the online key is so
//! unless another is given.

use std::collections::BTreeMap;

use waxseal_tuf::hash::{Hashes, Sha256};
use waxseal_tuf::metadata::{
    DelegatedRole, Delegations, Keys, MetaFile, Paths, RoleKeys, Roles, SuccinctRoles, TargetFile,
    Targets,
};
use waxseal_tuf::{RoleName, Signer, TargetPath};

use crate::simulator::{Simulator, Store, TestKey, role, target_path, time};

/// The number of bins is two to this power.
pub const BIT_LENGTH: u8 = 14;

/// Targets in the one bin that is made.
pub const TARGETS_IN_A_BIN: u64 = 1_282;

/// How `bins` writes down its delegations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bins {
    /// One line for all (TAP 15).
    Succinct,
    /// One entry for each, with its `path_hash_prefixes`.
    Classic,
}

/// The repository, and what clients have of it.
#[derive(Debug, Clone)]
pub struct Repository {
    /// The newest metadata files, by path below the metadata URL.
    pub files: BTreeMap<String, Vec<u8>>,
    /// What a client has that was up to date a day ago. Timestamp, snapshot and the target's bin
    /// are newer now, and so is every second bin in the snapshot.
    pub yesterday: Store,
    /// What a client has that is up to date.
    pub today: Store,
    /// A target file that is in yesterday's bin and in today's.
    pub target: TargetPath,
}

impl Repository {
    /// Makes the repository; always the same bytes.
    pub fn new(bins: Bins) -> Self {
        Self::signed_by(bins, &TestKey::new("online"))
    }

    /// The same with this online key.
    pub fn signed_by(bins: Bins, online: &TestKey) -> Self {
        let target = target_path(&path_of(0));
        let numbers = succinct(online);
        let bin = numbers.name(numbers.bin_of(&target));

        let mut simulator = signed_roles(bins, online);
        let mut versions: BTreeMap<RoleName, u64> =
            (0..1 << BIT_LENGTH).map(|n| (numbers.name(n), version_of(n))).collect();
        let mut publish = |day: u64| {
            for (n, version) in versions.values_mut().enumerate() {
                *version += if n % 2 == 0 { day } else { 0 };
            }
            versions.insert(bin.clone(), 12_345 + day);
            let listed = versions.iter().map(|(name, v)| (name.clone(), MetaFile::version(*v)));
            simulator.snapshot.roles.extend(listed);
            simulator.targets.insert(bin.clone(), bin_of(bin.clone(), 12_345 + day, day));
            simulator.write_targets(bin.as_str());
            simulator.snapshot.version = 100_000 + day;
            simulator.write_snapshot();
            simulator.timestamp.version = 200_000 + day;
            simulator.write_timestamp();
            let roles = [RoleName::targets(), role("bins"), bin.clone()];
            trust_store(&simulator, &roles)
        };
        let yesterday = publish(0);
        let today = publish(1);
        Self { files: simulator.files, yesterday, today, target }
    }

    /// The root that a client comes with.
    pub fn root(&self) -> &[u8] {
        &self.files["1.root.json"]
    }
}

/// The four top-level roles and `bins`, with the keys that sign them; nothing of the bins yet.
fn signed_roles(bins: Bins, online: &TestKey) -> Simulator {
    let (of_targets, of_bins) = (["targets-a", "targets-b"], ["bins-a", "bins-b"]);
    let mut simulator = Simulator::new();
    simulator.rotate("targets", &of_targets, 2);
    for name in ["timestamp", "snapshot"] {
        simulator.rotate_to(name, vec![online.clone()], 1);
    }
    simulator.root.keys = named_keys(&simulator);
    simulator.write_root();

    let signers = of_bins.map(TestKey::new);
    let name = role("bins");
    let every = (0..16).map(|digit| format!("{digit:x}")).collect();
    let to_bins = DelegatedRole {
        name: name.clone(),
        keys: all_of(&signers),
        terminating: false,
        paths: Paths::HashPrefixes(every),
    };
    simulator.role("targets").delegations =
        Some(Delegations { keys: keys_of(&signers), roles: Roles::Listed(vec![to_bins]) });
    simulator.write_targets("targets");

    let roles = match bins {
        Bins::Succinct => Roles::Succinct(succinct(online)),
        Bins::Classic => Roles::Listed((0..1 << BIT_LENGTH).map(|n| classic(online, n)).collect()),
    };
    let keys = keys_of(std::slice::from_ref(online));
    let delegations = Some(Delegations { keys, roles });
    let expires = simulator.root.expires;
    let targets =
        Targets { version: 1, expires, name: None, targets: BTreeMap::new(), delegations };
    simulator.targets.insert(name.clone(), targets);
    simulator.signers.insert(name, signers.to_vec());
    simulator.write_targets("bins");

    let numbers = succinct(online);
    simulator.signers.extend((0..1 << BIT_LENGTH).map(|n| (numbers.name(n), vec![online.clone()])));
    simulator
}

/// The keys that root's roles name, without those that were replaced.
fn named_keys(simulator: &Simulator) -> Keys {
    let root = &simulator.root;
    let named =
        |(keyid, _): &(_, _)| root.roles.iter().any(|(_, role)| role.keyids.contains(keyid));
    root.keys.clone().into_iter().filter(named).collect()
}

fn keys_of(keys: &[TestKey]) -> Keys {
    keys.iter().map(|key| (key.keyid(), key.public_key().clone())).collect()
}

fn all_of(keys: &[TestKey]) -> RoleKeys {
    let keyids = keys.iter().map(TestKey::keyid).collect();
    RoleKeys { keyids, threshold: keys.len() as u64 }
}

fn succinct(online: &TestKey) -> SuccinctRoles {
    let keys = all_of(std::slice::from_ref(online));
    SuccinctRoles { keys, bit_length: BIT_LENGTH, name_prefix: "bin".to_owned() }
}

/// A bin takes four prefixes of four hex digits.
fn classic(online: &TestKey, bin: u32) -> DelegatedRole {
    let bins = succinct(online);
    let prefixes = (bin * 4..bin * 4 + 4).map(|prefix| format!("{prefix:04x}"));
    let paths = Paths::HashPrefixes(prefixes.collect());
    DelegatedRole { name: bins.name(bin), keys: bins.keys, terminating: true, paths }
}

/// A bin of PyPI is years old: most have versions of four or five digits.
fn version_of(bin: u32) -> u64 {
    2_000 + u64::from(digest("version", u64::from(bin)).0[0]) * 60
}

/// The bin with the target. Clients look up one path and hash no other, so that the others need not
/// belong into this bin.
fn bin_of(name: RoleName, version: u64, day: u64) -> Targets {
    let expires = time("2030-01-02T00:00:00Z");
    let targets = (0..TARGETS_IN_A_BIN + day).map(|i| (path_of(i), file_of(i)));
    Targets { version, expires, name: Some(name), targets: targets.collect(), delegations: None }
}

/// `packages/<2 hex>/<2 hex>/<60 hex>/<filename>`, 98 to 140 bytes, as PyPI has it.
fn path_of(i: u64) -> String {
    let hash = digest("file", i);
    let hex = hash.to_string();
    let length = 9 + usize::from(hash.0[0] % 12);
    let letters = hash.0.iter().cycle().take(length);
    let name: String = letters.map(|byte| char::from(b'a' + byte % 26)).collect();
    let (major, minor) = (hash.0[1] % 10, hash.0[2] % 10);
    let tail = match hash.0[3] % 3 {
        0 => ".tar.gz",
        1 => "-py3-none-any.whl",
        _ => "-cp312-cp312-manylinux_2_28_x86_64.whl",
    };
    format!("packages/{}/{}/{}/{name}-{major}.{minor}.0{tail}", &hex[..2], &hex[2..4], &hex[4..])
}

fn file_of(i: u64) -> TargetFile {
    let content = digest("content", i);
    let length = u64::from(u32::from_be_bytes([0, content.0[0], content.0[1], content.0[2]]));
    TargetFile { length, hashes: Hashes::sha256(content), custom: None }
}

fn digest(of: &str, i: u64) -> Sha256 {
    Sha256::of(format!("{of} {i}").as_bytes())
}

/// What a client stores that has just looked for the target.
fn trust_store(simulator: &Simulator, targets: &[RoleName]) -> Store {
    let version = simulator.snapshot.version;
    let top = [
        (RoleName::ROOT, "1.root.json".to_owned()),
        (RoleName::TIMESTAMP, "timestamp.json".to_owned()),
        (RoleName::SNAPSHOT, format!("{version}.snapshot.json")),
    ];
    let top = top.into_iter().map(|(name, path)| (role(name), path));
    let targets = targets.iter().map(|name| {
        let version = simulator.snapshot.roles[name].version;
        (name.clone(), format!("{version}.{}", name.metafile()))
    });
    top.chain(targets).map(|(name, path)| (name, simulator.files[&path].clone())).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use waxseal_tuf::{Limits, Search, Updater};

    use super::*;
    use crate::simulator::{drive, drive_search};

    #[test]
    fn sizes_are_those_of_pypi() {
        for (bins, sizes) in [(Bins::Succinct, 0..2_000), (Bins::Classic, 2_900_000..3_000_000)] {
            let repository = Repository::new(bins);
            let size = |name: &str| repository.today[&role(name)].len();
            assert!((545_000..572_000).contains(&size("snapshot")), "{}", size("snapshot"));
            assert!(sizes.contains(&size("bins")), "{bins:?}: {}", size("bins"));
            let bin = repository.today.keys().find(|name| name.as_str().starts_with("bin-"));
            let bin = size(bin.unwrap().as_str());
            assert!((285_000..295_000).contains(&bin), "{bin}");
        }
        let lengths: Vec<usize> = (0..TARGETS_IN_A_BIN).map(|i| path_of(i).len()).collect();
        let (shortest, longest) = (lengths.iter().min().unwrap(), lengths.iter().max().unwrap());
        assert!(*shortest >= 98 && *longest <= 140, "{shortest} to {longest}");
    }

    #[test]
    fn a_returning_client_fetches_timestamp_snapshot_and_one_bin() {
        for bins in [Bins::Succinct, Bins::Classic] {
            let Repository { files, yesterday, today, target } = Repository::new(bins);
            let mut store = yesterday.clone();
            let mut fetched = Vec::new();
            let mut fetch = |file: &waxseal_tuf::MetadataFile| {
                let bytes = files.get(&file.path).cloned();
                fetched.extend(bytes.as_ref().map(|_| file.role.to_string()));
                bytes
            };
            let root = &files["1.root.json"];
            let updater = Updater::new(root, Simulator::now(), Limits::default()).unwrap();
            let mut trusted = drive(updater, &mut store, &mut fetch).unwrap();
            let search = Search::new(target.clone(), &trusted, Limits::default()).unwrap();
            let found = drive_search(search, &mut trusted, &mut store, &mut fetch).unwrap();
            assert_eq!(found, Some(file_of(0)));
            assert_eq!(store, today);
            assert_eq!(fetched.len(), 3, "{fetched:?}");
        }
    }
}
