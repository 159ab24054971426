//! Every kind of refusal, as pip and as other clients see it.

use std::io::Write as _;
use std::time::Duration;

use jiff::SignedDuration;
use reqwest::StatusCode;
use waxseal_proxy::{Bound, Exposure, Settings};
use waxseal_testkit::mirror::{Change, PathPattern, Position};

use crate::world::{JSON, PIP, UV, World, bin_of, header, list, publish_all, reason, settings};

const PAGE: &str = "/simple/foo-bar/";
const TIMESTAMP: &str = "/tuf/metadata/timestamp.json";

/// The page is refused for this reason, to pip and to others, and recorded; nothing is "not found"
/// or a server's error. Honest again, it is there.
async fn assert_page_refused(world: &World, slug: &str) {
    let response = world.page(PAGE, UV).await;
    let phrase = reason(&response);
    assert!(phrase.starts_with(&format!("waxseal refuses project foo-bar ({slug}): ")), "{phrase}");
    assert!(phrase.len() <= 300 && phrase.is_ascii());
    let pip = world.page(PAGE, PIP).await;
    assert_eq!(pip.status(), StatusCode::OK);
    assert_eq!(header(&pip, "content-type"), JSON);
    assert_eq!(header(&pip, "cache-control"), "no-store");
    let filename = format!("foo_bar-99999999+waxseal.{slug}-py3-none-any.whl");
    let page = pip.text().await.unwrap();
    assert!(page.contains(&filename), "{page}");
    let file = format!("/files/packages/foo-bar/{filename}");
    for url in [file.clone(), file.replace('+', "%2B")] {
        assert!(reason(&world.fetch(&url).await).contains(&format!("({slug})")));
    }
    let slugs: Vec<_> = world.proxy.refusals().into_iter().map(|refusal| refusal.slug).collect();
    assert_eq!(slugs, [slug]);
    world.mirror.honest();
    let honest = world.page(PAGE, PIP).await.text().await.unwrap();
    assert!(!honest.contains("waxseal"), "{honest}");
}

#[tokio::test]
async fn a_changed_page_is_refused() {
    for at in [Position::FromStart(0), Position::FromEnd(1)] {
        let world = World::new(settings()).await;
        world.lie(PathPattern::contains("/simple/foo-bar/"), Change::FlipByte { at });
        assert_page_refused(&world, "changed").await;
    }
}

#[tokio::test]
async fn a_page_of_another_project_is_refused() {
    let world = World::new(settings()).await;
    let other = b"{\"name\": \"foo-bar\", \"files\": []}".to_vec();
    world.lie(PathPattern::contains("/simple/foo-bar/"), Change::ReplaceBody(other));
    assert_page_refused(&world, "changed").await;
}

#[tokio::test]
async fn a_changed_bin_is_refused() {
    let world = World::new(settings()).await;
    let bin = bin_of(&mut world.index.simulator(), "simple/foo-bar/vnd.pypi.simple.v1.json");
    let edit = |body| String::from_utf8(body).unwrap().replace("2030", "2039").into();
    world.lie(PathPattern::suffix(format!(".{bin}.json")), Change::edit(edit));
    assert_page_refused(&world, "unsigned").await;
}

#[tokio::test]
async fn changed_timestamps_and_snapshots_are_refused() {
    for (file, slug) in [(TIMESTAMP, "unsigned"), (".snapshot.json", "changed")] {
        let world = World::new(settings()).await;
        let edit = |body| String::from_utf8(body).unwrap().replace("2030", "2039").into();
        world.lie(PathPattern::suffix(file), Change::edit(edit));
        assert_page_refused(&world, slug).await;
    }
}

#[tokio::test]
async fn an_older_state_is_refused() {
    let world = World::new(settings()).await;
    let old = world.mirror.record([TIMESTAMP]);
    publish_all(&mut world.index.simulator());
    assert_eq!(world.page(PAGE, PIP).await.status(), StatusCode::OK);
    world.lie(PathPattern::Any, Change::Replay(old));
    assert_page_refused(&world, "rollback").await;
}

#[tokio::test]
async fn a_frozen_index_is_refused_after_its_expiry() {
    let world = World::new(settings()).await;
    assert_eq!(world.page(PAGE, PIP).await.status(), StatusCode::OK);
    world.pass(SignedDuration::from_hours(25));
    let response = world.page(PAGE, UV).await;
    assert!(reason(&response).contains("(expired): timestamp version"));
}

#[tokio::test]
async fn a_mirror_that_does_not_answer_is_refused_and_not_a_server_error() {
    for (change, slug) in [
        (Change::Status(StatusCode::BAD_GATEWAY), "unreachable"),
        (Change::Status(StatusCode::FORBIDDEN), "unreachable"),
        (Change::Status(StatusCode::NOT_FOUND), "missing"),
        (Change::DropConnection, "unreachable"),
        (Change::Endless, "endless"),
        (Change::Redirect("https://127.0.0.1:1/".parse().unwrap()), "redirect"),
    ] {
        let world = World::new(settings()).await;
        world.lie(PathPattern::exact(TIMESTAMP), change);
        assert_page_refused(&world, slug).await;
    }
}

#[tokio::test]
async fn a_silent_mirror_is_refused_before_pip_gives_up() {
    let brief = Settings { answer_within: Duration::from_millis(400), ..settings() };
    for stalled in [PathPattern::exact(TIMESTAMP), PathPattern::contains("/simple/foo-bar/")] {
        let world = World::new(brief.clone()).await;
        world.lie(stalled, Change::Stall);
        let response = world.page(PAGE, UV).await;
        assert!(reason(&response).contains("(slow)"));
    }
}

#[tokio::test]
async fn a_dead_mirror_is_asked_once_for_many_requests() {
    let world =
        World::new(Settings { remember_failure: Duration::from_hours(1), ..settings() }).await;
    world.lie(PathPattern::exact(TIMESTAMP), Change::DropConnection);
    for _ in 0..10 {
        reason(&world.page(PAGE, UV).await);
    }
    // With the one retry of this client.
    assert_eq!(world.asked(TIMESTAMP), 2);
}

#[tokio::test]
async fn a_page_that_an_attacker_words_does_not_break_the_status_line() {
    let world = World::new(settings()).await;
    let evil = "packages/foo-bar/x\u{a0}é-1.0 (rollback)\u{2028}HTTP.whl";
    {
        let mut simulator = world.index.simulator();
        list(&mut simulator, evil, b"content");
        publish_all(&mut simulator);
    }
    world
        .lie(PathPattern::prefix("/tuf/targets/packages/"), Change::ReplaceBody(b"other".to_vec()));
    let url = format!("/files/{}", evil.replace(' ', "%20"));
    let phrase = reason(&world.fetch(&url).await);
    assert!(phrase.is_ascii() && phrase.len() <= 300, "{phrase}");
}

#[tokio::test]
async fn other_machines_are_served_only_when_that_is_said() {
    let everyone = "0.0.0.0:0".parse().unwrap();
    let error = Bound::bind(everyone, Exposure::Loopback).await.unwrap_err();
    assert!(
        error.to_string().contains("0.0.0.0:0 is not an address of this machine alone"),
        "{error}"
    );
    Bound::bind(everyone, Exposure::Anyone).await.unwrap();
    let taken = Bound::bind("127.0.0.1:0".parse().unwrap(), Exposure::Loopback).await.unwrap();
    let error = Bound::bind(taken.address(), Exposure::Loopback).await.unwrap_err();
    assert!(error.to_string().contains("choose another port"), "{error}");
}

#[tokio::test]
async fn serving_ends_although_connections_are_open() {
    let world = World::new(settings()).await;
    let bound = Bound::bind("127.0.0.1:0".parse().unwrap(), Exposure::Loopback).await.unwrap();
    let mut idle = std::net::TcpStream::connect(bound.address()).unwrap();
    idle.write_all(b"GET /simple/ HTTP/1.1\r\nHost: local").unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(bound.serve(world.proxy.clone(), async { drop(stopped.await) }));
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(30), serving).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_refusal_before_the_first_request_is_told() {
    let world = World::new(settings()).await;
    world.lie(PathPattern::exact(TIMESTAMP), Change::ReplaceBody(b"{}".to_vec()));
    assert_eq!(world.proxy.refresh().await.unwrap_err().slug(), "malformed");
    world.mirror.honest();
    world.proxy.refresh().await.unwrap();
}
