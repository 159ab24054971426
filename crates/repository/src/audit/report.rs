//! What an audit found. Programs read it: names and words here are stable.

use serde::Serialize;
use waxseal_tuf::Error;

/// The most findings that are kept; more are only counted.
const MOST: usize = 1_000;

/// What an audit found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether nothing is wrong.
    pub valid: bool,
    /// The version of the published snapshot, where it could be read.
    pub snapshot: Option<u64>,
    /// What is wrong; the first thousand.
    pub findings: Vec<Finding>,
    /// What is not wrong, and worth knowing; the first thousand.
    pub warnings: Vec<Finding>,
    /// What was checked, and how much of it there is.
    pub counts: Counts,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of wrong.
    pub kind: Kind,
    /// The file it is about, as its path below the store; for the database's, `database`.
    pub path: String,
    /// What is wrong with it.
    pub problem: String,
    /// What to do about it.
    pub hint: &'static str,
}

/// The kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A metadata file that other metadata names is not there.
    Missing,
    /// The disk does not give a file's bytes.
    Unreadable,
    /// A file is not of its format.
    Malformed,
    /// Too few of the right keys signed.
    Unsigned,
    /// A file has another version, length, hash or role than what names it says.
    Inconsistent,
    /// Metadata is past its time.
    Expired,
    /// A target stands in a bin that its path does not fall into.
    Misplaced,
    /// The file of a target, or one that a page vouches for, is not there.
    TargetMissing,
    /// The file of a target, or one that a page vouches for, has other bytes.
    TargetChanged,
    /// The file under a target's plain name is not there or has other bytes.
    PlainName,
    /// A Simple page does not agree with the targets, or with the other pages.
    Page,
    /// A Simple page does not agree with the catalog in the database.
    Catalog,
    /// The journal does not agree with the catalog, or with itself.
    Journal,
    /// A bin does not list a target of another index as the journal's last entry about it says.
    Divergent,
    /// The database does not know a version that the store has.
    Version,
    /// The root is not the one that is trusted.
    OtherRoot,
    /// A version went down since an earlier audit, or a role or root is gone.
    Rollback,
    /// A file has other bytes than an earlier audit saw under its name.
    Rewritten,
    /// A file has other bytes in one place than in another.
    Different,
}

impl Kind {
    /// The kind of what a client refuses.
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::Format { .. } | Error::TooMany { .. } | Error::Misuse { .. } => Self::Malformed,
            Error::Signatures { .. } => Self::Unsigned,
            Error::Expired { .. } => Self::Expired,
            Error::Missing { .. } => Self::Missing,
            Error::Rollback { .. }
            | Error::WrongVersion { .. }
            | Error::OtherRole { .. }
            | Error::RoleRemoved { .. }
            | Error::RoleNotListed { .. }
            | Error::Hash { .. }
            | Error::NoKnownHash { .. }
            | Error::Length { .. } => Self::Inconsistent,
        }
    }

    /// What to do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Missing | Self::Malformed | Self::Unsigned | Self::Inconsistent => {
                "copy the file from a mirror or a backup of this moment; its name never had other \
                 bytes"
            }
            Self::Unreadable => {
                "check the disk and the file's permissions, or the server and the way to it, then audit \
                 again"
            }
            Self::Expired => {
                "start the snapshot process, which signs bins, snapshot and timestamp again; root, \
                 targets and bins take a ceremony"
            }
            Self::Misplaced => {
                "no client finds it there: publish the target again, and look for who wrote the bin"
            }
            Self::TargetMissing | Self::TargetChanged => {
                "copy the file from a mirror or a backup: its name says its SHA-256"
            }
            Self::PlainName => "make it a link to, or a copy of, the same file below tuf/targets/",
            Self::Page => "upload to the project again, or restore store and database together",
            Self::Catalog | Self::Journal => {
                "restore the database, or store and database together, from one backup"
            }
            Self::Divergent => {
                "clients get what the bin says: find out who signed that; restore store and database \
                 together from one backup, or, if nothing else was found, send the change to the API \
                 again"
            }
            Self::OtherRoot => {
                "nothing of this index can be trusted from here: ask its operator, over another way, for \
                 the fingerprint of its root"
            }
            Self::Rollback => {
                "clients that saw the newer version refuse this one: a mirror that is behind catches up by \
                 itself; of the index, find out who put back an older state"
            }
            Self::Rewritten => {
                "a name never has two contents: whoever wrote this has the keys or the store; keep both \
                 files, and find out with `waxseal audit keys`"
            }
            Self::Different => {
                "both are signed, and a name never has two contents: whoever signed the second one has the \
                 keys; keep both files, and see which is in the log with `waxseal audit keys`"
            }
            Self::Version => {
                "the database is older than the store: restore both from one backup, for a version \
                 must not be used for other bytes"
            }
        }
    }
}

/// What was checked, and how much of it there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Everything that is wrong, also what is not listed.
    pub findings: u64,
    /// Every warning, also what is not listed.
    pub warnings: u64,
    /// Versions of root.
    pub roots: u64,
    /// Bins whose metadata was verified.
    pub bins: u64,
    /// Targets in those.
    pub targets: u64,
    /// Bytes of those targets, as metadata says.
    pub target_bytes: u64,
    /// Targets whose file is in this store.
    pub target_files: u64,
    /// Files that are no targets, that a page vouches for (layout `index`), and that are in this store.
    pub vouched_files: u64,
    /// Targets, and files that a page vouches for, whose bytes were hashed.
    pub hashed: u64,
    /// Targets whose files are not in this store, nor should be: those of an adopted index.
    pub elsewhere: u64,
    /// Simple pages of projects.
    pub pages: u64,
    /// Files that those list.
    pub listed_files: u64,
    /// Plain names below `files/` that were compared with their target, or with what a page vouches
    /// for.
    pub plain_names: u64,
    /// Journal entries that were found in the catalog exactly once.
    pub journal_entries: u64,
    /// Paths that the API changed, and of which bin and last journal entry agree.
    pub journalled: u64,
    /// Paths whose last journal entry an import came after: other content than the entry says, or a
    /// path that is back, may be the import's, and is no finding.
    pub imported_over: u64,
    /// Journal entries that wait to be published.
    pub waiting_entries: u64,
    /// Files of those, which no metadata names yet.
    pub waiting_files: u64,
    /// Bytes of those files.
    pub waiting_bytes: u64,
    /// Metadata files of earlier snapshots.
    pub old_metadata: u64,
    /// Metadata files that no published snapshot names, of a run that crashed or is at work.
    pub unpublished_metadata: u64,
    /// Files that nothing published names.
    pub garbage: u64,
    /// Bytes of those.
    pub garbage_bytes: u64,
    /// Bins that were published anew during the audit, and left out.
    pub superseded: u64,
}

impl Report {
    pub(super) fn find(&mut self, kind: Kind, path: String, problem: String) {
        self.counts.findings += 1;
        keep(&mut self.findings, kind, path, problem);
    }

    pub(super) fn warn(&mut self, kind: Kind, path: String, problem: String) {
        self.counts.warnings += 1;
        keep(&mut self.warnings, kind, path, problem);
    }

    /// Takes over what was found in a part that was looked at apart.
    pub(super) fn add(&mut self, part: Self) {
        let room = |kept: &Vec<Finding>| MOST.saturating_sub(kept.len());
        let (findings, warnings) = (room(&self.findings), room(&self.warnings));
        self.findings.extend(part.findings.into_iter().take(findings));
        self.warnings.extend(part.warnings.into_iter().take(warnings));
        let Counts {
            findings,
            warnings,
            bins,
            targets,
            target_bytes,
            target_files,
            hashed,
            elsewhere,
            superseded,
            ..
        } = part.counts;
        let counts = &mut self.counts;
        counts.findings += findings;
        counts.warnings += warnings;
        counts.bins += bins;
        counts.targets += targets;
        counts.target_bytes += target_bytes;
        counts.target_files += target_files;
        counts.hashed += hashed;
        counts.elsewhere += elsewhere;
        counts.superseded += superseded;
    }

    /// Takes over what a walk found about a known root and an earlier audit; an audit of the store finds
    /// the rest.
    pub fn add_known(&mut self, walked: &Self) {
        let known = [Kind::OtherRoot, Kind::Rollback, Kind::Rewritten];
        for finding in walked.findings.iter().filter(|finding| known.contains(&finding.kind)) {
            self.find(finding.kind, finding.path.clone(), finding.problem.clone());
        }
        self.valid = self.counts.findings == 0;
    }

    /// Whether further findings are only counted.
    pub(super) fn is_full(&self) -> bool {
        self.findings.len() >= MOST
    }

    pub(super) fn finished(mut self) -> Self {
        self.valid = self.counts.findings == 0;
        // The journal names these.
        let counts = &mut self.counts;
        counts.garbage = counts.garbage.saturating_sub(counts.waiting_files);
        counts.garbage_bytes = counts.garbage_bytes.saturating_sub(counts.waiting_bytes);
        self
    }
}

fn keep(kept: &mut Vec<Finding>, kind: Kind, path: String, problem: String) {
    if kept.len() < MOST {
        kept.push(Finding { kind, path, problem, hint: kind.hint() });
    }
}
