//! Several places for one index, and downloads that break off.

use std::sync::{Arc, Mutex};

use http::StatusCode;
use waxseal_client::{Client, Event, IndexUrl, Observer, Settings};
use waxseal_testkit::mirror::{Change, Mirror, PathPattern, Position, Tamper};
use waxseal_testkit::simulator::Simulator;

use crate::world::{LARGE, SMALL, World, large, path, publish, settings};

/// A world with two mirrors beside the one that its URL leads to.
struct Copies {
    world: World,
    second: Mirror,
    third: Mirror,
    told: Arc<Mutex<Vec<String>>>,
}

impl Copies {
    fn new() -> Self {
        let world = World::new();
        let second = Mirror::start(&world.index.url());
        let third = Mirror::start(&world.index.url());
        Self { world, second, third, told: Arc::default() }
    }

    fn settings(&self) -> Settings {
        let mirrors = [&self.second, &self.third].map(index_url).to_vec();
        let told = Arc::clone(&self.told);
        let observer = Observer::new(move |event| {
            if let Event::Failover { from, to } = event {
                told.lock().unwrap().push(format!("{from} {to}"));
            }
        });
        Settings { mirrors, observer, ..settings() }
    }

    fn client(&self) -> Client {
        Client::open(&self.world.store(), self.settings()).unwrap()
    }

    /// The failovers so far, by the number of the mirror.
    fn failovers(&self) -> Vec<(usize, usize)> {
        let bases = [&self.world.mirror, &self.second, &self.third].map(Mirror::url);
        let number = |url: &str| bases.iter().position(|base| url.starts_with(base.as_str()));
        let told = self.told.lock().unwrap();
        let failover = |text: &String| {
            let (from, to) = text.split_once(' ').unwrap();
            (number(from).unwrap() + 1, number(to).unwrap() + 1)
        };
        told.iter().map(failover).collect()
    }
}

fn index_url(mirror: &Mirror) -> IndexUrl {
    mirror.url().as_str().parse().unwrap()
}

fn lie(mirror: &Mirror, matches: PathPattern, change: Change) {
    mirror.set(Tamper { matches, change });
}

#[tokio::test]
async fn an_honest_index_is_the_only_one_that_is_asked() {
    let copies = Copies::new();
    let client = copies.client();
    client.refresh(Simulator::now()).await.unwrap();
    client.get(&path(SMALL)).await.unwrap().unwrap();
    assert_eq!(copies.failovers(), []);
    assert_eq!((copies.second.requests().len(), copies.third.requests().len()), (0, 0));
}

#[tokio::test]
async fn a_source_that_fails_or_lies_is_left_once_for_the_next() {
    let whole = |change| (PathPattern::Any, change);
    for (matches, change) in [
        whole(Change::DropConnection),
        whole(Change::Status(StatusCode::SERVICE_UNAVAILABLE)),
        whole(Change::Status(StatusCode::FORBIDDEN)),
        whole(Change::Status(StatusCode::NOT_FOUND)),
        (PathPattern::suffix("timestamp.json"), Change::FlipByte { at: Position::FromEnd(30) }),
        (PathPattern::suffix("snapshot.json"), Change::FlipByte { at: Position::FromEnd(30) }),
        (PathPattern::suffix("targets.json"), Change::Status(StatusCode::NOT_FOUND)),
        (PathPattern::suffix("2.root.json"), Change::ReplaceBody(b"{}".to_vec())),
    ] {
        let copies = Copies::new();
        lie(&copies.world.mirror, matches.clone(), change.clone());
        lie(&copies.second, matches.clone(), change.clone());
        let client = copies.client();
        client.refresh(Simulator::now()).await.unwrap();
        assert_eq!(copies.failovers(), [(1, 2), (2, 3)], "{matches:?} {change:?}");
        copies.world.mirror.forget_requests();
        let (_, bytes) = client.get(&path(LARGE)).await.unwrap().unwrap();
        assert!(bytes == large());
        client.refresh(Simulator::now()).await.unwrap();
        // It is left for as long as the next one does.
        assert_eq!(copies.world.mirror.requests(), [], "{matches:?} {change:?}");
        assert_eq!(copies.failovers().len(), 2);
    }
}

#[tokio::test]
async fn a_stale_mirror_is_a_rollback_to_whoever_has_seen_more() {
    let copies = Copies::new();
    let old = copies.second.record(["/tuf/metadata/timestamp.json"]);
    publish(&mut copies.world.index.simulator(), SMALL, b"newer");
    let client = copies.client();
    client.refresh(Simulator::now()).await.unwrap();
    lie(&copies.world.mirror, PathPattern::Any, Change::DropConnection);
    lie(&copies.second, PathPattern::Any, Change::Replay(old.clone()));
    lie(&copies.third, PathPattern::Any, Change::Replay(old));
    let error = client.refresh(Simulator::now()).await.unwrap_err();
    assert_eq!(error.slug(), "rollback");
    copies.third.honest();
    client.refresh(Simulator::now()).await.unwrap();
}

#[tokio::test]
async fn when_every_source_fails_each_is_asked_once_and_the_last_error_is_told() {
    let copies = Copies::new();
    lie(&copies.world.mirror, PathPattern::Any, Change::Status(StatusCode::BAD_GATEWAY));
    lie(&copies.second, PathPattern::Any, Change::Status(StatusCode::FORBIDDEN));
    lie(&copies.third, PathPattern::Any, Change::Status(StatusCode::IM_A_TEAPOT));
    let error = copies.client().refresh(Simulator::now()).await.unwrap_err();
    assert!(error.to_string().contains("418"), "{error}");
    assert!(error.to_string().contains(copies.third.url().as_str()), "{error}");
    for mirror in [&copies.world.mirror, &copies.second, &copies.third] {
        assert_eq!(mirror.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_changed_file_or_bin_is_had_from_an_honest_mirror() {
    let copies = Copies::new();
    let client = copies.client();
    client.refresh(Simulator::now()).await.unwrap();
    let bin = crate::world::bin_suffix(&mut copies.world.index.simulator(), LARGE);
    lie(&copies.world.mirror, bin, Change::FlipByte { at: Position::FromEnd(30) });
    let file = client.find(&path(LARGE)).await.unwrap().unwrap();
    assert_eq!(copies.failovers(), [(1, 2)]);

    let targets = PathPattern::prefix("/tuf/targets/");
    lie(&copies.second, targets, Change::FlipByte { at: Position::FromEnd(1) });
    let folder = tempfile::tempdir().unwrap();
    let destination = folder.path().join("large");
    let mut told = 0;
    client.save(&path(LARGE), &file, &destination, |bytes| told += bytes).await.unwrap();
    assert!(std::fs::read(&destination).unwrap() == large());
    assert_eq!(told, large().len() as u64);
    assert_eq!(copies.failovers(), [(1, 2), (2, 3)]);
    assert!(client.read(&path(LARGE), &file).await.unwrap() == large());
}

#[tokio::test]
async fn a_file_that_one_mirror_lacks_is_had_from_another() {
    let copies = Copies::new();
    let client = copies.client();
    client.refresh(Simulator::now()).await.unwrap();
    let targets = PathPattern::prefix("/tuf/targets/");
    lie(&copies.world.mirror, targets, Change::Status(StatusCode::NOT_FOUND));
    assert!(client.get(&path(LARGE)).await.unwrap().unwrap().1 == large());
    // A mirror that is not complete is a mirror all the same.
    assert_eq!(copies.failovers(), []);
}

#[tokio::test]
async fn a_download_that_breaks_goes_on_where_it_was() {
    // The second half comes from the same source, or from the next one.
    for (retries, failovers) in [(1, &[][..]), (0, &[])] {
        let copies = Copies::new();
        let settings = Settings { retries, ..copies.settings() };
        let client = Client::open(&copies.world.store(), settings).unwrap();
        client.refresh(Simulator::now()).await.unwrap();
        let file = client.find(&path(LARGE)).await.unwrap().unwrap();
        let targets = PathPattern::prefix("/tuf/targets/");
        let half = Change::edit(|body| body[..body.len() / 2].to_vec());
        lie(&copies.world.mirror, targets.clone(), half);
        lie(&copies.world.mirror, targets, Change::LieAboutLength(large().len() as u64));
        let mut download = client.download(&path(LARGE), &file).await.unwrap();
        let mut bytes = Vec::new();
        while bytes.len() < 100_000 {
            bytes.extend_from_slice(&download.next().await.unwrap().unwrap());
        }
        copies.world.mirror.honest();
        while let Some(chunk) = download.next().await.unwrap() {
            bytes.extend_from_slice(&chunk);
        }
        assert!(bytes == large(), "{} bytes", bytes.len());
        assert_eq!(copies.failovers(), failovers);
    }
}

#[tokio::test]
async fn a_download_that_stalls_goes_on_at_the_next_mirror() {
    let copies = Copies::new();
    let mut settings = copies.settings();
    settings.targets.stall = std::time::Duration::from_millis(300);
    let client = Client::open(&copies.world.store(), settings).unwrap();
    client.refresh(Simulator::now()).await.unwrap();
    let file = client.find(&path(LARGE)).await.unwrap().unwrap();
    lie(&copies.world.mirror, PathPattern::prefix("/tuf/targets/"), Change::Stall);
    assert!(client.read(&path(LARGE), &file).await.unwrap() == large());
    assert_eq!(copies.failovers(), [(1, 2)]);
}

#[tokio::test]
async fn a_download_that_breaks_again_and_again_ends() {
    let world = World::new();
    let settings = Settings { retries: 2, ..settings() };
    let client = Client::open(&world.store(), settings).unwrap();
    client.refresh(Simulator::now()).await.unwrap();
    let file = client.find(&path(LARGE)).await.unwrap().unwrap();
    let targets = PathPattern::prefix("/tuf/targets/");
    world.lie(targets.clone(), Change::edit(|body| body[..body.len() / 2].to_vec()));
    world.lie(targets, Change::LieAboutLength(large().len() as u64));
    world.mirror.forget_requests();
    let error = client.read(&path(LARGE), &file).await.unwrap_err();
    assert_eq!(error.slug(), "interrupted", "{error}");
    assert_eq!(world.mirror.requests().len(), 3);
}

#[tokio::test]
async fn an_observer_hears_what_is_fetched_and_what_became_trusted() {
    let world = World::new();
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let observer = Observer::new({
        let told = Arc::clone(&told);
        move |event| {
            let text = match event {
                Event::Fetching { file, .. } => format!("fetching {}", file.path),
                Event::Received { .. } => return,
                Event::Trusted { role } => format!("trusted {role}"),
                Event::Failover { .. } => "failover".to_owned(),
                Event::RootChanged { change, .. } => format!("root {}", change.to),
            };
            told.lock().unwrap().push(text);
        }
    });
    let client = Client::open(&world.store(), Settings { observer, ..settings() }).unwrap();
    client.refresh(Simulator::now()).await.unwrap();
    let version = world.index.simulator().snapshot.version;
    let expected = [
        "fetching 2.root.json".to_owned(),
        "fetching timestamp.json".to_owned(),
        "trusted timestamp".to_owned(),
        format!("fetching {version}.snapshot.json"),
        "trusted snapshot".to_owned(),
        "fetching 2.targets.json".to_owned(),
        "trusted targets".to_owned(),
    ];
    assert_eq!(*told.lock().unwrap(), expected);
}
