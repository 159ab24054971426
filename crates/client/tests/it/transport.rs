//! An index that does not answer, does not stop, or sends the client away.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::time::Duration;

use http::StatusCode;
use waxseal_client::{
    Client, Credentials, Error, IndexUrl, Patience, Settings, TransportProblem, TrustStores,
    fetch_root,
};
use waxseal_testkit::mirror::{Change, PathPattern};
use waxseal_testkit::simulator::Simulator;

use crate::world::{LARGE, SMALL, World, path, settings};

fn problem(error: Error) -> TransportProblem {
    match error {
        Error::Transport { problem, .. } => problem,
        other => panic!("not a transport error: {other:?}"),
    }
}

async fn refused_refresh(change: Change, settings: Settings) -> TransportProblem {
    let world = World::new();
    let before = world.tree();
    world.lie(PathPattern::suffix("timestamp.json"), change);
    let client = Client::open(&world.store(), settings).unwrap();
    let error = client.refresh(Simulator::now()).await.unwrap_err();
    assert_eq!(world.tree(), before);
    world.mirror.honest();
    client.refresh(Simulator::now()).await.unwrap();
    problem(error)
}

#[tokio::test]
async fn endless_metadata_is_cut_off() {
    let problem = refused_refresh(Change::Endless, settings()).await;
    assert_eq!(problem, TransportProblem::Endless { limit: 64 << 10 });
}

#[tokio::test]
async fn metadata_that_claims_to_be_endless_is_not_read() {
    let problem = refused_refresh(Change::LieAboutLength(1 << 40), settings()).await;
    assert_eq!(problem, TransportProblem::Endless { limit: 64 << 10 });
}

#[tokio::test]
async fn truncated_metadata_is_refused() {
    let problem = refused_refresh(Change::LieAboutLength(60_000), settings()).await;
    assert!(matches!(problem, TransportProblem::Interrupted { .. }), "{problem}");
}

#[tokio::test]
async fn a_silent_index_is_given_up() {
    let metadata = Patience { stall: Duration::from_millis(300), ..settings().metadata };
    let impatient = Settings { metadata, ..settings() };
    let problem = refused_refresh(Change::Stall, impatient).await;
    assert!(matches!(problem, TransportProblem::Timeout { .. }), "{problem}");
}

#[tokio::test]
async fn slow_metadata_has_one_deadline() {
    let trickle = Change::Trickle { bytes: 1, every: Duration::from_millis(20) };
    let deadline = Duration::from_millis(500);
    let metadata = Patience { deadline, minimum_rate: 0, ..settings().metadata };
    let impatient = Settings { metadata, ..settings() };
    let problem = refused_refresh(trickle, impatient).await;
    assert!(matches!(problem, TransportProblem::Timeout { .. }), "{problem}");
}

#[tokio::test]
async fn a_target_that_trickles_is_given_up() {
    let world = World::new();
    let rate_window = Duration::from_millis(200);
    let targets = Patience { minimum_rate: 10_000, rate_window, ..settings().targets };
    let impatient = Settings { targets, ..settings() };
    let client = Client::open(&world.store(), impatient).unwrap();
    client.refresh(Simulator::now()).await.unwrap();
    let file = client.find(&path(LARGE)).await.unwrap().unwrap();
    let trickle = Change::Trickle { bytes: 10, every: Duration::from_millis(10) };
    world.lie(PathPattern::prefix("/tuf/targets/"), trickle);
    let error = client.read(&path(LARGE), &file).await.unwrap_err();
    assert_eq!(problem(error), TransportProblem::Slow { minimum_rate: 10_000 });
}

#[tokio::test]
async fn a_server_error_is_tried_again_and_then_told() {
    let world = World::new();
    let stubborn = Settings { retries: 2, ..settings() };
    let client = Client::open(&world.store(), stubborn).unwrap();
    world.lie(PathPattern::suffix("timestamp.json"), Change::Status(StatusCode::BAD_GATEWAY));
    let error = client.refresh(Simulator::now()).await.unwrap_err();
    assert_eq!(problem(error), TransportProblem::Status { status: 502 });
    let requests = world.mirror.requests();
    let asked = requests.iter().filter(|request| request.path.ends_with("timestamp.json"));
    assert_eq!(asked.count(), 3);
}

#[tokio::test]
async fn what_verification_refuses_is_not_asked_for_again() {
    let world = World::new();
    let stubborn = Settings { retries: 2, ..settings() };
    let client = Client::open(&world.store(), stubborn).unwrap();
    world.lie(PathPattern::suffix("timestamp.json"), Change::ReplaceBody(b"{}".to_vec()));
    assert_eq!(client.refresh(Simulator::now()).await.unwrap_err().slug(), "malformed");
    let requests = world.mirror.requests();
    let asked = requests.iter().filter(|request| request.path.ends_with("timestamp.json"));
    assert_eq!(asked.count(), 1);
}

#[tokio::test]
async fn a_redirect_to_another_protocol_is_not_followed() {
    let elsewhere = "https://127.0.0.1:1/timestamp.json".parse().unwrap();
    let problem = refused_refresh(Change::Redirect(elsewhere), settings()).await;
    let TransportProblem::Redirect { reason } = problem else { panic!("{problem}") };
    assert_eq!(reason, "from http to https");
}

#[tokio::test]
async fn a_redirect_to_another_host_is_followed() {
    let (world, other) = (World::new(), World::new());
    let elsewhere = other.mirror.url().join("tuf/metadata/timestamp.json").unwrap();
    world.lie(PathPattern::suffix("timestamp.json"), Change::Redirect(elsewhere));
    world.refreshed().await;
}

#[tokio::test]
async fn redirects_in_a_circle_end() {
    let world = World::new();
    let itself = world.mirror.url().join("tuf/metadata/timestamp.json").unwrap();
    world.lie(PathPattern::suffix("timestamp.json"), Change::Redirect(itself));
    let error = world.client().refresh(Simulator::now()).await.unwrap_err();
    assert_eq!(error.slug(), "redirect", "{error}");
    assert!(world.mirror.requests().len() < 12, "{:?}", world.mirror.requests());
}

#[tokio::test]
async fn an_index_that_is_not_there_is_unreachable() {
    let folder = tempfile::tempdir().unwrap();
    let stores = TrustStores::new(folder.path());
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url: IndexUrl = format!("http://127.0.0.1:{port}/").parse().unwrap();
    stores.add(&url, &Simulator::new().first_root(), Simulator::now()).unwrap();
    let client = Client::open(&stores.find(&url).unwrap(), settings()).unwrap();
    let error = client.refresh(Simulator::now()).await.unwrap_err();
    assert_eq!(error.slug(), "unreachable");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_target_with_another_length_is_refused_before_its_first_byte() {
    let world = World::new();
    let client = world.refreshed().await;
    let file = client.find(&path(SMALL)).await.unwrap().unwrap();
    world.lie(PathPattern::prefix("/tuf/targets/"), Change::LieAboutLength(1 << 40));
    let error = client.download(&path(SMALL), &file).await.unwrap_err();
    assert_eq!(error.slug(), "changed", "{error}");
}

/// The heads of requests to a server that has nothing.
fn listen() -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, heads) = mpsc::channel();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let lines = BufReader::new(connection.try_clone().unwrap()).lines();
            let head: Vec<_> = lines.map_while(Result::ok).take_while(|l| !l.is_empty()).collect();
            let _ = connection.write_all(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
            if sender.send(head.join("\n").to_lowercase()).is_err() {
                return;
            }
        }
    });
    (address, heads)
}

fn with_credentials() -> Settings {
    let credentials = Some(Credentials::new("me", "secret"));
    Settings { credentials, ..settings() }
}

#[tokio::test]
async fn credentials_go_to_the_index() {
    let (address, heads) = listen();
    let url: IndexUrl = format!("http://{address}/").parse().unwrap();
    let error = fetch_root(&url, &with_credentials()).await.unwrap_err();
    assert_eq!(error.slug(), "missing");
    let head = heads.recv().unwrap();
    assert!(head.contains("authorization: basic bwu6c2vjcmv0"), "{head}");
    assert!(head.contains("user-agent: waxseal/"), "{head}");
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect_to_another_host() {
    let (address, heads) = listen();
    let world = World::new();
    let elsewhere = format!("http://{address}/timestamp.json").parse().unwrap();
    world.lie(PathPattern::suffix("timestamp.json"), Change::Redirect(elsewhere));
    let client = Client::open(&world.store(), with_credentials()).unwrap();
    assert_eq!(client.refresh(Simulator::now()).await.unwrap_err().slug(), "missing");
    let head = heads.recv().unwrap();
    assert!(head.starts_with("get /timestamp.json") && !head.contains("authorization"), "{head}");
}
