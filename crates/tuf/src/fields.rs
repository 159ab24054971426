//! Typed fields out of a JSON object, with errors that name the field.

use std::borrow::Cow;
use std::mem;

use jiff::Timestamp;

use crate::error::FormatError;
use crate::hash::Hashes;
use crate::json::Node;

/// An object being read. Errors name a field relative to it; whoever reads an object within another
/// puts the outer name before ([`FormatError::within`]), so that names cost nothing while all is well.
///
/// Public only in name: this module is private, which seals [`Role`](crate::metadata::Role).
pub struct Fields<'a>(Vec<(Cow<'a, str>, Node<'a>)>);

impl<'a> Fields<'a> {
    pub(crate) fn new(node: Node<'a>) -> Result<Self, FormatError> {
        match node {
            Node::Object(entries) => Ok(Self(entries)),
            _ => Err(FormatError::new("", "is not an object")),
        }
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.0.binary_search_by(|(key, _)| key.as_ref().cmp(name)).ok()
    }

    /// Takes the value under `name`; each is taken once.
    pub(crate) fn optional(&mut self, name: &str) -> Option<Node<'a>> {
        let at = self.find(name)?;
        Some(mem::replace(&mut self.0[at].1, Node::Null))
    }

    pub(crate) fn value(&mut self, name: &str) -> Result<Node<'a>, FormatError> {
        self.optional(name).ok_or_else(|| FormatError::new(name, "is missing"))
    }

    /// Reads the object under `name`.
    pub(crate) fn object<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Fields<'a>) -> Result<T, FormatError>,
    ) -> Result<T, FormatError> {
        let value = self.value(name)?;
        Fields::new(value).and_then(read).map_err(|error| error.within(name))
    }

    pub(crate) fn array(&mut self, name: &str) -> Result<Vec<Node<'a>>, FormatError> {
        match self.value(name)? {
            Node::Array(values) => Ok(values),
            _ => Err(FormatError::new(name, "is not an array")),
        }
    }

    pub(crate) fn string(&mut self, name: &str) -> Result<Cow<'a, str>, FormatError> {
        match self.value(name)? {
            Node::String(text) => Ok(text),
            _ => Err(FormatError::new(name, "is not a string")),
        }
    }

    pub(crate) fn strings(&mut self, name: &str) -> Result<Vec<String>, FormatError> {
        let values = self.array(name)?;
        let strings = values.into_iter().map(|value| match value {
            Node::String(text) => Ok(text.into_owned()),
            _ => Err(FormatError::new(name, "has an element that is not a string")),
        });
        strings.collect()
    }

    pub(crate) fn bool(&mut self, name: &str) -> Result<bool, FormatError> {
        match self.value(name)? {
            Node::Bool(value) => Ok(value),
            _ => Err(FormatError::new(name, "is not true or false")),
        }
    }

    /// An integer of at least `min`.
    pub(crate) fn integer(&mut self, name: &str, min: u64) -> Result<u64, FormatError> {
        let problem = || FormatError::new(name, format!("is not an integer of at least {min}"));
        match self.find(name).map(|at| &self.0[at].1) {
            None => Err(FormatError::new(name, "is missing")),
            Some(Node::Integer(number)) => {
                u64::try_from(*number).ok().filter(|n| *n >= min).ok_or_else(problem)
            }
            Some(_) => Err(problem()),
        }
    }

    /// A UTC time as `YYYY-MM-DDTHH:MM:SSZ` (TUF 4.3, `EXPIRES`).
    pub(crate) fn time(&mut self, name: &str) -> Result<Timestamp, FormatError> {
        let text = self.string(name)?;
        let shape = text.len() == 20 && text.ends_with('Z') && text.as_bytes()[10] == b'T';
        let time = if shape { text.parse().ok() } else { None };
        time.ok_or_else(|| FormatError::new(name, "is not a time like 2030-01-31T12:00:00Z"))
    }

    /// Digests by algorithm: at least one, lower-case hex.
    pub(crate) fn hashes(&mut self, name: &str) -> Result<Hashes, FormatError> {
        let entries = self.object(name, |fields| Ok(fields.into_entries()))?;
        let digests = entries.map(|(algorithm, digest)| match digest {
            Node::String(digest) if is_lower_hex(&digest) => {
                Ok((algorithm.into_owned(), digest.into_owned()))
            }
            _ => Err(FormatError::new(name, "has a digest that is not lower-case hex")),
        });
        let digests: Vec<_> = digests.collect::<Result<_, _>>()?;
        if digests.is_empty() {
            return Err(FormatError::new(name, "is empty"));
        }
        Ok(Hashes::from_sorted(digests))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    pub(crate) fn into_entries(self) -> impl ExactSizeIterator<Item = (Cow<'a, str>, Node<'a>)> {
        self.0.into_iter()
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

/// A time as metadata writes it; fractions of a second are dropped.
pub(crate) fn format_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
