//! The journal: what was accepted, in the order in which it is published.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, Transaction};
use serde::{Deserialize, Serialize};
use waxseal_tuf::hash::{Sha256, Sha512};

use super::catalog::CoreMetadata;
use super::contract::Journal;
use super::growth::{FullBin, Growth};
use super::pending::{self, AppendedTargets, TargetsAppend};
use super::revocation::{self, Revocation, RevokeEntry};
use super::row::{digest, microseconds, signed, unsigned};
use super::sqlite::{Failure, SqliteDatabase};
use super::targets_entry::TargetsEntry;
use crate::Error;

/// After how many bytes of entries reading stops: what one batch takes, since an entry may hold
/// thousands of targets.
const MOST_READ: usize = 16 << 20;

/// One entry of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "most entries are uploads")]
pub enum Entry {
    /// A file was accepted.
    Upload(UploadEntry),
    /// Another index changed its targets.
    Targets(TargetsEntry),
    /// Projects and files are taken back.
    Revoke(RevokeEntry),
    /// What was taken back may be uploaded again.
    Readmit(RevokeEntry),
}

impl Entry {
    fn kind(&self) -> &'static str {
        match self {
            Self::Upload(_) => "upload",
            Self::Targets(_) => "targets",
            Self::Revoke(_) => "revoke",
            Self::Readmit(_) => "readmit",
        }
    }

    /// The normalized name of the project it is about, if it is about one.
    pub fn project(&self) -> Option<&str> {
        match self {
            Self::Upload(upload) => Some(&upload.project),
            Self::Targets(_) | Self::Revoke(_) | Self::Readmit(_) => None,
        }
    }

    /// Its text in the journal: one JSON object, which says its kind as well.
    fn to_json(&self) -> serde_json::Result<String> {
        #[derive(Serialize)]
        struct Tagged<'a, T> {
            kind: &'static str,
            #[serde(flatten)]
            entry: &'a T,
        }
        let kind = self.kind();
        match self {
            Self::Upload(entry) => serde_json::to_string(&Tagged { kind, entry }),
            Self::Targets(entry) => serde_json::to_string(&Tagged { kind, entry }),
            Self::Revoke(entry) | Self::Readmit(entry) => {
                serde_json::to_string(&Tagged { kind, entry })
            }
        }
    }

    /// Reads that text; none for a kind that this program does not know.
    fn from_json(kind: &str, text: &str) -> Option<serde_json::Result<Self>> {
        match kind {
            "upload" => Some(serde_json::from_str(text).map(Self::Upload)),
            "targets" => Some(serde_json::from_str(text).map(Self::Targets)),
            "revoke" => Some(serde_json::from_str(text).map(Self::Revoke)),
            "readmit" => Some(serde_json::from_str(text).map(Self::Readmit)),
            _ => None,
        }
    }
}

/// A file that was accepted, and is in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadEntry {
    /// The project's normalized name.
    pub project: String,
    /// The project's name as the uploader spells it.
    pub display_name: String,
    /// The release's version.
    pub version: String,
    /// The file's name.
    pub filename: String,
    /// The digest of its bytes.
    #[serde(with = "as_text")]
    pub sha256: Sha256,
    /// Its SHA-512, where that was listed when it came.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "as_text::optional")]
    pub sha512: Option<Sha512>,
    /// Its length in bytes.
    pub size: u64,
    /// Its core metadata as a file of its own (PEP 658), where it has one.
    pub metadata: Option<CoreMetadata>,
    /// `Requires-Python` from the core metadata.
    pub requires_python: Option<String>,
    /// Which token uploaded it, for people who ask later.
    pub uploaded_by: String,
    /// When the server accepted it.
    #[serde(with = "as_text")]
    pub upload_time: Timestamp,
}

/// An upload to record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadAppend {
    /// What the journal will say.
    pub entry: UploadEntry,
    /// What makes two filenames one, such as a normalized spelling. It stays claimed for good.
    pub identity: String,
    /// What it adds to the bins.
    pub growth: Growth,
}

/// What became of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// It is in the journal, for good.
    New(u64),
    /// It was there already: the same filename with the same bytes. Nothing was added.
    Same(u64),
    /// The filename, or another spelling of it, has other bytes or another form already. Nothing
    /// was added.
    Taken {
        /// The serial of the upload that has it.
        serial: u64,
        /// How that upload spelled it.
        filename: String,
        /// The digest of its bytes.
        sha256: Sha256,
    },
    /// The project's first upload, while the API has targets among its paths. Nothing was added.
    Foreign {
        /// One of those targets.
        path: String,
    },
    /// A bin has no room for it. Nothing was added.
    Full(FullBin),
    /// It was revoked, or its project was. Nothing was added.
    Revoked(Revocation),
}

/// An entry as the journal has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalRow {
    /// Its number: 1, 2, 3 and so on without gaps.
    pub serial: u64,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// What it says.
    pub entry: Entry,
}

impl Journal for SqliteDatabase {
    fn append_uploads(&self, uploads: &[&UploadAppend]) -> Result<Vec<Appended>, Error> {
        self.write("recording uploads in the journal", |transaction| {
            lock(transaction)?;
            let append = |upload: &&UploadAppend| {
                let UploadAppend { entry, identity, growth } = upload;
                append_upload(transaction, entry, identity, growth)
            };
            uploads.iter().map(append).collect()
        })
    }

    fn append_upload(&self, upload: &UploadEntry, identity: &str) -> Result<Appended, Error> {
        self.write("recording an upload in the journal", |transaction| {
            lock(transaction)?;
            append_upload(transaction, upload, identity, &Growth::default())
        })
    }

    fn claimed(&self, identity: &str) -> Result<Option<Appended>, Error> {
        self.read("looking up a filename", |connection| {
            let claim = claim(connection, identity)?;
            let is_readmitted = claim.is_some() && revocation::is_readmitted(connection, identity)?;
            let claim = claim.filter(|_| !is_readmitted);
            Ok(claim.map(|(serial, filename, sha256)| Appended::Taken { serial, filename, sha256 }))
        })
    }

    fn append_targets(&self, appends: &[TargetsAppend<'_>]) -> Result<Vec<AppendedTargets>, Error> {
        self.write("recording targets in the journal", |transaction| {
            lock(transaction)?;
            appends.iter().map(|append| pending::append_one(transaction, append)).collect()
        })
    }

    fn waiting(&self, after: u64, limit: u64) -> Result<Vec<JournalRow>, Error> {
        self.read("reading the journal", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT serial, recorded_at, kind, entry FROM journal WHERE serial > $1 \
                 ORDER BY serial LIMIT $2",
            )?;
            let mut rows = statement.query((signed(after)?, signed(limit)?))?;
            let (mut entries, mut length) = (Vec::new(), 0);
            while length < MOST_READ
                && let Some(row) = rows.next()?
            {
                length += row.get_ref(3)?.as_str().map_or(0, str::len);
                entries.push(journal_row(row)?);
            }
            Ok(entries)
        })
    }

    fn last_serial(&self) -> Result<u64, Error> {
        self.read("reading the journal's last serial", |connection| {
            let sql = "SELECT value FROM counter WHERE name = 'serial'";
            Ok(connection.prepare_cached(sql)?.query_row([], |row| unsigned(row, 0))?)
        })
    }
}

/// Changes nothing unless the answer is a new serial.
fn append_upload(
    transaction: &Transaction<'_>,
    upload: &UploadEntry,
    identity: &str,
    growth: &Growth,
) -> Result<Appended, Failure> {
    if let Some(revoked) = revocation::revocation(transaction, &upload.project, identity)? {
        return Ok(Appended::Revoked(revoked));
    }
    if let Some((serial, filename, sha256)) = claim(transaction, identity)? {
        match filename == upload.filename && sha256 == upload.sha256 {
            true if revocation::is_readmitted(transaction, identity)? => {}
            true => return Ok(Appended::Same(serial)),
            false => return Ok(Appended::Taken { serial, filename, sha256 }),
        }
    }
    if let Some(full) = growth.without_room(transaction)? {
        return Ok(Appended::Full(full));
    }
    if let Some(path) = pending::host(transaction, &upload.project)? {
        return Ok(Appended::Foreign { path });
    }
    let serial = put_upload(transaction, upload, identity)?;
    growth.keep(transaction, serial)?;
    Ok(Appended::New(serial))
}

/// Records an upload, which claims its filename whoever had it.
pub(super) fn put_upload(
    transaction: &Transaction<'_>,
    upload: &UploadEntry,
    identity: &str,
) -> Result<u64, Failure> {
    let serial = self::append(transaction, &Entry::Upload(upload.clone()))?;
    transaction
        .prepare_cached(
            "INSERT INTO filename_claim (identity, filename, sha256, serial) \
             VALUES ($1, $2, $3, $4) ON CONFLICT (identity) DO UPDATE SET \
             filename = excluded.filename, sha256 = excluded.sha256, serial = excluded.serial",
        )?
        .execute((identity, &upload.filename, upload.sha256.0, signed(serial)?))?;
    revocation::forget(transaction, identity)?;
    Ok(serial)
}

/// Lets one writer at a time go on, so that what it reads still holds when it writes. On PostgreSQL
/// this row's lock is what `BEGIN IMMEDIATE` is here.
pub(super) fn lock(transaction: &Transaction<'_>) -> Result<(), Failure> {
    transaction
        .prepare_cached("UPDATE counter SET value = value WHERE name = 'serial'")?
        .execute([])?;
    Ok(())
}

pub(super) fn claim(
    connection: &rusqlite::Connection,
    identity: &str,
) -> rusqlite::Result<Option<(u64, String, Sha256)>> {
    connection
        .prepare_cached("SELECT serial, filename, sha256 FROM filename_claim WHERE identity = $1")?
        .query_row([identity], |row| Ok((unsigned(row, 0)?, row.get(1)?, digest(row, 2)?)))
        .optional()
}

/// Gives an entry the next serial. The counter moves in the same transaction, so that serials are
/// without gaps and in the order of commits.
pub(super) fn append(transaction: &Transaction<'_>, entry: &Entry) -> Result<u64, Failure> {
    let text = entry
        .to_json()
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let serial = transaction
        .prepare_cached(
            "UPDATE counter SET value = value + 1 WHERE name = 'serial' RETURNING value",
        )?
        .query_row([], |row| unsigned(row, 0))?;
    transaction
        .prepare_cached(
            "INSERT INTO journal (serial, recorded_at, kind, project, entry) \
             VALUES ($1, $2, $3, $4, $5)",
        )?
        .execute((
            signed(serial)?,
            Timestamp::now().as_microsecond(),
            entry.kind(),
            entry.project().unwrap_or_default(),
            text,
        ))?;
    Ok(serial)
}

fn journal_row(row: &Row<'_>) -> Result<JournalRow, Failure> {
    let serial = unsigned(row, 0)?;
    let recorded_at = microseconds(row, 1)?;
    let kind: String = row.get(2)?;
    let text: String = row.get(3)?;
    let Some(read) = Entry::from_json(&kind, &text) else {
        return Err(Error::JournalUnknownKind { serial, kind }.into());
    };
    let entry =
        read.map_err(|error| Error::JournalCorrupt { serial, problem: error.to_string() })?;
    Ok(JournalRow { serial, recorded_at, entry })
}

/// Digests and times in an entry's JSON are their usual text.
pub(super) mod as_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::Serializer;

    pub(in crate::database) fn serialize<T: Display, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(in crate::database) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }

    /// The same of what may be missing.
    pub(in crate::database) mod optional {
        use super::{Deserialize, Deserializer, Display, Error, FromStr, Serializer};

        #[expect(clippy::ref_option, reason = "so serde calls it")]
        pub(in crate::database) fn serialize<T: Display, S: Serializer>(
            value: &Option<T>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match value {
                Some(value) => serializer.collect_str(value),
                None => serializer.serialize_none(),
            }
        }

        pub(in crate::database) fn deserialize<'de, T, D>(
            deserializer: D,
        ) -> Result<Option<T>, D::Error>
        where
            T: FromStr<Err: Display>,
            D: Deserializer<'de>,
        {
            let text = Option::<String>::deserialize(deserializer)?;
            text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
        }
    }
}
