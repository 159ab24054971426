//! Typed fields out of a JSON object, with errors that name the field.

use jiff::Timestamp;

use crate::error::FormatError;
use crate::hash::Hashes;
use crate::json::{Element, Entries, Members};

/// An object being read. Errors name a field relative to it; whoever reads an object within another
/// puts the outer name before ([`FormatError::within`]), so that names cost nothing while all is well.
///
/// Public only in name: this module is private, which seals [`Role`](crate::metadata::Role).
#[derive(Clone, Copy)]
pub struct Fields<'d>(Members<'d>);

impl<'d> Fields<'d> {
    pub(crate) fn new(element: Element<'d>) -> Result<Self, FormatError> {
        element.as_object().map(Self).ok_or_else(|| FormatError::new("", "is not an object"))
    }

    /// The entries in the order of the text.
    pub(crate) fn entries(self) -> Entries<'d> {
        self.0.entries()
    }

    /// How many entries there are.
    pub(crate) fn count(self) -> usize {
        self.0.count()
    }

    pub(crate) fn optional(self, name: &str) -> Option<Element<'d>> {
        self.entries().find(|(key, _)| *key == name).map(|(_, element)| element)
    }

    pub(crate) fn has(self, name: &str) -> bool {
        self.optional(name).is_some()
    }

    pub(crate) fn value(self, name: &str) -> Result<Element<'d>, FormatError> {
        self.optional(name).ok_or_else(|| FormatError::new(name, "is missing"))
    }

    /// Reads the object under `name`.
    pub(crate) fn object<T>(
        self,
        name: &str,
        read: impl FnOnce(Fields<'d>) -> Result<T, FormatError>,
    ) -> Result<T, FormatError> {
        let value = self.value(name)?;
        Fields::new(value).and_then(read).map_err(|error| error.within(name))
    }

    pub(crate) fn array(
        self,
        name: &str,
    ) -> Result<impl ExactSizeIterator<Item = Element<'d>>, FormatError> {
        let array = self.value(name)?.as_array();
        array.ok_or_else(|| FormatError::new(name, "is not an array"))
    }

    pub(crate) fn string(self, name: &str) -> Result<&'d str, FormatError> {
        let text = self.value(name)?.as_str();
        text.ok_or_else(|| FormatError::new(name, "is not a string"))
    }

    pub(crate) fn strings(self, name: &str) -> Result<Vec<String>, FormatError> {
        let problem = || FormatError::new(name, "has an element that is not a string");
        let strings = self.array(name)?.map(|element| element.as_str().map(str::to_owned));
        strings.map(|text| text.ok_or_else(problem)).collect()
    }

    pub(crate) fn bool(self, name: &str) -> Result<bool, FormatError> {
        let value = self.value(name)?.as_bool();
        value.ok_or_else(|| FormatError::new(name, "is not true or false"))
    }

    /// An integer of at least `min`.
    pub(crate) fn integer(self, name: &str, min: u64) -> Result<u64, FormatError> {
        let number = self.value(name)?.as_integer().and_then(|number| u64::try_from(number).ok());
        let problem = || FormatError::new(name, format!("is not an integer of at least {min}"));
        number.filter(|number| *number >= min).ok_or_else(problem)
    }

    /// A UTC time as `YYYY-MM-DDTHH:MM:SSZ` (TUF 4.3, `EXPIRES`).
    pub(crate) fn time(self, name: &str) -> Result<Timestamp, FormatError> {
        let text = self.string(name)?;
        let shape = text.len() == 20 && text.ends_with('Z') && text.as_bytes()[10] == b'T';
        let time = if shape { text.parse().ok() } else { None };
        time.ok_or_else(|| FormatError::new(name, "is not a time like 2030-01-31T12:00:00Z"))
    }

    /// Digests by algorithm: at least one, lower-case hex.
    pub(crate) fn hashes(self, name: &str) -> Result<Hashes, FormatError> {
        self.object(name, |fields| {
            let digest = |(algorithm, digest): (&'d str, Element<'d>)| {
                Some((algorithm, digest.as_str().filter(|digest| is_lower_hex(digest))?))
            };
            let hashes = Hashes::new(fields.entries().filter_map(digest));
            match hashes.iter().count() {
                0 if fields.count() == 0 => Err(FormatError::new("", "is empty")),
                count if count == fields.count() => Ok(hashes),
                _ => Err(FormatError::new("", "has a digest that is not lower-case hex")),
            }
        })
    }
}

/// Checks a number of things against a limit.
pub(crate) fn check_count(name: &str, count: usize, limit: u64) -> Result<(), FormatError> {
    match count as u64 > limit {
        true => Err(FormatError::new(name, format!("has {count} entries, more than {limit}"))),
        false => Ok(()),
    }
}

fn is_lower_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}
