//! A [`Simulator`] behind HTTP, laid out as an index is.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use url::Url;
use waxseal_tuf::hash::Sha256;

use crate::simulator::Simulator;

/// Serves what a simulator holds at the moment of each request, on a free port of the loopback
/// interface; stops when dropped. For lies, put a [`Mirror`](crate::mirror::Mirror) before it.
#[derive(Debug)]
pub struct ServedSimulator {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    simulator: Mutex<Simulator>,
    stopped: AtomicBool,
}

impl ServedSimulator {
    /// Starts to serve.
    ///
    /// # Panics
    /// If no port can be had.
    pub fn start(simulator: Simulator) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = listener.unwrap_or_else(|error| panic!("cannot listen: {error}"));
        let address = listener.local_addr();
        let address = address.unwrap_or_else(|error| panic!("no address: {error}"));
        let (simulator, stopped) = (Mutex::new(simulator), AtomicBool::new(false));
        let shared = Arc::new(Shared { simulator, stopped });
        let accepting = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Self { address, shared, accepting: Some(accepting) }
    }

    /// The base URL.
    ///
    /// # Panics
    /// Never: a socket address makes a URL.
    pub fn url(&self) -> Url {
        let url = format!("http://{}/", self.address);
        url.parse().unwrap_or_else(|error| panic!("{url} is not a URL: {error}"))
    }

    /// The simulator, to publish more. Requests wait while it is held.
    pub fn simulator(&self) -> MutexGuard<'_, Simulator> {
        self.shared.simulator()
    }
}

impl Drop for ServedSimulator {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Shared {
    fn simulator(&self) -> MutexGuard<'_, Simulator> {
        self.simulator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, path: &str) -> Option<Vec<u8>> {
        if let Some(name) = path.strip_prefix("/tuf/metadata/") {
            return self.simulator().files.get(name).cloned();
        }
        if let Some(path) = path.strip_prefix("/files/") {
            // Under its own name, whether or not a role lists it.
            let path = percent_decoded(path)?;
            return self.simulator().target_files.get(&path).cloned();
        }
        let (folder, name) = path.strip_prefix("/tuf/targets/")?.rsplit_once('/')?;
        let (digest, name) = name.split_once('.')?;
        let content = self.simulator().target_files.get(&format!("{folder}/{name}"))?.clone();
        (Sha256::of(&content).to_string() == digest).then_some(content)
    }
}

fn percent_decoded(path: &str) -> Option<String> {
    let mut parts = path.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for connection in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(connection) = connection else { continue };
        let shared = Arc::clone(shared);
        // A client that goes away in the middle is its own business.
        thread::spawn(move || answer(connection, &shared).ok());
    }
}

/// One request for each connection.
fn answer(mut connection: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut lines = BufReader::new(connection.try_clone()?).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let (status, body) = match shared.file(path) {
        Some(body) => ("200 OK", body),
        None => ("404 Not Found", Vec::new()),
    };
    let length = body.len();
    write!(
        connection,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    connection.write_all(&body)
}
