//! What a repository checks before it publishes the files of a ceremony.

use jiff::Timestamp;
use waxseal_tuf::metadata::Role;
use waxseal_tuf::trusted::RootPhase;
use waxseal_tuf::{Error as Refused, Limits, RoleName};

use super::{BINS, Ceremony, OfflineRoles};
use crate::bins::Bins;

/// Offline roles that may follow those that are published.
#[derive(Debug, Clone)]
pub struct Change {
    /// The new files, in the order in which clients may see them.
    pub files: Vec<ChangedFile>,
    /// What is published when all of it is.
    pub after: OfflineRoles,
}

/// A new version of an offline role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedFile {
    /// When it is published.
    pub stage: Stage,
    /// The role.
    pub role: RoleName,
    /// Its version.
    pub version: u64,
    /// When it expires.
    pub expires: Timestamp,
    /// The file.
    pub bytes: Vec<u8>,
}

/// When a new file of an offline role is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// A root under which what is published stays valid: at once.
    Before,
    /// What the next snapshot is made under: with it, just before its timestamp.
    WithSnapshot,
    /// A root under which the next snapshot is valid: after it.
    After,
}

/// Files of a ceremony that may not follow what is published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Clients would refuse one of them.
    #[error("clients would refuse this: {0}")]
    Refused(#[from] Refused),
    /// There is no new root in it.
    #[error("no new root is among the files: a ceremony makes one, N.root.json, with every change")]
    NoRoot,
    /// A role has not the version after the published one.
    #[error(
        "{role} has version {got}, and the published one is version {published}: it was made from an \
         older state of the index, so hold the ceremony again with what is published now"
    )]
    Version {
        /// The role.
        role: RoleName,
        /// Its published version.
        published: u64,
        /// What came.
        got: u64,
    },
    /// It has expired.
    #[error("{role} version {version} expired at {expires}: hold the ceremony again")]
    Expired {
        /// The role.
        role: RoleName,
        /// Its version.
        version: u64,
        /// When it expired.
        expires: Timestamp,
    },
    /// A root that an index cannot go on with.
    #[error("root version {version} {problem}")]
    Root {
        /// The root's version.
        version: u64,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The roles do not fit together: no client could verify what the online key signs.
    #[error(
        "{what} {version} does not accept the new targets and bins with the online key that bins \
         delegates to: these files are of different ceremonies"
    )]
    NotTogether {
        /// `root version`.
        what: &'static str,
        /// Its version.
        version: u64,
    },
    /// Clients would take the next snapshot for a rollback.
    #[error(
        "with {after} bins in place of {before} roles vanish that clients know, who refuse that as a \
         rollback unless the online key changes as well"
    )]
    BinsVanish {
        /// How many there are.
        before: u32,
        /// How many there are to be.
        after: u32,
    },
}

/// Whether these files of a ceremony may follow what is published, and in which order.
pub fn check(
    before: &OfflineRoles,
    ceremony: &Ceremony,
    now: Timestamp,
) -> Result<Change, ChangeError> {
    let mut roots = Vec::new();
    let mut newest = before.root_phase().clone();
    for bytes in &ceremony.roots {
        newest.update(bytes)?;
        check_root(&newest)?;
        roots.push(newest.clone());
    }
    if roots.is_empty() {
        return Err(ChangeError::NoRoot);
    }
    check_expiry(&RoleName::from_static(RoleName::ROOT), &**newest.root(), now)?;
    let (targets, bins) = match &ceremony.delegations {
        Some(new) => (new.targets.as_slice(), new.bins.as_slice()),
        None => (&**before.targets().bytes(), &**before.bins_role().bytes()),
    };
    let after = OfflineRoles::verify(newest, targets, bins)?;
    if ceremony.delegations.is_some() {
        check_next(&RoleName::targets(), &**before.targets(), &**after.targets())?;
        check_next(&BINS, &**before.bins_role(), &**after.bins_role())?;
    }
    check_expiry(&RoleName::targets(), &**after.targets(), now)?;
    check_expiry(&BINS, &**after.bins_role(), now)?;
    check_bins(before, &after)?;
    let files = in_order(before, &after, &roots, ceremony)?;
    Ok(Change { files, after })
}

/// Each file with its stage: roots under which the published state is valid come first, then those under
/// which the new one is first valid, with targets and bins; then the others.
fn in_order(
    before: &OfflineRoles,
    after: &OfflineRoles,
    roots: &[RootPhase],
    ceremony: &Ceremony,
) -> Result<Vec<ChangedFile>, ChangeError> {
    let (mut stage, mut files) = (Stage::Before, Vec::new());
    let mut accepts_new = after.is_valid_under(before.root_phase());
    for (root, bytes) in roots.iter().zip(&ceremony.roots) {
        if stage == Stage::Before && !before.is_valid_under(root) {
            stage = if accepts_new { Stage::After } else { Stage::WithSnapshot };
        } else if stage == Stage::WithSnapshot && accepts_new {
            stage = Stage::After;
        }
        let valid = after.is_valid_under(root);
        if stage == Stage::After && !valid {
            let version = root.root().version;
            return Err(ChangeError::NotTogether { what: "root version", version });
        }
        accepts_new = valid;
        let (version, expires) = (root.root().version, root.root().expires);
        let role = RoleName::from_static(RoleName::ROOT);
        files.push(ChangedFile { stage, role, version, expires, bytes: bytes.clone() });
    }
    if !accepts_new {
        let version = after.root().version;
        return Err(ChangeError::NotTogether { what: "root version", version });
    }
    if let Some(new) = &ceremony.delegations {
        let roles = [
            (RoleName::targets(), &new.targets, after.targets()),
            (BINS, &new.bins, after.bins_role()),
        ];
        files.extend(roles.map(|(role, bytes, claims)| ChangedFile {
            stage: Stage::WithSnapshot,
            role,
            version: claims.version,
            expires: claims.expires,
            bytes: bytes.clone(),
        }));
        files.sort_by_key(|file| file.stage);
    }
    Ok(files)
}

fn check_root(phase: &RootPhase) -> Result<(), ChangeError> {
    let root = phase.root();
    let problem = if !root.consistent_snapshot {
        "gives up consistent snapshots, without which clients could read two states at once"
    } else if root.roles.root.threshold < 2 {
        "has a threshold of one: whoever has that key replaces every other (PEP 458 asks for more)"
    } else {
        return Ok(());
    };
    Err(ChangeError::Root { version: root.version, problem })
}

fn check_next<T: Role>(role: &RoleName, before: &T, after: &T) -> Result<(), ChangeError> {
    let (published, got) = (before.version(), after.version());
    match got > published {
        true => Ok(()),
        false => Err(ChangeError::Version { role: role.clone(), published, got }),
    }
}

fn check_expiry<T: Role>(role: &RoleName, signed: &T, now: Timestamp) -> Result<(), ChangeError> {
    let (version, expires) = (signed.version(), signed.expires());
    match expires > now {
        true => Ok(()),
        false => Err(ChangeError::Expired { role: role.clone(), version, expires }),
    }
}

fn check_bins(before: &OfflineRoles, after: &OfflineRoles) -> Result<(), ChangeError> {
    let (old, new): (Bins, Bins) = (before.bins(), after.bins());
    let same_key = after.online_keys().iter().any(|key| before.online_keys().contains(key));
    match same_key && !old.go_on_in(new) {
        true => Err(ChangeError::BinsVanish { before: old.count(), after: new.count() }),
        false => Ok(()),
    }
}

/// Whether an index can begin with what a ceremony made: root, targets and bins, with all signatures.
pub fn check_first(ceremony: &Ceremony) -> Result<OfflineRoles, ChangeError> {
    let ([root], Some(new)) = (ceremony.roots.as_slice(), &ceremony.delegations) else {
        return Err(ChangeError::NoRoot);
    };
    let root = RootPhase::new(root, &Limits::default())?;
    check_root(&root)?;
    let roles = OfflineRoles::verify(root, &new.targets, &new.bins)?;
    let version = roles.root().version;
    match roles.is_valid_under(roles.root_phase()) {
        true => Ok(roles),
        false => Err(ChangeError::NotTogether { what: "root version", version }),
    }
}
