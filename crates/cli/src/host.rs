//! One process that is both roles of an index: web server and snapshot process.

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use waxseal_repository::{Lifetimes, Repository, SnapshotProcess, Stop};
use waxseal_server::{AppState, Limits, Settings};

use crate::collector::Collector;
use crate::config::Config;
use crate::data_folder::DataFolder;
use crate::failure::{Exit, Failure};
use crate::output;

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
    let key = config.online_key(folder.path()).parse()?;
    let online = waxseal_signing::open(&key)?;
    let hours = SignedDuration::from_hours(i64::from(config.online_lifetime_hours));
    let lifetimes = Lifetimes { bin_n: hours, snapshot: hours, timestamp: hours };
    let process = SnapshotProcess::new(repository, online, lifetimes, lock)?;
    Ok(process.with_layout(config.layout)?)
}

/// An index that is open, whole and listening, and not yet serving.
pub(crate) struct Host {
    repository: Arc<Repository>,
    process: SnapshotProcess,
    listener: TcpListener,
    address: SocketAddr,
    config: Config,
    stopped: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Host {
    /// Opens the index in `folder`. Whatever an earlier run left unfinished is published before this
    /// returns, and whatever has expired is signed again.
    pub(crate) fn open(folder: &DataFolder, listener: TcpListener) -> anyhow::Result<Self> {
        let config = folder.config()?;
        let repository = folder.repository()?;
        let process = snapshot_process(folder, Arc::clone(&repository))?;
        if let Err(error) = process.publish_all(Timestamp::now()) {
            // What is published can be served, and a full disk may be emptied meanwhile.
            output::warning(&format!("cannot publish now, and tries again: {error}"));
        }
        let address = listener.local_addr()?;
        // Whoever reads that the index is there may stop it at once.
        let stopped = Box::pin(stopped()?);
        Ok(Self { repository, process, listener, address, config, stopped })
    }

    /// The index's base URL as this machine reaches it, without a slash at the end.
    pub(crate) fn url(&self) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        format!("http://{address}")
    }

    /// Serves until Ctrl-C or SIGTERM, and then publishes what was accepted.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let stop = Stop::new(Arc::clone(&self.repository));
        let (process, ended) = spawn(self.process, stop.clone())?;
        let grace = SignedDuration::from_mins(i64::from(self.config.gc_grace_minutes));
        let _collector = Collector::start(Arc::clone(&self.repository), grace)?;
        let settings = Settings {
            max_upload: self.config.max_upload_bytes,
            publish_wait: Duration::from_secs(self.config.publish_wait_seconds),
            ..Settings::default()
        };
        let router = waxseal_server::router(AppState::new(self.repository, settings));
        // Without its snapshot process, as when another one has taken over, there is nothing to serve
        // for.
        let stopped = async {
            tokio::select! {
                () = self.stopped => {}
                _ = ended => {}
            }
        };
        let served =
            waxseal_server::serve(self.listener, router, &Limits::default(), stopped).await;
        output::note("publishing what was accepted, then stopping");
        stop.request();
        tokio::task::spawn_blocking(move || process.join())
            .await?
            .map_err(|_| anyhow::anyhow!("the snapshot process ended by a defect"))?
            .context("what was accepted last is in the journal, and not published yet")?;
        served.context("the server failed")
    }
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
