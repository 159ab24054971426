//! `.tar.gz`, as far as all readers agree on it.
//!
//! tar readers disagree where a member's size is written twice (CVE-2025-62518), where a folder or
//! link has a size, after the first block of zeros, and where a second gzip member follows. All of
//! these are refused. Links are taken as long as they stay in their top folder and nothing is
//! written through them.

mod header;
mod pax;

use std::collections::HashSet;
use std::io::{BufRead, Read};

use flate2::bufread::GzDecoder;

use self::header::{Header, Kind};
use self::pax::Extended;
use super::{ArchiveError, Limits, ambiguous, broken, member, read_error, unsafe_entry, within};
use crate::shown;

const BLOCK: usize = 512;
/// Longest extended header or long name.
const MAX_EXTENDED: u64 = 1 << 20;
const END: &str = "its end";

/// Reads the whole archive of `size` bytes and shows each member to `visit` by its name.
pub(super) fn read<R: BufRead>(
    reader: R,
    size: u64,
    limits: &Limits,
    mut visit: impl FnMut(&str, &mut Member<'_, R>) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let allowed = limits.unpacked.min(limits.ratio_from.max(size.saturating_mul(limits.ratio)));
    let mut stream =
        Stream { decoder: GzDecoder::new(reader), place: "its start".into(), read: 0, allowed };
    let mut extended = Extended::default();
    let mut links = HashSet::new();
    let mut entries = 0;
    while let Some(block) = stream.header()? {
        entries += 1;
        within("the number of entries", entries, limits.entries)?;
        let header = Header::parse(&block, &stream.place)?;
        if header.kind.is_extension() {
            within("an extended header, in bytes,", header.size, MAX_EXTENDED)?;
            let data = stream.data(header.size)?;
            extended.add(header.kind, &data).map_err(|problem| broken(&stream.place, problem))?;
            continue;
        }
        let described = std::mem::take(&mut extended).describe(header, &stream.place)?;
        stream.place = shown(&described.name);
        check_member(&described, &mut links)?;
        let mut member = Member { stream: &mut stream, header: &described, is_read: false };
        visit(&described.name, &mut member)?;
        if !member.is_read {
            stream.skip(described.size)?;
        }
    }
    if !extended.is_empty() {
        return Err(broken(END, "an extended header has no entry after it"));
    }
    stream.finish()
}

/// A member, positioned at its data.
pub(super) struct Member<'a, R> {
    stream: &'a mut Stream<R>,
    header: &'a Described,
    is_read: bool,
}

impl<R: BufRead> Member<'_, R> {
    /// The contents, if it is a file of at most `limit` bytes.
    pub(super) fn file(&mut self, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        if !matches!(self.header.kind, Kind::File) {
            return Err(ambiguous(&self.header.name, "it is no regular file"));
        }
        within(&format!("{}, in bytes,", shown(&self.header.name)), self.header.size, limit)?;
        self.is_read = true;
        self.stream.data(self.header.size)
    }
}

/// A member, with what extended headers before it say.
struct Described {
    name: String,
    kind: Kind,
    size: u64,
    /// Where a link points.
    target: String,
}

impl Extended {
    fn describe(self, header: Header, place: &str) -> Result<Described, ArchiveError> {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let name = text(self.path.unwrap_or(header.name));
        if self.size.is_some_and(|size| size != header.size) {
            return Err(ambiguous(name, "two sizes are given for it"));
        }
        if header.foreign_prefix {
            return Err(ambiguous(
                if name.is_empty() { place } else { &name },
                "its header is of an old format, which has two readings",
            ));
        }
        let kind = match header.kind {
            Kind::File if name.ends_with('/') => Kind::Folder,
            kind => kind,
        };
        if !matches!(kind, Kind::File) && header.size != 0 {
            return Err(ambiguous(name, "it is a folder or link with contents"));
        }
        let target = text(self.target.unwrap_or(header.target));
        Ok(Described { name, kind, size: header.size, target })
    }
}

/// Refuses unsafe names and links. `links` holds those seen so far, in lower case.
fn check_member(member: &Described, links: &mut HashSet<String>) -> Result<(), ArchiveError> {
    let refuse = |problem: &str| Err(unsafe_entry(&member.name, problem));
    let segments = match member::segments(&member.name) {
        Ok(segments) => segments,
        Err(problem) => return refuse(problem),
    };
    if !links.is_empty() {
        let mut place = String::new();
        for segment in &segments {
            place.push('/');
            place.push_str(&segment.to_lowercase());
            if links.contains(&place) {
                return refuse("it is unpacked through a link");
            }
        }
    }
    let resolved = match member.kind {
        Kind::SymbolicLink => {
            let folder = segments.get(..segments.len().saturating_sub(1)).unwrap_or_default();
            resolve(folder, &member.target)
        }
        Kind::HardLink => resolve(&[], &member.target),
        _ => return Ok(()),
    };
    let stays = resolved.is_some_and(|resolved| {
        segments.len() > 1
            && resolved.len() > 1
            && resolved.first() == segments.first().copied().as_ref()
    });
    if !stays {
        return refuse("it is a link that leaves its top folder; pack the file itself");
    }
    links.insert(format!("/{}", segments.join("/").to_lowercase()));
    Ok(())
}

/// Where a relative path leads from a folder; none if it leads out, or has another reading.
fn resolve<'a>(folder: &[&'a str], target: &'a str) -> Option<Vec<&'a str>> {
    if target.is_empty() || target.starts_with('/') || target.contains(['\\', '\0', ':']) {
        return None;
    }
    let mut resolved = folder.to_vec();
    for segment in target.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                resolved.pop()?;
            }
            segment => resolved.push(segment),
        }
    }
    Some(resolved)
}

/// The unpacked bytes, counted.
struct Stream<R> {
    decoder: GzDecoder<R>,
    /// The member that is being read, for messages.
    place: String,
    read: u64,
    allowed: u64,
}

impl<R: BufRead> Stream<R> {
    /// The next header; none at the end, which is a block of zeros, or where the data ends.
    fn header(&mut self) -> Result<Option<[u8; BLOCK]>, ArchiveError> {
        let mut block = Vec::with_capacity(BLOCK);
        self.fill(&mut block, BLOCK)?;
        if block.is_empty() {
            return Ok(None);
        }
        let block: [u8; BLOCK] = block
            .try_into()
            .map_err(|_| broken(&self.place, "the header after it is cut short"))?;
        Ok((block != [0; BLOCK]).then_some(block))
    }

    /// A member's data, without the padding after it.
    fn data(&mut self, size: u64) -> Result<Vec<u8>, ArchiveError> {
        let mut data = Vec::new();
        let length = usize::try_from(size).unwrap_or(usize::MAX);
        self.fill(&mut data, length)?;
        if data.len() != length {
            return Err(broken(&self.place, "it ends too early"));
        }
        self.skip_exactly(padding(size))?;
        Ok(data)
    }

    fn skip(&mut self, size: u64) -> Result<(), ArchiveError> {
        self.skip_exactly(size.saturating_add(padding(size)))
    }

    fn skip_exactly(&mut self, length: u64) -> Result<(), ArchiveError> {
        self.charge(length)?;
        let place = &self.place;
        let skipped = std::io::copy(&mut (&mut self.decoder).take(length), &mut std::io::sink())
            .map_err(|source| read_error(place, source))?;
        if skipped == length { Ok(()) } else { Err(broken(place, "it ends too early")) }
    }

    /// Reads `length` bytes, or what is left.
    fn fill(&mut self, bytes: &mut Vec<u8>, length: usize) -> Result<(), ArchiveError> {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        self.charge(length)?;
        (&mut self.decoder)
            .take(length)
            .read_to_end(bytes)
            .map_err(|source| read_error(&self.place, source))?;
        Ok(())
    }

    /// After the first block of zeros only zeros may come, and after the gzip stream nothing:
    /// some readers go on there, others do not.
    fn finish(mut self) -> Result<(), ArchiveError> {
        END.clone_into(&mut self.place);
        let mut block = Vec::with_capacity(BLOCK);
        loop {
            block.clear();
            self.fill(&mut block, BLOCK)?;
            if block.is_empty() {
                break;
            }
            if block.iter().any(|byte| *byte != 0) {
                return Err(ambiguous(END, "entries follow the block of zeros that ends it"));
            }
        }
        let mut reader = self.decoder.into_inner();
        let rest = reader.fill_buf().map_err(|source| read_error(END, source))?;
        if rest.is_empty() {
            return Ok(());
        }
        Err(ambiguous(END, "bytes follow the end of the gzip stream"))
    }

    fn charge(&mut self, length: u64) -> Result<(), ArchiveError> {
        self.read = self.read.saturating_add(length);
        within("the archive, unpacked, in bytes,", self.read, self.allowed)
    }
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % 512
}
