//! The local headers before each entry's data (4.3.7), and the data descriptors after it (4.3.9).

use std::io::{Read, Seek};

use super::{Entry, Record, apply_extra, read_at, to_u64};
use crate::archive::{ArchiveError, ambiguous, broken};

const HEADER: [u8; 4] = *b"PK\x03\x04";
const HEADER_LENGTH: u64 = 30;
const DESCRIPTOR: [u8; 4] = *b"PK\x07\x08";
/// Sizes and checksum follow the data.
const FLAG_DESCRIPTOR: u16 = 1 << 3;
/// Flags by which a reader reads on: encrypted, sizes behind the data, patched, names in UTF-8.
const FLAGS_COMPARED: u16 = 1 | FLAG_DESCRIPTOR | 1 << 5 | 1 << 6 | 1 << 11 | 1 << 13;

/// Checks that each entry's local header says what the directory says, and that the entries lie
/// end to end up to the directory. Notes where each one's data starts.
pub(super) fn check<R: Read + Seek>(
    reader: &mut R,
    entries: &mut [Entry],
    directory: u64,
) -> Result<(), ArchiveError> {
    let mut by_offset: Vec<&mut Entry> = entries.iter_mut().collect();
    by_offset.sort_by_key(|entry| entry.offset);
    let next_offsets: Vec<u64> =
        by_offset.iter().skip(1).map(|entry| entry.offset).chain([directory]).collect();
    let first = by_offset.first().map_or(directory, |entry| entry.offset);
    if first != 0 {
        return Err(ambiguous("its start", format!("{first} bytes stand before the first entry")));
    }
    for (entry, next) in by_offset.into_iter().zip(next_offsets) {
        check_entry(reader, entry, next)?;
    }
    Ok(())
}

fn check_entry<R: Read + Seek>(
    reader: &mut R,
    entry: &mut Entry,
    next: u64,
) -> Result<(), ArchiveError> {
    let overlaps = || ambiguous(&entry.name, "it overlaps with what follows it");
    let room = next.checked_sub(entry.offset).ok_or_else(overlaps)?;
    let before_extra = HEADER_LENGTH + to_u64(entry.name.len());
    if room < before_extra {
        return Err(overlaps());
    }
    let header = read_at(reader, &entry.name, entry.offset, before_extra)?;
    let local = Local::parse(&header)
        .ok_or_else(|| broken(&entry.name, "no local header stands where the directory says"))?;
    let header_length = before_extra + u64::from(local.extra_length);
    let length = header_length.checked_add(entry.packed).filter(|length| *length <= room);
    let descriptor_length = room - length.ok_or_else(overlaps)?;
    let extra =
        read_at(reader, &entry.name, entry.offset + before_extra, local.extra_length.into())?;
    local.compare(entry, &extra)?;
    check_descriptor(reader, entry, next, descriptor_length)?;
    entry.data = entry.offset + header_length;
    Ok(())
}

struct Local<'a> {
    flags: u16,
    method: u16,
    crc: u32,
    packed: u64,
    unpacked: u64,
    name_length: u16,
    extra_length: u16,
    /// As many bytes as the directory's name has.
    name: &'a [u8],
}

impl<'a> Local<'a> {
    fn parse(header: &'a [u8]) -> Option<Self> {
        let mut record = Record(header);
        if record.array::<4>()? != HEADER {
            return None;
        }
        record.take(2)?;
        let (flags, method) = (record.u16()?, record.u16()?);
        record.take(4)?;
        Some(Self {
            flags,
            method,
            crc: record.u32()?,
            packed: record.u32()?.into(),
            unpacked: record.u32()?.into(),
            name_length: record.u16()?,
            extra_length: record.u16()?,
            name: record.0,
        })
    }

    fn compare(mut self, entry: &Entry, extra: &[u8]) -> Result<(), ArchiveError> {
        let differs = |what: &str| {
            let problem = format!("its {what} in the local header and in the directory differ");
            ambiguous(&entry.name, problem)
        };
        if usize::from(self.name_length) != self.name.len() || self.name != entry.name.as_bytes() {
            return Err(differs("name"));
        }
        // Whether a name is marked as UTF-8 is of no consequence if it is ASCII.
        let ascii = if entry.name.is_ascii() { 1 << 11 } else { 0 };
        if (self.flags ^ entry.flags) & FLAGS_COMPARED & !ascii != 0 {
            return Err(differs("flags"));
        }
        if self.method != entry.method {
            return Err(differs("compression method"));
        }
        // The offset is no part of a local header.
        let values = [&mut self.unpacked, &mut self.packed, &mut 0];
        apply_extra(&entry.name, extra, values)?;
        // With a descriptor after the data, zero means that the value is there.
        let later = entry.flags & FLAG_DESCRIPTOR != 0;
        let same = |local: u64, central: u64| local == central || (later && local == 0);
        if !same(self.packed, entry.packed) || !same(self.unpacked, entry.unpacked) {
            return Err(differs("size"));
        }
        if !same(self.crc.into(), entry.crc.into()) {
            return Err(differs("checksum"));
        }
        Ok(())
    }
}

/// What lies between the data and the next entry is a data descriptor that says what the
/// directory says, or nothing. Its mark is optional, its sizes have four or eight bytes.
fn check_descriptor<R: Read + Seek>(
    reader: &mut R,
    entry: &Entry,
    next: u64,
    length: u64,
) -> Result<(), ArchiveError> {
    let announced = entry.flags & FLAG_DESCRIPTOR != 0;
    if !announced && length == 0 {
        return Ok(());
    }
    if !announced || !matches!(length, 12 | 16 | 20 | 24) {
        let problem = format!("{length} bytes that belong to no entry follow it");
        return Err(ambiguous(&entry.name, problem));
    }
    let bytes = read_at(reader, &entry.name, next - length, length)?;
    let mut record = Record(&bytes);
    let marked = matches!(length, 16 | 24);
    let mark_is_right = !marked || record.array::<4>() == Some(DESCRIPTOR);
    let crc = record.u32();
    let mut size = || if length >= 20 { record.u64() } else { record.u32().map(u64::from) };
    let sizes = (size(), size());
    if mark_is_right
        && crc == Some(entry.crc)
        && sizes == (Some(entry.packed), Some(entry.unpacked))
    {
        return Ok(());
    }
    Err(ambiguous(&entry.name, "its data descriptor and the directory differ"))
}
