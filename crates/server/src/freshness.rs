//! Whether clients still take what is published, or refuse it because of its age.

use jiff::Timestamp;
use waxseal_repository::Repository;
use waxseal_repository::store::StoreKey;
use waxseal_tuf::RoleName;

use crate::error::Error;

/// Whether anything that is published has expired, whoever signs it.
pub(crate) fn is_expired(repository: &Repository, now: Timestamp) -> Result<bool, Error> {
    any_expired(repository, now, |_| true)
}

/// Whether anything has expired that the online key signs, so that the snapshot process alone makes it
/// fresh again.
pub(crate) fn is_online_expired(repository: &Repository, now: Timestamp) -> Result<bool, Error> {
    let online = [RoleName::SNAPSHOT, RoleName::TIMESTAMP];
    any_expired(repository, now, |role| online.contains(&role.as_str()))
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

fn any_expired(
    repository: &Repository,
    now: Timestamp,
    counts: impl Fn(&RoleName) -> bool,
) -> Result<bool, Error> {
    let roles = repository.database().roles()?;
    let first_bin = repository.database().first_bin_expires()?;
    let mut roles = roles.iter().filter(|role| role.published > 0 && counts(&role.name));
    Ok(roles.any(|role| role.expires <= now) || first_bin.is_some_and(|expires| expires <= now))
}
