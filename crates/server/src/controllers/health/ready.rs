use axum::extract::State;
use waxseal_repository::store::StoreKey;

use crate::error::{Error, ReadinessProblem};
use crate::state::AppState;

/// `GET /readyz`: database and store can be read, and something is published. Says how far.
pub(crate) async fn ready(State(state): State<AppState>) -> Result<String, Error> {
    let published = *state.repository.published().borrow();
    let accepted = state.blocking(|repository| {
        if repository.store().open(&StoreKey::Timestamp)?.is_none() {
            return Err(Error::NotReady { problem: ReadinessProblem::NothingPublished });
        }
        Ok(repository.database().last_serial()?)
    });
    Ok(format!("ready; accepted up to {}, published up to {published}\n", accepted.await?))
}
