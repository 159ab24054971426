//! Uploads of real wheels through HTTP, to the real binary over loopback: how many a second, how
//! long until the answer, and how long until a client has verified the file.
//!
//! Load generator, client and index share the machine's processors.

pub(crate) mod server;
mod verifier;
mod wheels;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use serde::Serialize;
use waxseal_testkit::stopwatch::percentile;

use crate::published::Published;
use server::Server;
use verifier::{Answered, Newest, Verifier};
use wheels::Upload;

/// What came of one number of parallel clients. Times in seconds.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) bins: u32,
    pub(crate) clients: usize,
    pub(crate) uploads: usize,
    pub(crate) uploads_a_second: f64,
    /// From the first byte sent to the answer.
    pub(crate) answered: Latency,
    /// From the first byte sent to the verified file.
    pub(crate) verified: Latency,
    /// Processor time of the index for one upload.
    pub(crate) server_cpu: f64,
    /// Snapshots that were published meanwhile.
    pub(crate) snapshots: u64,
    pub(crate) peak_kib: u64,
}

/// Of so many.
#[derive(Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) count: usize,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Latency {
    pub(crate) fn of(durations: &[Duration]) -> Self {
        let at = |percent| percentile(durations.iter().copied(), percent).as_secs_f64();
        Self { count: durations.len(), p50: at(50), p99: at(99) }
    }
}

/// Measures the index in `data` with each number of clients, which make so many uploads in all.
/// `name` begins the names of the projects that are uploaded.
pub(crate) fn run(data: &Path, name: &str, loads: &[(usize, usize)]) -> Vec<Outcome> {
    let server = Server::start(data);
    let bins = Published::read(data).bins();
    let trust = tempfile::tempdir_in(data.parent().unwrap()).unwrap();
    let verifier = Verifier::new(&server.url, trust.path());
    let measure = |(clients, uploads): &(usize, usize)| {
        eprintln!("uploads over HTTP, {bins} bins, {clients} clients …");
        let uploads = wheels::make(&format!("{name}{clients}for"), *uploads);
        load(&server, &verifier, bins, *clients, &uploads)
    };
    loads.iter().map(measure).collect()
}

fn load(
    server: &Server,
    verifier: &Verifier,
    bins: u32,
    clients: usize,
    uploads: &[Upload],
) -> Outcome {
    let (newest, next, answered) = (Newest::default(), AtomicUsize::new(0), Mutex::default());
    let (snapshot, cpu, start) = (verifier.snapshot(), server.processor(), Instant::now());
    let (elapsed, latencies) = thread::scope(|scope| {
        let verifying = scope.spawn(|| verifier.run(&newest));
        let clients: Vec<_> = (0..clients)
            .map(|_| scope.spawn(|| send(server, uploads, &next, &newest, &answered)))
            .collect();
        for client in clients {
            client.join().unwrap();
        }
        let elapsed = start.elapsed();
        newest.end();
        (elapsed, verifying.join().unwrap())
    });
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let count = uploads.len() as f64;
    Outcome {
        bins,
        clients,
        uploads: uploads.len(),
        uploads_a_second: count / elapsed.as_secs_f64(),
        answered: Latency::of(&answered.into_inner().unwrap()),
        verified: Latency::of(&latencies),
        server_cpu: server.processor().saturating_sub(cpu).as_secs_f64() / count,
        snapshots: verifier.snapshot() - snapshot,
        peak_kib: server.peak_memory(),
    }
}

/// One client: takes the next upload until none is left, on one connection.
fn send(
    server: &Server,
    uploads: &[Upload],
    next: &AtomicUsize,
    newest: &Newest,
    answered: &Mutex<Vec<Duration>>,
) {
    let mut connection = Connection::open(server);
    while let Some(upload) = uploads.get(next.fetch_add(1, Ordering::Relaxed)) {
        let sent = Instant::now();
        connection.post(&upload.body);
        answered.lock().unwrap().push(sent.elapsed());
        newest.put(Answered { path: upload.path.clone(), sent });
    }
}

/// A connection that stays open, as one of `requests` does.
struct Connection {
    stream: BufReader<TcpStream>,
    head: String,
}

impl Connection {
    fn open(server: &Server) -> Self {
        let address = server.url.strip_prefix("http://").unwrap();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(2))).unwrap();
        let user = BASE64.encode(format!("__token__:{}", server.token).as_bytes());
        let head = format!(
            "POST /legacy/ HTTP/1.1\r\nHost: {address}\r\nUser-Agent: twine/7.0.0\r\n\
             Authorization: Basic {user}\r\nContent-Type: {}\r\n",
            wheels::content_type()
        );
        Self { stream: BufReader::new(stream), head }
    }

    /// Uploads, and reads the answer, which has to be 200.
    fn post(&mut self, body: &[u8]) {
        let head = format!("{}Content-Length: {}\r\n\r\n", self.head, body.len());
        self.stream.get_mut().write_all(head.as_bytes()).unwrap();
        self.stream.get_mut().write_all(body).unwrap();
        let mut answer = String::new();
        while !answer.ends_with("\r\n\r\n") {
            assert!(self.stream.read_line(&mut answer).unwrap() > 0, "no answer: {answer}");
        }
        let length = answer.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
        });
        let mut body = vec![0; length.unwrap_or(0)];
        self.stream.read_exact(&mut body).unwrap();
        let shown = String::from_utf8_lossy(&body);
        assert!(answer.starts_with("HTTP/1.1 200 "), "refused: {answer}{shown}");
    }
}
