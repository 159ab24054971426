//! A mirror between pip and the index, which passes on what it is asked for and lies as it is told.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::http::{self, Answer, Request};

/// What the mirror does to some requests in place of passing them on.
#[derive(Clone)]
pub(super) struct Lie {
    /// Of which paths.
    pub(super) about: About,
    pub(super) instead: Instead,
}

/// Paths, by a part of them.
#[derive(Debug, Clone)]
pub(super) enum About {
    Path(String),
    Contains(String),
    Ends(String),
}

/// What is answered.
#[derive(Clone)]
pub(super) enum Instead {
    /// What the index answered at another time, to clients that take JSON, and to others.
    Recorded(Box<Recorded>),
    /// Other bytes.
    Bytes(Vec<u8>),
    /// The index's answer, changed.
    Edited(Arc<dyn Fn(String) -> String + Send + Sync>),
    /// What the index has at another path.
    At(String),
    /// Nothing at all.
    NotFound,
    /// The index's answer and then anything, without an end: so many bytes at most, since the
    /// attacker of a demo tires.
    Endless(u64),
    /// The index's answer, one byte at a time.
    Slowly(Duration),
}

/// An answer that a mirror kept.
#[derive(Debug, Clone)]
pub(super) struct Recorded {
    json: Answer,
    html: Answer,
}

/// The types that pip takes pages in.
pub(super) const JSON: &str = "application/vnd.pypi.simple.v1+json";

impl Recorded {
    /// Keeps what the index answers now.
    pub(super) async fn of(index: SocketAddr, path: &str) -> io::Result<Self> {
        let request = |accept: &str| Request { path: path.to_owned(), accept: accept.to_owned() };
        let json = http::get(index, &request(JSON)).await?;
        Ok(Self { json, html: http::get(index, &request("text/html")).await? })
    }
}

/// A mirror, until this is dropped.
pub(super) struct Mirror {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    index: SocketAddr,
    lies: Mutex<Vec<Lie>>,
    /// Bytes of bodies that were lies.
    sent: AtomicU64,
}

impl Mirror {
    /// A mirror of the index at this address, honest at first.
    pub(super) async fn start(index: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Shared { index, lies: Mutex::default(), sent: AtomicU64::new(0) };
        let shared = Arc::new(shared);
        let serving = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, serving })
    }

    /// Its URL, without a slash at its end.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Begins to lie.
    pub(super) fn lie(&self, lies: Vec<Lie>) {
        *self.shared.lies.lock().unwrap_or_else(PoisonError::into_inner) = lies;
    }

    /// Ends it.
    pub(super) fn be_honest(&self) {
        self.lie(Vec::new());
    }

    /// How many bytes of lies it sent.
    pub(super) fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            if let Err(error) = shared.answer(&mut stream).await {
                tracing::debug!(%error, "the demo's mirror lost a connection");
            }
        });
    }
}

impl Shared {
    async fn answer(&self, stream: &mut TcpStream) -> io::Result<()> {
        let Some(request) = http::read_request(stream).await? else { return Ok(()) };
        let Some(instead) = self.instead_of(&request.path) else {
            return send(stream, &http::get(self.index, &request).await?).await;
        };
        let answer = match &instead {
            Instead::Recorded(kept) if request.accept.contains(JSON) => kept.json.clone(),
            Instead::Recorded(kept) => kept.html.clone(),
            Instead::NotFound => Answer::not_found(),
            Instead::At(path) => {
                http::get(self.index, &Request { path: path.clone(), ..request }).await?
            }
            // Where the index has nothing of that name, too.
            Instead::Bytes(bytes) => {
                let honest = http::get(self.index, &request).await?;
                Answer { status_line: "200 OK".to_owned(), body: bytes.clone(), ..honest }
            }
            Instead::Edited(edit) => {
                let honest = http::get(self.index, &request).await?;
                let text = String::from_utf8_lossy(&honest.body).into_owned();
                Answer { body: edit(text).into_bytes(), ..honest }
            }
            Instead::Endless(_) | Instead::Slowly(_) => http::get(self.index, &request).await?,
        };
        match instead {
            Instead::Endless(most) => self.send_endless(stream, &answer, most).await,
            Instead::Slowly(pause) => self.send_slowly(stream, &answer, pause).await,
            _ => {
                self.count(answer.body.len());
                send(stream, &answer).await
            }
        }
    }

    fn instead_of(&self, path: &str) -> Option<Instead> {
        let lies = self.lies.lock().unwrap_or_else(PoisonError::into_inner);
        let lie = lies.iter().find(|lie| match &lie.about {
            About::Path(of) => path == of,
            About::Contains(part) => path.contains(part),
            About::Ends(end) => path.ends_with(end),
        });
        lie.map(|lie| lie.instead.clone())
    }

    fn count(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    async fn send_endless(
        &self,
        stream: &mut TcpStream,
        answer: &Answer,
        most: u64,
    ) -> io::Result<()> {
        let more = vec![b'\0'; 64 << 10];
        // At once: who got the answer alone first would be right to stop there, and to use it.
        let begin =
            [answer.head(None).as_bytes(), answer.body.as_slice(), more.as_slice()].concat();
        stream.write_all(&begin).await?;
        self.count(answer.body.len() + more.len());
        let mut sent = more.len() as u64;
        while sent < most {
            stream.write_all(&more).await?;
            self.count(more.len());
            sent += more.len() as u64;
        }
        stream.shutdown().await
    }

    async fn send_slowly(
        &self,
        stream: &mut TcpStream,
        answer: &Answer,
        pause: Duration,
    ) -> io::Result<()> {
        stream.write_all(answer.head(Some(answer.body.len())).as_bytes()).await?;
        for byte in &answer.body {
            stream.write_all(&[*byte]).await?;
            self.count(1);
            tokio::time::sleep(pause).await;
        }
        stream.shutdown().await
    }
}

async fn send(stream: &mut TcpStream, answer: &Answer) -> io::Result<()> {
    stream.write_all(answer.head(Some(answer.body.len())).as_bytes()).await?;
    stream.write_all(&answer.body).await?;
    stream.shutdown().await
}
