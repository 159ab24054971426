//! HTTP/1.1 by hand: heads of messages.

use std::io::{self, BufRead, Read};

use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use http::{Method, StatusCode};

/// No head of a test's is longer; a peer that sends more is broken.
const HEAD_LIMIT: u64 = 64 * 1024;

/// An answer to one request, before it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers, without those about the connection, and the length of the body.
    pub headers: HeaderMap,
    /// The body; empty for `HEAD`.
    pub body: Vec<u8>,
}

/// A request without its body: the mirror passes on none.
#[derive(Clone, Debug)]
pub(super) struct RequestHead {
    pub(super) method: Method,
    /// Path and query, as sent.
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    /// Whether the connection ends after the answer.
    pub(super) close: bool,
}

impl Answer {
    pub(super) fn text(status: StatusCode, text: &str) -> Self {
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        let headers = [(CONTENT_TYPE, plain)].into_iter().collect();
        Self { status, headers, body: format!("{text}\n").into_bytes() }
    }

    /// Whether there are bytes of a file to change.
    pub(super) fn has_file(&self) -> bool {
        self.status.is_success() && !self.body.is_empty()
    }

    /// A rule that cannot apply must not look like an honest answer: the test would pass for the
    /// wrong reason.
    pub(super) fn misfit(&mut self, why: &str) {
        let text = format!("the rule of the malicious mirror does not fit: {why}");
        *self = Self::text(StatusCode::INTERNAL_SERVER_ERROR, &text);
    }
}

impl RequestHead {
    pub(super) fn get(target: &str) -> Self {
        let target = target.to_owned();
        Self { method: Method::GET, target, headers: HeaderMap::new(), close: false }
    }

    /// The next request of a connection, or `None` at its end.
    pub(super) fn read(connection: &mut impl BufRead) -> io::Result<Option<Self>> {
        let Some((start, headers)) = read_head(connection)? else { return Ok(None) };
        let mut words = start.split(' ');
        let (Some(method), Some(target), Some(version)) =
            (words.next(), words.next(), words.next())
        else {
            return Err(invalid("a request line of three words", &start));
        };
        let method = method.parse().map_err(|_| invalid("a method", &start))?;
        // A body would be taken for the next request.
        let has_body = headers.contains_key(TRANSFER_ENCODING)
            || headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0");
        let asked_to_close = headers
            .get(CONNECTION)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"));
        let close = has_body || asked_to_close || version != "HTTP/1.1";
        Ok(Some(Self { method, target: target.to_owned(), headers, close }))
    }
}

/// The start line and the headers of a message, or `None` when the peer ended before one.
pub(super) fn read_head(peer: &mut impl BufRead) -> io::Result<Option<(String, HeaderMap)>> {
    let mut peer = peer.take(HEAD_LIMIT);
    let mut line = || -> io::Result<Option<String>> {
        let mut line = String::new();
        peer.read_line(&mut line)?;
        Ok(line.strip_suffix('\n').map(|line| line.trim_end_matches('\r').to_owned()))
    };
    let Some(start) = line()? else { return Ok(None) };
    let mut headers = HeaderMap::new();
    loop {
        let header = line()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if header.is_empty() {
            return Ok(Some((start, headers)));
        }
        let (name, value) = header.split_once(':').ok_or_else(|| invalid("a header", &header))?;
        let name = HeaderName::try_from(name).map_err(|_| invalid("a header's name", &header))?;
        let value = HeaderValue::try_from(value.trim())
            .map_err(|_| invalid("a header's value", &header))?;
        headers.append(name, value);
    }
}

pub(super) fn invalid(expected: &str, found: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{found:?} is not {expected}"))
}

/// Writes headers as they go over the wire.
pub(super) fn write_headers(head: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
}
