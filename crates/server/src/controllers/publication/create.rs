use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};

use crate::api::{self, Reached};
use crate::auth::authenticate;
use crate::problem::Problem;
use crate::state::AppState;

/// `POST /api/v1/publish`: wakes the snapshot process and answers 202. With `?wait` the answer is 200
/// when everything that was accepted before the request is published, or 503 when that takes longer.
pub(crate) async fn create(
    State(state): State<AppState>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    authenticate(&state, &headers).await?;
    let wait = api::wait(uri.query())?;
    let serial = state.blocking(|repository| {
        let serial = repository.database().last_serial()?;
        repository.request_publish();
        Ok(serial)
    });
    let serial = serial.await?;
    let reached = api::wait_until_published(&state, serial, wait.unwrap_or_default()).await?;
    match (wait, reached) {
        (None, reached) => Ok(api::json(StatusCode::ACCEPTED, &Reached::new(serial, reached))),
        (Some(_), Some(snapshot)) => {
            Ok(api::json(StatusCode::OK, &Reached::new(serial, Some(snapshot))))
        }
        // The server did not do what was asked in time; whoever asks again may find it done. It is no
        // 504, which is about a server behind this one, and no 202, which scripts take for success.
        (Some(wait), None) => Err(Problem::unavailable(
            "not-published-in-time",
            format!(
                "what was accepted up to serial {serial} is not all published after {} seconds; \
                 it is safe, and will be",
                wait.as_secs()
            ),
            "ask again; if that goes on, /readyz and the log of the index say what the snapshot \
             process does",
        )),
    }
}
