//! The index behind a real listener: the first line of an answer, shutdown, and panics.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use waxseal_server::{Limits, serve};

use crate::index::Index;

struct Server {
    address: SocketAddr,
    shutdown: oneshot::Sender<()>,
    ended: JoinHandle<std::io::Result<()>>,
}

async fn start(router: Router, limits: Limits) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (shutdown, asked) = oneshot::channel();
    let ended = tokio::spawn(async move {
        let asked = async {
            let _ = asked.await;
        };
        serve(listener, router, &limits, asked).await
    });
    Server { address, shutdown, ended }
}

/// Sends a request with `Connection: close` and reads the answer to its end.
async fn talk(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn the_reason_is_in_the_first_line() {
    let index = Index::new();
    let server = start(index.router.clone(), Limits::default()).await;
    let mut form = index.wheel("foo", "1.0");
    form = form.set("name", "bar");
    let body = form.bytes();
    let mut request = format!(
        "POST /legacy/ HTTP/1.1\r\nHost: index\r\nConnection: close\r\nAuthorization: {}\r\n\
         Content-Type: multipart/form-data; boundary=a-boundary\r\nContent-Length: {}\r\n\r\n",
        form.authorization().unwrap(),
        body.len()
    )
    .into_bytes();
    request.extend(body);
    let answer = talk(server.address, &request).await;
    let expected = "HTTP/1.1 400 the upload form says that the name is 'bar', but foo-1.0";
    assert!(answer.starts_with(expected), "{answer}");
}

#[tokio::test]
async fn a_client_that_asks_first_is_refused_before_it_sends() {
    let index = Index::new();
    let server = start(index.router.clone(), Limits::default()).await;
    let request = b"POST /legacy/ HTTP/1.1\r\nHost: index\r\nExpect: 100-continue\r\n\
                    Content-Length: 1000000\r\n\r\n";
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 401");
}

#[tokio::test]
async fn a_shutdown_lets_requests_end_and_then_returns() {
    let index = Index::new();
    let server = start(index.router.clone(), Limits::default()).await;
    // An idle connection, and one in the middle of a request.
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: index\r\n\r\n").await.unwrap();
    let mut start = [0; 15];
    idle.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200 OK");
    server.shutdown.send(()).unwrap();
    server.ended.await.unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn a_client_that_sends_no_request_is_let_go() {
    let index = Index::new();
    let limits = Limits { head_timeout: Duration::from_millis(50), ..Limits::default() };
    let server = start(index.router.clone(), limits).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /healthz HT").await.unwrap();
    let mut answer = Vec::new();
    // Returns because the server closes; the test would hang otherwise.
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).contains("200 OK"));
}

#[tokio::test]
async fn more_connections_than_allowed_wait_their_turn() {
    let index = Index::new();
    let limits = Limits { connections: 1, ..Limits::default() };
    let server = start(index.router.clone(), limits).await;
    let request = b"GET /healthz HTTP/1.1\r\nHost: index\r\nConnection: close\r\n\r\n";
    let all = (0..5).map(|_| talk(server.address, request));
    for answer in futures_util::future::join_all(all).await {
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    }
}
