//! One process that is both roles of an index: web server and snapshot process.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;
use jiff::SignedDuration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task;
use waxseal_repository::{Lifetimes, Publishing, Repository, SnapshotProcess, Stop};
use waxseal_server::{AppState, Limits, Settings};

use crate::collector::Collector;
use crate::data_folder::DataFolder;
use crate::expiry;
use crate::failure::{Exit, Failure};
use crate::online_key;
use crate::output;

/// How long a start is silent until what was left is published and what has expired is signed again.
const FIRST_ROUND: Duration = Duration::from_secs(5);

/// Takes the address that an index listens on.
pub(crate) async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    Ok(TcpListener::bind(address).await.map_err(|error| {
        Failure::new(
            Exit::Failed,
            format!("cannot listen on {address}: {error}"),
            "another program has that address; choose one with --listen, such as \
             --listen 127.0.0.1:0",
        )
    })?)
}

/// The one writer of the index in `folder`.
pub(crate) fn snapshot_process(
    folder: &DataFolder,
    repository: Arc<Repository>,
) -> anyhow::Result<SnapshotProcess> {
    let config = folder.config()?;
    let lock = folder.lock()?;
    let online = online_key::open(folder.path(), &config)?;
    let hours = SignedDuration::from_hours(i64::from(config.online_lifetime_hours));
    let lifetimes = Lifetimes { bin_n: hours, snapshot: hours, timestamp: hours };
    let process = SnapshotProcess::new(repository, online, lifetimes, lock)?;
    Ok(process.with_layout(config.layout)?.with_hash_algorithms(config.hash_algorithms)?)
}

/// An index that is served.
pub(crate) struct Host {
    address: SocketAddr,
    serving: task::JoinHandle<io::Result<()>>,
    process: Running,
    stop: Stop,
    _collector: Collector,
    watch: task::JoinHandle<()>,
}

impl Host {
    /// Opens the index in `folder` and serves it until Ctrl-C or SIGTERM.
    ///
    /// What is published is served at once. Whatever an earlier run left unfinished is published, and
    /// whatever has expired is signed again, before this returns, unless that fails or takes longer than
    /// [`FIRST_ROUND`].
    pub(crate) async fn open(folder: &DataFolder, listener: TcpListener) -> anyhow::Result<Self> {
        let config = folder.config()?;
        let repository = folder.repository()?;
        let process = snapshot_process(folder, Arc::clone(&repository))?;
        let address = listener.local_addr()?;
        // Whoever reads that the index is there may stop it at once.
        let stopped = stopped()?;
        let stop = Stop::new(Arc::clone(&repository));
        let (process, ended) = spawn(process, stop.clone())?;
        let grace = SignedDuration::from_mins(i64::from(config.gc_grace_minutes));
        let collector = Collector::start(Arc::clone(&repository), grace)?;
        let settings = Settings {
            max_upload: config.max_upload_bytes,
            publish_wait: Duration::from_secs(config.publish_wait_seconds),
            ..Settings::default()
        };
        let state = AppState::new(Arc::clone(&repository), settings);
        let router = waxseal_server::router(state.clone());
        // Without its snapshot process, as when another one has taken over, there is nothing to serve
        // for.
        let stopped = async {
            tokio::select! {
                () = stopped => {}
                _ = ended => {}
            }
        };
        let serving = tokio::spawn(async move {
            waxseal_server::serve(listener, router, &Limits::default(), stopped).await
        });
        let first_round = async {
            while !serving.is_finished() && !is_first_round_over(&repository, &state).await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(FIRST_ROUND, first_round).await.is_err() {
            output::warning(
                "not everything is published and signed yet: the signing key or the disk is slow; what \
                 is published is served, and /readyz says what holds it up",
            );
        }
        let watch = tokio::spawn(expiry::watch(repository, folder.path().to_owned()));
        Ok(Self { address, serving, process, stop, _collector: collector, watch })
    }

    /// The index's base URL as this machine reaches it, without a slash at the end.
    pub(crate) fn url(&self) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        format!("http://{address}")
    }

    /// Waits until it is stopped, and then publishes what was accepted.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let served = self.serving.await?;
        self.watch.abort();
        output::note("publishing what was accepted, then stopping");
        self.stop.request();
        let process = self.process;
        task::spawn_blocking(move || process.join())
            .await?
            .map_err(|_| anyhow::anyhow!("the snapshot process ended by a defect"))?
            .context("what was accepted last is in the journal, and not published yet")?;
        served.context("the server failed")
    }
}

/// Whether the snapshot process has published all that was left, or cannot now.
async fn is_first_round_over(repository: &Repository, state: &AppState) -> bool {
    if let Publishing::Failing { problem, .. } = repository.publishing() {
        // What is published can be served, and a full disk may be emptied meanwhile.
        output::warning(&format!("cannot publish now, and tries again: {problem}"));
        return true;
    }
    // What cannot be read fails for the snapshot process as well, which says so.
    state.is_up_to_date().await.unwrap_or(false)
}

type Running = JoinHandle<Result<(), waxseal_repository::Error>>;

/// The process in a thread of its own, and what is told when that ends.
fn spawn(process: SnapshotProcess, stop: Stop) -> anyhow::Result<(Running, oneshot::Receiver<()>)> {
    let (end, ended) = oneshot::channel();
    let run = move || {
        let result = process.run(&stop);
        let _ = end.send(());
        result
    };
    let thread = thread::Builder::new().name("snapshot-process".to_owned()).spawn(run);
    Ok((thread.context("cannot start the snapshot process")?, ended))
}

/// Ends with the first Ctrl-C or SIGTERM that comes after this call, also where it is awaited later.
pub(crate) fn stopped() -> anyhow::Result<impl Future<Output = ()> + Send> {
    let mut interrupted = signal(SignalKind::interrupt()).context("cannot take Ctrl-C")?;
    let mut terminated = signal(SignalKind::terminate()).context("cannot take SIGTERM")?;
    Ok(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
    })
}
