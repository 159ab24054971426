//! Layout `index` through the proxy: pages vouch for files that are on the index, or elsewhere.

use reqwest::{Method, StatusCode};
use waxseal_index::simple::Listing;
use waxseal_proxy::Settings;
use waxseal_testkit::mirror::{Change, Mirror, PathPattern, Position, Tamper};
use waxseal_testkit::served::ServedSimulator;
use waxseal_testkit::simulator::Simulator;

use crate::world::{
    LARGE, LARGE_URL, PIP, Packages, SMALL, SMALL_URL, UV, World, header, is, keep, large, list,
    publish_all, reason, settings, vouch,
};

const PAGE: &str = "simple/foo-bar/vnd.pypi.simple.v1.json";

type Edit = fn(&str, Vec<u8>) -> Option<Vec<u8>>;

async fn world(edit: Edit, settings: Settings) -> World {
    let mut packages = Packages::layout_index(edit);
    packages.add_file(SMALL, b"a small wheel", Some(b"metadata"));
    packages.add(LARGE, &large());
    World::serving(packages.publish(), settings).await
}

/// Signs another page of the project.
fn publish_page(world: &World, page: &str) {
    let mut simulator = world.index.simulator();
    list(&mut simulator, PAGE, page.as_bytes());
    vouch(&mut simulator, PAGE);
    publish_all(&mut simulator);
}

fn html_only(path: &str, page: Vec<u8>) -> Option<Vec<u8>> {
    is(path, "html").then_some(page)
}

#[tokio::test]
async fn our_own_pages_are_passed_on_as_they_were_signed() {
    let world = world(keep, settings()).await;
    let signed = world.index.simulator().target_files[PAGE].clone();
    let page = world.page("/simple/foo-bar/", PIP).await;
    assert_eq!(page.bytes().await.unwrap(), signed);
    let small = world.fetch(SMALL_URL).await;
    assert_eq!(header(&small, "content-length"), "13");
    assert_eq!(small.bytes().await.unwrap(), "a small wheel");
    assert!(world.fetch(LARGE_URL).await.bytes().await.unwrap() == large());
    let metadata = world.fetch(&format!("{SMALL_URL}.metadata")).await;
    assert_eq!(metadata.bytes().await.unwrap(), "metadata");
    assert_eq!(
        world.fetch("/files/packages/foo-bar/none.whl").await.status(),
        StatusCode::NOT_FOUND
    );
    assert_eq!(world.asked(".vnd.pypi.simple.v1.json"), 1, "its page is fetched once");
}

#[tokio::test]
async fn files_are_had_by_parts_and_by_head_whether_or_not_their_length_is_known() {
    for edit in [keep as Edit, html_only] {
        let world = world(edit, settings()).await;
        let head = world.request(Method::HEAD, LARGE_URL).send().await.unwrap();
        assert_eq!(header(&head, "content-length"), "6000000");
        let etag = header(&head, "etag").to_owned();
        let known = world.request(Method::GET, LARGE_URL).header("If-None-Match", etag);
        assert_eq!(known.send().await.unwrap().status(), StatusCode::NOT_MODIFIED);
        let part = world.request(Method::GET, LARGE_URL).header("Range", "bytes=-20");
        let part = part.send().await.unwrap();
        assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(header(&part, "content-range"), "bytes 5999980-5999999/6000000");
        assert!(part.bytes().await.unwrap() == large()[5_999_980..]);
        let beyond = world.request(Method::GET, LARGE_URL).header("Range", "bytes=6000000-");
        assert_eq!(beyond.send().await.unwrap().status(), StatusCode::RANGE_NOT_SATISFIABLE);
        assert!(world.fetch(LARGE_URL).await.bytes().await.unwrap() == large());
        assert_eq!(world.asked(LARGE), 1);
    }
}

#[tokio::test]
async fn a_slow_file_without_a_length_comes_whole_or_ends_short() {
    let streaming = || Settings {
        stream_after: std::time::Duration::ZERO,
        heartbeat: std::time::Duration::ZERO,
        ..settings()
    };
    let slowly = Change::Trickle { bytes: 1 << 20, every: std::time::Duration::from_millis(50) };
    let honest = world(html_only, streaming()).await;
    honest.lie(PathPattern::suffix(LARGE), slowly.clone());
    let response = honest.fetch(LARGE_URL).await;
    assert_eq!(response.headers().get("content-length"), None);
    assert!(response.bytes().await.unwrap() == large());

    let lying = world(html_only, streaming()).await;
    lying.lie(PathPattern::suffix(LARGE), Change::FlipByte { at: Position::FromEnd(1) });
    lying.lie(PathPattern::suffix(LARGE), slowly);
    let mut response = lying.fetch(LARGE_URL).await;
    assert_eq!(response.status(), StatusCode::OK, "begun");
    let mut got = 0;
    let ended = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => got += chunk.len(),
            Ok(None) => break true,
            Err(_) => break false,
        }
    };
    assert!(!ended && got < 10, "{got}");
    let reason = reason(&lying.fetch(LARGE_URL).await);
    assert!(reason.contains("was changed: sha256"), "{reason}");
}

#[tokio::test]
async fn links_to_another_host_lead_through_the_proxy() {
    let world = world(keep, settings()).await;
    let mut simulator = Simulator::new();
    simulator.target_files.insert("a/b/foo_bar-2.0+x-py3-none-any.whl".to_owned(), b"two".to_vec());
    let elsewhere = ServedSimulator::start(simulator);
    let host = Mirror::start(&elsewhere.url());
    let digest = waxseal_tuf::hash::Sha256::of(b"two");
    let url = format!("{}files/a/b/foo_bar-2.0%2Bx-py3-none-any.whl", host.url());
    publish_page(
        &world,
        &format!(
            r#"{{"meta":{{"api-version":"1.1"}},"name":"foo-bar","versions":["2.0+x","1.0"],"files":[
            {{"filename":"foo_bar-2.0+x-py3-none-any.whl","url":"{url}","hashes":{{"sha256":"{digest}"}},
              "size":3,"upload-time":"2026-01-01T00:00:00Z"}},
            {{"filename":"foo_bar-1.0.tar.gz","url":"{url}","hashes":{{"md5":"00"}},"size":3,
              "core-metadata":true}}]}}"#
        ),
    );
    let head = world.request(Method::HEAD, "/simple/foo-bar/").header("Accept", crate::world::JSON);
    let head = head.send().await.unwrap();
    let page = world.page("/simple/foo-bar/", UV).await;
    let etag = header(&page, "etag").to_owned();
    assert_eq!(header(&head, "etag"), etag);
    assert_eq!(header(&head, "content-length"), header(&page, "content-length"));
    let page = page.text().await.unwrap();
    assert!(!page.contains(host.url().as_str()), "{page}");
    assert!(page.contains("2026-01-01T00:00:00Z"), "{page}");
    let listing = Listing::from_json(page.as_bytes()).unwrap();
    let wheel = listing.file("foo_bar-2.0+x-py3-none-any.whl").unwrap().unwrap();
    assert_eq!(wheel.url, "../../files/packages/foo-bar/foo_bar-2.0%2Bx-py3-none-any.whl");
    assert_eq!(wheel.hashes["sha256"], digest.to_string());
    // Nothing promises what the metadata is, so no tool is to ask for it.
    assert_eq!(listing.file(LARGE).unwrap().unwrap().core_metadata, None);
    let again = world.request(Method::GET, "/simple/foo-bar/").header("If-None-Match", etag);
    let again = again.header("Accept", crate::world::JSON).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);

    let url = wheel.url.strip_prefix("../..").unwrap();
    assert_eq!(world.fetch(url).await.bytes().await.unwrap(), "two");
    let refused = world.fetch(LARGE_URL).await;
    let shown = reason(&refused);
    assert!(shown.contains("(unverifiable)") && shown.contains("only md5"), "{shown}");
    assert!(refused.text().await.unwrap().contains(PAGE));

    // Another file, so that it is fetched again: and now the host lies.
    let flip = Change::FlipByte { at: Position::FromEnd(1) };
    host.set(Tamper { matches: PathPattern::Any, change: flip });
    publish_page(
        &world,
        &page
            .replace("../../files/packages/foo-bar/", &format!("{}files/a/b/", host.url()))
            .replace(&digest.to_string(), &waxseal_tuf::hash::Sha256::of(b"owt").to_string()),
    );
    let refused = world.fetch(url).await;
    assert!(reason(&refused).contains("(changed)"));
    let text = refused.text().await.unwrap();
    assert!(text.contains(PAGE) && text.contains(host.url().as_str()), "{text}");
}

#[tokio::test]
async fn a_page_that_cannot_be_read_is_refused() {
    let world = world(keep, settings()).await;
    publish_page(&world, r#"{"meta":{"api-version":"2.0"},"files":[]}"#);
    let refused = world.page("/simple/foo-bar/", UV).await;
    assert!(reason(&refused).contains("unverifiable"), "{}", reason(&refused));
    let page = world.page("/simple/foo-bar/", PIP).await.text().await.unwrap();
    assert!(page.contains("waxseal.unverifiable"), "{page}");
}

#[tokio::test]
async fn html_is_passed_on_where_there_is_no_json() {
    let world = world(html_only, settings()).await;
    let accept = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, \
                  text/html; q=0.01";
    let get = |accept| world.request(Method::GET, "/simple/foo-bar/").header("Accept", accept);
    let page = get(accept).send().await.unwrap();
    assert_eq!(header(&page, "content-type"), "application/vnd.pypi.simple.v1+html");
    let listing = Listing::from_html(&page.bytes().await.unwrap()).unwrap();
    assert_eq!(listing.filenames().count(), 2);
    let only_json = get(crate::world::JSON).send().await.unwrap();
    assert_eq!(only_json.status(), StatusCode::NOT_FOUND);
    assert_eq!(world.fetch(SMALL_URL).await.bytes().await.unwrap(), "a small wheel");
}
