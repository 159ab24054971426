//! A malicious mirror is no more than a detour where there is an honest one.

use tokio::time::timeout;
use waxseal_client::Settings;
use waxseal_testkit::mirror::{Bomb, Change};
use waxseal_testkit::simulator::Simulator;

use super::{BOUND, Bin, File, Snapshot, Timestamp, Trial, but_not_the_true_file};
use crate::world::impatient;

/// Attacks a client that asks the mirror of the trial first, and an honest one then.
async fn detour(trial: &Trial, change: Change) {
    let kind = trial.kind;
    let mirrors = vec![trial.world.index.url().as_str().parse().unwrap()];
    let client = trial.world.client_with(Settings { mirrors, ..impatient() });
    trial.prepare().await;
    if matches!(kind, Bin | File) {
        client.refresh(Simulator::now()).await.unwrap();
    }
    trial.world.mirror.forget_requests();
    trial.lie(&but_not_the_true_file(kind, change.clone()));
    let ended = timeout(BOUND, trial.call_of(&client)).await;
    let ended = ended.unwrap_or_else(|_| panic!("{kind:?}, {change:?}: it did not end"));
    ended.unwrap_or_else(|error| panic!("{kind:?}, {change:?}: {error}"));
    assert_eq!(trial.sent().len(), 1, "{kind:?}, {change:?}: it was asked, and once");
    trial.world.mirror.honest();
    trial.client.refresh(Simulator::now()).await.unwrap();
}

#[tokio::test]
async fn what_one_mirror_does_not_give_the_next_one_gives() {
    for kind in [Timestamp, Snapshot, Bin, File] {
        let trial = Trial::new(kind).await;
        for change in [
            Change::Endless,
            Change::bomb(Bomb::Zstd, "zstd"),
            Change::Silence,
            Change::DropConnection,
            Change::ReplaceBody(Vec::new()),
        ] {
            detour(&trial, change).await;
        }
    }
}

/// The first part of a file is spoilt, and an honest mirror sends the rest: that mirror is not the
/// one to leave, and all of the file is had from it.
#[tokio::test]
async fn a_file_that_one_mirror_spoils_and_another_completes_is_had_from_the_other() {
    let trial = Trial::new(File).await;
    for percent in [1, 99] {
        detour(&trial, Change::StallAt { percent }).await;
    }
}
