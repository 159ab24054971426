//! Answers that come slowly, in part, or not at all.

use std::time::Duration;

use waxseal_testkit::mirror::Change;

use super::{ALL, Trials};

#[tokio::test]
async fn what_does_not_come_is_given_up() {
    let trials = Trials::new(&ALL).await;
    let second = Duration::from_secs(1);
    for change in [
        Change::Silence,
        Change::TrickleHead { every: second },
        Change::TrickleHead { every: Duration::from_millis(50) },
        Change::Stall,
        Change::StallAt { percent: 1 },
        Change::StallAt { percent: 99 },
        Change::Trickle { bytes: 1, every: second },
    ] {
        trials.refuse(|_| vec![change.clone()], |_| ("slow", "did not answer within")).await;
    }
}

#[tokio::test]
async fn bytes_that_never_stall_and_never_hurry_are_given_up() {
    let trials = Trials::new(&ALL).await;
    let change = Change::Trickle { bytes: 1, every: Duration::from_millis(50) };
    trials.refuse(|_| vec![change.clone()], |_| ("slow", "sends less than")).await;
}
