//! Old and new files, mixed: each was signed by the index at a time.

use waxseal_testkit::mirror::{Change, PathPattern, Recording};
use waxseal_testkit::simulator::Simulator;
use waxseal_tuf::hash::{Hashes, Sha256};

use super::{Bin, Kind, Root, Snapshot, Targets, Timestamp, Trial, publish_everything};
use crate::world::{LARGE, SMALL, World, bin_of, impatient, path, publish};

/// A trial, and what the index served for the attacked kind before, under the name of what it serves
/// now.
async fn before(kind: Kind) -> (Trial, Recording) {
    let trial = Trial::new(kind).await;
    let now = kind.attacked(&trial.world);
    let old = {
        let mut simulator = trial.world.index.simulator();
        let path = match kind {
            Root => "1.root.json".to_owned(),
            Snapshot => simulator.path("snapshot", simulator.snapshot.version - 1),
            Targets => {
                let version = simulator.role("targets").version - 1;
                simulator.path("targets", version)
            }
            _ => {
                let bin = bin_of(&mut simulator, LARGE);
                let version = simulator.role(bin.as_str()).version - 1;
                simulator.path(bin.as_str(), version)
            }
        };
        format!("/tuf/metadata/{path}")
    };
    let recording = trial.world.mirror.record([&old]).moved(&old, &now);
    (trial, recording)
}

#[tokio::test]
async fn one_file_of_before_among_those_of_now_is_refused() {
    for (kind, slug, says) in [
        (Root, "inconsistent", "root"),
        (Snapshot, "changed", "snapshot"),
        (Targets, "inconsistent", "expected version"),
        (Bin, "inconsistent", "expected version"),
    ] {
        let (trial, old) = before(kind).await;
        let error = trial.refuse(&[Change::Replay(old)]).await;
        assert_eq!(error.slug(), slug, "{kind:?}: {error}");
        assert!(error.to_string().contains(says), "{kind:?}: {error}");
    }
}

#[tokio::test]
async fn the_timestamp_of_before_is_a_rollback_for_who_has_seen_a_newer_one() {
    let trial = Trial::new(Timestamp).await;
    let attacked = Timestamp.attacked(&trial.world);
    let old = trial.world.mirror.record([&attacked]);
    {
        let mut simulator = trial.world.index.simulator();
        simulator.publish_timestamp();
    }
    trial.client.refresh(Simulator::now()).await.unwrap();
    let error = trial.refuse(&[Change::Replay(old)]).await;
    assert_eq!(error.slug(), "rollback", "{error}");
}

/// Who has not seen the newer one cannot tell: the index of before is whole in itself.
#[tokio::test]
async fn the_timestamp_of_before_leads_to_the_index_of_before_and_to_no_mixture() {
    let world = World::new();
    let old = world.mirror.record(["/tuf/metadata/timestamp.json"]);
    publish_everything(&mut world.index.simulator());
    world.lie(PathPattern::Any, Change::Replay(old));
    let client = world.client_with(impatient());
    let refreshed = client.refresh(Simulator::now()).await.unwrap();
    let simulator = world.index.simulator().clone();
    assert_eq!(refreshed.root, simulator.root.version);
    assert!(refreshed.snapshot < simulator.snapshot.version, "{refreshed:?}");
    let small = client.find(&path(SMALL)).await.unwrap().unwrap();
    assert_eq!(small.hashes, Hashes::sha256(Sha256::of(b"a small file")));
    client.get(&path(LARGE)).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_target_of_before_is_not_the_target_of_now() {
    let world = World::new();
    let client = world.client_with(impatient());
    client.refresh(Simulator::now()).await.unwrap();
    let name = path(SMALL);
    let location = |content: &[u8]| {
        let (folder, file) = SMALL.rsplit_once('/').unwrap();
        format!("/tuf/targets/{folder}/{}.{file}", Sha256::of(content))
    };
    let (old, new) = (location(b"a small file"), location(b"a newer file"));
    let recording = world.mirror.record([&old]).moved(&old, &new);
    publish(&mut world.index.simulator(), SMALL, b"a newer file");
    client.refresh(Simulator::now()).await.unwrap();
    world.lie(PathPattern::Any, Change::Replay(recording));
    // Of the same length, so that only the digest tells them apart.
    let error = client.get(&name).await.unwrap_err();
    assert_eq!(error.slug(), "changed", "{error}");
    world.mirror.honest();
    assert_eq!(client.get(&name).await.unwrap().unwrap().1, "a newer file");
}

#[tokio::test]
async fn the_bin_of_others_is_not_the_bin_of_a_file() {
    let trial = Trial::new(Bin).await;
    let (now, other) = {
        let mut simulator = trial.world.index.simulator();
        let bin = bin_of(&mut simulator, LARGE);
        let other = ["bin-0", "bin-1", "bin-2", "bin-3"]
            .into_iter()
            .find(|name| *name != bin.as_str())
            .unwrap();
        let version = simulator.role(bin.as_str()).version;
        simulator.role(other).version = version - 1;
        simulator.publish_targets(other);
        let url = |name: &str| format!("/tuf/metadata/{}", simulator.path(name, version));
        (url(bin.as_str()), url(other))
    };
    trial.client.refresh(Simulator::now()).await.unwrap();
    let recording = trial.world.mirror.record([&other]).moved(&other, &now);
    trial.world.lie(PathPattern::Any, Change::Replay(recording));
    // Every bin is signed by the same key, and nothing in it says which one it is: if its version is
    // the one that snapshot lists, the mirror hides what it likes.
    let found = trial.client.find(&path(LARGE)).await;
    assert!(!matches!(found, Ok(None)), "a file of the index was hidden: {found:?}");
}
