//! Answers that are not what was asked for.

use http::StatusCode;
use http::header::CONTENT_RANGE;
use tokio::task::JoinSet;
use waxseal_client::Settings;
use waxseal_testkit::mirror::{Bomb, Change, Flood, PathPattern};
use waxseal_testkit::simulator::Simulator;

use super::{ALL, Bin, File, FirstRoot, Root, Snapshot, Targets, Timestamp, Trial, Trials};
use crate::world::{SMALL, World, impatient, path, settings};

#[tokio::test]
async fn what_was_not_asked_for_is_not_taken_for_the_file() {
    let trials = Trials::new(&ALL).await;
    for range in ["bytes 0-10/11", "bytes */0"] {
        let range = Change::Header(CONTENT_RANGE, range.parse().unwrap());
        let changes = |_| vec![Change::Relabel(StatusCode::PARTIAL_CONTENT), range.clone()];
        trials.refuse(changes, |_| ("unreachable", "answers with status 206")).await;
    }
    let page = b"<!DOCTYPE html><title>Log in to the hotel's network</title>".to_vec();
    for body in [page, Vec::new()] {
        let slug = |kind| if matches!(kind, Snapshot | File) { "changed" } else { "malformed" };
        let changes = |_| vec![Change::ReplaceBody(body.clone())];
        trials.refuse(changes, |kind| (slug(kind), "")).await;
    }
    for status in [204, 205, 300, 304, 401, 429, 503, 999] {
        let changes = |_| vec![Change::Status(StatusCode::from_u16(status).unwrap())];
        trials.refuse(changes, |_| ("unreachable", "answers with status")).await;
    }
}

#[tokio::test]
async fn what_metadata_names_and_is_missing_is_told_after_one_restart() {
    let missing = Change::Status(StatusCode::NOT_FOUND);
    for kind in [Timestamp, Snapshot, Targets, Bin, File] {
        let trial = Trial::new(kind).await;
        let error = trial.refuse(std::slice::from_ref(&missing)).await;
        assert_eq!(error.slug(), "missing", "{kind:?}: {error}");
        assert!(error.to_string().contains(kind.name()), "{kind:?}: {error}");
    }
}

#[tokio::test]
async fn a_burst_of_server_errors_is_survived() {
    let mut bursts = JoinSet::new();
    for (kind, status) in ALL.into_iter().zip([500, 502, 503, 504, 429, 500]) {
        let status = StatusCode::from_u16(status).unwrap();
        let stubborn = Settings { retries: 2, ..settings() };
        let trial = Trial::new(kind).await;
        let trial = Trial { client: trial.world.client_with(stubborn), ..trial };
        if matches!(kind, Bin | File) {
            trial.client.refresh(Simulator::now()).await.unwrap();
        }
        bursts.spawn(async move {
            trial.lie(&[Change::times(2, Change::Status(status))]);
            trial.call().await.unwrap_or_else(|error| panic!("{kind:?}, {status}: {error}"));
            assert_eq!(trial.sent().len(), 3, "{kind:?}, {status}");
        });
    }
    bursts.join_all().await;
}

/// The chain of roots as far as the mirror shows it is what a client can know (TUF 5.3.9). What a
/// later root changed is refused then, so that the mirror gains nothing by hiding it.
#[tokio::test]
async fn a_hidden_link_of_the_root_chain_does_not_keep_old_keys_trusted() {
    let world = World::new();
    {
        let mut simulator = world.index.simulator();
        simulator.publish_root();
        simulator.rotate("timestamp", &["another timestamp key"], 1);
        simulator.publish_root();
        simulator.publish_root();
        simulator.publish_timestamp();
    }
    let client = world.client_with(impatient());
    let link = PathPattern::suffix("/3.root.json");
    world.lie(link.clone(), Change::Status(StatusCode::NOT_FOUND));
    let error = client.refresh(Simulator::now()).await.unwrap_err();
    assert_eq!(error.slug(), "unsigned", "{error}");
    assert!(error.to_string().contains("timestamp"), "{error}");

    // Any other answer than "not found" is not the end of the chain.
    for status in [403, 500, 206, 304] {
        world.mirror.honest();
        world.lie(link.clone(), Change::Status(StatusCode::from_u16(status).unwrap()));
        let error = client.refresh(Simulator::now()).await.unwrap_err();
        assert_eq!(error.slug(), "unreachable", "{status}: {error}");
        assert!(error.to_string().contains("3.root.json"), "{status}: {error}");
    }
    world.mirror.honest();
    assert_eq!(client.refresh(Simulator::now()).await.unwrap().root, 4);
    client.get(&path(SMALL)).await.unwrap().unwrap();
}

/// A link that cannot be verified is no end of the chain either.
#[tokio::test]
async fn a_broken_link_of_the_root_chain_is_refused() {
    let trial = Trial::new(Root).await;
    let broken =
        Change::edit(|body| String::from_utf8(body).unwrap().replace("2031", "2032").into_bytes());
    let error = trial.refuse(&[broken]).await;
    assert_eq!(error.slug(), "unsigned", "{error}");
}

/// Before anything is trusted there is nothing to lose but time, memory and traffic.
#[tokio::test]
async fn the_first_root_is_fetched_as_carefully() {
    let trials = Trials::new(&[FirstRoot]).await;
    for (change, refusal) in [
        (Change::Endless, ("endless", "is longer than the")),
        (Change::bomb(Bomb::Gzip, "gzip"), ("endless", "is longer than the")),
        (Change::Flood(Flood::Headers), ("unreachable", "cannot be reached")),
        (Change::Stall, ("slow", "did not answer within")),
        (Change::StallAt { percent: 99 }, ("slow", "did not answer within")),
        (Change::Relabel(StatusCode::PARTIAL_CONTENT), ("unreachable", "status 206")),
        (Change::Status(StatusCode::NOT_FOUND), ("missing", "1.root.json")),
    ] {
        trials.refuse(|_| vec![change.clone()], |_| refusal).await;
    }
}
