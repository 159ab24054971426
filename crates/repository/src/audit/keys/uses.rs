//! What the log says was signed, and what became of it.

use std::collections::{BTreeMap, HashMap};

use waxseal_tuf::hash::Sha256;
use waxseal_tuf::{KeyId, RoleName};

use super::authorised::{Authorised, unknown};
use super::report::{KeyFinding, KeyFindingKind, KeyReport};
use super::stored::{Stored, class, path_of};
use crate::key_use::{KeyUse, SignedValue, UseKind};

/// The most roles whose versions are compared: an index has at most 2¹⁸ bins.
const MOST_ROLES: usize = 1 << 19;
/// The most unknown keys that are kept.
const MOST_KEYS: usize = 1_000;

/// What is known after some records.
pub(super) struct Uses {
    stored: Option<Stored>,
    authorised: Option<Authorised>,
    /// The newest version of each role, and its value.
    newest: HashMap<RoleName, (u64, Sha256)>,
    /// Keys that nobody named: the first record of each, and how many.
    unknown: BTreeMap<(KeyId, RoleName), (u64, u64)>,
    batch: Option<Batch>,
}

/// The batch that the last records are of.
struct Batch {
    snapshot: u64,
    values: u64,
}

impl Uses {
    pub(super) fn new(stored: Option<Stored>, authorised: Option<Authorised>) -> Self {
        let (newest, unknown) = (HashMap::new(), BTreeMap::new());
        Self { stored, authorised, newest, unknown, batch: None }
    }

    pub(super) fn take(&mut self, number: u64, record: &KeyUse, report: &mut KeyReport) {
        let time = record.time.to_string();
        report.first.get_or_insert_with(|| time.clone());
        report.last = Some(time);
        let values = record.signed.len() as u64;
        match record.kind {
            UseKind::Before => report.counts.before_the_log += values,
            UseKind::Batch | UseKind::Resumed => {
                report.counts.signed += values;
                self.batch_of(record, report);
            }
        }
        for value in &record.signed {
            self.key(number, record, value);
            self.version(number, record.kind, value, report);
            self.compare(number, value);
        }
    }

    /// A batch was published if that is what the records after it were signed beside.
    fn batch_of(&mut self, record: &KeyUse, report: &mut KeyReport) {
        let values = record.signed.len() as u64;
        match &mut self.batch {
            Some(batch) if batch.snapshot == record.snapshot => batch.values += values,
            batch => {
                let before = batch.replace(Batch { snapshot: record.snapshot, values });
                let unpublished = before.filter(|before| before.snapshot != record.published);
                report.counts.never_published += unpublished.map_or(0, |batch| batch.values);
            }
        }
    }

    fn key(&mut self, number: u64, record: &KeyUse, value: &SignedValue) {
        let Some(authorised) = &self.authorised else { return };
        if authorised.allows(&value.role, &record.keyid) {
            return;
        }
        let key = (record.keyid.clone(), class(&value.role));
        if self.unknown.len() < MOST_KEYS || self.unknown.contains_key(&key) {
            self.unknown.entry(key).or_insert((number, 0)).1 += 1;
        }
    }

    /// Versions only rise, but for a batch that is gone on with.
    fn version(&mut self, number: u64, kind: UseKind, value: &SignedValue, report: &mut KeyReport) {
        let SignedValue { role, version, sha256 } = value;
        let Some((newest, known)) = self.newest.get_mut(role) else {
            if self.newest.len() < MOST_ROLES {
                self.newest.insert(role.clone(), (*version, *sha256));
            }
            return;
        };
        let problem = match version.cmp(newest) {
            std::cmp::Ordering::Greater => None,
            std::cmp::Ordering::Equal if kind == UseKind::Resumed => {
                report.counts.signed_again += 1;
                None
            }
            std::cmp::Ordering::Equal if known == sha256 => None,
            std::cmp::Ordering::Equal => {
                Some(format!("record {number} has another value of {role} version {version}"))
            }
            std::cmp::Ordering::Less => Some(format!(
                "record {number} has {role} version {version}, after version {newest}"
            )),
        };
        if version >= newest {
            (*newest, *known) = (*version, *sha256);
        }
        if let Some(problem) = problem {
            let finding = KeyFinding::new(KeyFindingKind::VersionUsedAgain, problem);
            report.find(finding.record(number).value(role, *version, *sha256));
        }
    }

    fn compare(&mut self, number: u64, value: &SignedValue) {
        let Some(stored) = &mut self.stored else { return };
        let key = (value.role.clone(), value.version);
        let Some(file) = stored.files.get_mut(&key) else { return };
        match file.sha256 == value.sha256 {
            true => file.is_logged = true,
            false => file.other = Some(number),
        }
    }

    pub(super) fn end(self, report: &mut KeyReport) {
        for ((keyid, role), (number, count)) in self.unknown {
            let problem = format!(
                "record {number} is of the key {keyid}, which {}; so are {count} values in all",
                unknown(&role)
            );
            report.find(KeyFinding::new(KeyFindingKind::UnknownKey, problem).record(number));
        }
        let Some(stored) = self.stored else { return };
        // The last batch may still be on its way.
        if let (Some(batch), Some(published)) = (self.batch, stored.published)
            && published > batch.snapshot
        {
            report.counts.never_published += batch.values;
        }
        if report.counts.records == 0 {
            let problem = "the log is empty, and the store has signatures of the online key";
            if !stored.files.is_empty() {
                report.find(KeyFinding::new(KeyFindingKind::Empty, problem));
            }
            return;
        }
        let mut files: Vec<_> = stored.files.into_iter().collect();
        files.sort_by(|(a, _), (b, _)| a.cmp(b));
        for ((role, version), file) in files {
            if file.is_logged {
                report.counts.files_in_the_log += 1;
                continue;
            }
            let path = path_of(&role, version);
            let finding = match file.other {
                None => {
                    let problem = format!("{path} was signed, and the log does not say so");
                    KeyFinding::new(KeyFindingKind::NotLogged, problem)
                }
                Some(number) => {
                    let problem =
                        format!("{path} has another signed value than record {number} says");
                    KeyFinding::new(KeyFindingKind::OtherValue, problem).record(number)
                }
            };
            report.find(finding.value(&role, version, file.sha256).file(path));
        }
    }
}
