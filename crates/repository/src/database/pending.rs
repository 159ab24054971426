//! Appending entries that change targets, so that no path changes its content by accident.
//!
//! Whether a path is taken is asked of two places. What is published is read from the store before the
//! transaction, for it may take long. What changed since then is in the table `pending_target`, which
//! keeps the changes of each entry until a while after it was published, and goes before what is
//! published. So the two together are right as long as no entry that is newer than what was read has
//! been forgotten, and that is what the transaction checks.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension, Transaction};
use waxseal_index::paths;
use waxseal_tuf::TargetPath;
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::metadata::TargetFile;

use super::growth::{FullBin, Growth, forget_growth};
use super::journal::{Entry, append};
use super::row::{digest, optional_digest, signed, unsigned};
use super::sqlite::Failure;
use super::targets_entry::{AddTarget, TargetsEntry};
use crate::bins::Bins;

/// Most paths that one refusal names.
pub const MAX_CONFLICTS: usize = 100;

/// How long the changes of an entry are kept after it was published: longer than anybody reads what is
/// published before appending.
const KEPT_AFTER_PUBLISHING: SignedDuration = SignedDuration::from_mins(1);

/// How long an idempotency key is kept: a day is promised.
const KEY_KEPT: SignedDuration = SignedDuration::from_hours(48);

/// Most idempotency keys that are dropped with one new one.
const KEYS_DROPPED: i64 = 100;

/// What a client names a request by, so that sending it again changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The id of the client's token: clients do not share keys.
    pub token: String,
    /// The key.
    pub key: String,
    /// The digest of what the request says.
    pub body: Sha256,
}

/// An entry to append, and what it was decided on.
#[derive(Debug)]
pub struct TargetsAppend<'a> {
    /// The entry.
    pub entry: &'a TargetsEntry,
    /// What may be at the path of each target to add, in their order.
    pub expected: &'a [Expected],
    /// Which bins its targets fall into.
    pub bins: Bins,
    /// [`Catalog::published_serial`](super::Catalog::published_serial) before `expected` was read.
    pub read_at: u64,
    /// The request's key, if it has one.
    pub key: Option<&'a IdempotencyKey>,
}

/// What may be at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Anything; it is replaced.
    Anything,
    /// Nothing, or the same content. This is what is published there.
    Same(Option<TargetFile>),
}

/// What became of an entry that changes targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendedTargets {
    /// It is in the journal, for good.
    New(u64),
    /// The same request was accepted before, under this serial. Nothing was added.
    Repeated(u64),
    /// The key belongs to another request. Nothing was added.
    KeyUsed,
    /// These paths stand against it, [`MAX_CONFLICTS`] of them at most. Nothing was added.
    Refused(Vec<Conflict>),
    /// A bin has no room for it. Nothing was added.
    Full(FullBin),
    /// What was read is too old to decide on; read again. Nothing was added.
    Stale,
}

/// Why a path cannot be changed as a request says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Where it stands in the request, as a JSON pointer (RFC 6901): `/add/3`.
    pub pointer: String,
    /// The path.
    pub path: TargetPath,
    /// What stands against it.
    pub reason: ConflictReason,
}

impl Conflict {
    fn new(list: &str, number: usize, path: &TargetPath, reason: ConflictReason) -> Self {
        Self { pointer: format!("/{list}/{number}"), path: path.clone(), reason }
    }
}

/// What stands against changing a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConflictReason {
    /// Another content is there.
    OtherContent {
        /// What is there.
        have: Content,
        /// What was to be there.
        got: Content,
        /// The entry that put it there, if it is a recent one.
        serial: Option<u64>,
    },
    /// The path belongs to a project whose files are uploaded to this index.
    Hosted {
        /// The project's normalized name.
        project: String,
    },
    /// The path is a list of projects, which this index makes itself because it has some.
    ProjectList,
}

/// What makes the content of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Its length in bytes.
    pub length: u64,
    /// Its SHA-256 in hex; empty for a published file that lists none.
    pub sha256: String,
}

impl Content {
    fn of(file: &TargetFile) -> Self {
        let sha256 =
            file.hashes.listed_sha256().map_or_else(String::new, |sha256| sha256.to_string());
        Self { length: file.length, sha256 }
    }
}

/// Changes nothing unless the answer is a new serial.
pub(super) fn append_one(
    transaction: &Transaction<'_>,
    append: &TargetsAppend<'_>,
) -> Result<AppendedTargets, Failure> {
    if let Some(key) = append.key
        && let Some((body, serial)) = used_key(transaction, key)?
    {
        return Ok(match body == key.body {
            true => AppendedTargets::Repeated(serial),
            false => AppendedTargets::KeyUsed,
        });
    }
    if forgotten(transaction)? > append.read_at {
        return Ok(AppendedTargets::Stale);
    }
    let entry = match check(transaction, append)? {
        Ok(entry) => entry,
        Err(conflicts) => return Ok(AppendedTargets::Refused(conflicts)),
    };
    let growth = Growth::of_targets(append.bins, &entry);
    if let Some(full) = growth.without_room(transaction)? {
        return Ok(AppendedTargets::Full(full));
    }
    let entry = Entry::Targets(entry);
    let serial = self::append(transaction, &entry)?;
    growth.keep(transaction, serial)?;
    if let Entry::Targets(entry) = &entry {
        remember(transaction, serial, entry)?;
    }
    // Also those that are published just so, and were by an import.
    let added = append.entry.add.iter().map(|target| target.path.as_str());
    keep_from_uploads(transaction, added.filter(|path| project_of(path).is_some()))?;
    if let Some(key) = append.key {
        keep_key(transaction, key, serial)?;
    }
    Ok(AppendedTargets::New(serial))
}

/// Drops what entries changed that are published long enough, and what published ones add to bins.
/// Belongs into the transaction that records a snapshot as published at `now`.
pub(super) fn forget_pending(transaction: &Transaction<'_>, now: Timestamp) -> Result<(), Failure> {
    forget_growth(transaction)?;
    let known = forgotten(transaction)?;
    let before = now - KEPT_AFTER_PUBLISHING;
    let old = transaction
        .prepare_cached(
            "SELECT serial FROM snapshot WHERE published_at <= $1 \
             ORDER BY published_at DESC, version DESC LIMIT 1",
        )?
        .query_row([before.as_microsecond()], |row| unsigned(row, 0))
        .optional()?;
    let Some(up_to) = old.filter(|old| *old > known) else { return Ok(()) };
    let up_to = signed(up_to)?;
    transaction
        .prepare_cached("DELETE FROM pending_target WHERE serial <= $1")?
        .execute([up_to])?;
    transaction
        .prepare_cached("UPDATE state SET value = $1 WHERE name = 'forgotten_serial'")?
        .execute([up_to])?;
    Ok(())
}

/// Makes a project one of uploads, which its first upload does. Answers instead a target of the API
/// that is among its paths, or its folder where an import has files in it; or a list of projects of the
/// API, if there is one and it is a recent one.
pub(super) fn host(
    transaction: &Transaction<'_>,
    project: &str,
) -> Result<Option<String>, Failure> {
    if is_hosted(transaction, project)? {
        return Ok(None);
    }
    // `0` is the character after `/`.
    let folder = |folder| (format!("{folder}/{project}/"), format!("{folder}/{project}0"));
    let list = |list: &str| (list.to_owned(), format!("{list}0"));
    let owned = "SELECT path FROM foreign_target WHERE path >= $1 AND path < $2 \
                 ORDER BY path LIMIT 1";
    let recent = "SELECT path FROM pending_target WHERE path >= $1 AND path < $2 \
                  AND sha256 IS NOT NULL ORDER BY path LIMIT 1";
    let mut ranges = vec![(owned, folder("packages")), (owned, folder("simple"))];
    if !hosts_projects(transaction)? {
        let lists = [paths::PROJECT_LIST_JSON, paths::PROJECT_LIST_HTML];
        ranges.extend(lists.map(|path| (recent, list(path))));
    }
    for (sql, range) in ranges {
        let found =
            transaction.prepare_cached(sql)?.query_row(range, |row| row.get(0)).optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    transaction
        .prepare_cached("INSERT INTO hosted_project (name) VALUES ($1)")?
        .execute([project])?;
    Ok(None)
}

pub(super) fn is_hosted(connection: &Connection, project: &str) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM hosted_project WHERE name = $1")?.exists([project])
}

pub(super) fn hosts_projects(connection: &Connection) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM hosted_project LIMIT 1")?.exists([])
}

/// The entry without what is there already, or what stands against it.
fn check(
    transaction: &Transaction<'_>,
    append: &TargetsAppend<'_>,
) -> Result<Result<TargetsEntry, Vec<Conflict>>, Failure> {
    let TargetsAppend { entry, expected, .. } = append;
    let (mut add, mut conflicts) = (Vec::new(), Vec::new());
    for (number, (target, expected)) in entry.add.iter().zip(*expected).enumerate() {
        let path = &target.path;
        let change = match owner(transaction, path)? {
            Some(reason) => Change::Refused(reason),
            None => content_change(transaction, target, expected)?,
        };
        match change {
            Change::None => {}
            Change::Allowed => add.push(target.clone()),
            Change::Refused(reason) => {
                conflicts.push(Conflict::new("add", number, path, reason));
            }
        }
        if conflicts.len() == MAX_CONFLICTS {
            return Ok(Err(conflicts));
        }
    }
    for (number, path) in entry.remove.iter().enumerate() {
        if let Some(reason) = owner(transaction, path)? {
            conflicts.push(Conflict::new("remove", number, path, reason));
        }
        if conflicts.len() == MAX_CONFLICTS {
            return Ok(Err(conflicts));
        }
    }
    Ok(match conflicts.is_empty() {
        true => Ok(TargetsEntry { add, remove: entry.remove.clone(), by: entry.by.clone() }),
        false => Err(conflicts),
    })
}

/// What adding a target does to its path.
enum Change {
    None,
    Allowed,
    Refused(ConflictReason),
}

fn content_change(
    transaction: &Transaction<'_>,
    target: &AddTarget,
    expected: &Expected,
) -> Result<Change, Failure> {
    let Expected::Same(published) = expected else { return Ok(Change::Allowed) };
    let got = Content::of(&target.file);
    let (have, serial) = match pending(transaction, &target.path)? {
        Some((serial, pending)) => (pending, Some(serial)),
        None if published.as_ref() == Some(&target.file) => return Ok(Change::None),
        None => {
            // What is published may list another digest alone.
            if let Some(published) = published
                && published.hashes.listed_sha256().is_none()
            {
                let same = |digest| target.file.hashes.known().any(|other| other == digest);
                if published.length == got.length && published.hashes.known().any(same) {
                    return Ok(Change::Allowed);
                }
            }
            (published.as_ref().map(Content::of), None)
        }
    };
    Ok(match have {
        Some(have) if have != got => {
            Change::Refused(ConflictReason::OtherContent { have, got, serial })
        }
        _ => Change::Allowed,
    })
}

/// What the last entries made of a path, and which of them; the content is none when it is removed.
fn pending(
    connection: &Connection,
    path: &TargetPath,
) -> rusqlite::Result<Option<(u64, Option<Content>)>> {
    connection
        .prepare_cached("SELECT serial, sha256, length FROM pending_target WHERE path = $1")?
        .query_row([path.as_str()], |row| {
            let content = match optional_digest(row, 1)? {
                Some(sha256) => {
                    Some(Content { sha256: sha256.to_string(), length: unsigned(row, 2)? })
                }
                None => None,
            };
            Ok((unsigned(row, 0)?, content))
        })
        .optional()
}

/// Why the API may not change a path, if it belongs to somebody else.
fn owner(connection: &Connection, path: &TargetPath) -> rusqlite::Result<Option<ConflictReason>> {
    let path = path.as_str();
    if [paths::PROJECT_LIST_JSON, paths::PROJECT_LIST_HTML].contains(&path) {
        return Ok(hosts_projects(connection)?.then_some(ConflictReason::ProjectList));
    }
    let Some(project) = project_of(path) else { return Ok(None) };
    let hosted = is_hosted(connection, project)?;
    Ok(hosted.then(|| ConflictReason::Hosted { project: project.to_owned() }))
}

/// Records an entry whatever stands against it.
pub(super) fn put_targets(
    transaction: &Transaction<'_>,
    entry: &TargetsEntry,
) -> Result<u64, Failure> {
    let serial = append(transaction, &Entry::Targets(entry.clone()))?;
    remember(transaction, serial, entry)?;
    Ok(serial)
}

fn remember(
    transaction: &Transaction<'_>,
    serial: u64,
    entry: &TargetsEntry,
) -> Result<(), Failure> {
    let mut put = transaction.prepare_cached(
        "INSERT INTO pending_target (path, serial, sha256, length) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (path) DO UPDATE SET serial = excluded.serial, sha256 = excluded.sha256, \
         length = excluded.length",
    )?;
    let mut free = transaction.prepare_cached("DELETE FROM foreign_target WHERE path = $1")?;
    let serial = signed(serial)?;
    for AddTarget { path, file } in &entry.add {
        // Requests without one are not accepted.
        let Some(sha256) = file.hashes.listed_sha256() else { continue };
        put.execute((path.as_str(), serial, sha256.0, signed(file.length)?))?;
    }
    for path in &entry.remove {
        put.execute((path.as_str(), serial, None::<[u8; 32]>, None::<i64>))?;
        free.execute([path.as_str()])?;
    }
    Ok(())
}

/// Records what stands against the first upload of a project: paths in its folders, or such a folder
/// with `/` at its end.
pub(super) fn keep_from_uploads<'a>(
    transaction: &Transaction<'_>,
    paths: impl Iterator<Item = &'a str>,
) -> Result<(), Failure> {
    let mut keep = transaction.prepare_cached(
        "INSERT INTO foreign_target (path) VALUES ($1) ON CONFLICT (path) DO NOTHING",
    )?;
    for path in paths {
        keep.execute([path])?;
    }
    Ok(())
}

/// The project in whose folders a path is.
pub(crate) fn project_of(path: &str) -> Option<&str> {
    let mut segments = path.splitn(3, '/');
    match (segments.next(), segments.next(), segments.next()) {
        (Some("simple" | "packages"), Some(project), Some(_)) => Some(project),
        _ => None,
    }
}

/// The newest entry whose changes may be forgotten.
fn forgotten(connection: &Connection) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT value FROM state WHERE name = 'forgotten_serial'")?
        .query_row([], |row| unsigned(row, 0))
}

/// What a key was used for, and under which serial.
fn used_key(
    connection: &Connection,
    key: &IdempotencyKey,
) -> rusqlite::Result<Option<(Sha256, u64)>> {
    connection
        .prepare_cached(
            "SELECT body_sha256, serial FROM idempotency_key WHERE token = $1 AND key = $2",
        )?
        .query_row([&key.token, &key.key], |row| Ok((digest(row, 0)?, unsigned(row, 1)?)))
        .optional()
}

/// Keeps a new key, and drops some that are old.
fn keep_key(
    transaction: &Transaction<'_>,
    key: &IdempotencyKey,
    serial: u64,
) -> Result<(), Failure> {
    let now = Timestamp::now();
    transaction
        .prepare_cached(
            "DELETE FROM idempotency_key WHERE (token, key) IN (SELECT token, key \
             FROM idempotency_key WHERE created_at < $1 ORDER BY created_at LIMIT $2)",
        )?
        .execute(((now - KEY_KEPT).as_microsecond(), KEYS_DROPPED))?;
    transaction
        .prepare_cached(
            "INSERT INTO idempotency_key (token, key, body_sha256, serial, created_at) \
             VALUES ($1, $2, $3, $4, $5)",
        )?
        .execute((&key.token, &key.key, key.body.0, signed(serial)?, now.as_microsecond()))?;
    Ok(())
}
