//! Answers without end.

use std::fs;

use tokio::time::timeout;
use waxseal_testkit::mirror::{Change, Flood, PathPattern};
use waxseal_testkit::simulator::Simulator;

use super::measure::{Memory, allowed};
use super::{ALL, BOUND, File, Snapshot, Timestamp, Trials, but_not_the_true_file};
use crate::world::{World, large, path, publish};

#[tokio::test]
async fn what_does_not_end_is_cut_off_at_what_it_may_have() {
    let cut_off = |kind| match kind {
        File => ("changed", "was changed"),
        _ => ("endless", "is longer than the"),
    };
    let trials = Trials::new(&ALL).await;
    for change in [Change::Endless, Change::Flood(Flood::Unframed)] {
        trials.refuse(|kind| but_not_the_true_file(kind, change.clone()), cut_off).await;
    }
    for flood in [Flood::Header, Flood::Headers] {
        let changes = |_| vec![Change::Flood(flood)];
        trials.refuse(changes, |_| ("unreachable", "cannot be reached")).await;
    }
    let changes = |_| vec![Change::Flood(Flood::ChunkExtension)];
    trials.refuse(changes, |_| ("interrupted", "was cut off")).await;
    // By the trailers, all of a target file was there, and is not what metadata lists.
    let changes = |kind| but_not_the_true_file(kind, Change::Flood(Flood::Trailers));
    let refusal = |kind| if kind == File { cut_off(kind) } else { ("interrupted", "was cut off") };
    trials.refuse(changes, refusal).await;
}

#[tokio::test]
async fn an_endless_body_of_tiny_chunks_is_cut_off_at_what_the_file_may_have() {
    let trials = Trials::new(&[Timestamp, Snapshot]).await;
    let changes = |_| vec![Change::Flood(Flood::TinyChunks)];
    trials.refuse(changes, |_| ("endless", "is longer than the")).await;
}

/// Each chunk costs its sender six bytes, and may not cost the client a thread, a write or a page.
#[tokio::test]
async fn a_file_of_tiny_chunks_takes_little_memory_and_time() {
    const MEDIUM: &str = "packages/medium/medium-1.0-py3-none-any.whl";
    let content = &large()[..120_000];
    let world = World::new();
    publish(&mut world.index.simulator(), MEDIUM, content);
    let client = world.client();
    client.refresh(Simulator::now()).await.unwrap();
    let file = client.find(&path(MEDIUM)).await.unwrap().unwrap();
    world.lie(PathPattern::suffix(".whl"), Change::Flood(Flood::TinyChunks));
    let folder = tempfile::tempdir().unwrap();
    let destination = folder.path().join("medium.whl");

    let (memory, mut pieces) = (Memory::now(), 0);
    let path = path(MEDIUM);
    let saved = client.save(&path, &file, &destination, |_| pieces += 1);
    timeout(BOUND, saved).await.unwrap().unwrap();
    assert!(fs::read(&destination).unwrap() == content);
    assert!(pieces <= 4, "{pieces} writes");
    assert!(memory.growth() < allowed(), "{}", memory.growth());
}

#[tokio::test]
async fn interim_answers_without_a_final_one_are_given_up() {
    let trials = Trials::new(&[Timestamp]).await;
    let changes = |_| vec![Change::Flood(Flood::Interim)];
    trials.refuse_in_turn(changes, |_| ("slow", "did not answer")).await;
}
