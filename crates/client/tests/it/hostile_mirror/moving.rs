//! An index that publishes, and deletes what is old, in the middle of an update.

use std::sync::Arc;

use waxseal_client::Error;
use waxseal_testkit::mirror::{Change, PathPattern};
use waxseal_testkit::simulator::Simulator;
use waxseal_tuf::RoleName;

use crate::world::{LARGE, SMALL, World, bin_suffix, impatient, path, publish};

const TIMESTAMP: &str = "timestamp.json";

/// Publishes a new version of a file after each answer to a path, and deletes all metadata that is
/// not current any more.
fn publishes(world: &World, times: u32) -> Change {
    let index = Arc::clone(&world.index);
    Change::times(
        times,
        Change::edit(move |body| {
            let mut simulator = index.simulator();
            simulator.publish_targets(RoleName::TARGETS);
            let version = simulator.snapshot.version;
            publish(&mut simulator, SMALL, format!("a file of {version}").as_bytes());
            collect_garbage(&mut simulator);
            body
        }),
    )
}

fn collect_garbage(simulator: &mut Simulator) {
    let mut kept: Vec<_> = simulator
        .snapshot
        .roles
        .iter()
        .map(|(name, file)| (name.as_str().to_owned(), file.version))
        .collect();
    kept.push((RoleName::SNAPSHOT.to_owned(), simulator.snapshot.version));
    let kept: Vec<_> = kept.iter().map(|(name, version)| simulator.path(name, *version)).collect();
    simulator
        .files
        .retain(|name, _| name == TIMESTAMP || name.ends_with(".root.json") || kept.contains(name));
}

fn asked(world: &World, end: &str) -> usize {
    world.mirror.requests().iter().filter(|one| one.path.ends_with(end)).count()
}

#[tokio::test]
async fn a_snapshot_that_is_replaced_meanwhile_costs_one_restart() {
    for returning in [false, true] {
        let world = World::new();
        let client = world.client_with(impatient());
        if returning {
            client.refresh(Simulator::now()).await.unwrap();
            world.index.simulator().publish_snapshot();
            world.mirror.forget_requests();
        }
        world.lie(PathPattern::suffix(TIMESTAMP), publishes(&world, 1));
        let refreshed = client.refresh(Simulator::now()).await.unwrap();
        assert_eq!(refreshed.snapshot, world.index.simulator().snapshot.version);
        assert_eq!((asked(&world, TIMESTAMP), asked(&world, "snapshot.json")), (2, 2));
        client.get(&path(SMALL)).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn targets_that_are_replaced_meanwhile_cost_one_restart() {
    let world = World::new();
    world.lie(PathPattern::suffix("snapshot.json"), publishes(&world, 1));
    let client = world.client_with(impatient());
    let refreshed = client.refresh(Simulator::now()).await.unwrap();
    assert_eq!(refreshed.snapshot, world.index.simulator().snapshot.version);
    assert_eq!((asked(&world, TIMESTAMP), asked(&world, "targets.json")), (2, 2));
}

#[tokio::test]
async fn an_index_that_never_stands_still_is_given_up_after_one_restart() {
    let world = World::new();
    let client = world.client_with(impatient());
    client.refresh(Simulator::now()).await.unwrap();
    world.index.simulator().publish_snapshot();
    world.mirror.forget_requests();
    world.lie(PathPattern::suffix(TIMESTAMP), publishes(&world, u32::MAX));
    let error = client.refresh(Simulator::now()).await.unwrap_err();
    assert_eq!(error.slug(), "missing", "{error}");
    assert!(error.to_string().contains("snapshot.json"), "{error}");
    assert_eq!((asked(&world, TIMESTAMP), asked(&world, "snapshot.json")), (2, 2));
    world.mirror.honest();
    client.refresh(Simulator::now()).await.unwrap();
    client.get(&path(SMALL)).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_bin_that_is_deleted_meanwhile_costs_one_restart() {
    let world = World::new();
    let client = world.client_with(impatient());
    client.refresh(Simulator::now()).await.unwrap();
    {
        let mut simulator = world.index.simulator();
        publish(&mut simulator, SMALL, b"a newer file");
        collect_garbage(&mut simulator);
    }
    world.mirror.forget_requests();
    let (_, bytes) = client.get(&path(SMALL)).await.unwrap().unwrap();
    assert_eq!(bytes, "a newer file");
    assert_eq!(asked(&world, TIMESTAMP), 1);
}

#[tokio::test]
async fn bins_that_are_always_deleted_are_given_up_after_one_restart() {
    let world = World::new();
    let client = world.client_with(impatient());
    client.refresh(Simulator::now()).await.unwrap();
    let bin = bin_suffix(&mut world.index.simulator(), LARGE);
    world.lie(bin, Change::Status(http::StatusCode::NOT_FOUND));
    world.mirror.forget_requests();
    let Error::Verification(error) = client.find(&path(LARGE)).await.unwrap_err() else {
        panic!("it is not the transport's fault")
    };
    assert_eq!(error.slug(), "missing", "{error}");
    assert_eq!(asked(&world, TIMESTAMP), 1);
    world.mirror.honest();
    client.get(&path(LARGE)).await.unwrap().unwrap();
}
