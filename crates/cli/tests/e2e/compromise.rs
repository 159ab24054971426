//! An index whose online key was stolen, and how it and its clients go on.

use std::fs;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use waxseal_repository::ceremony::{
    self, Holder, OfflineLifetimes, OfflineRoles, OneTimeKeys, Plan, Signers, Succession,
};
use waxseal_signing::{PrivateKey, Scheme, create_key_file};
use waxseal_tuf::Signer;
use waxseal_tuf::hash::{Hashes, Sha256};
use waxseal_tuf::metadata::{
    MetaFile, Role, Snapshot, Timestamp as TimestampFile, Unverified, sign,
};

use crate::harness::{Index, Person, Tool, Wheel, assert_shows, exited};

/// A thief with the online key pushed versions to 2^53, in the store itself, and a client saw them. The ceremony
/// after a compromise replaces every key; the client goes on without anybody's help, and the thief's key is
/// worth nothing.
#[test]
fn an_index_and_its_clients_go_on_after_a_stolen_online_key() {
    let mut index = Index::quickstart();
    index.upload_new(Wheel::new("alpha", "1.0"));
    let (person, newcomer) = (Person::trusting(&index), Person::trusting(&index));
    person.install(Tool::Pip, ["alpha==1.0"]).run().success();
    index.stop();

    let metadata = index.data().join("store/tuf/metadata");
    let stolen = key(&index, "online");
    push_versions(&metadata, &stolen);
    let in_vain = index.operator(["serve", "--data", "waxseal-data"]).run();
    exited(&in_vain, 1);
    assert_shows(&in_vain.stderr, &["9007199254740992", "docs/compromise.md"]);

    let (new, keyid) = hold_ceremony(&index, &metadata);
    let publish =
        || index.operator(["repo", "publish-root", "--compromise", "--bundle", "new"]).run();
    let waits = publish();
    exited(&waits, 1);
    assert_shows(&waits.stderr, &["it has a new online key", &keyid, "online-key in"]);
    create_key_file(&index.data().join("keys/new.pem"), &new, None).unwrap();
    index.write_config("online-key", "\"file:keys/new.pem?development\"");
    let published = publish().success();
    assert_shows(&published.stdout, &["root version 2 is published"]);
    let parts = ["timestamp.json was somebody else's, version 9007199254740992", "left behind"];
    assert_shows(&published.stderr, &parts);
    index.operator(["audit", "repo", "waxseal-data"]).run().success();

    index.start();
    index.upload_new(Wheel::new("alpha", "2.0"));
    for person in [&person, &newcomer] {
        person.install(Tool::Pip, ["alpha==2.0"]).run().success();
    }
    // What the stolen key signs is refused by all, and nothing is installed.
    index.stop();
    push_versions(&metadata, &stolen);
    let refused = index.operator(["audit", "repo", "waxseal-data/store"]).run();
    exited(&refused, 4);
    assert_shows(&refused.stdout, &["timestamp.json", "is signed by 0 of the keys"]);
}

pub(crate) fn key(index: &Index, name: &str) -> PrivateKey {
    let pem = fs::read_to_string(index.data().join(format!("keys/{name}.pem"))).unwrap();
    PrivateKey::from_pkcs8_pem(&pem).unwrap()
}

fn claims<T: Role + Clone>(path: &Path) -> T {
    Unverified::<T>::parse(&fs::read(path).unwrap()).unwrap().claims().clone()
}

/// What a thief writes who has the server: snapshot and timestamp of versions that nobody comes after.
pub(crate) fn push_versions(metadata: &Path, stolen: &PrivateKey) {
    let far = 1 << 53;
    let mut timestamp: TimestampFile = claims(&metadata.join("timestamp.json"));
    let snapshot = metadata.join(format!("{}.snapshot.json", timestamp.snapshot.version));
    let mut snapshot: Snapshot = claims(&snapshot);
    snapshot.version = far;
    snapshot.expires = Timestamp::now() + SignedDuration::from_hours(24);
    let bytes = sign(&snapshot, &[stolen]).unwrap();
    fs::write(metadata.join(format!("{far}.snapshot.json")), &bytes).unwrap();
    timestamp.version = far;
    timestamp.snapshot = MetaFile {
        version: far,
        length: Some(bytes.len() as u64),
        hashes: Some(Hashes::sha256(Sha256::of(&bytes))),
    };
    fs::write(metadata.join("timestamp.json"), sign(&timestamp, &[stolen]).unwrap()).unwrap();
}

/// The ceremony after a compromise, whose files go to the folder `new`: the new online key, and its keyid.
pub(crate) fn hold_ceremony(index: &Index, metadata: &Path) -> (PrivateKey, String) {
    hold_ceremony_as(index, metadata, Succession::Compromise, "new")
}

/// The same as it is told.
pub(crate) fn hold_ceremony_as(
    index: &Index,
    metadata: &Path,
    succession: Succession,
    name: &str,
) -> (PrivateKey, String) {
    let read = |name: &str| fs::read(metadata.join(name)).unwrap();
    let (root, targets, bins) = (read("1.root.json"), read("1.targets.json"), read("1.bins.json"));
    let before = OfflineRoles::verify_files(&root, &targets, &bins).unwrap();
    let holders = ["root-1", "root-2", "root-3"].map(|name| (name, key(index, name)));
    let new_key = || PrivateKey::generate(Scheme::Ed25519).unwrap();
    let (online, [t1, t2, b1, b2]) = (new_key(), [new_key(), new_key(), new_key(), new_key()]);
    let holder = |(name, key): &(&str, PrivateKey)| Holder {
        name: (*name).to_owned(),
        key: key.public_key().clone(),
    };
    let plan = Plan {
        holders: holders.iter().map(holder).collect(),
        root_threshold: 2,
        online: online.public_key().clone(),
        bins: before.bins(),
        lifetimes: OfflineLifetimes::default(),
    };
    let one_time = OneTimeKeys { targets: &[&t1, &t2], bins: &[&b1, &b2] };
    let root = [&holders[0].1 as &dyn Signer, &holders[1].1];
    let signers = Signers { root: &root, one_time: Some(one_time) };
    let how = Some((&before, succession));
    let made = ceremony::perform(&plan, how, signers, Timestamp::now()).unwrap();
    let new = index.folder().join(name);
    fs::create_dir(&new).unwrap();
    let delegations = made.delegations.unwrap();
    for (version, root) in (2..).zip(&made.roots) {
        fs::write(new.join(format!("{version}.root.json")), root).unwrap();
    }
    fs::write(new.join("2.targets.json"), delegations.targets).unwrap();
    fs::write(new.join("2.bins.json"), delegations.bins).unwrap();
    let keyid = online.public_key().default_keyid().to_string();
    (online, keyid)
}
