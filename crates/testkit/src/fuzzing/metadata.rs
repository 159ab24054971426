use std::fmt::Debug;
use std::sync::OnceLock;

use data_encoding::HEXLOWER_PERMISSIVE;
use waxseal_tuf::json::Value;
use waxseal_tuf::metadata::{
    Keys, MetaFile, Paths, Role, RoleKeys, Root, Snapshot, Targets, Timestamp, Unverified, sign,
};
use waxseal_tuf::{Error, Limits, Search, TrustedMetadata, Updater};

use crate::simulator::{Simulator, Store, drive, drive_search, role, target_path};

/// Any bytes as a metadata file of each role. At most one role's parser accepts them; what it accepts is
/// written as it was read; and the bytes become trusted on no public path, from a mirror or out of a
/// trust store, unless a threshold of the right keys signed them.
pub fn metadata(input: &[u8]) {
    let limits = Limits::default();
    let as_first_root = Updater::new(input, Simulator::now(), limits);
    let roles = [
        check_role::<Root>(input),
        check_role::<Timestamp>(input),
        check_role::<Snapshot>(input),
        check_role::<Targets>(input),
    ];
    let roles: Vec<&str> = roles.into_iter().flatten().collect();
    assert!(roles.len() <= 1, "one file is metadata of {roles:?}");
    assert!(as_first_root.is_err() || roles == ["root"], "trusted as root, but read as {roles:?}");
    match roles.first() {
        Some(&"root") => check_first_root(input, as_first_root.err()),
        Some(&kind) => check_fetched_and_loaded(input, kind),
        None => {}
    }
}

/// The role's name, if the bytes are metadata of it.
fn check_role<T: Role + PartialEq + Debug>(input: &[u8]) -> Option<&'static str> {
    let unverified = Unverified::<T>::parse(input).ok()?;
    let claims = unverified.claims();
    assert!(claims.version() >= 1);
    let written = sign(claims, &[]).unwrap();
    let again = match Unverified::<T>::parse(&written) {
        Ok(again) => again,
        Err(error) => panic!("what was written is refused, {error}: {}", written.escape_ascii()),
    };
    assert_eq!(again.claims(), claims, "written and read again");
    assert_eq!(sign(again.claims(), &[]).unwrap(), written, "written twice");
    assert_eq!(again.signed_by().count(), 0);
    Some(T::TYPE)
}

/// Bytes that are a root: trusted at the start only where their own keys signed, and after another root
/// only where that one's keys signed as well.
fn check_first_root(input: &[u8], error: Option<Error>) {
    let unverified = Unverified::<Root>::parse(input).unwrap();
    let claims = unverified.claims();
    let signers = most_signers(input, &claims.keys, &claims.roles.root);
    if signers < claims.roles.root.threshold {
        let error = error.expect("a root that its own keys did not sign was trusted");
        assert!(matches!(error, Error::Signatures { .. }), "{error}");
    }
    check_fetched_and_loaded(input, "root");
}

/// The bytes as the role `kind` of the repository in [`world`], fetched from its mirror or loaded from a
/// trust store.
fn check_fetched_and_loaded(input: &[u8], kind: &'static str) {
    let world = world();
    let root = &world.root;
    let (keys, places): (&RoleKeys, &[(&str, &str)]) = match kind {
        "root" => (&root.roles.root, &[("root", "2.root.json")]),
        "timestamp" => (&root.roles.timestamp, &[("timestamp", "timestamp.json")]),
        "snapshot" => (&root.roles.snapshot, &[("snapshot", "2.snapshot.json")]),
        // The delegated role is signed with the same key here, see `world`.
        _ => (&root.roles.targets, &[("targets", "2.targets.json"), ("a", "2.a.json")]),
    };
    if most_signers(input, &root.keys, keys) >= keys.threshold {
        // An honest file of the repository, perhaps in another spelling. Accepted or not: no panic.
        for (name, path) in places {
            world.visit(input, name, path);
        }
        return;
    }
    for (name, path) in places {
        let (fetched, loaded) = world.visit(input, name, path);
        assert!(fetched.result.is_err(), "{path} was trusted although nobody signed it");
        assert!(!fetched.stores(name, input), "{path} was stored although nobody signed it");
        // What does not verify is as good as nothing.
        let nothing = run(world, Store::new(), path, None);
        assert_eq!(loaded.result, nothing.result, "an unsigned {name} in the store has an effect");
        assert!(!loaded.stores(name, input), "an unsigned {name} stayed in the store");
    }
}

/// How many keys may have signed a file at most, counted without care for two spellings of one key.
fn most_signers(file: &[u8], keys: &Keys, role: &RoleKeys) -> u64 {
    let Value::Object(mut file) = Value::parse(file).unwrap() else { panic!("no object") };
    let payload = file.remove("signed").unwrap().to_canonical();
    let Some(Value::Array(signatures)) = file.remove("signatures") else { panic!("no array") };
    let signed_with = |keyid: &str| {
        signatures.iter().any(|signature| {
            let Value::Object(signature) = signature else { panic!("no object") };
            let text = |name| match signature.get(name) {
                Some(Value::String(text)) => text.as_str(),
                _ => panic!("no string"),
            };
            let sig = HEXLOWER_PERMISSIVE.decode(text("sig").as_bytes()).unwrap_or_default();
            let key = keys.iter().find(|(listed, _)| listed.as_str() == keyid);
            text("keyid") == keyid && key.is_some_and(|(_, key)| key.verifies(&payload, &sig))
        })
    };
    role.keyids.iter().filter(|keyid| signed_with(keyid.as_str())).count() as u64
}

/// A small repository that a client without anything can use, with root 2, every other role at version
/// 2, and a delegation of everything to `a`. Nothing in it lists a digest of anything, so that only
/// signatures stand between a mirror and a client.
struct World {
    repository: Simulator,
    root: Root,
    first_root: Vec<u8>,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let mut repository = Simulator::new();
        let first_root = repository.first_root();
        let everything = Paths::Patterns(vec!["*".to_owned()]);
        repository.delegate("targets", "targets-key", everything, false);
        // `a` is signed with the key of targets: no role's file must pass for another's.
        let keys = repository.root.roles.targets.clone();
        let all = repository.root.keys.clone();
        let delegations = repository.role("targets").delegations.as_mut().unwrap();
        delegations.keys = all;
        let waxseal_tuf::metadata::Roles::Listed(roles) = &mut delegations.roles else {
            unreachable!()
        };
        roles[0].name = role("a");
        roles[0].keys = keys;
        let a = repository.targets.remove(&role("targets-key")).unwrap();
        repository.targets.insert(role("a"), a);
        repository.signers.insert(role("a"), repository.signers[&role("targets")].clone());
        repository.snapshot.roles.remove(&role("targets-key"));
        repository.add_target("a", "f", b"content");
        repository.publish_root();
        repository.publish_targets("a");
        repository.snapshot.version = 1;
        repository.publish_targets("targets");
        repository.timestamp.version = 1;
        repository.timestamp.snapshot = MetaFile::version(2);
        repository.publish_timestamp();
        let root = repository.root.clone();
        World { repository, root, first_root }
    })
}

/// What came of an update and a search.
struct Outcome {
    /// The versions of root, timestamp and snapshot, and the length of the target `f`.
    result: Result<(u64, u64, u64, Option<u64>), Error>,
    store: Store,
}

impl Outcome {
    fn stores(&self, name: &str, bytes: &[u8]) -> bool {
        self.store.get(&role(name)).is_some_and(|stored| stored == bytes)
    }
}

impl World {
    /// What comes of it when a mirror has these bytes at `path`, and when a trust store has them.
    fn visit(&self, input: &[u8], name: &str, path: &str) -> (Outcome, Outcome) {
        let fetched = run(self, Store::new(), path, Some(input));
        // A client reads the root of its store itself, which `check_first_root` looks at.
        let store = Store::from([(role(name), input.to_vec())]);
        let store = if name == "root" { Store::new() } else { store };
        (fetched, run(self, store, path, None))
    }
}

fn run(world: &World, mut store: Store, path: &str, input: Option<&[u8]>) -> Outcome {
    let fetch = |file: &waxseal_tuf::MetadataFile| match input {
        Some(input) if file.path == path => Some(input.to_vec()),
        _ => world.repository.fetch(file),
    };
    let mut update = || {
        let limits = Limits::default();
        let updater = Updater::new(&world.first_root, Simulator::now(), limits)?;
        let mut trusted: TrustedMetadata = drive(updater, &mut store, fetch)?;
        let search = Search::new(target_path("f"), &trusted, limits)?;
        let found = drive_search(search, &mut trusted, &mut store, fetch)?;
        let versions =
            (trusted.root().version, trusted.timestamp().version, trusted.snapshot().version);
        Ok((versions.0, versions.1, versions.2, found.map(|file| file.length)))
    };
    Outcome { result: update(), store }
}
