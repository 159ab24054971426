//! The header block of a tar member (POSIX ustar, and GNU's variant of it).

use super::BLOCK;
use crate::archive::{ArchiveError, broken, unsafe_entry};

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    SymbolicLink,
    HardLink,
    /// Extended header for the next member.
    Pax,
    /// Extended header for all members.
    GlobalPax,
    /// GNU: the next member's name.
    LongName,
    /// GNU: the next member's link target.
    LongTarget,
}

impl Kind {
    /// Whether it says something about other members.
    pub(super) fn is_extension(self) -> bool {
        matches!(self, Self::Pax | Self::GlobalPax | Self::LongName | Self::LongTarget)
    }
}

pub(super) struct Header {
    pub(super) name: Vec<u8>,
    pub(super) target: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) size: u64,
    /// The prefix field is used, but by a format in which only some readers see a prefix there.
    pub(super) foreign_prefix: bool,
}

impl Header {
    /// `before` is the member before it, for messages.
    pub(super) fn parse(block: &[u8; BLOCK], before: &str) -> Result<Self, ArchiveError> {
        let field = |range: std::ops::Range<usize>| block.get(range).unwrap_or_default();
        let here = format!("the header after {before}");
        let stored = octal(field(148..156));
        if stored != Some(checksum(block)) {
            return Err(broken(here, "it is no tar header (wrong checksum)"));
        }
        let (is_ustar, prefix) = (field(257..263) == b"ustar\0", field(345..500));
        let mut name = text(field(0..100)).to_vec();
        if is_ustar && !text(prefix).is_empty() {
            name = [text(prefix), b"/", &name].concat();
        }
        let shown_name = String::from_utf8_lossy(&name);
        let kind = match field(156..157) {
            b"0" | b"\0" | b"7" => Kind::File,
            b"1" => Kind::HardLink,
            b"2" => Kind::SymbolicLink,
            b"5" => Kind::Folder,
            b"x" => Kind::Pax,
            b"g" => Kind::GlobalPax,
            b"L" => Kind::LongName,
            b"K" => Kind::LongTarget,
            _ => return Err(unsafe_entry(shown_name, "it is neither file, folder nor link")),
        };
        let size = octal(field(124..136))
            .ok_or_else(|| broken(shown_name, "its size is not an octal number"))?;
        Ok(Self {
            target: text(field(157..257)).to_vec(),
            kind,
            size,
            foreign_prefix: !is_ustar && prefix.first().is_some_and(|byte| *byte != 0),
            name,
        })
    }
}

/// Up to the first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A number in octal digits with spaces or NULs around it; nothing counts as zero. Numbers in
/// base 256, for more than 8 GiB, are over every limit.
fn octal(field: &[u8]) -> Option<u64> {
    let digits = field.trim_ascii_start();
    let end = digits.iter().position(|byte| matches!(byte, 0 | b' ')).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    if rest.iter().any(|byte| !matches!(byte, 0 | b' ')) {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8)?;
        number.checked_mul(8)?.checked_add(digit.into())
    })
}

/// The sum of all bytes, those of the checksum itself taken as spaces.
fn checksum(block: &[u8; BLOCK]) -> u64 {
    let sum = |bytes: &[u8]| bytes.iter().copied().map(u64::from).sum::<u64>();
    let own = block.get(148..156).unwrap_or_default();
    sum(block) - sum(own) + 8 * u64::from(b' ')
}
