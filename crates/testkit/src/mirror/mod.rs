//! A malicious mirror: an HTTP server between a client and the honest index.
//!
//! It passes `GET` and `HEAD` on to the index, and changes the answers as its rules say. Rules can
//! be set while it runs. It has threads of its own, so that a test may be synchronous or not, and
//! speaks HTTP/1.1 by hand, since a web framework refuses to send what an attacker would.
//!
//! ```no_run
//! use waxseal_testkit::mirror::{Change, Mirror, PathPattern, Position, Tamper};
//!
//! # let index = "http://127.0.0.1:8458".parse().unwrap();
//! let mirror = Mirror::start(&index);
//! mirror.set(Tamper {
//!     matches: PathPattern::suffix(".whl"),
//!     change: Change::FlipByte { at: Position::FromEnd(1) },
//! });
//! // A client of `mirror.url()` refuses the wheel. Then:
//! mirror.honest();
//!
//! // An older state, served once the index has moved on:
//! let old = mirror.record(["/tuf/metadata/timestamp.json"]);
//! mirror.set(Tamper { matches: PathPattern::Any, change: Change::Replay(old) });
//! ```

mod bombs;
mod delivery;
mod rules;
mod upstream;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io::BufReader;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use http::{Method, StatusCode};
use url::Url;

pub use bombs::{Bomb, DECODED};
pub use delivery::Flood;
pub use rules::{Change, PathPattern, Position, Recording, Tamper};
pub use wire::Answer;

use delivery::{After, Delivery};
use upstream::Upstream;
use wire::RequestHead;

/// A running mirror; stops when dropped.
#[derive(Debug)]
pub struct Mirror {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

/// One request that the mirror answered, in the order of the answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `HEAD`, or what was refused.
    pub method: Method,
    /// The request target as sent: path, and query if there is one.
    pub path: String,
    /// What the mirror answered; `None` when it dropped the connection or kept silent
    /// instead.
    pub status: Option<StatusCode>,
    /// How many of the rules changed the answer.
    pub rules: usize,
    /// How many bytes of the answer went into the connection so far, its head included. The client
    /// need not have read them: some MB may lie in the kernel's buffers.
    pub sent: u64,
}

#[derive(Debug)]
struct Shared {
    upstream: Upstream,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Tamper>,
    requests: Vec<Logged>,
    /// The connections, so that stopping ends what waits on one.
    open: HashMap<u64, TcpStream>,
    accepted: u64,
    stopped: bool,
}

/// A request as it was answered, and how much of the answer was sent, which goes on growing.
#[derive(Debug)]
struct Logged {
    request: Request,
    sent: Arc<AtomicU64>,
}

impl Mirror {
    /// Starts on a free port of the loopback interface, honest at first.
    ///
    /// # Panics
    /// If `upstream` is not an `http://` URL, or no port can be had.
    pub fn start(upstream: &Url) -> Self {
        let upstream = Upstream::new(upstream);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .unwrap_or_else(|error| panic!("the mirror cannot listen on loopback: {error}"));
        let address = listener
            .local_addr()
            .unwrap_or_else(|error| panic!("the mirror has no address: {error}"));
        let shared = Arc::new(Shared { upstream, state: Mutex::default() });
        let accepting = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Self { address, shared, accepting: Some(accepting) }
    }

    /// Where clients reach the mirror, as the index's base URL.
    ///
    /// # Panics
    /// Never: a socket address makes a URL.
    pub fn url(&self) -> Url {
        let url = format!("http://{}/", self.address);
        url.parse().unwrap_or_else(|error| panic!("{url} is not a URL: {error}"))
    }

    /// Adds a rule to those in force. All that match a request apply, in the order they were set.
    pub fn set(&self, rule: Tamper) {
        self.shared.state().rules.push(rule);
    }

    /// Drops every rule: from here on answers are the index's.
    pub fn honest(&self) {
        self.shared.state().rules.clear();
    }

    /// What was answered since the start, or since [`forget_requests`](Self::forget_requests).
    pub fn requests(&self) -> Vec<Request> {
        let with_sent = |one: &Logged| {
            let sent = one.sent.load(Ordering::Relaxed);
            Request { sent, ..one.request.clone() }
        };
        self.shared.state().requests.iter().map(with_sent).collect()
    }

    /// Empties the log of requests, for counting what one step of a test asks.
    pub fn forget_requests(&self) {
        self.shared.state().requests.clear();
    }

    /// Takes the index's answers to these paths as they are now, for [`Change::Replay`].
    ///
    /// # Panics
    /// If the index does not answer a path with 200.
    pub fn record<P: AsRef<str>>(&self, paths: impl IntoIterator<Item = P>) -> Recording {
        let take = |path: P| {
            let path = path.as_ref();
            let answer = self.shared.upstream.fetch(&RequestHead::get(path));
            assert_eq!(answer.status, StatusCode::OK, "the index's answer to {path}: {answer:?}");
            (path.to_owned(), answer)
        };
        Recording(Arc::new(paths.into_iter().map(take).collect()))
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        {
            let mut state = self.shared.state();
            state.stopped = true;
            for connection in state.open.values() {
                // It may be closed already; either way nothing waits on it any more.
                let _ = connection.shutdown(Shutdown::Both);
            }
        }
        // Wakes the accepting thread, which sees that the mirror stops.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic under the lock leaves no state half-changed: every change is one push or clear.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a connection, unless the mirror stops.
    fn open(&self, connection: &TcpStream) -> Option<u64> {
        let mut state = self.state();
        if state.stopped {
            return None;
        }
        state.accepted += 1;
        let number = state.accepted;
        state.open.insert(number, connection.try_clone().ok()?);
        Some(number)
    }

    /// Decides on one answer, and logs it; what is sent of it is to be counted.
    fn answer(&self, request: &RequestHead) -> (Answer, Delivery, Arc<AtomicU64>) {
        let path = request.target.split('?').next().unwrap_or_default();
        let rules: Vec<Tamper> = {
            let state = self.state();
            state.rules.iter().filter(|rule| rule.matches.matches(path)).cloned().collect()
        };

        let mut answer = if matches!(request.method, Method::GET | Method::HEAD) {
            self.upstream.fetch(&request.for_tampering(&rules))
        } else {
            Answer::text(StatusCode::METHOD_NOT_ALLOWED, "the mirror passes on GET and HEAD only")
        };
        let mut delivery = Delivery::Whole;
        for rule in &rules {
            rule.change.apply(path, &mut answer, &mut delivery);
        }

        let silent = matches!(delivery, Delivery::Drop | Delivery::Silence);
        let request = Request {
            method: request.method.clone(),
            path: request.target.clone(),
            status: (!silent).then_some(answer.status),
            rules: rules.len(),
            sent: 0,
        };
        let sent = Arc::new(AtomicU64::new(0));
        self.state().requests.push(Logged { request, sent: Arc::clone(&sent) });
        (answer, delivery, sent)
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for connection in listener.incoming() {
        if shared.state().stopped {
            return;
        }
        let Ok(connection) = connection else { continue };
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            if let Some(number) = shared.open(&connection) {
                serve(connection, &shared);
                shared.state().open.remove(&number);
            }
        });
    }
}

/// Answers the requests of one connection, until either side ends it.
fn serve(connection: TcpStream, shared: &Shared) {
    // Small answers leave at once, as an index's would.
    let _ = connection.set_nodelay(true);
    let mut connection = BufReader::new(connection);
    while let Ok(Some(request)) = RequestHead::read(&mut connection) {
        let (answer, delivery, sent) = shared.answer(&request);
        match delivery.send(&answer, &request, &mut connection, &sent) {
            Ok(After::KeepAlive) => {}
            Ok(After::Close) | Err(_) => break,
        }
    }
    // Others hold clones of the socket: only this ends the connection.
    let _ = connection.get_ref().shutdown(Shutdown::Both);
}
