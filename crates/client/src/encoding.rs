//! The body of a metadata file, as it is or in gzip, within bounds on both sides of the decoder.

use std::io::{self, Write};

use flate2::write::GzDecoder;

use crate::TransportProblem;

/// What gzip may add to a file that does not shrink: a name in its header, and some bytes for each
/// block.
const GZIP_SLACK: u64 = 4096;

/// Collects a body.
pub(crate) struct Decoder {
    limit: u64,
    /// Bytes that may still come over the wire.
    left: u64,
    kind: Kind,
}

enum Kind {
    Plain(Vec<u8>),
    Gzip(Box<GzDecoder<Bounded>>),
}

/// Takes so many bytes and no more.
struct Bounded {
    bytes: Vec<u8>,
    limit: u64,
    full: bool,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.bytes.len() + bytes.len()) as u64 > self.limit {
            self.full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Decoder {
    /// The only encoding that is asked for.
    pub(crate) const ACCEPTED: &'static str = "gzip";

    /// For a file of at most `limit` bytes, whose answer has this `Content-Encoding`. One that was
    /// not asked for is not decoded.
    pub(crate) fn new(encoding: Option<&[u8]>, limit: u64) -> Self {
        if encoding == Some(Self::ACCEPTED.as_bytes()) {
            let bounded = Bounded { bytes: Vec::new(), limit, full: false };
            let left = limit.saturating_add(limit / 64).saturating_add(GZIP_SLACK);
            return Self { limit, left, kind: Kind::Gzip(Box::new(GzDecoder::new(bounded))) };
        }
        Self { limit, left: limit, kind: Kind::Plain(Vec::new()) }
    }

    /// The most bytes that may come over the wire.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// Takes the next bytes.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Result<(), TransportProblem> {
        let endless = TransportProblem::Endless { limit: self.limit };
        let Some(left) = self.left.checked_sub(chunk.len() as u64) else { return Err(endless) };
        self.left = left;
        match &mut self.kind {
            Kind::Plain(bytes) => {
                bytes.extend_from_slice(chunk);
                Ok(())
            }
            Kind::Gzip(decoder) => match decoder.write_all(chunk) {
                Err(_) if decoder.get_ref().full => Err(endless),
                written => written.map_err(|error| broken(&error)),
            },
        }
    }

    /// The whole file, at the end of the body.
    pub(crate) fn finish(self) -> Result<Vec<u8>, TransportProblem> {
        let limit = self.limit;
        match self.kind {
            Kind::Plain(bytes) => Ok(bytes),
            Kind::Gzip(mut decoder) => match decoder.try_finish() {
                Err(_) if decoder.get_ref().full => Err(TransportProblem::Endless { limit }),
                Err(error) => Err(broken(&error)),
                Ok(()) => decoder.finish().map(|file| file.bytes).map_err(|error| broken(&error)),
            },
        }
    }
}

fn broken(error: &io::Error) -> TransportProblem {
    TransportProblem::Interrupted { reason: format!("it is not gzip: {error}") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn decode(
        encoding: Option<&str>,
        limit: u64,
        body: &[u8],
    ) -> Result<Vec<u8>, TransportProblem> {
        let mut decoder = Decoder::new(encoding.map(str::as_bytes), limit);
        for chunk in body.chunks(7) {
            decoder.push(chunk)?;
        }
        decoder.finish()
    }

    #[test]
    fn a_file_comes_plain_or_in_gzip() {
        let file = b"some bytes".repeat(100);
        let random: Vec<u8> = (0..9999u32).map(|i| (i * i % 251) as u8).collect();
        for file in [&file[..], &random, b""] {
            let limit = file.len() as u64;
            assert_eq!(decode(None, limit, file).unwrap(), file);
            assert_eq!(decode(Some("gzip"), limit, &gzip(file)).unwrap(), file);
            // Not asked for, so taken as it is.
            assert_eq!(decode(Some("br"), limit, file).unwrap(), file);
        }
    }

    #[test]
    fn both_sides_are_bounded() {
        let endless = |limit| Err(TransportProblem::Endless { limit });
        assert_eq!(decode(None, 9, &[0; 10]), endless(9));
        assert_eq!(decode(Some("gzip"), 99_999, &gzip(&vec![0; 100_000])), endless(99_999));
        // Empty blocks without end, which decode to nothing.
        let mut nothing = gzip(b"")[..10].to_vec();
        nothing.extend([0, 0, 0, 0xff, 0xff].repeat(2000));
        assert_eq!(decode(Some("gzip"), 100, &nothing), endless(100));
    }

    #[test]
    fn what_is_no_gzip_or_ends_early_is_refused() {
        let whole = gzip(b"some bytes");
        let more = [&whole[..], b"x"].concat();
        let mut changed = whole.clone();
        let at = whole.len() - 6;
        changed[at] ^= 1;
        for body in [b"plain".as_slice(), &whole[..whole.len() - 1], &more, &changed, b""] {
            let refused = decode(Some("gzip"), 1000, body);
            assert!(matches!(refused, Err(TransportProblem::Interrupted { .. })), "{refused:?}");
        }
    }
}
