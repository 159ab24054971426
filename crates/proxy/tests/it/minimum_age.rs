//! Young files are held back, by the time that the index signed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::SignedDuration;
use reqwest::{Method, StatusCode};
use waxseal_index::NormalizedName;
use waxseal_index::simple::Listing;
use waxseal_proxy::{HeldBack, MinimumAge, Settings};
use waxseal_testkit::simulator::Simulator;

use crate::world::{PIP, Packages, SMALL, UV, World, header, is, reason, settings};

const NEW: &str = "foo_bar-2.0-py3-none-any.whl";
const NEW_URL: &str = "/files/packages/foo-bar/foo_bar-2.0-py3-none-any.whl";
const OLD_URL: &str = "/files/packages/foo-bar/foo_bar-1.0-py3-none-any.whl";
const WEEK: Duration = Duration::from_hours(7 * 24);

/// Version 1.0 is eight days old, and 2.0 is an hour old.
async fn world(minimum_age: MinimumAge, html_only: bool) -> World {
    let old = Simulator::now() - SignedDuration::from_hours(8 * 24);
    let new = Simulator::now() - SignedDuration::from_hours(1);
    let mut packages = Packages::new();
    packages.add_file_of(SMALL, b"the old one", Some(b"metadata"), old);
    packages.add_file_of(NEW, b"the new one", Some(b"new metadata"), new);
    if html_only {
        packages.edit = Box::new(|path, page| is(path, "html").then_some(page));
    }
    World::serving(packages.publish(), Settings { minimum_age, ..settings() }).await
}

fn a_week() -> MinimumAge {
    MinimumAge { every: WEEK, ..MinimumAge::default() }
}

#[tokio::test]
async fn young_files_are_on_no_page_and_refused_by_name() {
    let world = world(a_week(), false).await;
    let json = world.page("/simple/foo-bar/", PIP).await;
    let tag = header(&json, "etag").to_owned();
    assert!(tag.contains("-without-"), "{tag}");
    let json = json.bytes().await.unwrap();
    let names: Vec<_> = Listing::from_json(&json).unwrap().filenames().map(str::to_owned).collect();
    assert_eq!(names, [SMALL]);
    let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(value["versions"], serde_json::json!(["1.0"]));
    let html = world.fetch("/simple/foo-bar/").await.bytes().await.unwrap();
    let listing = Listing::from_html(&html).unwrap();
    assert_eq!(listing.filenames().collect::<Vec<_>>(), [SMALL]);
    let file = listing.file(SMALL).unwrap().unwrap();
    assert!(file.hashes.contains_key("sha256") && file.url.starts_with("../../files/"));

    assert_eq!(world.fetch(OLD_URL).await.bytes().await.unwrap(), "the old one");
    for url in [NEW_URL.to_owned(), format!("{NEW_URL}.metadata")] {
        let text = reason(&world.fetch(&url).await);
        assert!(text.contains("too-young") && text.contains("60 minutes ago"), "{text}");
        assert!(text.contains("7 days old"), "{text}");
    }
    assert_eq!(world.asked(NEW), 0, "nothing of it was fetched");
    let held = HeldBack {
        project: NormalizedName::of("foo-bar").unwrap(),
        files: vec![NEW.to_owned()],
        least: WEEK,
    };
    assert_eq!(world.proxy.held_back(), [held]);
    // Who has the page without it is told that it is unchanged; who has the whole page is not.
    let again =
        |tag: &str| world.request(Method::GET, "/simple/foo-bar/").header("If-None-Match", tag);
    let known = again(&tag).header("Accept", crate::world::JSON).send().await.unwrap();
    assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
    let whole = tag.split("-without-").next().unwrap().to_owned() + "\"";
    let other = again(&whole).header("Accept", crate::world::JSON).send().await.unwrap();
    assert_eq!(other.status(), StatusCode::OK);
}

#[tokio::test]
async fn exceptions_let_a_release_or_a_project_in() {
    let name = NormalizedName::of("foo-bar").unwrap();
    let release =
        MinimumAge { except: BTreeSet::from([(name.clone(), "2.0".to_owned())]), ..a_week() };
    let project = MinimumAge { projects: BTreeMap::from([(name, Duration::ZERO)]), ..a_week() };
    for ages in [release, project] {
        let world = world(ages, false).await;
        let page = world.page("/simple/foo-bar/", UV).await.bytes().await.unwrap();
        assert_eq!(Listing::from_json(&page).unwrap().filenames().count(), 2);
        assert_eq!(world.fetch(NEW_URL).await.bytes().await.unwrap(), "the new one");
        assert_eq!(world.proxy.held_back(), []);
    }
}

#[tokio::test]
async fn a_project_of_which_nothing_is_old_enough_is_refused() {
    let ages = MinimumAge { every: 2 * WEEK, ..MinimumAge::default() };
    let world = world(ages, false).await;
    let text = reason(&world.page("/simple/foo-bar/", UV).await);
    assert!(text.contains("none of its files is 14 days old"), "{text}");
    // pip shows nothing of an error on a page, so it gets a page.
    let page = world.page("/simple/foo-bar/", PIP).await.text().await.unwrap();
    assert!(page.contains("waxseal.too.young"), "{page}");
    world.pass(SignedDuration::from_hours(24));
    assert_eq!(world.proxy.refusals().len(), 1);
}

#[tokio::test]
async fn where_nothing_signed_says_an_age_there_is_none() {
    let world = world(a_week(), true).await;
    let text = reason(&world.fetch("/simple/foo-bar/").await);
    assert!(text.contains("nothing else says how old files are"), "{text}");
    reason(&world.fetch(OLD_URL).await);
}
