//! As much of HTTP/1.1 as a demo on loopback needs: each connection has one request.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The longest head of a request or an answer.
const MAX_HEAD: usize = 64 << 10;

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) path: String,
    /// The types that the client takes.
    pub(super) accept: String,
}

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The status with its reason phrase.
    pub(super) status_line: String,
    pub(super) content_type: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn not_found() -> Self {
        let (content_type, body) = ("text/plain".to_owned(), b"not here\n".to_vec());
        Self { status: 404, status_line: "404 Not Found".to_owned(), content_type, body }
    }

    /// The head that goes before the body; `None` as its length: it ends when the connection does.
    pub(super) fn head(&self, length: Option<usize>) -> String {
        let length = length.map(|length| format!("Content-Length: {length}\r\n"));
        let (status, content_type) = (&self.status_line, &self.content_type);
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n{}Connection: close\r\n\r\n",
            length.unwrap_or_default()
        )
    }
}

/// Reads a request that has no body; `None` where it is not one.
pub(super) async fn read_request(stream: &mut TcpStream) -> io::Result<Option<Request>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        // Small reads: nothing follows the head.
        if stream.read_buf(&mut head).await? == 0 || head.len() > MAX_HEAD {
            return Ok(None);
        }
    }
    let head = String::from_utf8_lossy(&head);
    let mut lines = head.lines();
    let Some(path) = lines.next().and_then(|line| line.split(' ').nth(1)) else { return Ok(None) };
    Ok(Some(Request { path: path.to_owned(), accept: field(lines, "accept") }))
}

/// Asks a server for a path.
pub(super) async fn get(server: SocketAddr, request: &Request) -> io::Result<Answer> {
    let Request { path, accept } = request;
    let head = format!("GET {path} HTTP/1.0\r\nHost: {server}\r\nAccept: {accept}\r\n\r\n");
    exchange(server, head.as_bytes()).await
}

/// Sends a server a form.
pub(super) async fn post(
    server: SocketAddr,
    path: &str,
    fields: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Answer> {
    let fields: Vec<_> =
        fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let (fields, length) = (fields.concat(), body.len());
    let request = format!(
        "POST {path} HTTP/1.0\r\nHost: {server}\r\n{fields}Content-Length: {length}\r\n\r\n"
    );
    exchange(server, &[request.as_bytes(), body].concat()).await
}

async fn exchange(server: SocketAddr, request: &[u8]) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(request).await?;
    let mut bytes = Vec::new();
    // To the end of the connection, as in HTTP/1.0.
    stream.read_to_end(&mut bytes).await?;
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.ok_or_else(|| io::Error::other("the answer has no head"))?;
    let body = bytes.split_off(end + 4);
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let mut lines = head.lines();
    let status_line = lines.next().and_then(|line| line.split_once(' ')).map(|(_, status)| status);
    let status_line = status_line.unwrap_or_default().to_owned();
    let status = status_line.split(' ').next().and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other("the answer has no status"))?;
    Ok(Answer { status, status_line, content_type: field(lines, "content-type"), body })
}

/// The value of a header field.
fn field<'a>(lines: impl Iterator<Item = &'a str>, name: &str) -> String {
    let fields = lines.filter_map(|line| line.split_once(':'));
    let found = fields.into_iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
}
