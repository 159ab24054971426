//! Files, small and large, whole and in part.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use waxseal_proxy::Settings;
use waxseal_testkit::mirror::{Change, PathPattern, Position};

use crate::world::{
    LARGE, LARGE_URL, SMALL, SMALL_URL, World, header, large, list, publish_all, reason, settings,
};

/// Slow enough for an answer that begins before the file is there, quick enough for a test.
fn slowly() -> Change {
    Change::Trickle { bytes: 1 << 20, every: Duration::from_millis(30) }
}

/// Leaves a reader the time to come and go before the file is there.
fn very_slowly() -> Change {
    Change::Trickle { bytes: 1 << 20, every: Duration::from_millis(300) }
}

/// Begins to answer at once, and sends its few unverified bytes at once.
fn streaming() -> Settings {
    Settings { stream_after: Duration::ZERO, heartbeat: Duration::ZERO, ..settings() }
}

fn last_byte() -> Change {
    Change::FlipByte { at: Position::FromEnd(1) }
}

/// What comes of a body, and whether it came to its end.
async fn drain(mut response: reqwest::Response) -> (Vec<u8>, bool) {
    assert_eq!(response.status(), StatusCode::OK);
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return (bytes, true),
            Err(_) => return (bytes, false),
        }
    }
}

#[tokio::test]
async fn files_come_whole_and_may_be_kept_for_ever() {
    let world = World::new(settings()).await;
    for (url, content) in [(SMALL_URL, b"a small wheel".to_vec()), (LARGE_URL, large())] {
        let response = world.fetch(url).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(header(&response, "content-length"), content.len().to_string());
        assert_eq!(header(&response, "cache-control"), "max-age=31536000, immutable");
        assert_eq!(header(&response, "accept-ranges"), "bytes");
        let etag = header(&response, "etag").to_owned();
        assert!(response.bytes().await.unwrap() == content, "{url}");
        let known = world.request(Method::GET, url).header("If-None-Match", etag);
        assert_eq!(known.send().await.unwrap().status(), StatusCode::NOT_MODIFIED);
        let head = world.request(Method::HEAD, url).send().await.unwrap();
        assert_eq!(header(&head, "content-length"), content.len().to_string());
    }
}

#[tokio::test]
async fn an_escaped_name_is_the_same_file() {
    let world = World::new(settings()).await;
    let url = SMALL_URL.replace("foo_bar-1", "foo%5Fbar%2D1");
    assert_eq!(world.fetch(&url).await.bytes().await.unwrap(), "a small wheel");
}

#[tokio::test]
async fn parts_are_those_of_the_verified_file() {
    let world = World::new(settings()).await;
    let length = large().len();
    for (range, first, end) in [
        ("bytes=0-9", 0, 10),
        ("bytes=-20", length - 20, length),
        ("bytes=1000000-4999999", 1_000_000, 5_000_000),
    ] {
        let request = world.request(Method::GET, LARGE_URL).header("Range", range);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
        let expected = format!("bytes {first}-{}/{length}", end - 1);
        assert_eq!(header(&response, "content-range"), expected);
        assert!(response.bytes().await.unwrap() == large()[first..end], "{range}");
    }
    assert_eq!(world.asked(LARGE), 1);
    let request = world.request(Method::GET, LARGE_URL).header("Range", "bytes=6000000-");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(header(&response, "content-range"), "bytes */6000000");
}

#[tokio::test]
async fn no_part_of_a_changed_file_is_passed_on() {
    let world = World::new(settings()).await;
    world.lie(PathPattern::suffix(LARGE), last_byte());
    let request = world.request(Method::GET, LARGE_URL).header("Range", "bytes=0-9");
    assert!(reason(&request.send().await.unwrap()).contains("changed"));
}

#[tokio::test]
async fn a_changed_file_is_refused_and_an_honest_one_taken_after_it() {
    let world = World::new(settings()).await;
    for (file, url) in [(SMALL, SMALL_URL), (LARGE, LARGE_URL)] {
        for at in [Position::FromStart(0), Position::FromEnd(1)] {
            world.lie(PathPattern::suffix(file), Change::FlipByte { at });
            let response = world.fetch(url).await;
            let reason = reason(&response);
            assert!(reason.contains(file) && reason.contains("was changed: sha256"), "{reason}");
            assert_eq!(header(&response, "cache-control"), "no-store");
            let text = response.text().await.unwrap();
            assert!(
                text.contains(world.mirror.url().as_str()) && text.contains("hint: "),
                "{text}"
            );
            world.mirror.honest();
            assert_eq!(world.fetch(url).await.status(), StatusCode::OK);
            // Forget it, so that it is fetched again.
            let content = [large(), vec![at_number(at)]].concat();
            let mut simulator = world.index.simulator();
            list(&mut simulator, url.strip_prefix("/files/").unwrap(), &content);
            publish_all(&mut simulator);
        }
    }
}

fn at_number(at: Position) -> u8 {
    match at {
        Position::FromStart(_) => 1,
        Position::FromEnd(_) => 2,
    }
}

#[tokio::test]
async fn truncated_long_and_missing_files_are_refused() {
    for (change, slug) in [
        (Change::Truncate(5), "changed"),
        (Change::LieAboutLength(1 << 30), "changed"),
        (Change::DropConnection, "unreachable"),
        (Change::Status(StatusCode::NOT_FOUND), "missing"),
        (Change::Status(StatusCode::BAD_GATEWAY), "unreachable"),
        (Change::Redirect("https://127.0.0.1:1/".parse().unwrap()), "redirect"),
    ] {
        let world = World::new(settings()).await;
        world.lie(PathPattern::prefix("/tuf/targets/packages/"), change.clone());
        for url in [SMALL_URL, LARGE_URL] {
            let reason = reason(&world.fetch(url).await);
            assert!(reason.contains(&format!("({slug})")), "{change:?}: {reason}");
        }
        assert_eq!(world.proxy.refusals().len(), 2);
        world.mirror.honest();
        assert_eq!(world.fetch(SMALL_URL).await.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn a_slow_file_comes_whole_after_its_first_bytes() {
    let world = World::new(streaming()).await;
    world.lie(PathPattern::suffix(LARGE), slowly());
    let response = world.fetch(LARGE_URL).await;
    assert_eq!(header(&response, "content-length"), large().len().to_string());
    let (bytes, whole) = drain(response).await;
    assert!(whole && bytes == large());
    // By now it is verified, and parts of it can be had.
    let request = world.request(Method::GET, LARGE_URL).header("Range", "bytes=5-9");
    assert_eq!(request.send().await.unwrap().bytes().await.unwrap(), large()[5..10]);
    assert_eq!(world.asked(LARGE), 1);
}

#[tokio::test]
async fn a_slow_file_comes_whole_without_a_heartbeat() {
    let heartbeat = Duration::from_hours(1);
    let world = World::new(Settings { heartbeat, ..streaming() }).await;
    world.lie(PathPattern::suffix(LARGE), slowly());
    let (bytes, whole) = drain(world.fetch(LARGE_URL).await).await;
    assert!(whole && bytes == large());
}

#[tokio::test]
async fn a_reader_that_leaves_early_has_no_archive_and_the_refusal_is_kept() {
    let world = World::new(streaming()).await;
    world.lie(PathPattern::suffix(LARGE), last_byte());
    world.lie(PathPattern::suffix(LARGE), very_slowly());
    let mut response = world.fetch(LARGE_URL).await;
    let mut got = 0;
    while got < 9 {
        got += response.chunk().await.unwrap().unwrap().len();
    }
    assert_eq!(got, 9);
    drop(response);
    let refused = async {
        while world.proxy.refusals().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), refused).await.unwrap();
    let refusals = world.proxy.refusals();
    assert!(refusals[0].what.ends_with(LARGE) && refusals[0].slug == "changed", "{refusals:?}");
    assert!(reason(&world.fetch(LARGE_URL).await).contains("was changed"));
    assert_eq!((world.asked(LARGE), world.proxy.refusals().len()), (1, 1));
}

#[tokio::test]
async fn a_download_outlives_the_reader_that_began_it() {
    let world = World::new(streaming()).await;
    world.lie(PathPattern::suffix(LARGE), slowly());
    let mut response = world.fetch(LARGE_URL).await;
    assert!(response.chunk().await.unwrap().is_some());
    drop(response);
    let (bytes, whole) = drain(world.fetch(LARGE_URL).await).await;
    assert!(whole && bytes == large());
    assert_eq!(world.asked(LARGE), 1);
}

#[tokio::test]
async fn a_changed_file_whose_answer_has_begun_ends_short() {
    let world = World::new(streaming()).await;
    world.lie(PathPattern::suffix(LARGE), last_byte());
    world.lie(PathPattern::suffix(LARGE), slowly());
    let response = world.fetch(LARGE_URL).await;
    assert_eq!(response.status(), StatusCode::OK, "begun");
    let (bytes, whole) = drain(response).await;
    assert!(!whole);
    assert!(bytes.len() < 10, "{}", bytes.len());
    assert!(large().starts_with(&bytes));
    // Its reader saw no reason, and tries again: here it is, at once.
    for _ in 0..2 {
        let response = world.fetch(LARGE_URL).await;
        assert!(reason(&response).contains("was changed"));
    }
    assert_eq!(world.asked(LARGE), 1);
    assert_eq!(world.proxy.refusals().len(), 1, "{:?}", world.proxy.refusals());
    // An index that has moved on is asked again.
    world.mirror.honest();
    publish_all(&mut world.index.simulator());
    let (bytes, whole) = drain(world.fetch(LARGE_URL).await).await;
    assert!(whole && bytes == large());
}

#[tokio::test]
async fn a_refusal_after_the_answer_had_begun_is_forgotten_in_time() {
    let world = World::new(Settings { remember_refused: Duration::ZERO, ..streaming() }).await;
    world.lie(PathPattern::suffix(LARGE), last_byte());
    world.lie(PathPattern::suffix(LARGE), slowly());
    assert!(!drain(world.fetch(LARGE_URL).await).await.1);
    world.mirror.honest();
    let (bytes, whole) = drain(world.fetch(LARGE_URL).await).await;
    assert!(whole && bytes == large());
}

#[tokio::test]
async fn a_file_that_never_begins_is_refused_and_its_answer_not_begun() {
    let world = World::new(Settings { answer_within: Duration::from_secs(1), ..streaming() }).await;
    for (file, url) in [(SMALL, SMALL_URL), (LARGE, LARGE_URL)] {
        world.lie(PathPattern::suffix(file), Change::Stall);
        assert!(reason(&world.fetch(url).await).contains("(slow)"));
    }
}

#[tokio::test]
async fn requests_for_one_file_share_one_download() {
    let world = World::new(settings()).await;
    let (a, b, c) =
        tokio::join!(world.fetch(LARGE_URL), world.fetch(LARGE_URL), world.fetch(LARGE_URL));
    for response in [a, b, c] {
        assert!(response.bytes().await.unwrap() == large());
    }
    assert_eq!(world.asked(LARGE), 1);
}

#[tokio::test]
async fn what_is_not_kept_is_fetched_again() {
    let world = World::new(Settings { memory: 0, disk: 0, ..settings() }).await;
    for _ in 0..2 {
        assert!(world.fetch(LARGE_URL).await.bytes().await.unwrap() == large());
        assert_eq!(world.fetch(SMALL_URL).await.bytes().await.unwrap(), "a small wheel");
        assert_eq!(world.fetch("/simple/foo-bar/").await.status(), StatusCode::OK);
    }
    // The newest of each kind stays.
    assert_eq!((world.asked(SMALL), world.asked(LARGE)), (2, 1));
}
