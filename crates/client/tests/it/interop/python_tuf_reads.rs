//! python-tuf reads what this project writes.

use std::collections::BTreeMap;
use std::slice;

use data_encoding::HEXLOWER;
use jiff::Timestamp as Time;
use serde_json::{Value as Json, json};
use waxseal_testkit::keys::TestKey;
use waxseal_testkit::simulator::{Simulator, role, target_path};
use waxseal_tuf::Signer as _;
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::metadata::{Paths, RoleKeys, Roles};

use super::ask;
use super::ours::{Ours, found, write};

/// A repository, and what clients must find in it.
pub(super) struct Repository {
    pub(super) simulator: Simulator,
    /// Content by target path.
    pub(super) present: BTreeMap<String, Vec<u8>>,
    /// Paths that no client may find, though some are listed by a role that is not asked.
    pub(super) absent: Vec<String>,
}

const PATHS: [&str; 6] = [
    "packages/flask/flask-3.0.0-py3-none-any.whl",
    "packages/flask/flask-3.0.0-py3-none-any.whl.metadata",
    "simple/flask/vnd.pypi.simple.v1.json",
    "a+b c/100%.tar.gz",
    "[x]/{y}/~z",
    "file",
];

/// Not for tough, which normalises what it checks signatures over.
const UNICODE_PATHS: [&str; 3] = ["packages/été/e\u{301}.whl", "😀/\u{ffff}", "\u{2028}"];

impl Repository {
    pub(super) fn new(consistent_snapshot: bool) -> Self {
        let mut simulator = Simulator::new();
        simulator.root.consistent_snapshot = consistent_snapshot;
        simulator.files.clear();
        simulator.write_root();
        simulator.write_targets("targets");
        simulator.publish_snapshot();
        Self { simulator, present: BTreeMap::new(), absent: Vec::new() }
    }

    /// Lists a file in a role that is asked for it.
    fn add(&mut self, role: &str, path: &str) {
        let content = format!("{path} by {role}").into_bytes();
        self.simulator.add_target(role, path, &content);
        self.present.insert(path.to_owned(), content);
    }

    /// Lists a file in a role that is not asked for it.
    fn hide(&mut self, role: &str, path: &str) {
        self.simulator.add_target(role, path, b"hidden");
        self.absent.push(path.to_owned());
    }

    /// Publishes every role.
    fn publish(mut self) -> Self {
        for name in self.simulator.targets.keys().cloned().collect::<Vec<_>>() {
            self.simulator.publish_targets(name.as_str());
        }
        self
    }

    pub(super) fn succinct_bins(consistent_snapshot: bool, bit_length: u8) -> Self {
        let mut this = Self::new(consistent_snapshot);
        this.simulator.delegate_bins("targets", bit_length, "bin");
        let delegations = this.simulator.role("targets").delegations.clone().unwrap();
        let Roles::Succinct(bins) = delegations.roles else { unreachable!() };
        for path in PATHS.into_iter().chain(UNICODE_PATHS) {
            this.add(bins.name(bins.bin_of(&target_path(path))).as_str(), path);
        }
        let other = bins.bin_of(&target_path("other")) ^ 1;
        this.hide(bins.name(other).as_str(), "other");
        this.absent.push("nowhere".to_owned());
        this.publish()
    }

    /// `bins` classic bins, at most 16, of `16 / bins` prefixes of one digit each, below a role that
    /// targets delegates everything to, as a ceremony writes them.
    pub(super) fn classic_bins(consistent_snapshot: bool, bins: usize, paths: &[&str]) -> Self {
        let mut this = Self::new(consistent_snapshot);
        let digits: Vec<String> = (0..16).map(|digit| format!("{digit:x}")).collect();
        this.simulator.delegate("targets", "bins", Paths::HashPrefixes(digits.clone()), false);
        for (bin, prefixes) in digits.chunks(16 / bins).enumerate() {
            let paths = Paths::HashPrefixes(prefixes.to_vec());
            this.simulator.delegate("bins", &format!("bin-{bin}"), paths, true);
        }
        for path in paths {
            this.add(&format!("bin-{}", classic_bin(bins, path)), path);
        }
        this.absent.push("nowhere".to_owned());
        this.publish()
    }

    /// Every role signed by these keys, root from its first version on, and all of them needed.
    pub(super) fn signed_by(keys: &[TestKey]) -> Self {
        let mut this = Self::new(true);
        let simulator = &mut this.simulator;
        let keyids: Vec<_> = keys.iter().map(TestKey::keyid).collect();
        let role_keys = RoleKeys { threshold: keyids.len() as u64, keyids };
        for name in ["root", "timestamp", "snapshot", "targets"] {
            simulator.rotate_to(name, keys.to_vec(), role_keys.threshold);
            simulator.signers.insert(role(name), keys.to_vec());
        }
        let everything = Paths::Patterns(vec!["*/*".to_owned()]);
        simulator.delegate_to("targets", "a", keys[0].clone(), everything, false);
        let delegations = simulator.role("targets").delegations.as_mut().unwrap();
        let Roles::Listed(roles) = &mut delegations.roles else { unreachable!() };
        roles[0].keys = role_keys;
        delegations.keys = keys.iter().map(|key| (key.keyid(), key.public_key().clone())).collect();
        simulator.signers.insert(role("a"), keys.to_vec());
        simulator.files.clear();
        simulator.write_root();
        simulator.publish_root();
        this.add("targets", "file");
        this.add("a", "a/file");
        this.absent.push("a/nowhere".to_owned());
        this.publish()
    }

    /// With a target in one of `bins` classic bins that it does not fall into.
    pub(super) fn misplaced(mut self, bins: usize) -> Self {
        let wrong = classic_bin(bins, "other") ^ 1;
        self.hide(&format!("bin-{wrong}"), "other");
        self.publish()
    }

    /// Delegations below each other, by patterns, some of them terminating.
    fn tree(consistent_snapshot: bool) -> Self {
        let mut this = Self::new(consistent_snapshot);
        let patterns = |patterns: &[&str]| {
            Paths::Patterns(patterns.iter().map(|&pattern| pattern.to_owned()).collect())
        };
        let simulator = &mut this.simulator;
        simulator.delegate("targets", "team/a", patterns(&["a/*", "both/*", "end/*"]), false);
        simulator.delegate("targets", "team b", patterns(&["b/*", "both/*", "end/*"]), false);
        simulator.delegate("team/a", "été", patterns(&["a/[x-z]*", "end/*"]), true);
        simulator.delegate("team/a", "..", patterns(&["a/*", "both/?"]), false);
        simulator.delegate("team b", "..", patterns(&["b/*"]), false);
        simulator.delegate("..", "team/a", patterns(&["*/*"]), false);
        this.add("targets", "a/top");
        this.hide("team/a", "c/not delegated");
        this.add("team/a", "a/1");
        this.add("été", "a/xyz");
        this.add("..", "a/2");
        this.add("..", "both/1");
        this.add("..", "b/by another way");
        this.add("team b", "both/12");
        // Before the terminating role another answers; after it, none.
        this.add("team/a", "end/1");
        this.add("été", "end/2");
        this.hide("team b", "end/3");
        this.hide("..", "a/x beside the terminating role");
        this.publish()
    }

    /// With another time at which everything expires.
    pub(super) fn expiring(mut self, time: Time) -> Self {
        let simulator = &mut self.simulator;
        simulator.root.expires = time;
        simulator.write_root();
        simulator.timestamp.expires = time;
        simulator.snapshot.expires = time;
        simulator.targets.values_mut().for_each(|targets| targets.expires = time);
        self.publish()
    }

    /// Roots in which every role has other keys than in the one before, and one key of root stays.
    pub(super) fn rotated(mut self, times: u32) -> Self {
        for time in 1..=times {
            let label = |name: &str| format!("{name}-{time}");
            let (root, kept) = (label("root"), format!("root-{}", time - 1));
            let labels = [root.as_str(), &kept, "root-a"];
            self.simulator.rotate("root", &labels, u64::from(time % 3 + 1));
            for name in ["timestamp", "snapshot", "targets"] {
                self.simulator.rotate(name, &[&label(name)], 1);
            }
            self.simulator.publish_root();
        }
        self.publish()
    }
}

fn classic_bin(bins: usize, path: &str) -> usize {
    usize::from(Sha256::of(path.as_bytes()).0[0]) * bins / 256
}

fn repositories() -> Vec<(String, Repository)> {
    let mut repositories = Vec::new();
    for consistent in [true, false] {
        let mut add = |name: String, repository| {
            repositories.push((format!("{name}, consistent snapshots {consistent}"), repository));
        };
        for bits in [1, 4, 7] {
            add(format!("2^{bits} succinct bins"), Repository::succinct_bins(consistent, bits));
        }
        let paths = [&PATHS[..], &UNICODE_PATHS].concat();
        for bins in [2, 16] {
            let repository = Repository::classic_bins(consistent, bins, &paths).misplaced(bins);
            add(format!("{bins} classic bins"), repository);
        }
        for times in 0..=5 {
            let repository = Repository::tree(consistent).rotated(times);
            add(format!("delegations, {times} rotations of root"), repository);
        }
    }
    let of_each_type = TestKey::of_each_type();
    for (name, key) in &of_each_type {
        repositories.push(((*name).to_owned(), Repository::signed_by(slice::from_ref(key))));
    }
    let all = of_each_type.map(|(_, key)| key);
    repositories.push(("a key of each type".to_owned(), Repository::signed_by(&all)));
    repositories
}

#[test]
fn python_tuf_reads_what_we_write() {
    let repositories = repositories();
    let folders: Vec<_> = repositories.iter().map(|_| tempfile::tempdir().unwrap()).collect();
    let cases = repositories.iter().zip(&folders).map(|((_, repository), folder)| {
        write(&repository.simulator, folder.path());
        let Repository { present, absent, .. } = repository;
        let present: Vec<_> = present.keys().collect();
        json!({"folder": folder.path(), "present": present, "absent": absent}).to_string()
    });
    let answers = ask("python_tuf_reads.py", &cases.collect::<Vec<_>>(), &[]);
    for (((name, repository), folder), answer) in repositories.iter().zip(&folders).zip(answers) {
        let mut ours = Ours::refreshed(folder.path()).unwrap();
        assert_eq!(answer["root"], ours.trusted.root().version, "{name}");
        for (path, content) in &repository.present {
            let file = ours.find(path).unwrap();
            let file = file.unwrap_or_else(|| panic!("{name}: we do not find {path}"));
            let sha256 = Sha256::of(content).to_string();
            assert_eq!(file.hashes.file_name_digest(), Some(&*sha256), "{name}: {path}");
            assert_eq!(answer["found"][path], found(&file), "{name}: {path}");
            assert_eq!(answer["content"][path], HEXLOWER.encode(content), "{name}: {path}");
        }
        for path in &repository.absent {
            assert_eq!(ours.find(path).unwrap(), None, "{name}: we find {path}");
            assert_eq!(answer["found"][path], Json::Null, "{name}: {path}");
        }
    }
}
