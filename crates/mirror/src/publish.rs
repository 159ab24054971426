//! Adds metadata to the folder, and makes a snapshot visible: by one rename, when all it names is durable.

use waxseal_tuf::trusted::RootPhase;
use waxseal_tuf::{Limits, RoleName, TrustedMetadata};

use crate::durable::{Folders, read_if_there, sync_folder, write_synced};
use crate::error::Error;
use crate::folder::Folder;
use crate::upstream::Upstream;
use crate::view::{ROOT, SNAPSHOT};
use crate::walk::Changed;

/// Whether the folder has the trusted root, and so every one before it.
pub(crate) fn has_root(folder: &Folder, trusted: &TrustedMetadata) -> Result<bool, Error> {
    let root = trusted.root();
    let there = read_if_there(&folder.metadata(root.version, &ROOT))?;
    Ok(there.is_some_and(|there| there[..] == root.bytes()[..]))
}

/// Adds every version of root that leads to the trusted one: a client may begin with any of them.
///
/// After a root was replaced by hand, those before it lead nowhere, and are left as they are.
pub(crate) fn roots(
    folder: &Folder,
    folders: &Folders,
    upstream: &dyn Upstream,
    trusted: &TrustedMetadata,
) -> Result<(), Error> {
    if has_root(folder, trusted)? {
        return Ok(());
    }
    let root = trusted.root();
    let mut missing = vec![(root.version, root.bytes().to_vec())];
    let mut next = root.bytes().to_vec();
    for version in (1..root.version).rev() {
        let leads = |root: &Vec<u8>| leads_to(root, &next);
        let there = read_if_there(&folder.metadata(version, &ROOT))?.filter(leads);
        if let Some(there) = there {
            next = there;
            continue;
        }
        let Some(fetched) = upstream.root(version)?.filter(leads) else {
            tracing::warn!(
                "no root of version {version} leads to the one after it: clients that trust an \
                            older one cannot use this mirror"
            );
            break;
        };
        missing.push((version, fetched.clone()));
        next = fetched;
    }
    // The trusted one last: where that is, the others are.
    for (version, bytes) in missing.into_iter().rev() {
        folders.write(&folder.metadata(version, &ROOT), &bytes)?;
    }
    Ok(())
}

/// Whether a root is followed by another one (TUF 5.3.4).
fn leads_to(root: &[u8], next: &[u8]) -> bool {
    RootPhase::new(root, &Limits::default()).is_ok_and(|mut phase| phase.update(next).is_ok())
}

/// Adds the metadata of the roles that changed, those that delegate last, and the snapshot.
pub(crate) fn metadata(
    folder: &Folder,
    folders: &Folders,
    trusted: &TrustedMetadata,
    changed: &[Changed],
) -> Result<(), Error> {
    for Changed { role, version, .. } in changed.iter().rev() {
        let staged = folder.staged(*version, role);
        if staged.is_file() {
            folders.link(&staged, &folder.metadata(*version, role))?;
        }
    }
    let snapshot = trusted.snapshot();
    let staged = folder.staged(snapshot.version, &SNAPSHOT);
    write_synced(&staged, snapshot.bytes())?;
    folders.link(&staged, &folder.metadata(snapshot.version, &SNAPSHOT))
}

/// Replaces `timestamp.json`. All that it leads to is durable by now.
pub(crate) fn timestamp(
    folder: &Folder,
    folders: &Folders,
    trusted: &TrustedMetadata,
) -> Result<(), Error> {
    let path = folder.timestamp();
    folders.write(&path, trusted.timestamp().bytes())?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// The roles that a snapshot listed and another one does not.
pub(crate) fn vanished<'a>(
    old: impl Iterator<Item = &'a RoleName>,
    trusted: &TrustedMetadata,
) -> Vec<RoleName> {
    let listed = &trusted.snapshot().roles;
    old.filter(|role| listed.get(role).is_none()).cloned().collect()
}
