//! Sending an answer, well or badly.

use std::io::{self, BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use http::header::CONTENT_LENGTH;
use http::{Method, StatusCode};

use super::wire::{Answer, RequestHead, write_headers};

/// How much of an endless part is written at a time.
const PIECE: usize = 64 * 1024;

/// A part of an answer that never ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    /// The value of one header.
    Header,
    /// One header after another.
    Headers,
    /// One interim answer (`103 Early Hints`) after another, before the final one.
    Interim,
    /// The body, in chunks of one byte: the true one, then more of nothing.
    TinyChunks,
    /// The extension of the first chunk.
    ChunkExtension,
    /// The trailers, after the true body.
    Trailers,
    /// The body, without a length and without chunks: the true one, then more of nothing.
    Unframed,
    /// A body labelled `gzip` that decodes to no byte at all: one empty block after another.
    EmptyGzip,
    /// A body labelled `zstd` that decodes to no byte at all: one skippable frame after another.
    EmptyZstd,
}

/// How an answer is sent.
#[derive(Debug)]
pub(super) enum Delivery {
    Whole,
    Claiming(u64),
    Framed { lengths: Vec<String>, chunked: bool },
    Endless,
    Flood(Flood),
    Trickle { bytes: usize, every: Duration },
    TrickleHead { every: Duration },
    Stall { percent: u8 },
    Silence,
    Drop,
}

/// What becomes of the connection.
#[derive(Debug)]
pub(super) enum After {
    KeepAlive,
    Close,
}

/// What a head says about the end of the body.
enum Framing<'a> {
    Length(u64),
    Chunked,
    Nothing,
    Lines { lengths: &'a [String], chunked: bool },
}

impl Delivery {
    /// Sends the answer, and adds what went into the connection to `sent`.
    pub(super) fn send(
        &self,
        answer: &Answer,
        request: &RequestHead,
        connection: &mut BufReader<TcpStream>,
        sent: &AtomicU64,
    ) -> io::Result<After> {
        let keep = || if request.close { After::Close } else { After::KeepAlive };
        match self {
            Self::Drop => return Ok(After::Close),
            Self::Silence => return wait_for_the_end(connection),
            _ => {}
        }

        let client = &mut Counted { client: connection.get_mut(), sent };
        let head = head(answer, request, &self.framing(answer), self.closes());
        match self {
            Self::TrickleHead { every } => trickle(client, &head, 1, *every)?,
            Self::Flood(flood) if flood.is_of_the_head() => flood.head(client, &head)?,
            _ => client.write_all(&head)?,
        }
        // What the answer to HEAD says about the body is all there is of it.
        if request.method == Method::HEAD && !matches!(self, Self::Stall { .. }) {
            return Ok(keep());
        }

        match self {
            Self::Whole | Self::TrickleHead { .. } => {
                client.write_all(&answer.body)?;
                return Ok(keep());
            }
            Self::Claiming(claimed) => {
                let claimed = usize::try_from(*claimed).unwrap_or(usize::MAX);
                client.write_all(&answer.body[..answer.body.len().min(claimed)])?;
            }
            Self::Framed { chunked: true, .. } => {
                write_chunk(client, &answer.body)?;
                client.write_all(b"0\r\n\r\n")?;
            }
            Self::Framed { chunked: false, .. } => client.write_all(&answer.body)?,
            Self::Endless => {
                write_chunk(client, &answer.body)?;
                for_ever(client, &chunk(&repeated(&[0])))?;
            }
            Self::Flood(flood) => flood.body(client, &answer.body)?,
            Self::Trickle { bytes, every } => {
                trickle(client, &answer.body, *bytes, *every)?;
                return Ok(keep());
            }
            Self::Stall { percent } => {
                client.write_all(part(&answer.body, *percent))?;
                return wait_for_the_end(connection);
            }
            Self::Silence | Self::Drop => {}
        }
        Ok(After::Close)
    }

    /// Whether the connection ends with the body, and is said to: a client that uses it again just
    /// then would fail for a reason that no test is about.
    fn closes(&self) -> bool {
        let unframed = matches!(self, Self::Flood(Flood::Unframed));
        unframed || matches!(self, Self::Claiming(_) | Self::Framed { .. })
    }

    fn framing(&self, answer: &Answer) -> Framing<'_> {
        match self {
            Self::Endless => Framing::Chunked,
            Self::Flood(Flood::Unframed) => Framing::Nothing,
            Self::Flood(flood) if !flood.is_of_the_head() => Framing::Chunked,
            Self::Claiming(claimed) => Framing::Length(*claimed),
            Self::Framed { lengths, chunked } => Framing::Lines { lengths, chunked: *chunked },
            _ => Framing::Length(answer.body.len() as u64),
        }
    }
}

impl Flood {
    /// The coding that the body has to be labelled with.
    pub(super) fn coding(self) -> Option<&'static str> {
        match self {
            Self::EmptyGzip => Some("gzip"),
            Self::EmptyZstd => Some("zstd"),
            _ => None,
        }
    }

    fn is_of_the_head(self) -> bool {
        matches!(self, Self::Header | Self::Headers | Self::Interim)
    }

    /// Never returns but with an error, as every flood: the client has had enough, or the mirror
    /// stops.
    fn head(self, client: &mut Counted<'_>, head: &[u8]) -> io::Result<()> {
        let unfinished = head.strip_suffix(b"\r\n").unwrap_or(head);
        match self {
            Self::Header => {
                client.write_all(unfinished)?;
                client.write_all(b"x-endless: ")?;
                for_ever(client, &repeated(b"a"))
            }
            Self::Headers => {
                client.write_all(unfinished)?;
                for_ever(client, &repeated(b"x-endless: a\r\n"))
            }
            _ => {
                let hints = "a".repeat(4000);
                let interim = format!("HTTP/1.1 103 Early Hints\r\nx-hints: {hints}\r\n\r\n");
                for_ever(client, &repeated(interim.as_bytes()))
            }
        }
    }

    fn body(self, client: &mut Counted<'_>, body: &[u8]) -> io::Result<()> {
        match self {
            Self::TinyChunks => {
                let tiny: Vec<u8> = body.iter().flat_map(|byte| chunk(&[*byte])).collect();
                client.write_all(&tiny)?;
                for_ever(client, &repeated(&chunk(&[0])))
            }
            Self::ChunkExtension => {
                client.write_all(b"1;a=")?;
                for_ever(client, &repeated(b"a"))
            }
            Self::Trailers => {
                write_chunk(client, body)?;
                client.write_all(b"0\r\n")?;
                for_ever(client, &repeated(b"x-endless: a\r\n"))
            }
            Self::EmptyGzip => {
                // RFC 1952: magic, deflate, no flags, no time, no hints, an unknown system.
                write_chunk(client, &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])?;
                // RFC 1951: a stored block that is not the last one, of length 0.
                for_ever(client, &chunk(&repeated(&[0, 0, 0, 0xff, 0xff])))
            }
            Self::EmptyZstd => {
                // RFC 8878, section 3.1.2: magic and length, then what is skipped.
                let frame = [&[0x50, 0x2a, 0x4d, 0x18, 8, 0, 0, 0][..], &[0; 8]].concat();
                for_ever(client, &chunk(&repeated(&frame)))
            }
            _ => {
                client.write_all(body)?;
                for_ever(client, &repeated(&[0]))
            }
        }
    }
}

/// The connection to a client, and how much went into it.
struct Counted<'a> {
    client: &'a mut TcpStream,
    sent: &'a AtomicU64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.client.write(bytes)?;
        self.sent.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.client.flush()
    }
}

/// Until the client gives up, or the mirror stops.
fn wait_for_the_end(connection: &mut BufReader<TcpStream>) -> io::Result<After> {
    io::copy(connection, &mut io::sink())?;
    Ok(After::Close)
}

fn for_ever(client: &mut Counted<'_>, piece: &[u8]) -> io::Result<()> {
    loop {
        client.write_all(piece)?;
    }
}

fn trickle(client: &mut Counted<'_>, all: &[u8], bytes: usize, every: Duration) -> io::Result<()> {
    for part in all.chunks(bytes) {
        client.write_all(part)?;
        thread::sleep(every);
    }
    Ok(())
}

/// So much of it, and never the last byte unless all is asked for.
fn part(body: &[u8], percent: u8) -> &[u8] {
    &body[..body.len() * usize::from(percent.min(100)) / 100]
}

/// Whole repetitions only, so that the next piece goes on where this one ends.
fn repeated(unit: &[u8]) -> Vec<u8> {
    unit.repeat((PIECE / unit.len()).max(1))
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

fn write_chunk(client: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    // An empty chunk would end the body.
    if bytes.is_empty() { Ok(()) } else { client.write_all(&chunk(bytes)) }
}

fn head(answer: &Answer, request: &RequestHead, framing: &Framing<'_>, closes: bool) -> Vec<u8> {
    const CHUNKED: &[u8] = b"transfer-encoding: chunked\r\n";
    let mut head = format!("HTTP/1.1 {}\r\n", answer.status).into_bytes();
    write_headers(&mut head, &answer.headers);
    let length = |length: &dyn std::fmt::Display| format!("content-length: {length}\r\n");
    match framing {
        // An answer without a body says how long the body is that it does not hold.
        _ if answer.headers.contains_key(CONTENT_LENGTH) => {}
        Framing::Nothing => {}
        Framing::Chunked => head.extend_from_slice(CHUNKED),
        Framing::Length(_) if answer.status == StatusCode::NOT_MODIFIED => {}
        Framing::Length(bytes) => head.extend_from_slice(length(bytes).as_bytes()),
        Framing::Lines { lengths, chunked } => {
            for line in *lengths {
                head.extend_from_slice(length(line).as_bytes());
            }
            if *chunked {
                head.extend_from_slice(CHUNKED);
            }
        }
    }
    if request.close || closes {
        head.extend_from_slice(b"connection: close\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}
