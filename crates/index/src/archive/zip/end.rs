//! The end of central directory record, and its ZIP64 twin (4.3.14 to 4.3.16).

use std::io::{Read, Seek};

use super::{Record, read_at, to_u64};
use crate::archive::{ArchiveError, ambiguous, broken};

const END: [u8; 4] = *b"PK\x05\x06";
const ZIP64_END: [u8; 4] = *b"PK\x06\x06";
const ZIP64_LOCATOR: [u8; 4] = *b"PK\x06\x07";
const END_LENGTH: usize = 22;
const ZIP64_END_LENGTH: u64 = 56;
const ZIP64_LOCATOR_LENGTH: u64 = 20;

const PLACE: &str = "its end record";

/// Where the central directory is.
pub(super) struct End {
    pub(super) entries: u64,
    pub(super) directory: u64,
    pub(super) directory_size: u64,
}

pub(super) fn read<R: Read + Seek>(reader: &mut R, size: u64) -> Result<End, ArchiveError> {
    let longest = to_u64(END_LENGTH) + u64::from(u16::MAX);
    let tail_length = size.min(longest);
    let tail = read_at(reader, PLACE, size - tail_length, tail_length)?;
    let position = find(&tail)?;
    let offset = size - tail_length + to_u64(position);
    let record = tail.get(position..).unwrap_or_default();
    let end = parse(record).ok_or_else(|| broken(PLACE, "it is too short"))??;
    let (end, after_directory) = match locator(reader, offset)? {
        Some(locator) => (zip64(reader, offset, &locator, &end)?, offset - ZIP64_LENGTH),
        None => (end, offset),
    };
    if end.directory.checked_add(end.directory_size) != Some(after_directory) {
        return Err(ambiguous(PLACE, "the directory does not end where the end record starts"));
    }
    Ok(end)
}

const ZIP64_LENGTH: u64 = ZIP64_END_LENGTH + ZIP64_LOCATOR_LENGTH;

/// The position of the one record whose comment ends with the file. Readers that search from
/// the end and those that search from further ahead must find the same.
fn find(tail: &[u8]) -> Result<usize, ArchiveError> {
    let marks: Vec<usize> = tail
        .windows(END.len())
        .enumerate()
        .filter_map(|(position, mark)| (mark == END).then_some(position))
        .collect();
    let ends_the_file = |position: &usize| {
        let length = tail.get(position + END_LENGTH - 2..position + END_LENGTH);
        let length = length.and_then(|bytes| Record(bytes).u16());
        length.is_some_and(|length| position + END_LENGTH + usize::from(length) == tail.len())
    };
    let fitting: Vec<usize> = marks.iter().copied().filter(ends_the_file).collect();
    match *fitting.as_slice() {
        [position] if marks.last() == Some(&position) => Ok(position),
        [] if marks.is_empty() => {
            Err(broken(PLACE, "there is none: it is cut short, or is not a ZIP archive"))
        }
        [] => Err(ambiguous(PLACE, "bytes follow it")),
        _ => Err(ambiguous(PLACE, "there are several")),
    }
}

/// None if the record is too short, which [`find`] has excluded.
fn parse(record: &[u8]) -> Option<Result<End, ArchiveError>> {
    let mut record = Record(record);
    record.take(END.len())?;
    let (disk, directory_disk) = (record.u16()?, record.u16()?);
    let (entries_here, entries) = (record.u16()?, record.u16()?);
    let (directory_size, directory) = (record.u32()?, record.u32()?);
    if disk != 0 || directory_disk != 0 || entries_here != entries {
        return Some(Err(broken(PLACE, "the archive is split over several disks")));
    }
    Some(Ok(End {
        entries: entries.into(),
        directory: directory.into(),
        directory_size: directory_size.into(),
    }))
}

/// The ZIP64 locator, where there is one. Some readers follow it whether the end record asks for
/// it or not, so it counts as soon as it is there.
fn locator<R: Read + Seek>(reader: &mut R, end: u64) -> Result<Option<Vec<u8>>, ArchiveError> {
    let Some(offset) = end.checked_sub(ZIP64_LOCATOR_LENGTH) else {
        return Ok(None);
    };
    let locator = read_at(reader, PLACE, offset, ZIP64_LOCATOR_LENGTH)?;
    Ok(locator.starts_with(&ZIP64_LOCATOR).then_some(locator))
}

fn zip64<R: Read + Seek>(
    reader: &mut R,
    end_offset: u64,
    locator: &[u8],
    end: &End,
) -> Result<End, ArchiveError> {
    let wrong = |problem: &str| ambiguous("its ZIP64 end record", problem);
    let too_short = || broken("its ZIP64 end record", "it is too short");
    let offset = end_offset.checked_sub(ZIP64_LENGTH).ok_or_else(too_short)?;
    if locator_target(locator) != Some(offset) {
        return Err(wrong("its locator points elsewhere than right before itself"));
    }
    let record = read_at(reader, PLACE, offset, ZIP64_END_LENGTH)?;
    let zip64 = parse_zip64(&record).ok_or_else(too_short)??;
    let agrees = |short: u64, most: u64, long: u64| short == most || short == long;
    let most = u64::from(u32::MAX);
    if agrees(end.entries, u16::MAX.into(), zip64.entries)
        && agrees(end.directory, most, zip64.directory)
        && agrees(end.directory_size, most, zip64.directory_size)
    {
        return Ok(zip64);
    }
    Err(wrong("it disagrees with the end record"))
}

/// Where the locator points; none if it speaks of several disks.
fn locator_target(locator: &[u8]) -> Option<u64> {
    let mut locator = Record(locator);
    locator.take(ZIP64_LOCATOR.len())?;
    let (disk, target, disks) = (locator.u32()?, locator.u64()?, locator.u32()?);
    (disk == 0 && disks <= 1).then_some(target)
}

fn parse_zip64(record: &[u8]) -> Option<Result<End, ArchiveError>> {
    let mut record = Record(record);
    let mark = record.array::<4>()?;
    let length = record.u64()?;
    record.take(4)?;
    let (disk, directory_disk) = (record.u32()?, record.u32()?);
    let (entries_here, entries) = (record.u64()?, record.u64()?);
    let (directory_size, directory) = (record.u64()?, record.u64()?);
    let place = "its ZIP64 end record";
    if mark != ZIP64_END || length != ZIP64_END_LENGTH - 12 {
        return Some(Err(ambiguous(place, "it is not where its locator points, or has more data")));
    }
    if disk != 0 || directory_disk != 0 || entries_here != entries {
        return Some(Err(broken(place, "the archive is split over several disks")));
    }
    Some(Ok(End { entries, directory, directory_size }))
}
