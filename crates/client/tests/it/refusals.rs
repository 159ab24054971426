//! What the client refuses, and that a refused update changes nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use waxseal_client::Error;
use waxseal_testkit::mirror::{Change, PathPattern, Position};
use waxseal_testkit::simulator::{Simulator, time};

use crate::world::{LARGE, SMALL, World, bin_suffix, path, publish};

const TIMESTAMP: &str = "/tuf/metadata/timestamp.json";

fn flip() -> Change {
    Change::FlipByte { at: Position::FromEnd(40) }
}

#[tokio::test]
async fn an_honest_index_is_read() {
    let world = World::new();
    let client = world.refreshed().await;
    let (file, bytes) = client.get(&path(SMALL)).await.unwrap().unwrap();
    assert_eq!((file.length, &bytes[..]), (12, &b"a small file"[..]));
    assert_eq!(client.find(&path("packages/small/other.whl")).await, Ok(None));
    assert_eq!(client.fresh_until(), Some(time("2030-01-02T00:00:00Z")));
}

#[tokio::test]
async fn a_target_before_the_first_refresh_is_a_mistake_of_the_caller() {
    let world = World::new();
    assert_eq!(world.client().find(&path(SMALL)).await, Err(Error::NotRefreshed));
}

#[tokio::test]
async fn changed_metadata_is_refused_and_changes_nothing_on_disk() {
    for (file, slug) in
        [(TIMESTAMP, "unsigned"), ("snapshot.json", "changed"), ("targets.json", "unsigned")]
    {
        let world = World::new();
        world.refreshed().await;
        // Something new, so that each file is fetched again.
        world.index.simulator().publish_targets("targets");
        world.lie(
            PathPattern::suffix(file),
            Change::edit(|body| {
                String::from_utf8(body)
                    .unwrap()
                    .replace("2030", "2039")
                    .replace("2031", "2039")
                    .into()
            }),
        );
        let before = world.tree();
        let client = world.client();
        let error = client.refresh(Simulator::now()).await.unwrap_err();
        assert_eq!(error.slug(), slug, "{file}: {error}");
        assert_only_verified_files_changed(&world, &before, file);
        world.mirror.honest();
        client.refresh(Simulator::now()).await.unwrap();
        client.get(&path(SMALL)).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_changed_bin_is_refused() {
    let world = World::new();
    let bin = bin_suffix(&mut world.index.simulator(), SMALL);
    world.lie(
        bin,
        Change::edit(|body| {
            String::from_utf8(body).unwrap().replace("\"length\":12", "\"length\":13").into()
        }),
    );
    let client = world.refreshed().await;
    let before = world.tree();
    assert_eq!(client.find(&path(SMALL)).await.unwrap_err().slug(), "unsigned");
    assert_eq!(world.tree(), before);
    world.mirror.honest();
    assert!(client.find(&path(SMALL)).await.unwrap().is_some());
}

#[tokio::test]
async fn an_older_timestamp_is_a_rollback() {
    let world = World::new();
    let old = world.mirror.record([TIMESTAMP]);
    publish(&mut world.index.simulator(), SMALL, b"a newer file");
    let client = world.refreshed().await;
    world.lie(PathPattern::Any, Change::Replay(old));
    let before = world.tree();
    let error = client.refresh(Simulator::now()).await.unwrap_err();
    assert_eq!(error.slug(), "rollback");
    assert!(error.hint().contains("older"), "{}", error.hint());
    assert_eq!(world.tree(), before);
    // Nor does a new process forget what the machine has seen.
    let again = world.client().refresh(Simulator::now()).await;
    assert_eq!(again.unwrap_err().slug(), "rollback");
    world.mirror.honest();
    world.refreshed().await;
}

#[tokio::test]
async fn a_frozen_index_is_refused_once_it_expires() {
    let world = World::new();
    let client = world.refreshed().await;
    let before = world.tree();
    let later = time("2030-01-02T00:00:00Z");
    let error = client.refresh(later).await.unwrap_err();
    assert_eq!(error.slug(), "expired");
    assert!(error.hint().contains("clock"), "{}", error.hint());
    assert_eq!(world.tree(), before);
}

#[tokio::test]
async fn a_changed_target_is_refused() {
    let world = World::new();
    let client = world.refreshed().await;
    for (name, at) in [
        (SMALL, Position::FromStart(0)),
        (SMALL, Position::FromEnd(1)),
        (LARGE, Position::FromStart(0)),
        (LARGE, Position::FromEnd(1)),
    ] {
        let file = client.find(&path(name)).await.unwrap().unwrap();
        world.lie(PathPattern::prefix("/tuf/targets/"), Change::FlipByte { at });
        let error = client.read(&path(name), &file).await.unwrap_err();
        assert_eq!(error.slug(), "changed", "{error}");
        assert!(error.to_string().contains(name), "{error}");
        world.mirror.honest();
        client.read(&path(name), &file).await.unwrap();
    }
}

#[tokio::test]
async fn a_missing_target_is_refused_after_one_restart() {
    let world = World::new();
    let client = world.refreshed().await;
    let file = client.find(&path(SMALL)).await.unwrap().unwrap();
    world.mirror.forget_requests();
    world.lie(PathPattern::prefix("/tuf/targets/"), Change::Status(http::StatusCode::NOT_FOUND));
    let error = client.read(&path(SMALL), &file).await.unwrap_err();
    assert_eq!(error.slug(), "missing", "{error}");
    let requests = world.mirror.requests();
    let asked = |end: &str| requests.iter().filter(|request| request.path.ends_with(end)).count();
    assert_eq!((asked("timestamp.json"), asked(".tar.gz")), (1, 2));
}

#[tokio::test]
async fn a_target_that_was_replaced_meanwhile_is_found_anew() {
    let world = World::new();
    let client = world.refreshed().await;
    let old = client.find(&path(SMALL)).await.unwrap().unwrap();
    publish(&mut world.index.simulator(), SMALL, b"a newer file");
    let error = client.read(&path(SMALL), &old).await.unwrap_err();
    assert_eq!(error.slug(), "superseded");
    let (_, bytes) = client.get(&path(SMALL)).await.unwrap().unwrap();
    assert_eq!(bytes, "a newer file");
}

#[tokio::test]
async fn a_bin_that_was_replaced_meanwhile_is_found_anew() {
    let world = World::new();
    let client = world.refreshed().await;
    {
        let mut simulator = world.index.simulator();
        publish(&mut simulator, SMALL, b"a newer file");
        // The versions before are collected as garbage.
        let current = simulator.snapshot.clone();
        simulator.files.retain(|name, _| {
            let Some((version, role)) = name.split_once('.') else { return true };
            let listed =
                current.roles.iter().find(|(name, _)| format!("{}.json", name.encoded()) == role);
            listed.is_none_or(|(_, file)| file.version.to_string() == version)
        });
    }
    let (_, bytes) = client.get(&path(SMALL)).await.unwrap().unwrap();
    assert_eq!(bytes, "a newer file");
}

#[tokio::test]
async fn metadata_with_a_flipped_byte_is_refused_wherever_it_is() {
    for file in [TIMESTAMP, "snapshot.json", "targets.json"] {
        let world = World::new();
        world.lie(PathPattern::suffix(file), flip());
        let error = world.client().refresh(Simulator::now()).await.unwrap_err();
        assert!(["malformed", "unsigned", "changed"].contains(&error.slug()), "{file}: {error}");
        world.mirror.honest();
        world.refreshed().await;
    }
}

/// Files before the refused one were verified and may be new; nothing else is.
fn assert_only_verified_files_changed(
    world: &World,
    before: &BTreeMap<PathBuf, Vec<u8>>,
    refused: &str,
) {
    let simulator = world.index.simulator();
    for (path, bytes) in world.tree() {
        if before.get(&path) != Some(&bytes) {
            assert!(simulator.files.values().any(|honest| *honest == bytes), "{}", path.display());
            assert!(!path.ends_with(refused) && refused != TIMESTAMP, "{}", path.display());
        }
    }
}
