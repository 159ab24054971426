//! The central directory (4.3.12).

use super::{DEFLATED, Entry, Record, STORED, apply_extra, to_u64};
use crate::archive::{ArchiveError, ambiguous, broken, unsafe_entry};

const HEADER: [u8; 4] = *b"PK\x01\x02";
const PLACE: &str = "the directory";

/// Encrypted, compressed patched data, strong encryption, masked headers (4.4.4).
const FLAGS_REFUSED: u16 = 1 | 1 << 5 | 1 << 6 | 1 << 13;
/// Names are UTF-8.
const FLAG_UTF8: u16 = 1 << 11;

pub(super) fn parse(bytes: &[u8], count: u64) -> Result<Vec<Entry>, ArchiveError> {
    let mut rest = Record(bytes);
    let mut entries = Vec::new();
    while !rest.0.is_empty() {
        let entry = parse_entry(&mut rest)
            .ok_or_else(|| broken(PLACE, format!("entry {} is cut short", entries.len() + 1)))??;
        entries.push(entry);
    }
    if to_u64(entries.len()) == count {
        return Ok(entries);
    }
    Err(ambiguous(
        PLACE,
        format!("it has {} entries, where the end record says {count}", entries.len()),
    ))
}

/// None if the directory ends in the middle of the entry.
fn parse_entry(record: &mut Record) -> Option<Result<Entry, ArchiveError>> {
    let mark = record.array::<4>()?;
    record.take(4)?;
    let (flags, method) = (record.u16()?, record.u16()?);
    record.take(4)?;
    let (crc, packed, unpacked) = (record.u32()?, record.u32()?, record.u32()?);
    let lengths = [record.u16()?, record.u16()?, record.u16()?];
    let disk = record.u16()?;
    record.take(6)?;
    let offset = record.u32()?;
    let [name, extra, comment] = lengths.map(|length| record.take(usize::from(length)));
    let (name, extra, _) = (name?, extra?, comment?);
    if mark != HEADER {
        return Some(Err(broken(PLACE, "something else stands where an entry should start")));
    }
    let entry = Entry {
        name: match parse_name(name, flags) {
            Ok(name) => name,
            Err(error) => return Some(Err(error)),
        },
        flags,
        method,
        crc,
        packed: packed.into(),
        unpacked: unpacked.into(),
        offset: offset.into(),
        data: 0,
    };
    Some(check(entry, extra, disk))
}

fn parse_name(name: &[u8], flags: u16) -> Result<String, ArchiveError> {
    let text = String::from_utf8_lossy(name);
    if std::str::from_utf8(name).is_err() {
        return Err(unsafe_entry(text, "its name is not UTF-8"));
    }
    if !name.is_ascii() && flags & FLAG_UTF8 == 0 {
        return Err(ambiguous(text, "its name is not ASCII and not marked as UTF-8"));
    }
    Ok(text.into_owned())
}

fn check(mut entry: Entry, extra: &[u8], disk: u16) -> Result<Entry, ArchiveError> {
    if entry.flags & FLAGS_REFUSED != 0 {
        return Err(broken(&entry.name, "it is encrypted or patched"));
    }
    if entry.method != STORED && entry.method != DEFLATED {
        return Err(broken(
            &entry.name,
            format!("its compression method is {}; use stored (0) or deflate (8)", entry.method),
        ));
    }
    if disk != 0 {
        return Err(broken(&entry.name, "the archive is split over several disks"));
    }
    let values = [&mut entry.unpacked, &mut entry.packed, &mut entry.offset];
    apply_extra(&entry.name, extra, values)?;
    if entry.method == STORED && entry.packed != entry.unpacked {
        return Err(broken(&entry.name, "it is stored, but has two different sizes"));
    }
    if entry.name.ends_with('/') && entry.unpacked != 0 {
        return Err(ambiguous(&entry.name, "it is a folder with contents"));
    }
    Ok(entry)
}
