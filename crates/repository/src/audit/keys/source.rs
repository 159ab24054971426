//! Where the records of a log come from.

use std::io::{BufRead, Read as _};

use super::KeysError;
use crate::database::KeyUses;
use crate::key_use::Logged;

/// The longest line that is read: one of a slice with the most bins has half a megabyte.
const LINE: u64 = 16 << 20;

/// One record, or what stands in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A record, whether or not it is right.
    Record(Logged),
    /// A line that is none.
    Damaged {
        /// Its number, from 1.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
}

/// The log in a database, a part at a time.
pub fn of_database<D: KeyUses + ?Sized>(
    database: &D,
) -> impl Iterator<Item = Result<Entry, KeysError>> {
    let (mut page, mut after, mut is_over) = (Vec::new().into_iter(), 0, false);
    std::iter::from_fn(move || {
        if page.as_slice().is_empty() && !is_over {
            page = match database.key_uses(after) {
                Ok(records) => records.into_iter(),
                Err(error) => {
                    is_over = true;
                    return Some(Err(error.into()));
                }
            };
        }
        let logged: Logged = page.next()?;
        after = logged.head.number;
        Some(Ok(Entry::Record(logged)))
    })
}

/// The log in lines of JSON, as an export wrote them.
pub fn lines(mut file: impl BufRead) -> impl Iterator<Item = Result<Entry, KeysError>> {
    let (mut number, mut is_over) = (0, false);
    std::iter::from_fn(move || {
        let mut bytes = Vec::new();
        let read = (&mut file).take(LINE).read_until(b'\n', &mut bytes);
        number += 1;
        match read {
            _ if is_over => None,
            Err(error) => {
                is_over = true;
                Some(Err(KeysError::Read(error)))
            }
            Ok(0) => None,
            Ok(_) => Some(Ok(entry(&bytes, number, &mut is_over))),
        }
    })
}

fn entry(bytes: &[u8], line: u64, is_over: &mut bool) -> Entry {
    let Some(text) = bytes.strip_suffix(b"\n") else {
        // What comes after it is no line of its own.
        *is_over = true;
        let problem = "it is cut off".to_owned();
        return Entry::Damaged { line, problem };
    };
    let read = std::str::from_utf8(text).map_err(|error| error.to_string());
    match read.and_then(|text| Logged::from_line(text).map_err(|error| error.to_string())) {
        Ok(logged) => Entry::Record(logged),
        Err(problem) => Entry::Damaged { line, problem },
    }
}
