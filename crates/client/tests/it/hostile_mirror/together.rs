//! Ten clients at once, each as a process of its own would be, with one trust store.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use waxseal_client::{Client, Error, Patience, Settings};
use waxseal_testkit::mirror::{Change, PathPattern};
use waxseal_testkit::simulator::Simulator;

use super::publish_everything;
use crate::world::{IMPATIENCE, SMALL, World, impatient, path, settings};

const CLIENTS: usize = 10;

/// Runs `call` with ten clients at once, which have to come to an end by then.
async fn ten<T: Send + 'static, F>(
    world: &World,
    settings: &Settings,
    within: Duration,
    call: impl Fn(Arc<Client>) -> F,
) -> Vec<Result<T, Error>>
where
    F: Future<Output = Result<T, Error>> + Send + 'static,
{
    let mut calls = JoinSet::new();
    for _ in 0..CLIENTS {
        calls.spawn(call(Arc::new(world.client_with(settings.clone()))));
    }
    timeout(within, calls.join_all()).await.expect("ten clients come to an end")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_clients_at_a_slow_mirror_all_get_the_same() {
    let world = World::new();
    world.refreshed().await;
    publish_everything(&mut world.index.simulator());
    // Some 100 ms for a file.
    let slow = Change::Trickle { bytes: 100, every: Duration::from_millis(10) };
    world.lie(PathPattern::Any, slow);
    let got = ten(&world, &settings(), Duration::from_secs(40), |client| async move {
        client.refresh(Simulator::now()).await?;
        client.get(&path(SMALL)).await
    })
    .await;
    assert_eq!(got.len(), CLIENTS);
    for got in got {
        assert_eq!(got.unwrap().unwrap().1, "a newer file");
    }

    // The store is what one client alone would have left.
    let (mut together, mut alone) = (world.tree(), {
        let other = World::new();
        other.refreshed().await;
        publish_everything(&mut other.index.simulator());
        let client = other.refreshed().await;
        client.get(&path(SMALL)).await.unwrap().unwrap();
        other.tree()
    });
    let roles = |files: &mut std::collections::BTreeMap<std::path::PathBuf, Vec<u8>>| {
        files.retain(|path, _| !path.ends_with("index.json"));
        std::mem::take(files)
            .into_iter()
            .map(|(path, bytes)| (path.file_name().unwrap().to_owned(), bytes))
            .collect::<Vec<_>>()
    };
    assert!(roles(&mut together) == roles(&mut alone));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_clients_at_a_mirror_that_stalls_all_end() {
    let world = World::new();
    world.refreshed().await;
    publish_everything(&mut world.index.simulator());
    let before = world.tree();
    world.lie(PathPattern::suffix("root.json"), Change::Stall);
    let metadata = Patience { stall: Duration::from_millis(300), ..IMPATIENCE };
    let hasty = Settings { metadata, ..impatient() };
    // At worst one after another, each to the end of its patience.
    let within = Duration::from_millis(300) * 10 + super::BOUND;
    let refresh = |client: Arc<Client>| async move { client.refresh(Simulator::now()).await };
    for ended in ten(&world, &hasty, within, refresh).await {
        assert_eq!(ended.unwrap_err().slug(), "slow");
    }
    assert!(world.tree() == before);
    world.mirror.honest();
    for ended in ten(&world, &impatient(), super::BOUND, refresh).await {
        ended.unwrap();
    }
}
