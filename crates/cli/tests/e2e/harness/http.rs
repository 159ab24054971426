//! HTTP/1.1 by hand: requests that no well-behaved client sends, and the reason phrases that most
//! clients drop.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use url::Url;

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The reason phrase, which is what twine and pip show.
    pub(crate) reason: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One request on a connection of its own.
pub(crate) fn request(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Answer> {
    // The path goes out as it stands: a URL parser would take `..` out.
    let authority = Url::parse(url).unwrap().socket_addrs(|| None)?[0];
    let path = url.splitn(4, '/').nth(3).unwrap_or_default();
    let mut connection = TcpStream::connect(authority)?;
    connection.set_read_timeout(Some(Duration::from_mins(1)))?;
    let mut head = format!("{method} /{path} HTTP/1.1\r\nConnection: close\r\n").into_bytes();
    if !headers.iter().any(|(name, _)| *name == "Host") {
        write!(head, "Host: {authority}\r\n")?;
    }
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n")?;
    }
    if !body.is_empty() {
        write!(head, "Content-Length: {}\r\n", body.len())?;
    }
    head.extend_from_slice(b"\r\n");
    connection.write_all(&head)?;
    // A server may answer, and close, before it has read everything.
    let sent = connection.write_all(body);
    read(connection).map_err(|error| sent.err().unwrap_or(error))
}

fn read(connection: TcpStream) -> io::Result<Answer> {
    let mut connection = BufReader::new(connection);
    let mut line = || -> io::Result<String> {
        let mut line = String::new();
        match connection.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    };
    let start = line()?;
    let mut words = start.splitn(3, ' ').skip(1);
    let status = words.next().and_then(|status| status.parse().ok());
    let status = status.ok_or(io::ErrorKind::InvalidData)?;
    let reason = words.next().unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    loop {
        let header = line()?;
        match header.split_once(':') {
            Some((name, value)) => headers.push((name.to_owned(), value.trim().to_owned())),
            None => break,
        }
    }
    let mut body = Vec::new();
    connection.read_to_end(&mut body)?;
    let answer = Answer { status, reason, headers, body };
    assert!(answer.header("transfer-encoding").is_none(), "no answer here is in chunks: {start}");
    Ok(answer)
}
