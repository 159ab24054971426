use axum::extract::State;
use jiff::{SignedDuration, Timestamp};
use waxseal_repository::store::StoreKey;
use waxseal_repository::{Publishing, Repository};

use crate::error::{Error, ReadinessProblem};
use crate::freshness;
use crate::state::AppState;

/// `GET /readyz`: database and store can be read, and what is published can be used. Says how far it is,
/// and whether publishing is held up; uploads are accepted all the same, so that is no reason to send
/// clients elsewhere.
pub(crate) async fn ready(State(state): State<AppState>) -> Result<String, Error> {
    let published = *state.repository.published().borrow();
    let held_up = held_up(&state);
    let problem = state.blocking(|repository| readiness_problem(repository, Timestamp::now()));
    if let Some(problem) = problem.await? {
        return Err(Error::NotReady { problem, held_up });
    }
    let accepted = state.blocking(|repository| Ok(repository.database().last_serial()?)).await?;
    let held_up = held_up.map_or_else(String::new, |held_up| format!("{held_up}\n"));
    Ok(format!("ready; accepted up to {accepted}, published up to {published}\n{held_up}"))
}

fn readiness_problem(
    repository: &Repository,
    now: Timestamp,
) -> Result<Option<ReadinessProblem>, Error> {
    if repository.store().open(&StoreKey::Timestamp)?.is_none() {
        return Ok(Some(ReadinessProblem::NothingPublished));
    }
    Ok(freshness::is_expired(repository, now)?.then_some(ReadinessProblem::Expired))
}

/// What holds up publishing, and since when.
fn held_up(state: &AppState) -> Option<String> {
    let slow = SignedDuration::try_from(state.settings.slow_publication);
    let slow = slow.unwrap_or(SignedDuration::MAX);
    match state.repository.publishing() {
        Publishing::Failing { since, problem } => {
            Some(format!("not publishing since {since}: {problem}"))
        }
        Publishing::Working { since } if Timestamp::now().duration_since(since) > slow => {
            Some(format!("publishing since {since}: the signing key or the disk is slow"))
        }
        Publishing::Working { .. } | Publishing::Idle => None,
    }
}
