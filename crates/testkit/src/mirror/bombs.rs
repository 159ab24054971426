//! Bodies that are small on the way and large when they are decoded.

use std::io::Write as _;

use flate2::write::{DeflateEncoder, GzEncoder};
use flate2::{Compression, Crc};

/// What every bomb decodes to, in bytes: 4 GiB of zeros.
pub const DECODED: u64 = 4 << 30;

/// A body that is small on the way and becomes [`DECODED`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bomb {
    /// 4 MB of gzip (RFC 1952).
    Gzip,
    /// The same, encoded twice: some 20 KB.
    GzipOfGzip,
    /// 128 KB of Zstandard (RFC 8878), which also asks for a window of 128 MiB.
    Zstd,
}

impl Bomb {
    /// The bytes that go over the wire.
    pub fn bytes(self) -> Vec<u8> {
        match self {
            Self::Gzip => gzip(),
            Self::GzipOfGzip => {
                let mut twice = GzEncoder::new(Vec::new(), Compression::best());
                written(twice.write_all(&gzip()).and_then(|()| twice.finish()))
            }
            Self::Zstd => zstd(),
        }
    }
}

/// One piece of deflate, which stands by itself, again and again: quicker than compressing 4 GiB.
fn gzip() -> Vec<u8> {
    const PIECE: usize = 1 << 20;
    let zeros = vec![0; PIECE];
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    written(encoder.write_all(&zeros).and_then(|()| encoder.flush()));
    let piece = std::mem::take(encoder.get_mut());
    let times = DECODED / PIECE as u64;
    let (mut one, mut all) = (Crc::new(), Crc::new());
    one.update(&zeros);

    // Magic, deflate, no flags, no time, no hints, an unknown system.
    let mut gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    for _ in 0..times {
        gzip.extend_from_slice(&piece);
        all.combine(&one);
    }
    // The last block, of fixed codes and without a symbol; then CRC, and length modulo 2³².
    gzip.extend_from_slice(&[3, 0]);
    gzip.extend_from_slice(&all.sum().to_le_bytes());
    gzip.extend_from_slice(&all.amount().to_le_bytes());
    gzip
}

fn zstd() -> Vec<u8> {
    /// The largest block (section 3.1.1.2.4).
    const BLOCK: u32 = 128 << 10;
    const RLE: u32 = 1 << 1;
    // Magic; no length, checksum or dictionary; a window of 2²⁷ bytes, the largest that the
    // reference decoder takes unasked.
    let mut zstd = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 17 << 3];
    let blocks = DECODED / u64::from(BLOCK);
    for block in 1..=blocks {
        let header = BLOCK << 3 | RLE | u32::from(block == blocks);
        zstd.extend_from_slice(&header.to_le_bytes()[..3]);
        zstd.push(0);
    }
    zstd
}

fn written<T>(result: std::io::Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("writing into memory fails: {error}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::io::{self, Read};

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn a_gzip_bomb_is_valid_and_large() {
        let bomb = Bomb::Gzip.bytes();
        assert!(bomb.len() < 5 << 20, "{} bytes", bomb.len());
        // To the end, with its checksum.
        let decoded = io::copy(&mut GzDecoder::new(&bomb[..]), &mut io::sink()).unwrap();
        assert_eq!(decoded, DECODED);
    }

    #[test]
    fn a_bomb_in_a_bomb_holds_the_first() {
        let mut outer = Vec::new();
        let twice = Bomb::GzipOfGzip.bytes();
        GzDecoder::new(&twice[..]).read_to_end(&mut outer).unwrap();
        assert!(twice.len() < 64 << 10 && outer == Bomb::Gzip.bytes(), "{} bytes", twice.len());
    }

    #[test]
    fn a_zstd_bomb_is_a_frame_of_equal_blocks() {
        let bomb = Bomb::Zstd.bytes();
        assert_eq!(bomb.len() as u64, 6 + 4 * DECODED / (128 << 10));
        // The least significant bit of the first byte marks the last block.
        let last: Vec<_> = bomb[6..].chunks(4).map(|block| block[0] & 1).collect();
        assert_eq!(last.iter().map(|last| u32::from(*last)).sum::<u32>(), 1);
        assert_eq!(last.last(), Some(&1));
    }
}
