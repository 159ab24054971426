//! Typed fields out of a JSON object, with errors that name the field.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::error::FormatError;
use crate::hash::Hashes;
use crate::json::{Object, Value};

/// An object being read. Errors name a field relative to it; whoever reads an object within another
/// puts the outer name before ([`FormatError::within`]), so that names cost nothing while all is well.
///
/// Public only in name: this module is private, which seals [`Role`](crate::metadata::Role).
pub struct Fields(Object);

impl Fields {
    pub(crate) fn new(value: Value) -> Result<Self, FormatError> {
        match value {
            Value::Object(object) => Ok(Self(object)),
            _ => Err(FormatError::new("", "is not an object")),
        }
    }

    pub(crate) fn optional(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    pub(crate) fn value(&mut self, name: &str) -> Result<Value, FormatError> {
        self.optional(name).ok_or_else(|| FormatError::new(name, "is missing"))
    }

    /// Reads the object under `name`.
    pub(crate) fn object<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Fields) -> Result<T, FormatError>,
    ) -> Result<T, FormatError> {
        let value = self.value(name)?;
        Fields::new(value).and_then(read).map_err(|error| error.within(name))
    }

    pub(crate) fn array(&mut self, name: &str) -> Result<Vec<Value>, FormatError> {
        match self.value(name)? {
            Value::Array(values) => Ok(values),
            _ => Err(FormatError::new(name, "is not an array")),
        }
    }

    pub(crate) fn string(&mut self, name: &str) -> Result<String, FormatError> {
        match self.value(name)? {
            Value::String(text) => Ok(text),
            _ => Err(FormatError::new(name, "is not a string")),
        }
    }

    pub(crate) fn strings(&mut self, name: &str) -> Result<Vec<String>, FormatError> {
        let values = self.array(name)?;
        let strings = values.into_iter().map(|value| match value {
            Value::String(text) => Ok(text),
            _ => Err(FormatError::new(name, "has an element that is not a string")),
        });
        strings.collect()
    }

    pub(crate) fn bool(&mut self, name: &str) -> Result<bool, FormatError> {
        match self.value(name)? {
            Value::Bool(value) => Ok(value),
            _ => Err(FormatError::new(name, "is not true or false")),
        }
    }

    /// An integer of at least `min`.
    pub(crate) fn integer(&mut self, name: &str, min: u64) -> Result<u64, FormatError> {
        let problem = || FormatError::new(name, format!("is not an integer of at least {min}"));
        match self.0.get(name) {
            None => Err(FormatError::new(name, "is missing")),
            Some(Value::Integer(number)) => {
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
        let mut digests = BTreeMap::new();
        for (algorithm, digest) in self.object(name, |fields| Ok(fields.into_entries()))? {
            match digest {
                Value::String(digest) if is_lower_hex(&digest) => {
                    digests.insert(algorithm, digest);
                }
                _ => return Err(FormatError::new(name, "has a digest that is not lower-case hex")),
            }
        }
        if digests.is_empty() {
            return Err(FormatError::new(name, "is empty"));
        }
        Ok(Hashes::from_map(digests))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some()
    }

    pub(crate) fn into_entries(self) -> impl ExactSizeIterator<Item = (String, Value)> {
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
