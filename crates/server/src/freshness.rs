//! Whether clients still take what is published, or refuse it because of its age.

use jiff::Timestamp;
use waxseal_repository::store::StoreKey;
use waxseal_repository::{Due, Repository, due, is_offline};
use waxseal_tuf::RoleName;

use crate::error::Error;

/// All bins, as PEP 458 names them.
const BIN_N: RoleName = RoleName::from_static("bin-n");

/// The published roles that have expired, whoever signs them.
pub(crate) fn expired(repository: &Repository, now: Timestamp) -> Result<Vec<RoleName>, Error> {
    let roles = due_roles(repository, now)?.into_iter();
    Ok(roles.filter(|(.., due)| *due == Due::Expired).map(|(role, ..)| role).collect())
}

/// The published roles of a key ceremony that expire so soon that it is to be prepared, and when.
pub(crate) fn running_out(
    repository: &Repository,
    now: Timestamp,
) -> Result<Vec<(RoleName, Timestamp)>, Error> {
    let roles = due_roles(repository, now)?.into_iter();
    let soon = roles.filter(|(.., due)| ![Due::Later, Due::Expired].contains(due));
    Ok(soon.map(|(role, expires, _)| (role, expires)).collect())
}

/// Whether anything has expired that the online key signs, so that the snapshot process alone makes it
/// fresh again.
pub(crate) fn is_online_expired(repository: &Repository, now: Timestamp) -> Result<bool, Error> {
    Ok(expired(repository, now)?.iter().any(|role| !is_offline(role)))
}

/// Whether the first snapshot is there, all that was accepted is published, and nothing has expired that
/// the online key signs.
pub(crate) fn is_up_to_date(repository: &Repository, now: Timestamp) -> Result<bool, Error> {
    let database = repository.database();
    let is_published = database.batch()?.is_none()
        && database.published_serial()? == database.last_serial()?
        && repository.store().open(&StoreKey::Timestamp)?.is_some();
    Ok(is_published && !is_online_expired(repository, now)?)
}

fn due_roles(
    repository: &Repository,
    now: Timestamp,
) -> Result<Vec<(RoleName, Timestamp, Due)>, Error> {
    let rows = repository.database().roles()?.into_iter();
    let roles = rows.filter(|row| row.published > 0).map(|row| (row.name, row.expires));
    let first_bin = repository.database().first_bin_expires()?.map(|expires| (BIN_N, expires));
    let roles = roles.chain(first_bin).map(|(role, expires)| {
        let due = due(&role, expires, now);
        (role, expires, due)
    });
    Ok(roles.collect())
}
