//! A client that verifies files as soon as their uploads are answered.

use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use waxseal_client::{Client, IndexUrl, Settings, TrustStores, fetch_root};
use waxseal_tuf::TargetPath;

/// How long an upload may take until it is published.
const PATIENCE: Duration = Duration::from_mins(2);

/// An upload that was answered.
pub(super) struct Answered {
    pub(super) path: TargetPath,
    /// When its first byte was sent.
    pub(super) sent: Instant,
}

/// The newest upload that was answered. The client takes what is newest whenever it is free, and
/// leaves out what came meanwhile: it is one client, and measures how long one client waits.
#[derive(Default)]
pub(super) struct Newest {
    state: Mutex<(Option<Answered>, bool)>,
    changed: Condvar,
}

impl Newest {
    pub(super) fn put(&self, answered: Answered) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0 = Some(answered);
        self.changed.notify_one();
    }

    /// No more will come.
    pub(super) fn end(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        self.changed.notify_one();
    }

    fn take(&self) -> Option<Answered> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |state: &mut (Option<Answered>, bool)| state.0.is_none() && !state.1;
        let state = self.changed.wait_while(state, waits);
        state.unwrap_or_else(PoisonError::into_inner).0.take()
    }
}

/// A returning client, with its trust store on disk.
pub(super) struct Verifier {
    runtime: tokio::runtime::Runtime,
    client: Client,
}

impl Verifier {
    /// Trusts the index, and refreshes once.
    pub(super) fn new(url: &str, trust: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (url, _) = IndexUrl::parse(url).unwrap();
        let settings = Settings::default();
        let stores = TrustStores::new(trust);
        let root = runtime.block_on(fetch_root(&url, &settings)).unwrap();
        stores.add(&url, &root, Timestamp::now()).unwrap();
        let client = Client::open(&stores.find(&url).unwrap(), settings).unwrap();
        runtime.block_on(client.refresh(Timestamp::now())).unwrap();
        Self { runtime, client }
    }

    /// Verifies until the end; gives the time from each first byte to the verified file.
    pub(super) fn run(&self, newest: &Newest) -> Vec<Duration> {
        let mut took = Vec::new();
        while let Some(answered) = newest.take() {
            self.runtime.block_on(self.verify(&answered));
            took.push(answered.sent.elapsed());
        }
        took
    }

    /// An index that is behind answers before it has published.
    async fn verify(&self, answered: &Answered) {
        loop {
            self.client.refresh(Timestamp::now()).await.unwrap();
            if self.client.get(&answered.path).await.unwrap().is_some() {
                return;
            }
            assert!(answered.sent.elapsed() < PATIENCE, "{} is not published", answered.path);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The version of the published snapshot.
    pub(super) fn snapshot(&self) -> u64 {
        self.runtime.block_on(self.client.refresh(Timestamp::now())).unwrap().snapshot
    }
}
