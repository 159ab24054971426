use axum::extract::State;
use jiff::{SignedDuration, Timestamp};
use waxseal_repository::store::StoreKey;
use waxseal_repository::{Publishing, Repository};

use crate::error::{Error, ReadinessProblem};
use crate::state::AppState;

/// `GET /readyz`: database and store can be read, and what is published can be used. Says how far it is,
/// and whether publishing is held up; uploads are accepted all the same, so that is no reason to send
/// clients elsewhere.
pub(crate) async fn ready(State(state): State<AppState>) -> Result<String, Error> {
    let published = *state.repository.published().borrow();
    let now = Timestamp::now();
    let slow = SignedDuration::try_from(state.settings.slow_publication);
    let slow = slow.unwrap_or(SignedDuration::MAX);
    let accepted = state.blocking(move |repository| {
        if repository.store().open(&StoreKey::Timestamp)?.is_none() {
            return Err(Error::NotReady { problem: ReadinessProblem::NothingPublished });
        }
        if expired(repository, now)? {
            return Err(Error::NotReady { problem: ReadinessProblem::Expired });
        }
        Ok(repository.database().last_serial()?)
    });
    let held_up = match state.repository.publishing() {
        Publishing::Failing { since, problem } => {
            format!("not publishing since {since}: {problem}\n")
        }
        Publishing::Working { since } if now.duration_since(since) > slow => {
            format!("publishing since {since}: the signing key or the disk is slow\n")
        }
        Publishing::Working { .. } | Publishing::Idle => String::new(),
    };
    let accepted = accepted.await?;
    Ok(format!("ready; accepted up to {accepted}, published up to {published}\n{held_up}"))
}

/// Whether clients refuse what is published because of its age.
fn expired(repository: &Repository, now: Timestamp) -> Result<bool, Error> {
    let roles = repository.database().roles()?;
    let first_bin = repository.database().first_bin_expires()?;
    let any_role = roles.iter().any(|role| role.published > 0 && role.expires <= now);
    Ok(any_role || first_bin.is_some_and(|expires| expires <= now))
}
