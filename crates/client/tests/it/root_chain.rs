//! Long chains of roots: followed to the end, in one run or in several.

use http::StatusCode;
use waxseal_client::{Client, Settings};
use waxseal_testkit::mirror::{Change, PathPattern};
use waxseal_testkit::simulator::{Simulator, role};
use waxseal_tuf::metadata::{Root, Unverified};

use crate::world::{World, settings};

const LAST: u64 = 300;

fn world(last: u64) -> World {
    let world = World::new();
    publish_roots(&mut world.index.simulator(), last);
    world
}

/// Makes a chain to this version, with new keys for root, and for what comes after root, on the way.
pub(crate) fn publish_roots(simulator: &mut Simulator, last: u64) {
    while simulator.root.version < last {
        if simulator.root.version.is_multiple_of(50) {
            let generation = simulator.root.version;
            for (name, threshold) in [("root", 2), ("timestamp", 1), ("snapshot", 1)] {
                let labels = [format!("{name}-{generation}-a"), format!("{name}-{generation}-b")];
                let labels: Vec<_> = labels.iter().map(String::as_str).collect();
                simulator.rotate(name, &labels, threshold);
            }
        }
        simulator.publish_root();
    }
    simulator.publish_snapshot();
}

fn trusted_root(world: &World) -> u64 {
    let root = world.store().metadata().read(&role("root")).unwrap().unwrap();
    Unverified::<Root>::parse(&root).unwrap().claims().version
}

fn root(version: u64) -> PathPattern {
    PathPattern::suffix(format!("/{version}.root.json"))
}

#[tokio::test]
async fn a_chain_of_300_is_followed_in_one_run() {
    let world = world(LAST);
    assert_eq!(world.refreshed().await.refreshed().unwrap().root, LAST);
    assert_eq!(trusted_root(&world), LAST);
    world.mirror.forget_requests();
    world.refreshed().await;
    let requests = world.mirror.requests();
    assert_eq!(requests.len(), 2, "{requests:?}");
    assert!(requests[0].path.ends_with("/301.root.json"));
}

#[tokio::test]
async fn a_missing_or_refused_link_is_not_taken_for_the_end() {
    for (change, slug) in [
        // Without it the keys of timestamp are the old ones: nothing after the gap is believed.
        (Change::Status(StatusCode::NOT_FOUND), "unsigned"),
        (Change::Status(StatusCode::FORBIDDEN), "unreachable"),
        (Change::Status(StatusCode::INTERNAL_SERVER_ERROR), "unreachable"),
        (Change::ReplaceBody(b"<html>not here</html>".to_vec()), "malformed"),
        (
            Change::edit(|body| {
                String::from_utf8(body).unwrap().replacen("2031", "2041", 1).into()
            }),
            "unsigned",
        ),
        (Change::DropConnection, "unreachable"),
    ] {
        let world = world(160);
        let before = world.store().metadata().read(&role("timestamp")).unwrap();
        world.lie(root(151), change.clone());
        let error = world.client().refresh(Simulator::now()).await.unwrap_err();
        assert_eq!(error.slug(), slug, "{change:?}: {error}");
        // What came before the gap is kept, and nothing else.
        assert_eq!(trusted_root(&world), 150, "{change:?}");
        assert_eq!(world.store().metadata().read(&role("timestamp")).unwrap(), before);
        world.mirror.honest();
        world.mirror.forget_requests();
        assert_eq!(world.refreshed().await.refreshed().unwrap().root, 160);
        assert!(world.mirror.requests()[0].path.ends_with("/151.root.json"));
    }
}

#[tokio::test]
async fn a_chain_goes_on_after_an_update_that_was_dropped_in_its_middle() {
    let world = world(LAST);
    let client = world.client();
    let mut refresh = Box::pin(client.refresh(Simulator::now()));
    while world.mirror.requests().len() < 100 {
        let early = tokio::time::timeout(std::time::Duration::from_millis(1), &mut refresh).await;
        assert!(early.is_err(), "{early:?}");
    }
    drop(refresh);
    let reached = trusted_root(&world);
    assert!((90..=LAST).contains(&reached), "{reached}");
    world.mirror.forget_requests();
    assert_eq!(world.refreshed().await.refreshed().unwrap().root, LAST);
    assert!(world.mirror.requests().len() < 215, "{}", world.mirror.requests().len());
}

#[tokio::test]
async fn more_roots_than_the_limit_are_followed_in_several_runs() {
    let world = world(LAST);
    let mut settings: Settings = settings();
    settings.limits.root_rotations = 256;
    let client = Client::open(&world.store(), settings).unwrap();
    // The last keys for what comes after root were named in root 251.
    assert_eq!(client.refresh(Simulator::now()).await.unwrap().root, 257);
    assert_eq!(trusted_root(&world), 257);
    assert_eq!(client.refresh(Simulator::now()).await.unwrap().root, LAST);
}
