//! What is remembered of refreshes, and told once: when the last one was, and a root that changed.

use std::sync::{Arc, Mutex};

use jiff::SignedDuration;
use waxseal_client::{Event, LastRefresh, Observer, RootChange, Settings};
use waxseal_testkit::mirror::{Change, PathPattern};
use waxseal_testkit::simulator::{Simulator, role};

use crate::world::{World, settings};

type Told = Arc<Mutex<Vec<(String, RootChange)>>>;

/// Settings whose observer keeps what it is told of roots.
fn listening() -> (Settings, Told) {
    let told = Told::default();
    let kept = Arc::clone(&told);
    let observer = Observer::new(move |event| {
        if let Event::RootChanged { url, change } = event {
            kept.lock().unwrap().push((url.to_owned(), change.clone()));
        }
    });
    (Settings { observer, ..settings() }, told)
}

#[tokio::test]
async fn the_last_refresh_is_on_record_and_a_refused_one_is_not() {
    let world = World::new();
    assert_eq!(world.store().last_refresh(), None);
    let client = world.refreshed().await;
    let refreshed = client.refreshed().unwrap();
    let (root, timestamp, snapshot) = (refreshed.root, refreshed.timestamp, refreshed.snapshot);
    let last = LastRefresh { when: Simulator::now(), root, timestamp, snapshot };
    assert_eq!(world.store().last_refresh(), Some(last));

    // The same versions, soon after.
    let before = world.tree();
    let soon = Simulator::now() + SignedDuration::from_secs(59);
    client.refresh(soon).await.unwrap();
    assert_eq!(world.tree(), before);
    let later = Simulator::now() + SignedDuration::from_secs(60);
    client.refresh(later).await.unwrap();
    assert_eq!(world.store().last_refresh(), Some(LastRefresh { when: later, ..last }));

    let before = world.tree();
    world.lie(PathPattern::suffix("timestamp.json"), Change::Truncate(10));
    let much_later = later + SignedDuration::from_hours(1);
    client.refresh(much_later).await.unwrap_err();
    assert_eq!(world.tree(), before);
}

#[tokio::test]
async fn a_rotation_is_told_once_with_who_came_and_who_went() {
    let world = World::new();
    let (settings, told) = listening();
    let client = world.client_with(settings.clone());
    client.refresh(Simulator::now()).await.unwrap();
    assert!(told.lock().unwrap().is_empty(), "the root is the one that the person trusts");

    let (added, removed) = {
        let mut index = world.index.simulator();
        let before = index.root.roles.root.keyids.clone();
        index.rotate("root", &["root-b", "root-c", "root-new"], 2);
        let after = index.root.roles.root.keyids.clone();
        index.root.holders.insert(after[2].clone(), "Lin".to_owned());
        index.publish_root();
        (after[2].clone(), before[0].clone())
    };
    // Nobody listens: it is kept for who does.
    world.refreshed().await;
    let others = [world.client_with(settings.clone()), world.client_with(settings)];
    for client in &others {
        client.refresh(Simulator::now()).await.unwrap();
    }
    client.refresh(Simulator::now()).await.unwrap();

    let told = told.lock().unwrap();
    let [(url, change)] = &told[..] else { panic!("{told:?}") };
    assert_eq!(*url, world.url().to_string());
    assert_eq!((change.from, change.to, change.signed), (1, 2, Some(3)));
    assert_eq!((change.old_keys, change.new_keys), ((3, 2), (3, 2)));
    assert_eq!(change.added.len(), 1);
    assert_eq!(change.added[0].keyid, added);
    assert_eq!(change.added[0].holder.as_deref(), Some("Lin"));
    assert_eq!(change.removed.iter().map(|key| &key.keyid).collect::<Vec<_>>(), [&removed]);
    assert_eq!(change.expires, world.index.simulator().root.expires);
}

#[tokio::test]
async fn several_rotations_are_one_also_where_a_refresh_was_refused_between_them() {
    let world = World::new();
    let (settings, told) = listening();
    let client = world.client_with(settings);
    client.refresh(Simulator::now()).await.unwrap();
    {
        let mut index = world.index.simulator();
        index.publish_root();
        index.publish_root();
    }
    world.lie(PathPattern::suffix("timestamp.json"), Change::Truncate(10));
    client.refresh(Simulator::now()).await.unwrap_err();
    assert!(told.lock().unwrap().is_empty());
    world.index.simulator().publish_root();
    world.mirror.honest();
    client.refresh(Simulator::now()).await.unwrap();
    client.refresh(Simulator::now()).await.unwrap();
    let told = told.lock().unwrap();
    let changes: Vec<_> = told.iter().map(|(_, change)| (change.from, change.to)).collect();
    assert_eq!(changes, [(1, 4)]);
    assert_eq!(told[0].1.signed, None);
    assert!(told[0].1.added.is_empty() && told[0].1.removed.is_empty());
}

#[tokio::test]
async fn of_many_processes_one_tells() {
    let world = World::new();
    world.refreshed().await;
    world.index.simulator().publish_root();
    let (settings, told) = listening();
    let clients: Vec<_> = (0..16).map(|_| world.client_with(settings.clone())).collect();
    let refreshes = clients.into_iter().map(|client| async move {
        client.refresh(Simulator::now()).await.unwrap();
    });
    let mut running = tokio::task::JoinSet::new();
    refreshes.for_each(|refresh| _ = running.spawn(refresh));
    running.join_all().await;
    // Where each found the store busy, the next one tells.
    world.client_with(settings).refresh(Simulator::now()).await.unwrap();
    assert_eq!(told.lock().unwrap().len(), 1);
    assert_eq!(world.store().last_refresh().unwrap().root, 2);
}

#[tokio::test]
async fn the_chain_and_the_page_are_of_the_snapshot_that_was_checked() {
    let world = World::new();
    let client = world.refreshed().await;
    let chain = client.chain_of(&crate::world::path(crate::world::SMALL)).await.unwrap();
    assert_eq!(chain.snapshot.version, client.refreshed().unwrap().snapshot);
    assert_eq!(chain.targets[0].role, role("targets"));
    let file = client.find(&chain.path).await.unwrap();
    assert_eq!(chain.target, file);
    let absent = client.chain_of(&crate::world::path("packages/x/x-1.tar.gz")).await.unwrap();
    assert_eq!(absent.target, None);
    assert_eq!(absent.targets.len(), 2);
}
