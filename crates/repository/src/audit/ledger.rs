//! Journal and catalog against each other, and versions against the store.

use std::collections::{BTreeMap, HashMap};

use waxseal_index::{DistributionFilename, paths};
use waxseal_tuf::RoleName;
use waxseal_tuf::hash::Sha256;

use super::Auditor;
use super::report::Kind;
use super::tally::half;
use crate::bins::Bins;
use crate::database::{Batch, Database, Entry, FileRow, RevokeEntry, UploadEntry};
use crate::error::Error;
use crate::repository::{SNAPSHOT, TIMESTAMP, check_same_age, target_path};
use crate::store::{Store, StoreError, StoreKey};

/// What findings about the database are about.
const DATABASE: &str = "database";
/// The roles that are no bins.
const TOP_LEVEL: [&str; 5] = ["root", "targets", "bins", "snapshot", "timestamp"];
/// Journal entries read at a time.
const AT_ONCE: u64 = 1_000;

/// Which serials were met, a bit for each, and a sum over what they say.
#[derive(Debug, Default)]
struct Met {
    bits: Vec<u64>,
    sum: u128,
    /// Files that were uploaded and are not in the catalog: to be revoked by a later entry.
    gone: HashMap<String, u64>,
}

impl Met {
    /// `false` when it was met before.
    fn meet(&mut self, serial: u64) -> bool {
        let (word, bit) = ((serial / 64) as usize, 1 << (serial % 64));
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        let fresh = self.bits[word] & bit == 0;
        self.bits[word] |= bit;
        fresh
    }

    fn has(&self, serial: u64) -> bool {
        let word = self.bits.get((serial / 64) as usize);
        word.is_some_and(|word| word & (1 << (serial % 64)) != 0)
    }

    fn add(&mut self, serial: u64, project: &str, filename: &str, sha256: &Sha256, size: u64) {
        let term = format!("{serial}\n{project}\n{filename}\n{sha256}\n{size}");
        self.sum = self.sum.wrapping_add(u128::from_le_bytes(half(term.as_bytes())));
    }
}

impl Auditor<'_> {
    /// Every upload up to `published` is in the catalog once and as it says, unless a later entry revokes
    /// it, and the files of every entry after that wait in the store.
    pub(super) fn journal(&mut self, database: &dyn Database, published: u64) -> Result<(), Error> {
        let last = database.last_serial()?;
        if published > last {
            let problem =
                format!("serial {published} is published, and the journal ends at {last}");
            self.find(Kind::Journal, DATABASE, problem);
        }
        let mut catalog = self.catalog(database, published)?;
        let (mut after, mut journal) = (0, Met::default());
        loop {
            self.progress("journal entries", after, last);
            let rows = match database.waiting(after, AT_ONCE) {
                Ok(rows) => rows,
                Err(error @ (Error::JournalCorrupt { .. } | Error::JournalUnknownKind { .. })) => {
                    self.find(Kind::Journal, DATABASE, error.to_string());
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            let Some(newest) = rows.last().map(|row| row.serial) else { break };
            for row in rows {
                if row.serial != after + 1 {
                    let problem = format!("entry {} is followed by {}", after, row.serial);
                    self.find(Kind::Journal, DATABASE, problem);
                }
                after = row.serial;
                self.entry(row.serial, &row.entry, published, &mut catalog, &mut journal)?;
            }
            debug_assert_eq!(after, newest);
        }
        let mut gone: Vec<_> = std::mem::take(&mut journal.gone).into_iter().collect();
        gone.sort_unstable_by_key(|(_, serial)| *serial);
        for (filename, serial) in gone {
            let problem =
                format!("entry {serial}, {filename}, is published and not in the catalog");
            self.find(Kind::Journal, DATABASE, problem);
        }
        if after < last {
            let problem = format!("ends at {after}, and {last} entries were counted");
            self.find(Kind::Journal, DATABASE, format!("the journal {problem}"));
        }
        if catalog.sum != journal.sum {
            self.explain_catalog(database, published, &journal)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        serial: u64,
        entry: &Entry,
        published: u64,
        catalog: &mut Met,
        journal: &mut Met,
    ) -> Result<(), Error> {
        let waiting = serial > published;
        self.report.counts.waiting_entries += u64::from(waiting);
        let upload = match entry {
            Entry::Upload(upload) if waiting => return self.waiting_upload(serial, upload),
            Entry::Upload(upload) => upload,
            Entry::Revoke(revoked) => {
                self.report.counts.journal_entries += u64::from(!waiting);
                return self.revoked(serial, revoked, !waiting, journal);
            }
            // Compared with their bins where those are read.
            Entry::Targets(_) | Entry::Readmit(_) => {
                self.report.counts.journal_entries += u64::from(!waiting);
                return Ok(());
            }
        };
        journal.meet(serial);
        if catalog.has(serial) {
            journal.add(serial, &upload.project, &upload.filename, &upload.sha256, upload.size);
            self.report.counts.journal_entries += 1;
            // One that was restored after a compromise is the same file as before.
            let superseded = journal.gone.remove(&upload.filename).is_some();
            self.report.counts.journal_entries += u64::from(superseded);
        } else {
            journal.gone.insert(upload.filename.clone(), serial);
        }
        Ok(())
    }

    /// What an entry revokes is not in the catalog any more, unless it came again. An entry that waits may
    /// be in it already, as of a batch that is decided.
    fn revoked(
        &mut self,
        serial: u64,
        revoked: &RevokeEntry,
        published: bool,
        journal: &mut Met,
    ) -> Result<(), Error> {
        for filename in &revoked.files {
            self.report.counts.journal_entries +=
                u64::from(journal.gone.remove(filename).is_some());
            let (Some(database), true) = (self.database, published) else { continue };
            let Ok(parsed) = filename.parse::<DistributionFilename>() else {
                let problem = format!("entry {serial} has the filename {filename:?}");
                self.find(Kind::Journal, DATABASE, problem);
                continue;
            };
            let row = database.project_file(parsed.project().as_str(), filename)?;
            if row.is_some_and(|row| row.serial < serial) {
                let problem = format!("entry {serial} revokes {filename}, which is in the catalog");
                self.find(Kind::Journal, DATABASE, problem);
            }
        }
        Ok(())
    }

    /// The files that an entry promises, before any metadata names them.
    fn waiting_upload(&mut self, serial: u64, upload: &UploadEntry) -> Result<(), Error> {
        let Ok(filename) = upload.filename.parse::<DistributionFilename>() else {
            let problem = format!("entry {serial} has the filename {:?}", upload.filename);
            self.find(Kind::Journal, DATABASE, problem);
            return Ok(());
        };
        let file = (paths::distribution(&filename), upload.sha256, upload.size);
        let metadata = upload
            .metadata
            .map(|metadata| (paths::core_metadata(&filename), metadata.sha256, metadata.size));
        for (path, digest, size) in [file].into_iter().chain(metadata) {
            let key = StoreKey::Target { path: target_path(path)?, digest: digest.into() };
            match length(self.store, &key) {
                Ok(Some(length)) if length == size => {
                    self.report.counts.waiting_files += 1;
                    self.report.counts.waiting_bytes += length;
                }
                Ok(Some(length)) => {
                    let problem =
                        format!("has {length} bytes, and journal entry {serial} says {size}");
                    self.find(Kind::TargetChanged, key.path(), problem);
                }
                Ok(None) => {
                    let problem = format!("is not there, and journal entry {serial} names it");
                    self.find(Kind::TargetMissing, key.path(), problem);
                }
                Err(error) => self.unreadable(&key, error)?,
            }
        }
        Ok(())
    }

    /// The catalog's files up to `published`, each serial once.
    fn catalog(&mut self, database: &dyn Database, published: u64) -> Result<Met, Error> {
        let mut met = Met::default();
        let names = database.project_names()?;
        for (number, name) in (0..).zip(&names) {
            if number % 256 == 0 {
                self.progress("projects in the catalog", number, names.len() as u64);
            }
            for row in database.project_files(name)? {
                if row.serial > published {
                    continue;
                }
                if !met.meet(row.serial) {
                    let problem = format!(
                        "entry {} is in the catalog twice, as {}",
                        row.serial, row.filename
                    );
                    self.find(Kind::Journal, DATABASE, problem);
                }
                met.add(row.serial, &row.project, &row.filename, &row.sha256, row.size);
            }
        }
        Ok(met)
    }

    /// Names the files of the catalog that are not as their entry says.
    fn explain_catalog(
        &mut self,
        database: &dyn Database,
        published: u64,
        journal: &Met,
    ) -> Result<(), Error> {
        for name in database.project_names()? {
            for row in database.project_files(&name)? {
                if row.serial > published {
                    continue;
                }
                let entry = database.waiting(row.serial.saturating_sub(1), 1)?;
                let entry = entry.into_iter().find(|entry| entry.serial == row.serial);
                let says = entry.is_some_and(|entry| describes(&entry.entry, &row));
                if !says || !journal.has(row.serial) {
                    let problem = format!(
                        "{} is in the catalog, and entry {} does not say so",
                        row.filename, row.serial
                    );
                    self.find(Kind::Journal, DATABASE, problem);
                }
            }
        }
        Ok(())
    }

    /// No role has a version in the store that the database does not know: it would be used again.
    /// And neither was restored from another moment than the other.
    pub(super) fn recorded_versions(
        &mut self,
        database: &dyn Database,
        bins: Option<Bins>,
        stored: &BTreeMap<RoleName, u64>,
    ) -> Result<(), Error> {
        let used = used_versions(database, bins)?;
        // Without `bins` it is not known which of the others are bins; and the files of other bins, which
        // an index had before, are garbage.
        let known = |role: &RoleName| match bins {
            Some(bins) => bins.number(role).is_some() || !Bins::is_name(role),
            None => TOP_LEVEL.contains(&role.as_str()),
        };
        for (role, stored) in stored.iter().filter(|(role, _)| known(role)) {
            let used = used.get(role).copied().unwrap_or(0);
            if used < *stored {
                let problem = match used {
                    0 => format!("{role} version {stored} is in the store, and none is recorded"),
                    used => format!(
                        "{role} version {stored} is in the store, and version {used} is recorded"
                    ),
                };
                self.find(Kind::Version, DATABASE, problem);
            }
        }
        match check_same_age(self.store, database) {
            Err(error @ Error::DifferentAge { .. }) => {
                self.find(Kind::Version, DATABASE, error.to_string());
                Ok(())
            }
            // A timestamp that cannot be read was found where clients read it.
            Ok(()) | Err(Error::MetadataDamaged { .. } | Error::Store(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The newest version of each role that is used up, by a batch under way as well.
fn used_versions(
    database: &dyn Database,
    bins: Option<Bins>,
) -> Result<BTreeMap<RoleName, u64>, Error> {
    // Read before the rows: what a batch used is in them as soon as it is over.
    let batch = database.batch()?;
    let waiting = database.waiting_change()?;
    let mut used: BTreeMap<_, _> =
        database.roles()?.into_iter().map(|row| (row.name, row.version)).collect();
    let rows = database.bins()?;
    let role = |number: u32| bins.map(|bins| bins.role(number));
    used.extend(rows.into_iter().filter_map(|row| Some((role(row.number)?, row.version))));
    let mut raise = |role: RoleName, version: u64| {
        let newest = used.entry(role).or_insert(version);
        *newest = (*newest).max(version);
    };
    for file in waiting {
        raise(file.role, file.version);
    }
    let (snapshot, timestamp, signed) = match batch {
        None => return Ok(used),
        Some(Batch::Reserved(batch)) => (batch.snapshot, batch.timestamp, batch.bins),
        Some(Batch::Decided(batch)) => {
            let signed = batch.bins.into_iter().map(|(bin, file)| (bin, file.version)).collect();
            (batch.snapshot, batch.timestamp, signed)
        }
    };
    raise(SNAPSHOT, snapshot);
    raise(TIMESTAMP, timestamp);
    for (bin, version) in signed {
        if let Some(role) = role(bin) {
            raise(role, version);
        }
    }
    Ok(used)
}

fn describes(entry: &Entry, row: &FileRow) -> bool {
    let Entry::Upload(upload) = entry else { return false };
    upload.project == row.project
        && upload.filename == row.filename
        && upload.sha256 == row.sha256
        && upload.size == row.size
}

fn length(store: &dyn Store, key: &StoreKey) -> Result<Option<u64>, StoreError> {
    Ok(store.open(key)?.map(|object| object.length))
}
