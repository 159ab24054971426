//! ZIP, as far as all readers agree on it.
//!
//! Readers find entries in three ways: by the central directory at the end, by running through
//! the local headers from the start, or by both. Here each entry's two headers must agree, the
//! entries must lie end to end from the first byte to the central directory, and the directory
//! up to the one end record, which ends the file. Each entry's data must end where its headers
//! say, and be what they say. Section numbers are those of PKWARE's
//! APPNOTE.TXT 6.3.10.

mod contents;
mod directory;
mod end;
mod local;

use std::io::{Read, Seek, SeekFrom};

use super::{ArchiveError, Limits, ambiguous, broken, member, read_error, unsafe_entry, within};
use crate::shown;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// A ZIP archive whose structure and contents were checked as a whole.
pub(super) struct ZipArchive<R> {
    reader: R,
    entries: Vec<Entry>,
}

/// An entry, as the central directory and its local header say alike.
pub(super) struct Entry {
    /// The name as written; its segments are safe.
    pub(super) name: String,
    flags: u16,
    method: u16,
    crc: u32,
    packed: u64,
    unpacked: u64,
    /// Where the local header starts.
    offset: u64,
    /// Where the data starts; known once the local header was read.
    data: u64,
}

impl<R: Read + Seek> ZipArchive<R> {
    pub(super) fn open(mut reader: R, size: u64, limits: &Limits) -> Result<Self, ArchiveError> {
        let end = end::read(&mut reader, size)?;
        within("the number of entries", end.entries, limits.entries)?;
        within("the ZIP directory, in bytes,", end.directory_size, limits.directory)?;
        let bytes = read_at(&mut reader, "the directory", end.directory, end.directory_size)?;
        let mut entries = directory::parse(&bytes, end.entries)?;
        check_names(&entries)?;
        let unpacked = entries.iter().fold(0_u64, |sum, entry| sum.saturating_add(entry.unpacked));
        let allowed = limits.ratio_from.max(size.saturating_mul(limits.ratio));
        within("the archive, unpacked, in bytes,", unpacked, allowed)?;
        local::check(&mut reader, &mut entries, end.directory)?;
        contents::check(&mut reader, &entries)?;
        Ok(Self { reader, entries })
    }

    /// Unpacks an entry of at most `limit` bytes and checks its length and checksum.
    pub(super) fn read(&mut self, index: usize, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        let Some(entry) = self.entries.get(index) else {
            return Ok(Vec::new());
        };
        within(&format!("{}, unpacked, in bytes,", entry.name), entry.unpacked, limit)?;
        // Deflate adds some bytes to what it cannot shrink; more than that is padding.
        within(
            &format!("{}, packed, in bytes,", entry.name),
            entry.packed,
            limit.saturating_add(limit / 8),
        )?;
        let mut bytes = Vec::new();
        let sink = |part: &[u8]| bytes.extend_from_slice(part);
        contents::Unpacker::new().unpack(&mut self.reader, entry, sink)?;
        Ok(bytes)
    }
}

impl<R> ZipArchive<R> {
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry of exactly this name.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.entries.iter().position(|entry| entry.name == name)
    }
}

/// Refuses unsafe names, two names that are unpacked to one place, and a file where another entry
/// needs a folder.
fn check_names(entries: &[Entry]) -> Result<(), ArchiveError> {
    let mut places = Vec::with_capacity(entries.len());
    for entry in entries {
        let segments =
            member::segments(&entry.name).map_err(|problem| unsafe_entry(&entry.name, problem))?;
        if segments.is_empty() {
            return Err(unsafe_entry(&entry.name, "it names the folder that is unpacked to"));
        }
        // No name has a NUL, and nothing sorts before it: what lies in a folder comes right
        // after the folder, so that neighbours are all there is to compare.
        places.push((segments.join("\0"), entry));
    }
    places.sort_by(|(place, _), (other, _)| place.cmp(other));
    for ((place, entry), (next_place, next)) in places.iter().zip(places.iter().skip(1)) {
        match next_place.strip_prefix(place.as_str()) {
            Some("") => return Err(ambiguous(&next.name, "there is a second entry of this name")),
            Some(inside) if inside.starts_with('\0') && !entry.name.ends_with('/') => {
                let problem =
                    format!("it is a file, but {} needs a folder there", shown(&next.name));
                return Err(ambiguous(&entry.name, problem));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Reads a range that is known to lie in the file.
fn read_at<R: Read + Seek>(
    reader: &mut R,
    place: &str,
    offset: u64,
    length: u64,
) -> Result<Vec<u8>, ArchiveError> {
    reader.seek(SeekFrom::Start(offset)).map_err(|source| read_error(place, source))?;
    let mut bytes = Vec::new();
    reader.take(length).read_to_end(&mut bytes).map_err(|source| read_error(place, source))?;
    if to_u64(bytes.len()) == length { Ok(bytes) } else { Err(broken(place, "it ends too early")) }
}

fn to_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Takes little-endian fields off the front of a record; none once it is used up.
struct Record<'a>(&'a [u8]);

impl<'a> Record<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

/// Replaces the values that a header leaves to the ZIP64 field (4.5.3), and refuses extra fields
/// that give an entry another name (4.6.9) or that do not add up.
fn apply_extra(name: &str, extra: &[u8], values: [&mut u64; 3]) -> Result<(), ArchiveError> {
    let malformed = || broken(name, "its extra fields are malformed");
    let mut zip64: Option<&[u8]> = None;
    let mut extra = Record(extra);
    while !extra.0.is_empty() {
        let id = extra.u16().ok_or_else(malformed)?;
        let length = extra.u16().ok_or_else(malformed)?;
        let data = extra.take(usize::from(length)).ok_or_else(malformed)?;
        match id {
            0x0001 if zip64.is_some() => {
                return Err(ambiguous(name, "it has two ZIP64 fields"));
            }
            0x0001 => zip64 = Some(data),
            0x7075 if data.get(5..) != Some(name.as_bytes()) => {
                return Err(ambiguous(name, "an extra field gives it another name"));
            }
            _ => {}
        }
    }
    apply_zip64(name, zip64.unwrap_or_default(), values)
}

/// The field holds the values that the header leaves open, in order. Some writers put all values
/// there, whether open or not; those must then be the same in both places.
fn apply_zip64(name: &str, field: &[u8], values: [&mut u64; 3]) -> Result<(), ArchiveError> {
    const OPEN: u64 = u32::MAX as u64;
    let open = values.iter().filter(|value| ***value == OPEN).count();
    let holds_all = field.len() != open * 8;
    let mut field = Record(field);
    for value in values {
        if *value == OPEN {
            *value = field.u64().ok_or_else(|| broken(name, "its ZIP64 field lacks a value"))?;
        } else if holds_all && field.u64().is_some_and(|given| given != *value) {
            return Err(ambiguous(name, "its ZIP64 field and its header differ"));
        }
    }
    // The number of the disk, which is the first.
    if matches!(field.0, [] | [0, 0, 0, 0]) {
        return Ok(());
    }
    Err(ambiguous(name, "its ZIP64 field has more than the header asks for"))
}
