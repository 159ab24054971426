use axum::extract::State;
use jiff::{SignedDuration, Timestamp};
use waxseal_repository::store::StoreKey;
use waxseal_repository::{Publishing, Repository};

use crate::error::{Error, ReadinessProblem};
use crate::freshness;
use crate::state::AppState;

/// `GET /readyz`: database and store can be read, and what is published can be used. Says how far it is,
/// and whether publishing is held up; uploads are accepted all the same, so that is no reason to send
/// clients elsewhere. No more is it that root, targets or bins expire soon, which it says as well.
pub(crate) async fn ready(State(state): State<AppState>) -> Result<String, Error> {
    let published = *state.repository.published().borrow();
    let held_up = held_up(&state);
    let problem = state.blocking(|repository| readiness_problem(repository, Timestamp::now()));
    if let Some(problem) = problem.await? {
        return Err(Error::NotReady { problem, held_up });
    }
    let read = |repository: &Repository| {
        let running_out = freshness::running_out(repository, Timestamp::now())?;
        Ok((repository.database().last_serial()?, running_out))
    };
    let (accepted, running_out) = state.blocking(read).await?;
    let mut text = format!("ready; accepted up to {accepted}, published up to {published}\n");
    let running_out = running_out.into_iter().map(|(role, expires)| {
        let day = expires.strftime("%Y-%m-%d");
        format!("{role} expires on {day}: `waxseal repo status` says what to do")
    });
    for line in held_up.into_iter().chain(running_out) {
        text.push_str(&line);
        text.push('\n');
    }
    Ok(text)
}

fn readiness_problem(
    repository: &Repository,
    now: Timestamp,
) -> Result<Option<ReadinessProblem>, Error> {
    if repository.store().open(&StoreKey::Timestamp)?.is_none() {
        return Ok(Some(ReadinessProblem::NothingPublished));
    }
    let roles = freshness::expired(repository, now)?;
    Ok((!roles.is_empty()).then_some(ReadinessProblem::Expired { roles }))
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
