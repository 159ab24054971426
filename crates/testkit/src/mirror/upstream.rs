//! The honest index, as the mirror asks it.

use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{Method, StatusCode};
use url::Url;

use super::wire::{Answer, RequestHead, invalid, read_head, write_headers};

/// Headers about one connection; RFC 9110, section 7.6.1.
const HOP_BY_HOP: [HeaderName; 5] = [CONNECTION, TE, TRANSFER_ENCODING, UPGRADE, HOST];

/// Longer than any honest answer takes; a test that waits so long has failed.
const DEADLINE: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub(super) struct Upstream {
    /// Host and port.
    authority: String,
    /// What comes before a request's path; without a slash at its end.
    base: String,
}

impl Upstream {
    pub(super) fn new(url: &Url) -> Self {
        let address = (url.scheme() == "http").then(|| url.host().zip(url.port_or_known_default()));
        let Some(Some((host, port))) = address else {
            panic!("the mirror speaks plain HTTP to the index, so {url} cannot be mirrored");
        };
        let base = url.path().trim_end_matches('/').to_owned();
        Self { authority: format!("{host}:{port}"), base }
    }

    /// The index's answer, uncompressed; 502 with the reason when there is none.
    pub(super) fn fetch(&self, request: &RequestHead) -> Answer {
        self.try_fetch(request).unwrap_or_else(|error| {
            let text = format!("the index at {} does not answer: {error}", self.authority);
            Answer::text(StatusCode::BAD_GATEWAY, &text)
        })
    }

    fn try_fetch(&self, request: &RequestHead) -> io::Result<Answer> {
        let mut headers = without_hop_by_hop(request.headers.clone());
        // A changed byte is to be a byte of the file, not of its compressed form.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let host = HeaderValue::try_from(&self.authority).map_err(io::Error::other)?;
        headers.insert(HOST, host);

        let mut index = TcpStream::connect(&self.authority)?;
        index.set_read_timeout(Some(DEADLINE))?;
        // HTTP/1.0 rules out chunks: the body is what comes until the connection ends.
        let mut head =
            format!("{} {}{} HTTP/1.0\r\n", request.method, self.base, request.target).into_bytes();
        write_headers(&mut head, &headers);
        head.extend_from_slice(b"\r\n");
        index.write_all(&head)?;
        read_answer(BufReader::new(index), &request.method)
    }
}

fn read_answer(mut index: BufReader<TcpStream>, method: &Method) -> io::Result<Answer> {
    let (start, headers) = read_head(&mut index)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = start.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| invalid("a status line", &start))?;
    if headers.contains_key(TRANSFER_ENCODING) {
        return Err(invalid("an answer in HTTP/1.0, it is in chunks", &start));
    }
    let mut body = Vec::new();
    index.read_to_end(&mut body)?;

    let announced =
        headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let bodiless = *method == Method::HEAD || status == StatusCode::NOT_MODIFIED;
    if !bodiless && announced.is_some_and(|announced: usize| announced != body.len()) {
        return Err(invalid("the length that the index announced", &body.len().to_string()));
    }
    let mut headers = without_hop_by_hop(headers);
    // Where there is a body, its length is what the mirror sends in the end.
    if !bodiless {
        headers.remove(CONTENT_LENGTH);
    }
    Ok(Answer { status, headers, body })
}

fn without_hop_by_hop(mut headers: HeaderMap) -> HeaderMap {
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    headers
}
