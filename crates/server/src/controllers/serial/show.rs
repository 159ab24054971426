use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};

use crate::api::{self, Reached};
use crate::auth::authenticate;
use crate::problem::Problem;
use crate::state::AppState;

/// `GET /api/v1/serials/N`: whether a journal entry waits or is published. With `?wait=SECONDS` the
/// answer comes when it is published, or else when the time is over.
pub(crate) async fn show(
    State(state): State<AppState>,
    serial: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    authenticate(&state, &headers).await?;
    let wait = api::wait(uri.query())?.unwrap_or_default();
    // `+1`, `01` and what is no text are other names than `1`, of nothing.
    let number = serial.ok().and_then(|Path(serial)| {
        serial.parse().ok().filter(|number: &u64| number.to_string() == serial)
    });
    let last = state.blocking(|repository| Ok(repository.database().last_serial()?)).await?;
    let Some(serial) = number.filter(|number| (1..=last).contains(number)) else {
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            "unknown-serial",
            "There is no such serial",
            match last {
                0 => "no serial was given yet".to_owned(),
                last => format!("no such serial was given; those given are 1 to {last}"),
            },
            "take the serial from the answer to POST /api/v1/targets",
        ));
    };
    let reached = api::wait_until_published(&state, serial, wait).await?;
    Ok(api::json(StatusCode::OK, &Reached::new(serial, reached)))
}
