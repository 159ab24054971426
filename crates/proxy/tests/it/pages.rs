//! Pages as plain clients get them.

use jiff::SignedDuration;
use reqwest::{Method, StatusCode};
use waxseal_proxy::Settings;

use crate::world::{JSON, PIP, Packages, World, header, list, publish_all, settings};

const HTML: &str = "application/vnd.pypi.simple.v1+html";

#[tokio::test]
async fn a_page_comes_unchanged_in_the_format_asked_for() {
    let world = World::new(settings()).await;
    let files = world.index.simulator().target_files.clone();
    for (project, accept, kind, target) in [
        ("foo-bar/", Some(JSON), JSON, "simple/foo-bar/vnd.pypi.simple.v1.json"),
        ("foo-bar/", Some(HTML), HTML, "simple/foo-bar/vnd.pypi.simple.v1.html"),
        ("foo-bar/", None, "text/html; charset=utf-8", "simple/foo-bar/vnd.pypi.simple.v1.html"),
        ("", Some(JSON), JSON, "simple/vnd.pypi.simple.v1.json"),
        ("", None, "text/html; charset=utf-8", "simple/vnd.pypi.simple.v1.html"),
    ] {
        let mut request = world.request(Method::GET, &format!("/simple/{project}"));
        if let Some(accept) = accept {
            request = request.header("Accept", accept);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(header(&response, "content-type"), kind);
        assert_eq!(header(&response, "vary"), "Accept");
        assert_eq!(header(&response, "cache-control"), "max-age=0, must-revalidate");
        assert_eq!(response.bytes().await.unwrap(), files[target], "{target}");
    }
    assert_eq!(world.proxy.refusals(), []);
}

#[tokio::test]
async fn an_unchanged_page_is_not_sent_again() {
    let world = World::new(settings()).await;
    let etag = header(&world.page("/simple/foo-bar/", PIP).await, "etag").to_owned();
    let again = |etag: &str| {
        let request = world.request(Method::GET, "/simple/foo-bar/").header("Accept", JSON);
        request.header("If-None-Match", etag).send()
    };
    let response = again(&etag).await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(header(&response, "etag"), etag);
    {
        let mut simulator = world.index.simulator();
        list(&mut simulator, "simple/foo-bar/vnd.pypi.simple.v1.json", b"{\"new\": true}");
        publish_all(&mut simulator);
    }
    let response = again(&etag).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.bytes().await.unwrap(), "{\"new\": true}");
}

#[tokio::test]
async fn a_project_has_one_address() {
    let world = World::new(settings()).await;
    for (path, location) in [
        ("/simple", "simple/"),
        ("/simple/foo-bar", "foo-bar/"),
        ("/simple/Foo_Bar", "foo-bar/"),
        ("/simple/Foo_Bar/", "../foo-bar/"),
        ("/simple/foo%2Dbar/", "../foo-bar/"),
        ("/simple/foo--bar/", "../foo-bar/"),
    ] {
        let response = world.fetch(path).await;
        assert_eq!(response.status(), StatusCode::MOVED_PERMANENTLY, "{path}");
        assert_eq!(header(&response, "location"), location, "{path}");
    }
}

#[tokio::test]
async fn what_no_role_lists_is_honestly_not_found() {
    let world = World::new(settings()).await;
    for path in [
        "/simple/other/",
        "/simple/-/",
        "/simple/a%2Fb/",
        "/simple/%ff/",
        "/simple/../",
        "/files/packages/foo-bar/foo_bar-2.0.tar.gz",
        "/files/",
        "/files/..%2F..%2Fetc%2Fpasswd",
        "/files//etc/passwd",
        "/tuf/metadata/timestamp.json",
        "/",
    ] {
        assert_eq!(world.fetch(path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(world.proxy.refusals(), []);
}

#[tokio::test]
async fn only_reading_is_possible_and_only_in_known_formats() {
    let world = World::new(settings()).await;
    let post = world.request(Method::POST, "/simple/").send().await.unwrap();
    assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
    let request = world.request(Method::GET, "/simple/foo-bar/").header("Accept", "image/png");
    assert_eq!(request.send().await.unwrap().status(), StatusCode::NOT_ACCEPTABLE);
    let head = world.request(Method::HEAD, "/simple/foo-bar/").send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(world.fetch("/healthz").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_web_page_does_not_reach_the_proxy_by_a_name_of_its_own() {
    let world = World::new(settings()).await;
    for (host, status) in [
        ("rebound.example", StatusCode::FORBIDDEN),
        ("127.0.0.1.rebound.example:80", StatusCode::FORBIDDEN),
        ("localhost", StatusCode::OK),
        ("[::1]:1", StatusCode::OK),
    ] {
        let request = world.request(Method::GET, "/simple/").header("Host", host);
        assert_eq!(request.send().await.unwrap().status(), status, "{host}");
    }
}

#[tokio::test]
async fn what_was_uploaded_a_moment_ago_is_found() {
    let slow = Settings { refresh_after: Some(std::time::Duration::from_hours(1)), ..settings() };
    let world = World::new(slow).await;
    assert_eq!(world.page("/simple/new/", PIP).await.status(), StatusCode::NOT_FOUND);
    {
        let mut simulator = world.index.simulator();
        list(&mut simulator, "simple/new/vnd.pypi.simple.v1.json", b"{}");
        publish_all(&mut simulator);
    }
    // Not asked again at once, so that a client which tries many names costs the index nothing.
    let before = world.asked("timestamp.json");
    assert_eq!(world.page("/simple/new/", PIP).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(world.asked("timestamp.json"), before);
    world.pass(SignedDuration::from_secs(4));
    assert_eq!(world.page("/simple/new/", PIP).await.status(), StatusCode::OK);
    assert_eq!(world.asked("timestamp.json"), before + 1);
}

#[tokio::test]
async fn one_run_has_one_reference_time_until_the_metadata_expires() {
    let once = Settings { refresh_after: None, ..settings() };
    let world = World::serving(Packages::new().publish(), once).await;
    for _ in 0..3 {
        assert_eq!(world.page("/simple/new/", PIP).await.status(), StatusCode::NOT_FOUND);
        world.pass(SignedDuration::from_hours(2));
    }
    assert_eq!(world.asked("timestamp.json"), 1);
    world.pass(SignedDuration::from_hours(24));
    let response = world.page("/simple/new/", crate::world::UV).await;
    assert!(crate::world::reason(&response).contains("expired"));
}
