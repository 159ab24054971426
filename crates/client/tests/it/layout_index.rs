//! Layout `index`: a project's page is the target, and vouches for the files on it.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::time::timeout;
use waxseal_client::{Client, Credentials, Error, LAYOUT_FIELD, Located, Settings};
use waxseal_testkit::mirror::{Change, Flood, Mirror, PathPattern, Position, Tamper};
use waxseal_testkit::served::ServedSimulator;
use waxseal_testkit::simulator::Simulator;
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::json::{Object, Value};

use crate::world::{World, bin_of, impatient, large, path, publish, settings};

const PAGE: &str = "simple/foo/vnd.pypi.simple.v1.json";
const WHEEL: &str = "packages/foo/foo-1.0-py3-none-any.whl";
const SDIST: &str = "packages/foo/foo-1.0.tar.gz";

/// Longer than any deadline of [`impatient`], however busy the machine is.
const BOUND: Duration = Duration::from_secs(12);

/// An index of layout `index`, a mirror of it, another host that has its wheel, and a mirror before
/// that host.
struct Index {
    world: World,
    host: Mirror,
    _elsewhere: ServedSimulator,
}

impl Index {
    fn new() -> Self {
        let world = World::new();
        let mut simulator = Simulator::new();
        simulator.target_files.insert(WHEEL.to_owned(), large());
        let elsewhere = ServedSimulator::start(simulator);
        let host = Mirror::start(&elsewhere.url());
        let index = Self { world, host, _elsewhere: elsewhere };
        {
            let mut simulator = index.world.index.simulator();
            simulator.target_files.insert(SDIST.to_owned(), b"an sdist".to_vec());
            simulator.target_files.insert(format!("{SDIST}.metadata"), b"metadata".to_vec());
        }
        let (wheel, sdist) = (index.wheel(), Index::sdist());
        index.publish(&page(&[wheel, sdist]));
        index
    }

    /// The wheel is on the other host.
    fn wheel(&self) -> Json {
        let url = self.host.url().join(&format!("files/{WHEEL}")).unwrap();
        listed("foo-1.0-py3-none-any.whl", url.as_str(), &large())
    }

    /// The sdist is on the index.
    fn sdist() -> Json {
        let mut sdist = listed("foo-1.0.tar.gz", &format!("../../files/{SDIST}"), b"an sdist");
        sdist["core-metadata"] = json!({"sha256": Sha256::of(b"metadata").to_string()});
        sdist
    }

    fn publish(&self, page: &str) {
        publish_page(&mut self.world.index.simulator(), PAGE, page.as_bytes());
    }

    async fn client(&self) -> Client {
        let client = self.world.client_with(impatient());
        client.refresh(Simulator::now()).await.unwrap();
        client
    }
}

fn listed(filename: &str, url: &str, content: &[u8]) -> Json {
    let hashes = json!({"md5": "00", "sha256": Sha256::of(content).to_string()});
    json!({"filename": filename, "url": url, "hashes": hashes, "size": content.len()})
}

fn page(files: &[Json]) -> String {
    json!({"meta": {"api-version": "1.1"}, "name": "foo", "files": files}).to_string()
}

/// Publishes a page that vouches for its files.
fn publish_page(simulator: &mut Simulator, path: &str, page: &[u8]) {
    let bin = bin_of(simulator, path);
    simulator.add_target(bin.as_str(), path, page);
    let (field, says) = LAYOUT_FIELD;
    let custom = Value::Object(Object::from_iter([(field, says)]));
    simulator.role(bin.as_str()).targets.get_mut(path).unwrap().custom = Some(custom);
    simulator.publish_targets(bin.as_str());
}

async fn located(client: &Client, file: &str) -> Located {
    client.locate(&path(file)).await.unwrap().unwrap()
}

async fn refused(client: &Client, file: &str) -> Error {
    let outcome = async {
        let file = client.locate(&path(file)).await?.expect("it is listed");
        client.read_located(&file).await
    };
    timeout(BOUND, outcome).await.expect("it ends").unwrap_err()
}

#[tokio::test]
async fn files_of_a_page_are_had_from_the_index_and_from_another_host() {
    let index = Index::new();
    let client = index.client().await;
    let wheel = located(&client, WHEEL).await;
    assert_eq!((wheel.length(), wheel.page().unwrap().as_str()), (Some(1_000_000), PAGE));
    assert!(client.read_located(&wheel).await.unwrap() == large());
    let sdist = located(&client, SDIST).await;
    assert_eq!(client.read_located(&sdist).await.unwrap(), "an sdist");
    let metadata = located(&client, &format!("{SDIST}.metadata")).await;
    assert_eq!(metadata.length(), None);
    assert_eq!(client.read_located(&metadata).await.unwrap(), "metadata");

    let folder = tempfile::tempdir().unwrap();
    let destination = folder.path().join("metadata");
    for told in [8, 8] {
        // The second time it is there, and verified.
        let mut bytes = 0;
        client.save_located(&metadata, &destination, |more| bytes += more).await.unwrap();
        assert_eq!((bytes, fs::read(&destination).unwrap()), (told, b"metadata".to_vec()));
    }
    let asked = index.world.mirror.requests();
    assert_eq!(asked.iter().filter(|one| one.path.ends_with(".metadata")).count(), 2);
}

#[tokio::test]
async fn what_neither_lists_is_not_there() {
    let index = Index::new();
    let client = index.client().await;
    for absent in [
        "packages/foo/foo-2.0.tar.gz",
        "packages/foo/foo-1.0-py3-none-any.whl.metadata",
        "packages/Foo/foo-1.0.tar.gz",
        "packages/bar/foo-1.0.tar.gz",
        "packages/foo/x/foo-1.0.tar.gz",
        "other/foo/foo-1.0.tar.gz",
    ] {
        assert_eq!(client.locate(&path(absent)).await, Ok(None), "{absent}");
    }
}

#[tokio::test]
async fn one_look_up_serves_all_files_of_a_project() {
    let index = Index::new();
    let client = index.client().await;
    located(&client, SDIST).await;
    let asked = index.world.mirror.requests().len();
    let files = ["foo-1.0-py3-none-any.whl", "foo-1.0.tar.gz", "foo-1.0.tar.gz.metadata"];
    for file in files {
        located(&client, &format!("packages/foo/{file}")).await;
    }
    assert_eq!(index.world.mirror.requests().len(), asked);
}

/// A target that is removed from metadata is gone (PEP 458), though its page lists it still.
#[tokio::test]
async fn a_page_that_does_not_say_so_vouches_for_nothing() {
    let index = Index::new();
    {
        let mut simulator = index.world.index.simulator();
        publish(&mut simulator, PAGE, page(&[index.wheel()]).as_bytes());
    }
    let client = index.client().await;
    assert_eq!(client.locate(&path(WHEEL)).await, Ok(None));
    // And it counts for as long as it says so, not longer.
    index.publish(&page(&[index.wheel()]));
    client.refresh(Simulator::now()).await.unwrap();
    located(&client, WHEEL).await;
    publish(&mut index.world.index.simulator(), PAGE, page(&[index.wheel()]).as_bytes());
    client.refresh(Simulator::now()).await.unwrap();
    assert_eq!(client.locate(&path(WHEEL)).await, Ok(None));
}

#[tokio::test]
async fn a_target_and_a_listed_file_live_side_by_side() {
    let index = Index::new();
    publish(&mut index.world.index.simulator(), "packages/foo/foo-0.9.tar.gz", b"older");
    let client = index.client().await;
    let old = located(&client, "packages/foo/foo-0.9.tar.gz").await;
    assert_eq!(old.page(), None);
    assert_eq!(client.read_located(&old).await.unwrap(), "older");
    located(&client, SDIST).await;
    located(&client, "packages/foo/foo-0.9.tar.gz").await;
}

#[tokio::test]
async fn every_attack_on_a_listed_file_is_refused_and_named() {
    let flip = |at| Change::FlipByte { at };
    let elsewhere = "https://127.0.0.1:1/x".parse().unwrap();
    for (change, slug) in [
        (vec![flip(Position::FromStart(5))], "changed"),
        (vec![flip(Position::FromEnd(1))], "changed"),
        (vec![Change::ReplaceBody(b"another file".to_vec())], "changed"),
        (vec![Change::Truncate(5)], "changed"),
        (vec![Change::Truncate(0)], "changed"),
        (vec![Change::LieAboutLength(1 << 30)], "changed"),
        (vec![flip(Position::FromStart(5)), Change::Endless], "changed"),
        (vec![flip(Position::FromStart(5)), Change::Flood(Flood::Unframed)], "changed"),
        (vec![Change::Stall], "slow"),
        (vec![Change::Silence], "slow"),
        (vec![Change::Redirect(elsewhere)], "redirect"),
        (vec![Change::Location("file:///etc/passwd".to_owned())], "redirect"),
        (vec![Change::DropConnection], "unreachable"),
        (vec![Change::Status(http::StatusCode::NOT_FOUND)], "missing"),
        (vec![Change::Status(http::StatusCode::FORBIDDEN)], "unreachable"),
    ] {
        let index = Index::new();
        let client = index.client().await;
        let tamper = |mirror: &Mirror| {
            for change in &change {
                let (matches, change) = (PathPattern::prefix("/files/"), change.clone());
                mirror.set(Tamper { matches, change });
            }
        };
        tamper(&index.host);
        tamper(&index.world.mirror);
        for file in [WHEEL, SDIST] {
            let error = refused(&client, file).await;
            let text = error.to_string();
            assert_eq!(error.slug(), slug, "{change:?}: {text}");
            assert!(text.contains(file) || text.contains("/files/packages/"), "{text}");
            if matches!(slug, "changed" | "missing") {
                assert!(text.contains(file) && text.contains(PAGE), "{text}");
            }
        }
        index.host.honest();
        index.world.mirror.honest();
        let wheel = located(&client, WHEEL).await;
        assert!(client.read_located(&wheel).await.unwrap() == large(), "{change:?}");
    }
}

#[tokio::test]
async fn the_end_of_a_changed_listed_file_is_never_handed_out() {
    let index = Index::new();
    let client = index.client().await;
    let (matches, change) = (PathPattern::Any, Change::FlipByte { at: Position::FromEnd(1) });
    index.host.set(Tamper { matches, change });
    let wheel = located(&client, WHEEL).await;
    let mut download = client.download_located(&wheel).await.unwrap();
    let mut got = 0;
    let error = loop {
        match download.next().await {
            Ok(chunk) => got += chunk.expect("it is not whole").len(),
            Err(error) => break error,
        }
    };
    assert_eq!(error.slug(), "changed");
    assert!(got <= large().len() - (64 << 10), "{got}");
    let text = error.to_string();
    for says in ["sha256 is ", &Sha256::of(&large()).to_string(), PAGE, index.host.url().as_str()] {
        assert!(text.contains(says), "{text}");
    }
}

#[tokio::test]
async fn an_older_page_cannot_be_used() {
    let index = Index::new();
    let old_content = page(&[index.wheel(), Index::sdist()]);
    let location = |page: &str| {
        format!("/tuf/targets/simple/foo/{}.vnd.pypi.simple.v1.json", Sha256::of(page.as_bytes()))
    };
    // The wheel is withdrawn.
    let new_content = page(&[Index::sdist()]);
    let (old, new) = (location(&old_content), location(&new_content));
    let recorded = index.world.mirror.record([&old]).moved(&old, &new);
    let older = index.world.mirror.record(["/tuf/metadata/timestamp.json"]);
    let client = index.client().await;
    located(&client, WHEEL).await;
    index.publish(&new_content);

    // The page of before, under the name of the page of now.
    client.refresh(Simulator::now()).await.unwrap();
    index.world.lie(PathPattern::Any, Change::Replay(recorded));
    let error = client.locate(&path(WHEEL)).await.unwrap_err();
    assert_eq!(error.slug(), "changed", "{error}");
    assert!(error.to_string().contains(PAGE), "{error}");
    // The whole index of before.
    index.world.mirror.honest();
    index.world.lie(PathPattern::Any, Change::Replay(older));
    assert_eq!(client.refresh(Simulator::now()).await.unwrap_err().slug(), "rollback");
    // And honestly: it is gone, though it is where it was.
    index.world.mirror.honest();
    assert_eq!(client.locate(&path(WHEEL)).await, Ok(None));
    located(&client, SDIST).await;
}

#[tokio::test]
async fn a_file_whose_page_moved_on_is_superseded() {
    let index = Index::new();
    let client = index.client().await;
    let wheel = located(&client, WHEEL).await;
    let (matches, change) = (PathPattern::Any, Change::Status(http::StatusCode::NOT_FOUND));
    index.host.set(Tamper { matches, change });
    let moved = listed("foo-1.0-py3-none-any.whl", "https://new.example/foo.whl", &large());
    index.publish(&page(&[moved]));
    let error = client.read_located(&wheel).await.unwrap_err();
    assert_eq!(error.slug(), "superseded", "{error}");
}

#[tokio::test]
async fn what_no_strong_digest_names_is_refused() {
    let sha = Sha256::of(b"an sdist").to_string();
    for (hashes, says) in [
        (json!({}), "lists no digest for it"),
        (json!({"md5": "0123"}), "lists no SHA-256 or SHA-512, only md5, for it"),
        (json!({"sha256": &sha[1..]}), "no SHA-256"),
        (json!({"sha256": sha.replace(&sha[..1], "g")}), "no SHA-256"),
        (json!({"blake2b_256": sha, "sha1": "00"}), "only blake2b_256, sha1"),
    ] {
        let index = Index::new();
        let mut sdist = Index::sdist();
        sdist["hashes"] = hashes.clone();
        sdist["core-metadata"] = json!(true);
        index.publish(&page(&[sdist]));
        let client = index.client().await;
        for file in [SDIST.to_owned(), format!("{SDIST}.metadata")] {
            let error = client.locate(&path(&file)).await.unwrap_err();
            assert_eq!(error.slug(), "unverifiable");
            let text = error.to_string();
            assert!(text.contains(&file) && text.contains(PAGE), "{text}");
            let says = if file == SDIST { says } else { "lists no digest for it" };
            assert!(text.contains(says), "{hashes}: {text}");
        }
        // What is lacking is the page's, so that no mirror is blamed, and nothing was fetched.
        assert!(index.world.mirror.requests().iter().all(|one| !one.path.starts_with("/files/")));
    }
}

#[tokio::test]
async fn a_page_that_is_none_or_contradicts_itself_is_refused() {
    let index = Index::new();
    let client = index.client().await;
    let mut other = Index::sdist();
    other["size"] = json!(9);
    let twice = page(&[Index::sdist(), other]);
    let ftp = page(&[listed("foo-1.0.tar.gz", "ftp://h.example/foo-1.0.tar.gz", b"an sdist")]);
    let no_url = page(&[listed("foo-1.0.tar.gz", "https://h:99999/", b"an sdist")]);
    for (content, says) in [
        ("{}", "cannot be read"),
        ("<html>", "cannot be read"),
        (twice.as_str(), "lists it twice"),
        (ftp.as_str(), "only http and https"),
        (no_url.as_str(), "which is no URL"),
    ] {
        index.publish(content);
        client.refresh(Simulator::now()).await.unwrap();
        let error = client.locate(&path(SDIST)).await.unwrap_err();
        assert_eq!(error.slug(), "unverifiable", "{error}");
        assert!(error.to_string().contains(says) && error.to_string().contains(PAGE), "{error}");
    }
}

#[tokio::test]
async fn html_serves_where_there_is_no_json_and_lengths_are_not_needed() {
    let index = Index::new();
    let html = "simple/bar/vnd.pypi.simple.v1.html";
    let (content, digest) = (b"bar".repeat(100_000), Sha256::of(&b"bar".repeat(100_000)));
    let page = format!(r#"<a href="../../files/packages/bar/bar-1%2Ba.zip#sha256={digest}">x</a>"#);
    {
        let mut simulator = index.world.index.simulator();
        simulator.target_files.insert("packages/bar/bar-1+a.zip".to_owned(), content.clone());
        publish_page(&mut simulator, html, page.as_bytes());
    }
    let bounded = Settings { unsized_file: 1 << 20, ..impatient() };
    let client = index.world.client_with(bounded);
    client.refresh(Simulator::now()).await.unwrap();
    let file = located(&client, "packages/bar/bar-1+a.zip").await;
    assert_eq!((file.length(), file.page().unwrap().as_str()), (None, html));
    assert!(client.read_located(&file).await.unwrap() == content);
    for (change, slug) in [
        (Change::FlipByte { at: Position::FromEnd(1) }, "changed"),
        (Change::Truncate(1000), "changed"),
        (Change::Endless, "changed"),
        (Change::LieAboutLength(1 << 40), "changed"),
        (Change::LieAboutLength(299_999), "changed"),
        (Change::LieAboutLength(300_001), "unreachable"),
    ] {
        index.world.lie(PathPattern::prefix("/files/"), change.clone());
        let error = refused(&client, "packages/bar/bar-1+a.zip").await;
        let expected = if slug == "unreachable" { "interrupted" } else { slug };
        assert_eq!(error.slug(), expected, "{change:?}: {error}");
        index.world.mirror.honest();
    }
    // No more is read than such a file may have.
    let bounded = Settings { unsized_file: 1000, ..impatient() };
    let client = index.world.client_with(bounded);
    client.refresh(Simulator::now()).await.unwrap();
    let error = refused(&client, "packages/bar/bar-1+a.zip").await;
    assert!(error.to_string().contains("more than the 1000 that such a file may have"), "{error}");
}

#[tokio::test]
async fn a_file_of_the_index_is_had_from_its_mirror() {
    let index = Index::new();
    let second = Mirror::start(&index.world.index.url());
    let mirrors = vec![second.url().as_str().parse().unwrap()];
    let client = index.world.client_with(Settings { mirrors, ..impatient() });
    client.refresh(Simulator::now()).await.unwrap();
    let sdist = located(&client, SDIST).await;
    let flip = Change::FlipByte { at: Position::FromEnd(1) };
    index.world.lie(PathPattern::prefix("/files/"), flip);
    assert_eq!(client.read_located(&sdist).await.unwrap(), "an sdist");
    assert!(second.requests().iter().any(|one| one.path.ends_with(SDIST)));
    // What is elsewhere is no mirror's, and what goes wrong there does not count against one.
    let (matches, change) = (PathPattern::Any, Change::DropConnection);
    index.host.set(Tamper { matches, change });
    second.forget_requests();
    assert_eq!(refused(&client, WHEEL).await.slug(), "unreachable");
    assert!(second.requests().is_empty());
}

/// Answers one request, and hands over its head.
fn listen_once(answer: &'static [u8]) -> (u16, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, heads) = mpsc::channel();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let lines = BufReader::new(connection.try_clone().unwrap()).lines();
            let lines = lines.map_while(Result::ok).take_while(|line| !line.is_empty());
            if sender.send(lines.collect::<Vec<_>>().join("\n")).is_err() {
                return;
            }
            let _ = connection.write_all(answer);
        }
    });
    (port, heads)
}

#[tokio::test]
async fn credentials_stay_with_the_index() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nan sdist";
    let (port, heads) = listen_once(answer);
    let index = Index::new();
    // Not even those that a page has in its link.
    let url = format!("http://me:pass@127.0.0.1:{port}/foo-1.0.tar.gz?a=b#c");
    index.publish(&page(&[listed("foo-1.0.tar.gz", &url, b"an sdist")]));
    let credentials = Some(Credentials::new("user", "secret"));
    let client = index.world.client_with(Settings { credentials, ..settings() });
    client.refresh(Simulator::now()).await.unwrap();
    let sdist = located(&client, SDIST).await;
    assert_eq!(client.read_located(&sdist).await.unwrap(), "an sdist");
    let head = heads.recv_timeout(BOUND).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("get /foo-1.0.tar.gz?a=b http/1.1"), "{head}");
    for never in ["authorization", "cookie", "referer"] {
        assert!(!head.contains(never), "{head}");
    }
}

#[tokio::test]
async fn a_redirect_takes_no_credentials_along() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nan sdist";
    let (port, heads) = listen_once(answer);
    let index = Index::new();
    let credentials = Some(Credentials::new("user", "secret"));
    let client = index.world.client_with(Settings { credentials, ..settings() });
    client.refresh(Simulator::now()).await.unwrap();
    let sdist = located(&client, SDIST).await;
    let there = format!("http://127.0.0.1:{port}/x").parse().unwrap();
    index.world.lie(PathPattern::prefix("/files/"), Change::Redirect(there));
    // Other bytes than those of the index would be refused; these are the same.
    assert_eq!(client.read_located(&sdist).await.unwrap(), "an sdist");
    let head = heads.recv_timeout(BOUND).unwrap().to_ascii_lowercase();
    for never in ["authorization", "cookie", "referer"] {
        assert!(!head.contains(never), "{head}");
    }
}
