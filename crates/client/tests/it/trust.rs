//! Which indexes are trusted, and how that is kept.

use std::fs;
use std::time::Duration;

use waxseal_client::{
    Added, Client, Error, Fingerprint, IndexUrl, Repository, Settings, TrustStores, fetch_root,
    fetch_root_with_fingerprint,
};
use waxseal_testkit::mirror::{Change, Mirror, PathPattern, Tamper};
use waxseal_testkit::simulator::{Simulator, role};

use crate::world::{SMALL, World, publish, settings};

fn url(text: &str) -> IndexUrl {
    text.parse().unwrap()
}

#[test]
fn an_index_is_added_once_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let stores = TrustStores::new(folder.path().join("not/there/yet"));
    assert_eq!(stores.list().unwrap(), []);
    assert_eq!(stores.find_default().unwrap_err(), Error::NoIndex);
    let (a, b) = (url("https://a.example/x"), url("https://a.example/x/y"));
    let root = Simulator::new().first_root();
    assert_eq!(stores.add(&a, &root, Simulator::now()), Ok(Added::New));
    assert_eq!(
        stores.add(&url("https://a.example/x/simple/"), &root, Simulator::now()),
        Ok(Added::Already)
    );
    let trusted = stores.find_default().unwrap();
    assert_eq!(trusted.index().url, a);
    assert_eq!(trusted.index().fingerprint, Fingerprint::of(&root));
    assert_eq!(trusted.metadata().read(&role("root")).unwrap(), Some(root.clone()));
    assert_eq!(stores.add(&b, &root, Simulator::now()), Ok(Added::New));
    let listed: Vec<_> = stores.list().unwrap().into_iter().map(|index| index.url).collect();
    assert_eq!(listed, [a.clone(), b.clone()]);
    let several = stores.find_default().unwrap_err();
    assert!(several.to_string().contains("a.example/x/y"), "{several}");
    stores.remove(&a).unwrap();
    assert_eq!(stores.find(&a).unwrap_err(), Error::NotTrusted { url: a.to_string() });
    assert_eq!(stores.remove(&a).unwrap_err(), Error::NotTrusted { url: a.to_string() });
    assert_eq!(stores.find_default().unwrap().index().url, b);
    let left: Vec<_> = fs::read_dir(stores.base()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn a_root_that_is_not_signed_by_its_own_keys_is_not_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let stores = TrustStores::new(folder.path());
    let mut simulator = Simulator::new();
    simulator.replace_text("1.root.json", "2031-01-01", "2041-01-01");
    let error = stores.add(&url("https://a.example"), &simulator.first_root(), Simulator::now());
    assert_eq!(error.unwrap_err().slug(), "unsigned");
    for no_root in [&b""[..], b"{}", b"null"] {
        let added = stores.add(&url("https://a.example"), no_root, Simulator::now());
        assert_eq!(added.unwrap_err().slug(), "malformed");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn another_root_does_not_take_the_place_of_the_trusted_one() {
    let world = World::new();
    let mut other = Simulator::new();
    other.rotate("root", &["x", "y", "z"], 2);
    other.write_root();
    let before = world.tree();
    let error = world.stores.add(&world.url(), &other.first_root(), Simulator::now()).unwrap_err();
    assert_eq!(error.slug(), "other-root");
    assert!(error.to_string().contains(&Fingerprint::of(&other.first_root()).to_string()));
    assert_eq!(world.tree(), before);
}

#[tokio::test]
async fn the_newest_root_is_the_same_root_as_the_first() {
    let world = World::new();
    let newest = {
        let mut simulator = world.index.simulator();
        simulator.rotate("timestamp", &["timestamp-2"], 1);
        simulator.publish_root();
        simulator.publish_timestamp();
        simulator.files["2.root.json"].clone()
    };
    assert_eq!(world.refreshed().await.refreshed().unwrap().root, 2);
    let first = world.index.simulator().first_root();
    for root in [first, newest] {
        assert_eq!(world.stores.add(&world.url(), &root, Simulator::now()), Ok(Added::Already));
    }
}

#[tokio::test]
async fn a_fingerprint_decides_whether_a_root_is_taken() {
    let world = World::new();
    let root = fetch_root(&world.url(), &settings()).await.unwrap();
    assert_eq!(root, world.index.simulator().first_root());
    let right = Fingerprint::of(&root);
    let checked = fetch_root_with_fingerprint(&world.url(), right, &settings()).await;
    assert_eq!(checked, Ok(root));
    let wrong = Fingerprint::of(b"another root");
    let error = fetch_root_with_fingerprint(&world.url(), wrong, &settings()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&right.to_string()) && text.contains(&wrong.to_string()), "{text}");
}

#[test]
fn any_role_name_is_a_file_in_the_store_and_nowhere_else() {
    let world = World::new();
    let (folder, store) = (world.store().folder().to_owned(), world.store().metadata());
    let before = world.tree();
    let long = "x".repeat(4000);
    let names = ["../../escape", "/etc/passwd", "a/b", ".", "..", "index", "ROOT", "ä", &long];
    for name in names {
        store.write(&role(name), name.as_bytes()).unwrap();
    }
    for name in names {
        assert_eq!(store.read(&role(name)).unwrap(), Some(name.as_bytes().to_vec()), "{name}");
    }
    let after = world.tree();
    assert_eq!(after.len(), before.len() + names.len());
    for (path, bytes) in &before {
        assert_eq!(after.get(path), Some(bytes));
    }
    let metadata = folder.join("metadata");
    for path in after.keys().filter(|path| !before.contains_key(*path)) {
        assert_eq!(path.parent(), Some(metadata.as_path()));
    }
}

#[tokio::test]
async fn what_a_crash_left_behind_means_nothing() {
    let world = World::new();
    world.refreshed().await;
    let store = world.store();
    fs::write(store.folder().join("tmp/.tmpAbCdEf"), b"{\"half a").unwrap();
    fs::create_dir_all(world.stores.base().join(".new-abc/index")).unwrap();
    fs::write(world.stores.base().join(".new-abc/index/index.json"), b"{\"url\": \"ht").unwrap();
    assert_eq!(world.stores.list().unwrap().len(), 1);
    world.refreshed().await;
}

#[tokio::test]
async fn cached_metadata_that_was_damaged_is_fetched_again() {
    let world = World::new();
    world.refreshed().await;
    let good = world.tree();
    for name in ["timestamp.json", "snapshot.json", "targets.json"] {
        fs::write(world.store().folder().join("metadata").join(name), b"{\"sig").unwrap();
    }
    world.refreshed().await;
    assert_eq!(world.tree(), good);
}

#[tokio::test]
async fn a_damaged_root_is_named_with_its_path() {
    let world = World::new();
    let path = world.store().folder().join("metadata/root.json");
    fs::write(&path, b"{}").unwrap();
    let error = world.client().refresh(Simulator::now()).await.unwrap_err();
    assert_eq!(error.slug(), "disk");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    assert!(error.hint().contains("waxseal trust"), "{}", error.hint());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_clients_at_once_share_a_trust_store() {
    let world = World::new();
    let refreshes = (0..10).map(|_| {
        let client = world.client();
        tokio::spawn(
            async move { client.refresh(Simulator::now()).await.map(|done| done.snapshot) },
        )
    });
    let snapshot = world.index.simulator().snapshot.version;
    for refresh in refreshes.collect::<Vec<_>>() {
        assert_eq!(refresh.await.unwrap(), Ok(snapshot));
    }
    let served = world.index.simulator().files.clone();
    for name in ["timestamp.json", "snapshot.json", "targets.json"] {
        let trusted = fs::read(world.store().folder().join("metadata").join(name)).unwrap();
        assert!(served.values().any(|file| *file == trusted), "{name}");
    }
    // Nothing new: each needs two requests.
    world.mirror.forget_requests();
    world.refreshed().await;
    assert_eq!(world.mirror.requests().len(), 2);
    let temporary = world.store().folder().join("tmp");
    assert_eq!(fs::read_dir(temporary).unwrap().count(), 0);
}

#[test]
fn ten_processes_adding_one_index_add_it_once() {
    let folder = tempfile::tempdir().unwrap();
    let stores = TrustStores::new(folder.path());
    let root = Simulator::new().first_root();
    let add = || stores.add(&url("https://a.example"), &root, Simulator::now());
    let added: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..10).map(|_| scope.spawn(add)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect()
    });
    assert_eq!(added.iter().filter(|added| **added == Added::New).count(), 1);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_damaged_record_can_be_removed_and_does_not_hide_the_other_indexes() {
    let folder = tempfile::tempdir().unwrap();
    let stores = TrustStores::new(folder.path());
    let (a, b) = (url("https://a.example"), url("https://b.example"));
    let root = Simulator::new().first_root();
    stores.add(&b, &root, Simulator::now()).unwrap();
    let other = fs::read(stores.find(&b).unwrap().folder().join("index.json")).unwrap();
    for damage in [Some(&b""[..]), Some(b"{\"url\": \"ht"), Some(b"\0\0\0"), Some(&other), None] {
        stores.add(&a, &root, Simulator::now()).unwrap();
        let record = stores.find(&a).unwrap().folder().join("index.json");
        match damage {
            Some(bytes) => fs::write(&record, bytes).unwrap(),
            None => fs::remove_file(&record).unwrap(),
        }
        let listed: Vec<_> = stores.list().unwrap().into_iter().map(|index| index.url).collect();
        assert_eq!(listed, std::slice::from_ref(&b), "{damage:?}");
        assert_eq!(stores.find_default().unwrap().index().url, b);
        let error = stores.add(&a, &root, Simulator::now()).unwrap_err();
        assert_eq!(error.slug(), "disk");
        let repair = format!("`waxseal trust remove {a}`");
        assert!(error.to_string().contains(&repair), "{error}");
        assert!(error.to_string().contains(record.parent().unwrap().to_str().unwrap()), "{error}");
        stores.remove(&a).unwrap();
        assert_eq!(stores.add(&a, &root, Simulator::now()), Ok(Added::New), "{damage:?}");
        stores.remove(&a).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn the_only_index_being_damaged_is_not_the_same_as_none() {
    let world = World::new();
    let record = world.store().folder().join("index.json");
    fs::write(&record, b"{").unwrap();
    assert_eq!(world.stores.list(), Ok(Vec::new()));
    let error = world.stores.find_default().unwrap_err();
    assert!(error.to_string().contains(record.to_str().unwrap()), "{error}");
    assert!(error.hint().contains("waxseal trust remove"), "{}", error.hint());
}

#[tokio::test]
async fn a_process_that_keeps_the_trust_store_is_named_and_not_waited_for_without_end() {
    let world = World::new();
    let (folder, held) =
        (world.store().folder().to_owned(), world.store().metadata().lock().unwrap());
    let before = world.tree();
    let patience = Settings { lock_wait: Duration::from_millis(120), ..settings() };
    let client = Client::open(&world.store(), patience).unwrap();
    let error = client.refresh(Simulator::now()).await.unwrap_err();
    assert_eq!(error, Error::Busy { folder: folder.clone() });
    assert_eq!(error.slug(), "busy");
    assert!(error.to_string().contains(folder.to_str().unwrap()), "{error}");
    assert!(error.hint().contains("waxseal process"), "{}", error.hint());
    assert_eq!(world.tree(), before);
    drop(held);
    client.refresh(Simulator::now()).await.unwrap();
}

#[tokio::test]
async fn a_refresh_goes_on_when_the_other_process_is_done() {
    let world = World::new();
    let held = world.store().metadata().lock().unwrap();
    let client = world.client();
    let mut refresh = Box::pin(client.refresh(Simulator::now()));
    let early = tokio::time::timeout(Duration::from_millis(120), &mut refresh).await;
    assert!(early.is_err(), "{early:?}");
    drop(held);
    refresh.await.unwrap();
}

/// Access to the trust store of a world by way of another URL.
fn client_by_way_of(base: &url::Url, world: &World) -> Client {
    let (metadata, targets) = (format!("{base}tuf/metadata/"), format!("{base}tuf/targets/"));
    let repository = Repository::new(&metadata, &targets).unwrap();
    // A mirror that trickles closes its connections.
    let settings = Settings { retries: 1, ..settings() };
    Client::of(&repository, world.store().metadata(), settings).unwrap()
}

#[tokio::test]
async fn nobody_waits_for_the_network_of_another_process() {
    let world = World::new();
    let slow = Mirror::start(&world.index.url());
    slow.set(Tamper { matches: PathPattern::suffix("snapshot.json"), change: Change::Stall });
    let stuck = client_by_way_of(&slow.url(), &world);
    let mut stuck = Box::pin(stuck.refresh(Simulator::now()));
    while !slow.requests().iter().any(|request| request.path.ends_with("snapshot.json")) {
        let early = tokio::time::timeout(Duration::from_millis(10), &mut stuck).await;
        assert!(early.is_err(), "{early:?}");
    }
    // The other has begun and holds nothing.
    world.refreshed().await;
}

#[tokio::test]
async fn a_process_that_comes_late_does_not_put_older_metadata_in_the_place_of_newer() {
    let world = World::new();
    let late = Mirror::start(&world.index.url());
    late.set(Tamper {
        matches: PathPattern::suffix("timestamp.json"),
        change: Change::Trickle { bytes: 100, every: Duration::from_millis(100) },
    });
    let client = client_by_way_of(&late.url(), &world);
    let mut refresh = Box::pin(client.refresh(Simulator::now()));
    let early = tokio::time::timeout(Duration::from_millis(200), &mut refresh).await;
    assert!(early.is_err(), "{early:?}");

    publish(&mut world.index.simulator(), SMALL, b"newer");
    let newest = world.refreshed().await.refreshed().unwrap();
    let tree = world.tree();
    // The old timestamp that was on its way is no attack: it asks again.
    assert_eq!(refresh.await, Ok(newest));
    assert_eq!(world.tree(), tree);
    let asked = late.requests().into_iter().filter(|asked| asked.path.ends_with("timestamp.json"));
    assert_eq!(asked.count(), 2);
}
