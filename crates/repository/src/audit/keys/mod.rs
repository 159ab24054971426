//! The audit of the online key's use: what is signed in the store against the log of what was signed.
//!
//! The log is gone through once, record by record. In memory is what the store has of the online key's,
//! some 100 bytes for each file, and the newest version of each role in the log.
//!
//! | module | what it checks |
//! |---|---|
//! | `chain` | that records follow each other, and end where they are known to |
//! | `uses` | what the log says was signed, with which key, and what became of it |
//! | `stored` | what the store has that the online key signs |
//! | `authorised` | which keys root and `bins` name |
//! | `source` | where records come from: a database, or lines of JSON |

mod authorised;
mod chain;
mod report;
mod source;
mod stored;
mod uses;

use std::io;

use self::authorised::Authorised;
use self::chain::Chain;
use self::stored::Stored;
use self::uses::Uses;
use super::Progress;
use crate::error::Error;
use crate::key_use::{Head, KeyUse};
use crate::store::Store;

pub use report::{KeyCounts, KeyFinding, KeyFindingKind, KeyReport};
pub use source::{Entry, lines, of_database};

/// After how many records somebody is told.
const STEP: u64 = 1_000;

/// An audit that could not go on.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The repository failed.
    #[error(transparent)]
    Repository(#[from] Error),

    /// The lines of a log cannot be read.
    #[error("cannot read the log: {0}")]
    Read(io::Error),

    /// The lines of the log cannot be written.
    #[error("cannot write the log: {0}")]
    Export(io::Error),
}

/// What to compare a log with, and where to.
#[derive(Default)]
pub struct KeysAudit<'a> {
    /// What clients download; without it the log is checked alone.
    pub store: Option<&'a dyn Store>,
    /// Where the log ended at earlier times, from a place that who writes the log cannot reach.
    pub heads: &'a [Head],
    /// Takes each record as a line of JSON, without its end.
    pub export: Option<TakeLine<'a>>,
}

/// What takes the lines of a log.
pub type TakeLine<'a> = &'a mut dyn FnMut(&str) -> io::Result<()>;

impl KeysAudit<'_> {
    /// Goes through the log. The store is read first: whatever is in it then was logged before.
    pub fn run(
        self,
        log: impl Iterator<Item = Result<Entry, KeysError>>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<KeyReport, KeysError> {
        let Self { store, heads, mut export } = self;
        let mut report = KeyReport::default();
        let stored = store.map(|store| Stored::read(store, &mut report, progress)).transpose()?;
        let authorised = match (store, &stored) {
            (Some(store), Some(stored)) => Some(Authorised::read(store, stored, &mut report)?),
            _ => None,
        };
        let mut chain = Chain::new(heads);
        let mut uses = Uses::new(stored, authorised);
        for entry in log {
            let logged = match entry? {
                Entry::Record(logged) => logged,
                Entry::Damaged { line, problem } => {
                    let problem = format!("line {line} is no record: {problem}");
                    report.find(KeyFinding::new(KeyFindingKind::Damaged, problem));
                    continue;
                }
            };
            report.counts.records += 1;
            if report.counts.records.is_multiple_of(STEP) {
                progress(Progress { what: "records", done: report.counts.records, total: 0 });
            }
            chain.follow(&logged, &mut report);
            match KeyUse::decode(&logged.record) {
                Ok(record) => {
                    if let Some(export) = &mut export {
                        let line = record.to_line(logged.head).map_err(io::Error::other);
                        line.and_then(|line| export(&line)).map_err(KeysError::Export)?;
                    }
                    uses.take(logged.head.number, &record, &mut report);
                }
                Err(problem) => {
                    let number = logged.head.number;
                    let problem = format!("record {number} {problem}");
                    report.find(KeyFinding::new(KeyFindingKind::Damaged, problem).record(number));
                }
            }
        }
        chain.end(&mut report);
        uses.end(&mut report);
        Ok(report.finished())
    }
}
