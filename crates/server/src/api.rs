//! What the handlers of the API share: answers, waiting, and reading a body in bounded memory.

use std::time::Duration;

use axum::body::BodyDataStream;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use serde::Serialize;

use crate::error::Error;
use crate::problem::Problem;
use crate::state::AppState;

/// Longest that a request may wait, and how long it waits when it says no time.
const LONGEST_WAIT: u64 = 60;
const USUAL_WAIT: u64 = 30;

/// How often the database is asked while waiting: another process may be publishing.
const POLL: Duration = Duration::from_secs(1);

/// A whole body may take so many times as long as its longest pause.
const PAUSES: u32 = 5;

/// How far the journal entry of a serial is.
#[derive(Debug, Serialize)]
pub(crate) struct Reached {
    serial: u64,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<u64>,
}

impl Reached {
    pub(crate) fn new(serial: u64, snapshot: Option<u64>) -> Self {
        let state = if snapshot.is_some() { "published" } else { "waiting" };
        Self { serial, state, snapshot }
    }
}

/// An answer in JSON.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let body = serde_json::to_vec(body).unwrap_or_default();
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

/// How long a query asks to wait; none for a query that does not ask.
pub(crate) fn wait(query: Option<&str>) -> Result<Option<Duration>, Problem> {
    let refuse = |detail: String| {
        let hint = format!("ask for `?wait=SECONDS` with 0 to {LONGEST_WAIT}, or for nothing");
        Problem::bad_request("bad-query", detail, hint)
    };
    let mut wait = None;
    for parameter in query.unwrap_or_default().split('&').filter(|text| !text.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let seconds = match value {
            "" => Some(USUAL_WAIT),
            value => value.parse().ok().filter(|seconds| *seconds <= LONGEST_WAIT),
        };
        let shown = crate::error::shown(parameter);
        match seconds {
            _ if name != "wait" => return Err(refuse(format!("'{shown}' is not known here"))),
            _ if wait.is_some() => return Err(refuse("`wait` stands there twice".to_owned())),
            None => return Err(refuse(format!("'{shown}' is no time to wait"))),
            Some(seconds) => wait = Some(Duration::from_secs(seconds)),
        }
    }
    Ok(wait)
}

/// Waits until the journal is published up to `serial`, at most `limit`; the version of the first
/// snapshot that has it.
pub(crate) async fn wait_until_published(
    state: &AppState,
    serial: u64,
    limit: Duration,
) -> Result<Option<u64>, Error> {
    let mut published = state.repository.published();
    let end = tokio::time::Instant::now() + limit;
    loop {
        let find = move |repository: &waxseal_repository::Repository| {
            Ok(repository.database().snapshot_of_serial(serial)?)
        };
        let found = state.blocking(find).await?;
        let left = end.saturating_duration_since(tokio::time::Instant::now());
        if found.is_some() || left.is_zero() {
            return Ok(found);
        }
        // What is announced is in the database, which has the last word. Nothing announces the first
        // snapshot of an empty journal: the next look finds it.
        let reached = published.wait_for(|up_to| *up_to >= serial.max(1));
        let _ = tokio::time::timeout(left.min(POLL), reached).await;
    }
}

/// Reads a body of at most `limit` bytes. `idle` is its longest pause.
pub(crate) async fn read_body(
    headers: &HeaderMap,
    mut body: BodyDataStream,
    limit: u64,
    idle: Duration,
) -> Result<Vec<u8>, Problem> {
    let end = tokio::time::Instant::now() + idle * PAUSES;
    let mut bytes = Vec::new();
    loop {
        let left = end.saturating_duration_since(tokio::time::Instant::now());
        let chunk = match tokio::time::timeout(idle.min(left), body.next()).await {
            Ok(Some(Ok(chunk))) => chunk,
            Ok(None) => return Ok(bytes),
            Ok(Some(Err(error))) => {
                return Err(Problem::bad_request(
                    "interrupted",
                    format!("the body ended in the middle: {error}; nothing was recorded"),
                    "send the request again, with the same Idempotency-Key",
                ));
            }
            Err(_) => {
                return Err(Problem::new(
                    StatusCode::REQUEST_TIMEOUT,
                    "body-too-slow",
                    "The body did not come in time",
                    format!(
                        "the body paused for {} seconds, or took {} in all; nothing was recorded",
                        idle.as_secs(),
                        (idle * PAUSES).as_secs()
                    ),
                    "send the request again, with the same Idempotency-Key, or in smaller parts",
                ));
            }
        };
        let known = announced(headers).unwrap_or_default().min(limit);
        if bytes.is_empty() {
            bytes.reserve(usize::try_from(known).unwrap_or_default());
        }
        if (bytes.len() + chunk.len()) as u64 > limit {
            return Err(too_large(limit));
        }
        bytes.extend_from_slice(&chunk);
    }
}

/// The length that the headers announce.
pub(crate) fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The body is larger than it may be.
pub(crate) fn too_large(limit: u64) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too-large",
        "The request is too large",
        format!("the body has more than {limit} bytes; nothing was recorded"),
        "send the changes in several requests",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(query: &str) -> Option<u64> {
        wait(Some(query)).ok().flatten().map(|wait| wait.as_secs())
    }

    #[test]
    fn a_query_asks_to_wait_or_is_refused() {
        assert_eq!(wait(None).ok(), Some(None));
        assert_eq!(wait(Some("")).ok(), Some(None));
        let waits = ["wait", "wait=", "wait=0", "wait=60", "&wait=7&"].map(seconds);
        assert_eq!(waits, [Some(30), Some(30), Some(0), Some(60), Some(7)]);
        for query in
            ["wait=61", "wait=-1", "wait=1.5", "wait=x", "wiat=1", "wait=1&wait=1", "wait=1&x"]
        {
            assert!(wait(Some(query)).is_err(), "{query}");
        }
    }
}
