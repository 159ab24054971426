//! Listens, and ends in time.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::Proxy;

/// How long open connections may take to end after the shutdown.
const GRACE: Duration = Duration::from_secs(2);

/// Why the proxy does not serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Others could reach the proxy, and nobody said that they may.
    #[error("{address} is not an address of this machine alone, and others are not allowed")]
    NotLoopback {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The address cannot be had.
    #[error("cannot listen on {address}: {reason}; choose another port, or 0 for a free one")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says.
        reason: std::io::Error,
    },
    /// A forward proxy cannot make its keys.
    #[error("cannot make the keys of the proxy: {reason}")]
    NoKeys {
        /// What the system or the library says.
        reason: String,
    },
    /// Serving ended.
    #[error("the proxy stopped: {reason}")]
    Stopped {
        /// What the system says.
        reason: std::io::Error,
    },
}

/// Who may use the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Exposure {
    /// Programs on this machine: a loopback address, and only requests that name one as their host,
    /// so that no web page reaches the proxy by a name of its own (DNS rebinding).
    #[default]
    Loopback,
    /// Whoever can reach the address.
    Anyone,
}

/// A proxy's address, bound and not yet served.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    exposure: Exposure,
}

impl Bound {
    /// Binds an address; port 0 chooses a free one.
    pub async fn bind(address: SocketAddr, exposure: Exposure) -> Result<Self, Error> {
        if exposure == Exposure::Loopback && !address.ip().is_loopback() {
            return Err(Error::NotLoopback { address });
        }
        let failed = |reason| Error::Listen { address, reason };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, exposure })
    }

    /// The address, with the port that was chosen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What pip takes as `--index-url`.
    pub fn index_url(&self) -> String {
        format!("http://{}/simple/", self.address)
    }

    /// Serves until `shutdown` resolves, and then for at most two seconds what has begun.
    pub async fn serve(
        self,
        proxy: Proxy,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Error> {
        let listener = self.listener.tap_io(|connection| {
            // A small answer goes out at once. Without it all works, slower.
            let _ = connection.set_nodelay(true);
        });
        let (ending, ended) = oneshot::channel();
        let shutdown = async move {
            shutdown.await;
            let _ = ending.send(());
        };
        let router = proxy.router_on(self.exposure, self.address);
        let server = axum::serve(listener, router).with_graceful_shutdown(shutdown);
        let grace_is_over = async {
            let _ = ended.await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            result = async { server.await } => result.map_err(|reason| Error::Stopped { reason }),
            () = grace_is_over => Ok(()),
        }
    }
}
