//! That the records of a log follow each other.

use std::collections::BTreeMap;

use super::report::{KeyFinding, KeyFindingKind, KeyReport};
use crate::key_use::{Head, Logged};

/// A walk along a log.
pub(super) struct Chain {
    /// The last record.
    before: Option<Head>,
    /// What is known of the log from elsewhere, by number, and not met yet.
    known: BTreeMap<u64, Vec<Head>>,
}

impl Chain {
    pub(super) fn new(heads: &[Head]) -> Self {
        let mut known: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for head in heads {
            known.entry(head.number).or_default().push(*head);
        }
        Self { before: None, known }
    }

    /// Takes the next record. A record is compared with what the one before says its hash is, right or
    /// wrong, so that one that was changed is found once.
    pub(super) fn follow(&mut self, logged: &Logged, report: &mut KeyReport) {
        let Logged { head, record } = logged;
        let number = head.number;
        let next = self.before.map_or(1, |before| before.number + 1);
        let find = |kind, problem| KeyFinding::new(kind, problem).record(number);
        if number < next {
            let problem = format!("record {number} stands behind record {}", next - 1);
            report.find(find(KeyFindingKind::Order, problem));
        } else if number > next {
            let problem = match number - next {
                1 => format!("record {next} is missing"),
                _ => format!("records {next} to {} are missing", number - 1),
            };
            report.find(find(KeyFindingKind::Gap, problem));
        } else if Head::hash(number, self.before.map(|before| before.hash), record) != head.hash {
            let problem = format!(
                "record {number} has a hash that is not that of what stands there and of the record \
                 before: one of the two was changed"
            );
            report.find(find(KeyFindingKind::BrokenChain, problem));
        }
        for known in self.known.remove(&number).into_iter().flatten() {
            if known.hash != head.hash {
                let problem =
                    format!("record {number} has hash {}, and had {}", head.hash, known.hash);
                report.find(find(KeyFindingKind::OtherHead, problem));
            }
        }
        self.before = Some(*head);
    }

    pub(super) fn end(self, report: &mut KeyReport) {
        report.head = self.before;
        let last = self.before.map_or(0, |before| before.number);
        for number in self.known.into_keys().filter(|number| *number > last) {
            let problem =
                format!("the log ends with record {last}, and went on to record {number}");
            report.find(KeyFinding::new(KeyFindingKind::Truncated, problem).record(number));
        }
    }
}
