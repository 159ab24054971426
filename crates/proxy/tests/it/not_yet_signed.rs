//! What the index hands out before it has signed it (PEP 458, "Producing Consistent Snapshots").

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use reqwest::StatusCode;
use waxseal_proxy::Settings;
use waxseal_testkit::mirror::{Change, PathPattern};

use crate::world::{PIP, UV, World, list, publish_all, reason, settings};

const PAGE: &str = "/simple/new/";
const FILE: &str = "/files/packages/new/new-1.0-py3-none-any.whl";

fn waiting(most: Duration) -> Settings {
    Settings { wait_for_signature: most, ..settings() }
}

async fn serving_unsigned(most: Duration) -> World {
    let world = World::new(waiting(most)).await;
    for path in [PAGE, FILE] {
        world.lie(PathPattern::exact(path), Change::ReplaceBody(b"unsigned".to_vec()));
        world.lie(PathPattern::exact(path), Change::Status(StatusCode::OK));
    }
    world
}

#[tokio::test]
async fn it_is_said_to_be_unsigned_and_not_to_be_absent() {
    let world = serving_unsigned(Duration::from_secs(1)).await;
    for text in [reason(&world.page(PAGE, UV).await), reason(&world.fetch(FILE).await)] {
        assert!(text.contains("(not-yet-signed)"), "{text}");
        assert!(
            text.contains("full protection is not yet available, but will be shortly"),
            "{text}"
        );
    }
    let page = world.page(PAGE, PIP).await.text().await.unwrap();
    assert!(page.contains("waxseal.not.yet.signed"), "{page}");
    // What it does not hand out is absent, at once.
    let start = Instant::now();
    assert_eq!(world.page("/simple/absent/", UV).await.status(), StatusCode::NOT_FOUND);
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn it_is_waited_for() {
    let world = serving_unsigned(Duration::from_secs(30)).await;
    let sign = async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let mut simulator = world.index.simulator();
        list(&mut simulator, "packages/new/new-1.0-py3-none-any.whl", b"signed");
        publish_all(&mut simulator);
        world.pass(SignedDuration::from_secs(2));
    };
    let (response, ()) = tokio::join!(world.fetch(FILE), sign);
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.bytes().await.unwrap(), "signed");
    assert_eq!(world.proxy.refusals(), []);
}
