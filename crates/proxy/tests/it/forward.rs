//! The proxy under the index's own address, for one program alone.

use http::header::AUTHORIZATION;
use reqwest::{Method, StatusCode};
use waxseal_index::simple::Listing;
use waxseal_proxy::{Forward, Links, Policy, Refusal, Secrets, Settings};
use waxseal_testkit::mirror::{Change, Mirror, PathPattern, Position, Tamper};
use waxseal_testkit::served::ServedSimulator;
use waxseal_testkit::simulator::Simulator;

use crate::world::{
    JSON, LARGE, PIP, Packages, SMALL, SMALL_URL, UV, World, header, is, large, reason, settings,
};

/// A child of the forward proxy.
struct Child {
    http: reqwest::Client,
    /// The same without the password.
    stranger: reqwest::Client,
    index: String,
}

impl Child {
    async fn of(world: &World, policy: Policy) -> Self {
        let forward =
            Forward::bind(world.proxy.clone(), policy, Secrets::generate().unwrap()).await.unwrap();
        let (_, address) =
            forward.url().rsplit_once('@').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        let builder = |proxy: &str| {
            let authority = reqwest::Certificate::from_pem(forward.authority_pem().as_bytes());
            reqwest::Client::builder()
                .proxy(reqwest::Proxy::all(proxy).unwrap())
                .tls_certs_only([authority.unwrap()])
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .unwrap()
        };
        let (http, stranger) = (builder(&forward.url()), builder(&format!("http://{address}")));
        tokio::spawn(forward.serve(std::future::pending()));
        Self { http, stranger, index: world.mirror.url().as_str().trim_end_matches('/').to_owned() }
    }

    async fn get(&self, url: &str) -> reqwest::Response {
        self.http.get(url).header("User-Agent", UV).header("Accept", JSON).send().await.unwrap()
    }

    async fn of_index(&self, path: &str) -> reqwest::Response {
        self.get(&format!("{}{path}", self.index)).await
    }
}

fn kept() -> Settings {
    Settings { links: Links::Kept, ..settings() }
}

#[tokio::test]
async fn the_index_is_answered_under_its_own_address() {
    let world = World::new(kept()).await;
    let child = Child::of(&world, Policy::default()).await;
    let page = child.of_index("/simple/foo-bar/").await;
    assert_eq!(page.status(), StatusCode::OK);
    assert_eq!(child.of_index(SMALL_URL).await.bytes().await.unwrap(), "a small wheel");
    assert_eq!(child.of_index("/simple/none/").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(child.of_index("/elsewhere").await.status(), StatusCode::NOT_FOUND);
    let posted = child.http.post(format!("{}/legacy/", child.index)).send().await.unwrap();
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(world.proxy.refusals(), []);

    let refused = World::new(kept()).await;
    refused.lie(PathPattern::suffix(SMALL), Change::FlipByte { at: Position::FromEnd(1) });
    let child = Child::of(&refused, Policy::default()).await;
    let text = reason(&child.of_index(SMALL_URL).await);
    assert!(text.contains("was changed"), "{text}");
}

#[tokio::test]
async fn a_program_without_the_password_gets_nothing() {
    let world = World::new(kept()).await;
    let child = Child::of(&world, Policy::default()).await;
    let url = format!("{}/simple/foo-bar/", child.index);
    let response = child.stranger.get(&url).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::PROXY_AUTHENTICATION_REQUIRED);
    assert!(child.stranger.get("https://files.example/").send().await.is_err());
    assert_eq!(world.asked(""), 0);
}

#[tokio::test]
async fn the_rest_is_refused_with_its_name_over_tls_too() {
    let world = World::new(kept()).await;
    let child = Child::of(&world, Policy::default()).await;
    let port = world.mirror.url().port().unwrap();
    for (url, named) in [
        ("https://files.example/a/b.whl?token=secret".to_owned(), "https://files.example/a/b.whl"),
        (
            "http://files.example/click-8.0-py3-none-any.whl".to_owned(),
            "http://files.example/click",
        ),
        // The index's host, over TLS or at another port, is not the index.
        (format!("https://127.0.0.1:{port}/simple/foo-bar/"), "https://127.0.0.1:"),
        (format!("http://127.0.0.1:{}/simple/foo-bar/", port ^ 1), "http://127.0.0.1:"),
    ] {
        let text = reason(&child.get(&url).await);
        assert!(text.contains(named) && text.contains("(elsewhere)"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
    assert!(world.proxy.refusals().iter().all(|refusal| refusal.slug == Refusal::ELSEWHERE));
}

/// Layout `index`, whose pages have links of their own, to a host of files.
#[tokio::test]
async fn linked_files_are_verified_where_their_links_lead_and_the_links_are_kept() {
    let files = ServedSimulator::start(Simulator::new());
    let host = Mirror::start(&files.url());
    let base = host.url();
    let base = format!("{base}f/");
    let to = base.clone();
    let mut packages = Packages::layout_index(move |path, page| {
        let page = String::from_utf8(page).unwrap();
        let linked = page.replace("../../files/packages/foo-bar/", &to);
        is(path, "json").then_some(linked.into_bytes())
    });
    packages.add(SMALL, b"a small wheel");
    packages.add(LARGE, &large());
    let world = World::serving(packages.publish(), kept()).await;
    let child = Child::of(&world, Policy::default()).await;
    let page = child.of_index("/simple/foo-bar/").await;
    let page = page.bytes().await.unwrap();
    let listing = Listing::from_json(&page).unwrap();
    let url = listing.file(SMALL).unwrap().unwrap().url.clone();
    assert!(url.starts_with(&base), "{url}");
    // What is served there may be anything: the page's digest decides.
    host.set(Tamper {
        matches: PathPattern::suffix(SMALL),
        change: Change::ReplaceBody(b"a small wheel".to_vec()),
    });
    let answer = child.get(&url).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.bytes().await.unwrap(), "a small wheel");
    // Another URL that ends in the same name is no link of the page.
    for other in [
        url.replace("/f/", "/g/"),
        format!("{url}?x=y"),
        url.replace("http://127.0.0.1", "http://127.0.0.2"),
    ] {
        let text = reason(&child.get(&other).await);
        assert!(text.contains("(elsewhere)"), "{text}");
    }
    // And a changed file there is refused.
    let large_url = listing.file(LARGE).unwrap().unwrap().url.clone();
    host.set(Tamper {
        matches: PathPattern::suffix(LARGE),
        change: Change::ReplaceBody(vec![1; large().len()]),
    });
    let text = reason(&child.get(&large_url).await);
    assert!(text.contains("was changed"), "{text}");
}

#[tokio::test]
async fn what_is_allowed_is_passed_on_and_the_index_is_not() {
    let world = World::new(kept()).await;
    let other = Packages::new().publish();
    let other = ServedSimulator::start(other);
    let log = Mirror::start(&other.url());
    let allowed = log.url().join("allowed/").unwrap();
    log.set(Tamper {
        matches: PathPattern::prefix("/allowed/"),
        change: Change::ReplaceBody(b"unverified".to_vec()),
    });
    let policy = Policy { allowed: vec![allowed.clone()], index_unverified: false };
    let child = Child::of(&world, policy).await;
    let answer = child.get(allowed.join("x").unwrap().as_str()).await;
    assert_eq!(answer.bytes().await.unwrap(), "unverified");
    let text = reason(&child.get(log.url().join("other").unwrap().as_str()).await);
    assert!(text.contains("(elsewhere)"), "{text}");
    assert_eq!(child.of_index(SMALL_URL).await.bytes().await.unwrap(), "a small wheel");
    world.lie(PathPattern::contains("foo-bar"), Change::FlipByte { at: Position::FromEnd(1) });
    reason(&child.of_index("/simple/foo-bar/").await);
}

#[tokio::test]
async fn an_unverified_index_is_passed_on_as_it_comes_and_nothing_else_is() {
    let world = World::new(kept()).await;
    world.lie(PathPattern::exact("/any/thing"), Change::ReplaceBody(b"as it comes".to_vec()));
    let policy = Policy { allowed: Vec::new(), index_unverified: true };
    let child = Child::of(&world, policy).await;
    let request = child.http.request(Method::GET, format!("{}/any/thing", child.index));
    let answer = request.header(AUTHORIZATION, "Basic eDp5").header("User-Agent", PIP);
    assert_eq!(answer.send().await.unwrap().bytes().await.unwrap(), "as it comes");
    reason(&child.get("http://other.example/").await);
    assert!(world.asked("timestamp.json") == 0, "nothing was verified");
}

#[tokio::test]
async fn pages_with_kept_links_have_another_tag() {
    let mut packages = Packages::layout_index(|path, page| is(path, "json").then_some(page));
    packages.add(SMALL, b"a small wheel");
    let world = World::serving(packages.publish(), kept()).await;
    let child = Child::of(&world, Policy::default()).await;
    let page = child.of_index("/simple/foo-bar/").await;
    assert!(header(&page, "etag").ends_with("-kept\""));
}
