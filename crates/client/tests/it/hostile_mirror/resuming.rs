//! A download that breaks and is resumed, at a mirror that makes use of it.

use http::StatusCode;
use http::header::CONTENT_RANGE;
use waxseal_client::Settings;
use waxseal_testkit::mirror::Change;
use waxseal_testkit::simulator::Simulator;

use super::{File, Trial};
use crate::world::{LARGE, impatient, large, path};

/// Half of the file, of which the whole was announced.
fn broken() -> [Change; 2] {
    [Change::Truncate(500_000), Change::LieAboutLength(1_000_000)]
}

async fn trial() -> Trial {
    let trial = Trial::new(File).await;
    let stubborn = Settings { retries: 2, ..impatient() };
    let client = trial.world.client_with(stubborn);
    client.refresh(Simulator::now()).await.unwrap();
    client.find(&path(LARGE)).await.unwrap();
    trial.world.mirror.forget_requests();
    Trial { client, ..trial }
}

#[tokio::test]
async fn a_file_that_breaks_once_is_resumed() {
    let trial = trial().await;
    trial.lie(&broken().map(|change| Change::times(1, change)));
    trial.call().await.unwrap();
    assert_eq!(trial.sent().len(), 2);
    let saved = std::fs::read(trial.folder.path().join("large.whl")).unwrap();
    assert!(saved == large());
}

#[tokio::test]
async fn a_file_that_always_breaks_is_asked_for_three_times() {
    let trial = trial().await;
    trial.lie(&broken());
    let error = trial.call().await.unwrap_err();
    assert_eq!(error.slug(), "interrupted", "{error}");
    assert_eq!(trial.sent().len(), 3);
    assert_eq!(std::fs::read_dir(trial.folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn what_a_resumed_file_goes_on_with_is_checked() {
    let part = || Change::Relabel(StatusCode::PARTIAL_CONTENT);
    let range = |range: &str| Change::Header(CONTENT_RANGE, range.parse().unwrap());
    let other = |length| Change::ReplaceBody(vec![b'x'; length]);
    let trial = trial().await;
    for (then, slug) in [
        (vec![other(500_000), part(), range("bytes 0-499999/1000000")], "interrupted"),
        (vec![other(500_000), part(), range("bytes 500001-999999/1000000")], "interrupted"),
        (vec![other(500_000), part(), range("items 500000-999999/1000000")], "interrupted"),
        (vec![other(500_000), part()], "interrupted"),
        (vec![other(500_000), part(), range("bytes 500000-999999/1000000")], "changed"),
        (vec![other(500_001), part(), range("bytes 500000-1000000/1000001")], "changed"),
        (vec![other(1_000_000)], "changed"),
        (vec![other(2_000_000)], "changed"),
        (vec![other(0), Change::Endless], "changed"),
        (vec![Change::Status(StatusCode::RANGE_NOT_SATISFIABLE)], "unreachable"),
        (vec![Change::Stall], "slow"),
        (vec![Change::Location("https://127.0.0.1:1/".to_owned())], "redirect"),
    ] {
        let first = broken().map(|change| Change::times(1, change));
        let then = then.into_iter().map(|change| Change::after(1, change));
        let changes: Vec<_> = first.into_iter().chain(then).collect();
        let error = trial.refuse(&changes).await;
        assert_eq!(error.slug(), slug, "{changes:?}: {error}");
        assert!(error.to_string().contains(File.name()), "{changes:?}: {error}");
        trial.prepare().await;
    }
}
