//! Reading a `multipart/form-data` body (RFC 7578) in bounded memory: no more is taken from the
//! connection than is used, so a fast client fills no buffer, and every part of the syntax has a
//! limit.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::StreamExt;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::error::Error;

/// Longest boundary (RFC 2046, 5.1.1).
const MAX_BOUNDARY: usize = 70;
/// Most bytes of a part's headers.
const MAX_HEADERS: usize = 8 << 10;
/// Most bytes of padding after a boundary.
const MAX_PADDING: usize = 64;
/// Most parts. Every classifier and requirement of a package is one.
const MAX_PARTS: u32 = 10_000;

/// A form on its way in.
pub(crate) struct Multipart {
    body: BodyDataStream,
    buffer: BytesMut,
    /// What ends a part: line end, two dashes, boundary.
    delimiter: Vec<u8>,
    state: State,
    parts: u32,
    /// Bytes that may still come.
    budget: u64,
    limit: u64,
    idle: Duration,
}

/// Where in the form the buffer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In a part, or in what stands before the first one.
    Data,
    /// After a delimiter.
    Delimited,
    /// After the last delimiter.
    End,
}

/// The head of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// The field's name.
    pub(crate) name: String,
    /// The file's name, if it is a file.
    pub(crate) filename: Option<String>,
}

impl Multipart {
    /// The form in `body`, which may have `limit` bytes and pause for `idle`.
    pub(crate) fn new(
        headers: &HeaderMap,
        body: Body,
        limit: u64,
        idle: Duration,
    ) -> Result<Self, Error> {
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let boundary = content_type
            .and_then(boundary)
            .ok_or_else(|| form("it is not multipart/form-data with a boundary"))?;
        Ok(Self {
            body: body.into_data_stream(),
            // The first delimiter may lack its line end.
            buffer: BytesMut::from(&b"\r\n"[..]),
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            state: State::Data,
            parts: 0,
            budget: limit,
            limit,
            idle,
        })
    }

    /// The next part, after skipping what is left of this one; none at the end of the form.
    pub(crate) async fn next_part(&mut self) -> Result<Option<Part>, Error> {
        while self.chunk().await?.is_some() {}
        if self.state == State::End {
            return Ok(None);
        }
        let padding = self.line_up_to(b"\r\n", MAX_PADDING, "after a boundary").await?;
        if padding.starts_with(b"--") {
            self.state = State::End;
            return Ok(None);
        }
        if padding.iter().any(|byte| !matches!(byte, b' ' | b'\t')) {
            return Err(form("there is text after a boundary"));
        }
        self.parts += 1;
        if self.parts > MAX_PARTS {
            return Err(form(format!("it has more than {MAX_PARTS} fields")));
        }
        let headers = self.headers().await?;
        self.state = State::Data;
        Part::parse(&headers).map(Some)
    }

    /// The next bytes of this part; none at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        while self.state == State::Data {
            match find(&self.buffer, &self.delimiter) {
                Some(0) => {
                    self.buffer.advance(self.delimiter.len());
                    self.state = State::Delimited;
                }
                Some(end) => return Ok(Some(self.buffer.split_to(end).freeze())),
                None => {
                    // The end of the buffer may be the beginning of a delimiter.
                    let sure = (self.buffer.len() + 1).saturating_sub(self.delimiter.len());
                    if sure > 0 {
                        return Ok(Some(self.buffer.split_to(sure).freeze()));
                    }
                    self.fill().await?;
                }
            }
        }
        Ok(None)
    }

    /// Takes the rest of the body and drops it, so that a client that reads no answer before it
    /// has sent everything gets to the answer. Gives up after `most` bytes, or when nothing comes.
    pub(crate) async fn drain(self, most: u64) {
        drain(self.body, most.min(self.budget)).await;
    }

    /// The headers of a part, with their last line end.
    async fn headers(&mut self) -> Result<Bytes, Error> {
        let mut headers = BytesMut::new();
        loop {
            let room = MAX_HEADERS.saturating_sub(headers.len());
            let line = self.line_up_to(b"\r\n", room, "in the headers of a field").await?;
            if line.is_empty() {
                return Ok(headers.freeze());
            }
            headers.extend_from_slice(&line);
            headers.extend_from_slice(b"\r\n");
        }
    }

    /// The bytes before `end`, which is taken as well.
    async fn line_up_to(
        &mut self,
        end: &[u8],
        most: usize,
        place: &'static str,
    ) -> Result<Bytes, Error> {
        loop {
            if let Some(length) = find(&self.buffer, end).filter(|length| *length <= most) {
                let line = self.buffer.split_to(length).freeze();
                self.buffer.advance(end.len());
                return Ok(line);
            }
            // The body may end right after the last boundary.
            if place == "after a boundary" && self.buffer.starts_with(b"--") {
                return Ok(Bytes::from_static(b"--"));
            }
            if self.buffer.len() > most + end.len() {
                return Err(form(format!("there is no line end {place}")));
            }
            self.fill().await?;
        }
    }

    /// Waits for more bytes.
    async fn fill(&mut self) -> Result<(), Error> {
        let next = tokio::time::timeout(self.idle, self.body.next()).await;
        let chunk = match next {
            Err(_) => return Err(Error::Stalled { seconds: self.idle.as_secs() }),
            Ok(None) => return Err(form("it ends before its last boundary")),
            Ok(Some(Err(error))) => return Err(Error::Interrupted { problem: error.to_string() }),
            Ok(Some(Ok(chunk))) => chunk,
        };
        let length = chunk.len() as u64;
        let over = || Error::TooLarge { what: "the upload", limit: self.limit };
        self.budget = self.budget.checked_sub(length).ok_or_else(over)?;
        self.buffer.extend_from_slice(&chunk);
        Ok(())
    }
}

impl Part {
    fn parse(headers: &[u8]) -> Result<Self, Error> {
        let headers = std::str::from_utf8(headers)
            .map_err(|_| form("the headers of a field are not UTF-8"))?;
        let disposition = headers
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("content-disposition"));
        let Some((_, disposition)) = disposition else {
            return Err(form("a field has no Content-Disposition"));
        };
        let name = parameter(disposition, "name");
        let name = name.ok_or_else(|| form("a field has no name"))?;
        Ok(Self { name, filename: parameter(disposition, "filename") })
    }
}

/// Takes what is left of a body and drops it, at most `most` bytes of it and for a few seconds.
pub(crate) async fn drain(mut body: BodyDataStream, mut most: u64) {
    const LONGEST: Duration = Duration::from_secs(10);
    let all = async {
        while let Some(Ok(chunk)) = body.next().await {
            match most.checked_sub(chunk.len() as u64) {
                Some(left) => most = left,
                None => break,
            }
        }
    };
    // Either way the answer follows; only a client that sends without reading may miss it.
    let _ = tokio::time::timeout(LONGEST, all).await;
}

fn form(problem: impl Into<String>) -> Error {
    Error::Form { problem: problem.into() }
}

fn boundary(content_type: &str) -> Option<String> {
    let (media_type, parameters) = content_type.split_once(';')?;
    if !media_type.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameter(&format!(";{parameters}"), "boundary")?;
    let usable = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    let fits = (1..=MAX_BOUNDARY).contains(&boundary.len());
    (fits && boundary.bytes().all(usable)).then_some(boundary)
}

/// The value of `; name=value` or `; name="value"`. Browsers and Python escape a quote as `%22`,
/// others with a backslash; neither is in a name that this index takes.
fn parameter(header: &str, wanted: &str) -> Option<String> {
    let (_, mut rest) = header.split_once(';')?;
    loop {
        let (name, after) = rest.split_once('=')?;
        let value;
        (value, rest) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => quoted_string(quoted)?,
            None => {
                let (value, rest) = after.split_once(';').unwrap_or((after, ""));
                (value.trim().to_owned(), rest)
            }
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
    }
}

/// A quoted string after its first quote, and what follows the next `;`.
fn quoted_string(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => {
                let rest = &text[at + 1..];
                return Some((value, rest.split_once(';').map_or("", |(_, rest)| rest)));
            }
            // A backslash escapes what HTTP lets it escape, and is one of Windows' separators.
            '\\' => match characters.clone().next() {
                Some((_, next @ ('"' | '\\'))) => {
                    characters.next();
                    value.push(next);
                }
                _ => value.push('\\'),
            },
            _ => value.push(character),
        }
    }
    None
}

/// Where `needle` begins in `haystack`. It begins with `\r` here, which is rare enough.
fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let (&first, _) = needle.split_first()?;
    let mut from = 0;
    while let Some(at) = haystack.get(from..)?.iter().position(|&byte| byte == first) {
        if haystack[from + at..].starts_with(needle) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

#[cfg(test)]
mod tests;
