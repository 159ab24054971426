//! A forward proxy for one program: it answers for the index under the index's own address, and decides
//! what becomes of requests to every other.
//!
//! ```text
//! uv ── GET http://index/simple/flask/ ─────▶ Forward ── verified bytes, as for the index's own URL
//! uv ── CONNECT index:443, then the same ───▶   │        (TLS by an authority that the child alone trusts)
//! uv ── a file that a page of it links to ──▶   │        verified bytes, wherever the file is
//! uv ── anything else ──────────────────────▶   └─────── refused, or passed on if the user allowed it
//! ```
//!
//! So lock files and caches name the index, and never a port of this machine. The proxy asks for a
//! password that only the child's environment holds: others on this machine get nothing through it.

mod authority;
mod connection;
mod passing_on;

use std::fmt;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::rand::{SystemRandom, generate};
use data_encoding::{BASE64, HEXLOWER};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use url::Url;

use crate::server::Error;
use crate::{Links, Proxy};

use authority::Authority;
use passing_on::PassingOn;
pub use passing_on::is_at_or_below;

/// The user that the password is for.
const USER: &str = "waxseal";

/// What the user lets the child have unverified.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// URLs of which the child may have everything at and below them.
    pub allowed: Vec<Url>,
    /// Whether the index itself is passed on as it comes, without verification.
    pub index_unverified: bool,
}

/// A forward proxy, bound and not yet served.
#[derive(Debug)]
pub struct Forward {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What every connection needs.
#[derive(Debug)]
struct Shared {
    proxy: Proxy,
    policy: Policy,
    passing_on: PassingOn,
    secrets: Secrets,
}

/// What one run shares with its program alone: a password, and a certificate authority whose key stays in
/// memory.
pub struct Secrets {
    authority: Authority,
    password: String,
    /// What `Proxy-Authorization` has to say.
    credentials: String,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

impl Secrets {
    /// Makes them. It takes processor time: begin early, and beside other work.
    pub fn generate() -> Result<Self, Error> {
        let no_keys = |reason: String| Error::NoKeys { reason };
        let random = generate::<[u8; 16]>(&SystemRandom::new());
        let random = random.map_err(|_| no_keys("the system gives no random bytes".to_owned()))?;
        let password = HEXLOWER.encode(&random.expose());
        let credentials = BASE64.encode(format!("{USER}:{password}").as_bytes());
        let credentials = format!("Basic {credentials}");
        Ok(Self { authority: Authority::new().map_err(no_keys)?, password, credentials })
    }

    /// Whether whoever sent this `Proxy-Authorization` knows the password.
    fn are_known_to(&self, sent: &[u8]) -> bool {
        verify_slices_are_equal(sent, self.credentials.as_bytes()).is_ok()
    }
}

impl Forward {
    /// Binds a free port of the loopback interface. The proxy's pages must keep their links
    /// ([`Links::Kept`]).
    pub async fn bind(proxy: Proxy, policy: Policy, secrets: Secrets) -> Result<Self, Error> {
        debug_assert_eq!(proxy.links(), Links::Kept);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let failed = |reason| Error::Listen { address, reason };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let passing_on = PassingOn::new(proxy.credentials());
        let shared = Shared { proxy, policy, passing_on, secrets };
        Ok(Self { listener, address, shared: Arc::new(shared) })
    }

    /// What a program takes as `HTTP_PROXY` and `HTTPS_PROXY`, with the password.
    pub fn url(&self) -> String {
        format!("http://{USER}:{}@{}", self.shared.secrets.password, self.address)
    }

    /// The certificate of the authority that the program has to trust, as PEM.
    pub fn authority_pem(&self) -> &str {
        self.shared.secrets.authority.pem()
    }

    /// Serves until `shutdown` resolves; what has begun ends then.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), Error> {
        let mut connections = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => return Ok(()),
                Some(_) = connections.join_next() => {}
                accepted = self.listener.accept() => {
                    // Out of descriptors, or the caller is gone already: the next may do better.
                    let Ok((stream, _)) = accepted else {
                        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                        continue;
                    };
                    // A small answer goes out at once. Without it all works, slower.
                    let _ = stream.set_nodelay(true);
                    connections.spawn(connection::serve(stream, Arc::clone(&self.shared)));
                }
            }
        }
    }
}
