//! What a thief can forge with the keys that Table 4 of PEP 458 names, alone and together, what clients
//! refuse of it, and that they go on after the recovery.
//!
//! The thief is a mirror too: clients find their files in place of the index's.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use waxseal_repository::ceremony::{
    self, Ceremony, OfflineLifetimes, OneTimeKeys, Plan, Signers, Succession,
};
use waxseal_repository::store::{Store, StoreKey};
use waxseal_repository::{Error, OnlineKeys, Repository, SnapshotProcess};
use waxseal_testkit::simulator::{self, TestKey, drive, drive_search};
use waxseal_tuf::hash::{Hashes, Sha256};
use waxseal_tuf::metadata::{
    MetaFile, Role, RoleKeys, Roles, Root, Snapshot, TargetFile, Targets,
    Timestamp as TimestampFile, Unverified, sign,
};
use waxseal_tuf::{Error as Refused, Limits, RoleName, Search, Signer, TargetPath, Updater};

use super::audit::{Client, audit_all};
use super::index::{Index, Kind, LIMIT, holder, hours, send, start};

const EVIL: &str = "packages/flask/flask-1.0.tar.gz";

/// What is served by whoever stands between an index and its clients: files by their path below the
/// metadata URL.
type Overlay = BTreeMap<String, Vec<u8>>;

/// An index that has published a file.
struct World {
    index: Index,
    repository: Arc<Repository>,
    process: Option<SnapshotProcess>,
}

impl World {
    fn new() -> Self {
        let (index, repository, process) = Index::published(Kind::Memory);
        index.store.set_watch(Arc::new(|_, _| {}));
        send(&repository, "flask-1.0.tar.gz");
        process.publish_all(start()).unwrap();
        Self { index, repository, process: Some(process) }
    }

    fn file(&self, path: &str) -> Option<Vec<u8>> {
        let key = StoreKey::from_path(&format!("tuf/metadata/{path}")).unwrap();
        self.repository.store().read(&key, LIMIT).unwrap()
    }

    fn claims<T: Role + Clone>(&self, path: &str) -> T {
        let bytes = self.file(path).unwrap();
        Unverified::<T>::parse(&bytes).unwrap().claims().clone()
    }

    fn root(&self) -> Root {
        (**self.repository.offline_roles().unwrap().root()).clone()
    }

    /// What a client with this trust is told the file at [`EVIL`] is, where somebody serves `overlay`.
    fn asks(
        &self,
        trust: &mut simulator::Store,
        overlay: &Overlay,
        now: Timestamp,
    ) -> Result<Option<TargetFile>, Refused> {
        let fetch = |file: &waxseal_tuf::MetadataFile| {
            overlay.get(&file.path).cloned().or_else(|| self.file(&file.path))
        };
        let first = self.file("1.root.json").unwrap();
        let root = trust.get(&RoleName::new(RoleName::ROOT).unwrap()).unwrap_or(&first).clone();
        let mut trusted = drive(Updater::new(&root, now, Limits::default())?, trust, fetch)?;
        let target = TargetPath::new(EVIL.to_owned()).unwrap();
        let search = Search::new(target, &trusted, Limits::default())?;
        drive_search(search, &mut trusted, trust, fetch)
    }

    /// The steps of the PEP after a compromise: every key that signs online or once is replaced, and root
    /// keys if `holders` says so.
    fn recover(&mut self, holders: [&str; 3], margin: u64, now: Timestamp) -> Ceremony {
        drop(self.process.take());
        let before = self.repository.offline_roles().unwrap();
        let plan = Plan {
            holders: holders.map(holder).into(),
            root_threshold: 2,
            online: TestKey::new("online-new").public_key().clone(),
            bins: before.bins(),
            lifetimes: OfflineLifetimes::default(),
        };
        let root = ["root-a", "root-b", "root-c", "root-d", "root-e", "root-f"].map(TestKey::new);
        let root = root.each_ref().map(|key| key as &dyn Signer);
        let keys = ["new-t1", "new-t2", "new-b1", "new-b2"].map(TestKey::new);
        let [t1, t2, b1, b2] = keys.each_ref().map(|key| key as &dyn Signer);
        let one_time = OneTimeKeys { targets: &[t1, t2], bins: &[b1, b2] };
        let signers = Signers { root: &root, one_time: Some(one_time) };
        let how = Some((&before, Succession::Compromise));
        let made = ceremony::perform(&plan, how, signers, now).unwrap();

        let store = Box::new(self.index.store.clone());
        let repository = Repository::open_after_compromise(store, self.index.database()).unwrap();
        self.repository = Arc::new(repository);
        self.repository.change_offline_roles(&made, now).unwrap();
        let key = Box::new(TestKey::new("online-new")) as Box<dyn Signer>;
        let keys = OnlineKeys::new(vec![key]);
        let process = self.index.process_with(&self.repository, keys).unwrap();
        process.recover(margin).unwrap();
        process.publish_all(now).unwrap();
        self.process = Some(process);
        made
    }
}

/// The keys that were stolen, by label; the thief has one of their own as well.
struct Thief<'a> {
    keys: &'a [&'a str],
}

impl Thief<'_> {
    fn has(&self, labels: &[&str]) -> bool {
        labels.iter().all(|label| self.keys.contains(label))
    }

    fn sign<T: Role>(&self, signed: &T) -> Vec<u8> {
        let keys = self.keys.iter().chain(&["thief"]);
        let keys: Vec<_> = keys.map(|label| TestKey::new(label)).collect();
        let signers: Vec<_> = keys.iter().map(|key| key as &dyn Signer).collect();
        sign(signed, &signers).unwrap()
    }

    /// All that these keys can put in the place of the index's files, to have a client take other bytes for
    /// [`EVIL`]. What takes a key that the thief has not is signed by those they have, and hoped for.
    fn forges(&self, world: &World, jump: u64) -> Overlay {
        let mut overlay = Overlay::new();
        let mut root = world.root();
        let mine = TestKey::new("thief");
        if self.has(&["root-a", "root-b"]) || self.has(&["root-a"]) && self.keys.len() == 1 {
            root.version += 1;
            let keyids = vec![mine.keyid()];
            root.keys.insert(mine.keyid(), mine.public_key().clone());
            let online = RoleKeys { keyids, threshold: 1 };
            root.roles.timestamp = online.clone();
            root.roles.snapshot = online.clone();
            root.roles.targets = online;
            overlay.insert(format!("{}.root.json", root.version), self.sign(&root));
        }
        let mut timestamp: TimestampFile = world.claims("timestamp.json");
        let snapshot_path = format!("{}.snapshot.json", timestamp.snapshot.version);
        let mut snapshot: Snapshot = world.claims(&snapshot_path);
        let can_list = self.has(&["online"]) || self.has(&["root-a", "root-b"]);

        // Delegate to oneself where that is possible: under the version that is listed, or a new one.
        let targets_role = RoleName::targets();
        let bins_role = RoleName::new("bins").unwrap();
        let version = |role: &RoleName| {
            let listed = snapshot.roles.get(role).map_or(1, |file| file.version);
            if can_list { listed.saturating_add(jump) } else { listed }
        };
        let my_role = RoleKeys { keyids: vec![mine.keyid()], threshold: 1 };
        let mut listed = BTreeMap::new();
        let has_root = self.has(&["root-a", "root-b"]);
        if has_root || self.has(&["targets-a", "targets-b"]) {
            let listed_version = snapshot.roles.get(&targets_role).unwrap().version;
            let mut targets: Targets = world.claims(&format!("{listed_version}.targets.json"));
            targets.version = version(&targets_role);
            let delegations = targets.delegations.as_mut().unwrap();
            delegations.keys.insert(mine.keyid(), mine.public_key().clone());
            let Roles::Listed(roles) = &mut delegations.roles else { panic!() };
            roles[0].keys = my_role.clone();
            listed.insert(targets_role, (targets.version, self.sign(&targets)));
        }
        if has_root || self.has(&["targets-a", "targets-b"]) || self.has(&["bins-a", "bins-b"]) {
            let listed_version = snapshot.roles.get(&bins_role).unwrap().version;
            let mut bins: Targets = world.claims(&format!("{listed_version}.bins.json"));
            bins.version = version(&bins_role);
            let delegations = bins.delegations.as_mut().unwrap();
            delegations.keys.insert(mine.keyid(), mine.public_key().clone());
            let Roles::Succinct(succinct) = &mut delegations.roles else { panic!() };
            succinct.keys = my_role;
            listed.insert(bins_role, (bins.version, self.sign(&bins)));
        }
        let path = TargetPath::new(EVIL.to_owned()).unwrap();
        let bins = world.repository.bins();
        let file_role = bins.role(bins.bin_of(&path));
        let listed_version = snapshot.roles.get(&file_role).unwrap().version;
        let mut bin: Targets =
            world.claims(&format!("{listed_version}.{}.json", file_role.as_str()));
        bin.version = version(&file_role);
        let evil = bin.targets.get_mut(EVIL).unwrap();
        evil.hashes = Hashes::sha256(Sha256::of(b"evil"));
        evil.length = 4;
        listed.insert(file_role, (bin.version, self.sign(&bin)));

        snapshot.version = snapshot.version.saturating_add(jump);
        let mut roles: BTreeMap<RoleName, MetaFile> =
            snapshot.roles.iter().map(|(role, file)| (role.clone(), file.clone())).collect();
        for (role, (version, bytes)) in listed {
            roles.insert(role.clone(), MetaFile::version(version));
            overlay.insert(format!("{version}.{}.json", role.as_str()), bytes);
        }
        if !can_list {
            return overlay;
        }
        snapshot.roles = roles.into_iter().collect();
        let snapshot_bytes = self.sign(&snapshot);
        timestamp.version = timestamp.version.saturating_add(jump);
        timestamp.snapshot = MetaFile {
            version: snapshot.version,
            length: Some(snapshot_bytes.len() as u64),
            hashes: Some(Hashes::sha256(Sha256::of(&snapshot_bytes))),
        };
        overlay.insert(format!("{}.snapshot.json", snapshot.version), snapshot_bytes);
        overlay.insert("timestamp.json".to_owned(), self.sign(&timestamp));
        overlay
    }
}

/// Whether the client took the thief's bytes for the file.
fn is_fooled(asked: &Result<Option<TargetFile>, Refused>) -> bool {
    let evil = Sha256::of(b"evil");
    matches!(asked, Ok(Some(file)) if file.hashes.listed_sha256() == Some(evil))
}

/// The table, row by row; "can" is malicious updates.
const TABLE: [(&[&str], bool); 12] = [
    (&[], false),
    (&["targets-a"], false),
    (&["targets-a", "targets-b"], false),
    (&["bins-a", "bins-b"], false),
    (&["targets-a", "targets-b", "bins-a", "bins-b"], false),
    (&["root-a"], false),
    (&["root-a", "targets-a", "targets-b", "bins-a", "bins-b"], false),
    // Timestamp, snapshot and every bin: until root, targets or bins expire.
    (&["online"], true),
    (&["online", "targets-a", "targets-b"], true),
    (&["online", "bins-a", "bins-b"], true),
    (&["root-a", "online"], true),
    (&["root-a", "root-b"], true),
];

#[test]
fn what_stolen_keys_can_do_is_what_the_table_says() {
    for (keys, can) in TABLE {
        let world = World::new();
        // A client that was here before, and a new one.
        let mut known = simulator::Store::new();
        world.asks(&mut known, &Overlay::new(), start()).unwrap();
        for trust in [known, simulator::Store::new()] {
            let overlay = Thief { keys }.forges(&world, 1);
            let asked = world.asks(&mut trust.clone(), &overlay, start());
            assert_eq!(is_fooled(&asked), can, "{keys:?}: {asked:?}");
        }
    }
}

/// A freeze with the online key ends when root, targets or bins expire, however long the thief says.
#[test]
fn a_freeze_ends_with_the_offline_roles() {
    let world = World::new();
    let mut timestamp: TimestampFile = world.claims("timestamp.json");
    let mut snapshot: Snapshot =
        world.claims(&format!("{}.snapshot.json", timestamp.snapshot.version));
    let for_ever: Timestamp = "2999-01-01T00:00:00Z".parse().unwrap();
    snapshot.expires = for_ever;
    let thief = Thief { keys: &["online"] };
    let bytes = thief.sign(&snapshot);
    timestamp.expires = for_ever;
    timestamp.snapshot.length = Some(bytes.len() as u64);
    timestamp.snapshot.hashes = Some(Hashes::sha256(Sha256::of(&bytes)));
    let mut overlay = Overlay::new();
    overlay.insert(format!("{}.snapshot.json", snapshot.version), bytes);
    overlay.insert("timestamp.json".to_owned(), thief.sign(&timestamp));
    // Bins expire within a day; a thief with the online key signs those too.
    let path = TargetPath::new(EVIL.to_owned()).unwrap();
    let bins = world.repository.bins();
    let role = bins.role(bins.bin_of(&path));
    let version = snapshot.roles.get(&role).unwrap().version;
    let file = format!("{version}.{}.json", role.as_str());
    let mut bin: Targets = world.claims(&file);
    bin.expires = for_ever;
    overlay.insert(file, thief.sign(&bin));

    let mut trust = simulator::Store::new();
    let mut asks = |days: i64| {
        let now = start() + SignedDuration::from_hours(24 * days);
        world.asks(&mut trust, &overlay, now)
    };
    assert!(asks(0).unwrap().is_some());
    assert!(asks(364).unwrap().is_some(), "a freeze of most of a year");
    let refused = asks(366).unwrap_err();
    assert!(
        matches!(&refused, Refused::Expired { role, .. } if role.as_str() == RoleName::ROOT),
        "{refused}"
    );
}

/// After the recovery clients who saw what the thief showed go on, and the stolen keys can do nothing any
/// more; from one version above, from 2^53 and from the last number there is.
#[test]
fn clients_go_on_after_the_recovery_whatever_versions_they_saw() {
    for (keys, holders) in [
        (&["online"][..], ["root-a", "root-b", "root-c"]),
        (&["online", "targets-a", "targets-b", "bins-a", "bins-b"], ["root-a", "root-b", "root-c"]),
        (&["root-a", "online"], ["root-b", "root-c", "root-d"]),
    ] {
        for jump in [1, 1_000, 1 << 53, i64::MAX.cast_unsigned()] {
            let mut world = World::new();
            let mut fooled = simulator::Store::new();
            // Versions end with the last number that metadata can have.
            let jump = jump.min(i64::MAX.cast_unsigned() - 100);
            let overlay = Thief { keys }.forges(&world, jump);
            assert!(is_fooled(&world.asks(&mut fooled, &overlay, start())), "{keys:?} {jump}");

            world.recover(holders, 10_000, hours(1));
            let mut fresh = simulator::Store::new();
            for trust in [&mut fooled, &mut fresh] {
                let honest = world.asks(trust, &Overlay::new(), hours(1)).unwrap_or_else(|error| {
                    panic!("{keys:?} {jump}: a client does not go on: {error}")
                });
                let file = honest.unwrap();
                assert_eq!(file.hashes.listed_sha256(), Some(Sha256::of(b"flask-1.0.tar.gz")));
                // The thief goes on with what they stole: nobody takes it.
                for overlay in [overlay.clone(), Thief { keys }.forges(&world, 1)] {
                    let again = world.asks(&mut trust.clone(), &overlay, hours(1));
                    assert!(!is_fooled(&again), "{keys:?} {jump}: {again:?}");
                }
            }
            send(&world.repository, "flask-2.0.tar.gz");
            world.process.as_ref().unwrap().publish_all(hours(2)).unwrap();
            audit_all(&world.repository, hours(2));
            Client::default().audit(&world.repository, hours(2));
        }
    }
}

/// The thief had the server, and wrote to the store: their files are in the way, and are stepped over.
#[test]
fn what_a_thief_wrote_to_the_store_is_stepped_over() {
    for jump in [1, 7, 1 << 53] {
        let mut world = World::new();
        let overlay = Thief { keys: &["online"] }.forges(&world, jump);
        let store: &dyn Store = world.repository.store();
        let before = world.file("timestamp.json").unwrap();
        for (path, bytes) in &overlay {
            let key = StoreKey::from_path(&format!("tuf/metadata/{path}")).unwrap();
            match key {
                StoreKey::Timestamp => {
                    store.replace_timestamp(Some(Sha256::of(&before)), bytes).unwrap();
                }
                key => {
                    store
                        .create(&[waxseal_repository::store::Object { key: &key, bytes }])
                        .unwrap();
                }
            }
        }
        let mut fooled = simulator::Store::new();
        assert!(is_fooled(&world.asks(&mut fooled, &Overlay::new(), start())));
        // As it is, nobody opens it and signs on top.
        let refused = world.index.open_repository().unwrap_err();
        assert!(matches!(refused, Error::DifferentAge { .. }), "{refused}");

        world.recover(["root-a", "root-b", "root-c"], 0, hours(1));
        for trust in [&mut fooled, &mut simulator::Store::new()] {
            let honest = world.asks(trust, &Overlay::new(), hours(1)).unwrap().unwrap();
            assert_eq!(honest.hashes.listed_sha256(), Some(Sha256::of(b"flask-1.0.tar.gz")));
        }
        audit_all(&world.repository, hours(1));
        // And from now on it is opened as any other.
        drop(world.process.take());
        world.index.open_repository().unwrap();
    }
}

/// Whoever has a threshold of root can name other keys: those who follow them are lost to the index, and
/// only a root out of band brings them back; those who did not are safe once root was replaced.
#[test]
fn a_stolen_root_is_replaced_for_those_who_did_not_follow_it() {
    let keys = &["root-a", "root-b"];
    let mut world = World::new();
    let (mut lost, mut safe) = (simulator::Store::new(), simulator::Store::new());
    world.asks(&mut safe, &Overlay::new(), start()).unwrap();
    let overlay = Thief { keys }.forges(&world, 1);
    assert!(is_fooled(&world.asks(&mut lost, &overlay, start())));

    world.recover(["root-d", "root-e", "root-f"], 1_000, hours(1));
    assert!(world.asks(&mut safe, &Overlay::new(), hours(1)).unwrap().is_some());
    let again = world.asks(&mut safe, &Thief { keys }.forges(&world, 1), hours(1));
    assert!(!is_fooled(&again), "{again:?}");
    let refused = world.asks(&mut lost, &Overlay::new(), hours(1)).unwrap_err();
    assert!(matches!(refused, Refused::Signatures { .. }), "{refused}");
}
