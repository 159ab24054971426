//! The entries' data.
//!
//! A reader that runs through the file may go by the data alone: deflated data says itself where
//! it ends, and the next entry is looked for there. So each entry is unpacked, to nowhere, to see
//! that its data ends where the headers say and is what they say.

use std::io::{Read, Seek, SeekFrom};

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::{Entry, STORED, to_u64};
use crate::archive::{ArchiveError, ambiguous, broken, read_error};

/// Bytes read, and bytes unpacked, at a time.
const BUFFER: usize = 64 << 10;

/// Unpacks every entry once, in the order in which they lie in the file.
pub(super) fn check<R: Read + Seek>(reader: &mut R, entries: &[Entry]) -> Result<(), ArchiveError> {
    let mut in_order: Vec<&Entry> = entries.iter().collect();
    in_order.sort_by_key(|entry| entry.data);
    let mut unpacker = Unpacker::new();
    in_order.into_iter().try_for_each(|entry| unpacker.unpack(reader, entry, |_| {}))
}

/// Unpacks entries through buffers of a fixed size.
pub(super) struct Unpacker {
    packed: Vec<u8>,
    unpacked: Vec<u8>,
    inflater: Decompress,
}

impl Unpacker {
    pub(super) fn new() -> Self {
        Self {
            packed: Vec::with_capacity(BUFFER),
            unpacked: vec![0; BUFFER],
            inflater: Decompress::new(false),
        }
    }

    /// Hands an entry's contents to `sink`, at most as many bytes as its headers say. Their
    /// length and checksum are right only if no error follows.
    pub(super) fn unpack<R: Read + Seek>(
        &mut self,
        reader: &mut R,
        entry: &Entry,
        mut sink: impl FnMut(&[u8]),
    ) -> Result<(), ArchiveError> {
        let start = SeekFrom::Start(entry.data);
        reader.seek(start).map_err(|source| read_error(&entry.name, source))?;
        let data = reader.take(entry.packed);
        let mut crc = Crc::new();
        let mut length = 0_u64;
        let checked = |bytes: &[u8]| {
            length = length.saturating_add(to_u64(bytes.len()));
            crc.update(bytes);
            sink(bytes);
        };
        match entry.method {
            STORED => self.copy(entry, data, checked)?,
            _ => self.inflate(entry, data, checked)?,
        }
        if crc.sum() == entry.crc && length == entry.unpacked {
            return Ok(());
        }
        Err(broken(&entry.name, "its length or checksum (CRC-32) is wrong"))
    }

    fn copy(
        &mut self,
        entry: &Entry,
        mut data: impl Read,
        mut sink: impl FnMut(&[u8]),
    ) -> Result<(), ArchiveError> {
        while self.fill(entry, &mut data)? {
            sink(&self.packed);
        }
        Ok(())
    }

    fn inflate(
        &mut self,
        entry: &Entry,
        mut data: impl Read,
        mut sink: impl FnMut(&[u8]),
    ) -> Result<(), ArchiveError> {
        let damaged = || broken(&entry.name, "the compressed data is damaged");
        self.inflater.reset(false);
        self.packed.clear();
        let mut used = 0;
        loop {
            if used == self.packed.len() {
                self.fill(entry, &mut data)?;
                used = 0;
            }
            let packed = self.packed.get(used..).unwrap_or_default();
            let before = (self.inflater.total_in(), self.inflater.total_out());
            let status = self
                .inflater
                .decompress(packed, &mut self.unpacked, FlushDecompress::None)
                .map_err(|_| damaged())?;
            let taken = self.inflater.total_in() - before.0;
            let given = self.inflater.total_out() - before.1;
            if self.inflater.total_out() > entry.unpacked {
                return Err(broken(&entry.name, "it unpacks to more than its headers say"));
            }
            let (taken, given) = (
                usize::try_from(taken).map_err(|_| damaged())?,
                usize::try_from(given).map_err(|_| damaged())?,
            );
            sink(self.unpacked.get(..given).unwrap_or_default());
            used += taken;
            match status {
                Status::StreamEnd if self.inflater.total_in() == entry.packed => return Ok(()),
                Status::StreamEnd => {
                    return Err(ambiguous(&entry.name, "bytes follow its compressed data"));
                }
                // Nothing went in and nothing came out: the data is used up before its end.
                _ if taken == 0 && given == 0 => return Err(damaged()),
                _ => {}
            }
        }
    }

    /// Reads on; false at the end of the data.
    fn fill(&mut self, entry: &Entry, data: &mut impl Read) -> Result<bool, ArchiveError> {
        self.packed.clear();
        data.take(to_u64(BUFFER))
            .read_to_end(&mut self.packed)
            .map_err(|source| read_error(&entry.name, source))?;
        Ok(!self.packed.is_empty())
    }
}
