//! Archives: honest ones of several writers, and one per attack.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(clippy::cast_possible_truncation, reason = "fixtures are small")]

mod contents;
mod sdist;
mod tar_file;
mod wheel;
mod zip_file;

use std::io::{Cursor, Write as _};

use waxseal_index::archive::{ArchiveError, Inspected, Limits, inspect};

const METADATA: &[u8] =
    b"Metadata-Version: 2.1\nName: Foo\nVersion: 1.0\nRequires-Python: >=3.9\n\nText\n";

fn inspect_bytes(filename: &str, bytes: &[u8]) -> Result<Inspected, ArchiveError> {
    inspect_within(filename, bytes, &Limits::default())
}

fn inspect_within(
    filename: &str,
    bytes: &[u8],
    limits: &Limits,
) -> Result<Inspected, ArchiveError> {
    inspect(&filename.parse().unwrap(), Cursor::new(bytes), bytes.len() as u64, limits)
}

/// The text of the refusal, for a test to look for its reason.
fn refusal(filename: &str, bytes: &[u8]) -> String {
    inspect_bytes(filename, bytes).unwrap_err().to_string()
}

#[track_caller]
fn assert_refused(filename: &str, bytes: &[u8], reason: &str) {
    let said = refusal(filename, bytes);
    assert!(said.contains(reason), "expected '{reason}' in: {said}");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}
