//! Extended headers: PAX records, and GNU's long names.

use super::header::Kind;

/// What extended headers say about the next member.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extended {
    pub(super) path: Option<Vec<u8>>,
    pub(super) target: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    has_pax: bool,
}

impl Extended {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Takes in one extended header. Whatever is said twice is refused: readers differ in which
    /// of the two counts.
    pub(super) fn add(&mut self, kind: Kind, data: &[u8]) -> Result<(), &'static str> {
        match kind {
            Kind::LongName => set(&mut self.path, long_text(data)?),
            Kind::LongTarget => set(&mut self.target, long_text(data)?),
            Kind::GlobalPax => records(data, |key, _| match key {
                b"path" | b"linkpath" | b"size" => {
                    Err("a global extended header gives all entries one name or size")
                }
                _ => Ok(()),
            }),
            _ if self.has_pax => Err("two extended headers stand before one entry"),
            _ => {
                self.has_pax = true;
                records(data, |key, value| self.record(key, value))
            }
        }
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        match key {
            b"path" => set(&mut self.path, without_nul(value)?),
            b"linkpath" => set(&mut self.target, without_nul(value)?),
            b"size" => {
                let size =
                    decimal(value).ok_or("an extended header has a size that is no number")?;
                set(&mut self.size, size)
            }
            _ if key.starts_with(b"GNU.sparse.") => Err("sparse files are not taken"),
            _ => Ok(()),
        }
    }
}

fn set<T>(slot: &mut Option<T>, value: T) -> Result<(), &'static str> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err("extended headers say the same thing twice"),
    }
}

/// GNU ends the text with a NUL, or several.
fn long_text(data: &[u8]) -> Result<Vec<u8>, &'static str> {
    let end = data.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    without_nul(data.get(..end).unwrap_or_default())
}

fn without_nul(value: &[u8]) -> Result<Vec<u8>, &'static str> {
    if value.is_empty() {
        return Err("an extended header gives an empty name");
    }
    if value.contains(&0) {
        return Err("an extended header gives a name with a NUL");
    }
    Ok(value.to_vec())
}

/// Splits `length key=value\n` records; the length counts all of the record, itself included.
fn records(
    mut data: &[u8],
    mut record: impl FnMut(&[u8], &[u8]) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    const MALFORMED: &str = "an extended header is malformed";
    while !data.is_empty() {
        let space = data.iter().position(|byte| *byte == b' ').ok_or(MALFORMED)?;
        let (digits, _) = data.split_at(space);
        let length = decimal(digits).and_then(|length| usize::try_from(length).ok());
        let (whole, rest) =
            length.and_then(|length| data.split_at_checked(length)).ok_or(MALFORMED)?;
        let body = whole.get(space + 1..).and_then(|body| body.strip_suffix(b"\n"));
        let body = body.ok_or(MALFORMED)?;
        let equals = body.iter().position(|byte| *byte == b'=').ok_or(MALFORMED)?;
        let (key, value) = body.split_at(equals);
        record(key, value.get(1..).unwrap_or_default())?;
        data = rest;
    }
    Ok(())
}

fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}
