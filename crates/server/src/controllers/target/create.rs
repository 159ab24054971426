use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, EXPECT, LOCATION};
use http::{HeaderMap, HeaderName, StatusCode};
use serde::Serialize;
use tokio::sync::SemaphorePermit;
use waxseal_repository::AcceptedTargets;
use waxseal_repository::database::{IdempotencyKey, TokenRow, TokenScope};
use waxseal_repository::target_changes::{InvalidChanges, MAX_CHANGES, TargetChanges};

use crate::api;
use crate::auth::{authenticate, require};
use crate::error::Error;
use crate::multipart::drain;
use crate::problem::Problem;
use crate::state::{AppState, BODIES_UNIT, BODIES_WAIT};

/// Most bytes of a request: 10,000 changes of 1.6 KB.
const BODY_LIMIT: u64 = 16 << 20;

/// How much is still read from a request that is refused before it is read, so that a client that
/// reads no answer before it has sent everything gets to the answer.
const DRAIN: u64 = 16 << 20;

/// The name of a request, by which it is known when it is sent again.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Longest idempotency key, in bytes.
const MAX_KEY: usize = 255;

/// What the answer says.
#[derive(Debug, Serialize)]
struct Taken {
    serial: u64,
    repeated: bool,
}

/// `POST /api/v1/targets`: takes changes of targets. Status 202 means that they are in the journal for
/// good, as one entry; they are published soon after.
pub(crate) async fn create(
    State(state): State<AppState>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let headers = parts.headers;
    let body = body.into_data_stream();
    let (token, key, turn) = match admit(&state, &headers).await {
        Ok(admitted) => admitted,
        Err(problem) => {
            // A client that asked first has sent nothing yet.
            if !headers.contains_key(EXPECT) {
                drain(body, DRAIN).await;
            }
            return Err(problem);
        }
    };
    let bytes = api::read_body(&headers, body, BODY_LIMIT, state.settings.upload_idle).await?;
    let accepted = state.blocking(move |repository| {
        let changes = match TargetChanges::parse_for(&bytes, repository.hash_algorithms()) {
            Ok(changes) => changes,
            Err(invalid) => return Ok(Err(refusal(invalid))),
        };
        let key = key.map(|key| IdempotencyKey { token: token.id, key, body: changes.digest() });
        let (added, removed) = changes.counts();
        let by = token.name.clone();
        let accepted = repository.accept_targets(changes, by, key)?;
        if let AcceptedTargets::New { serial } = accepted {
            tracing::info!(serial, added, removed, by = token.name, "accepted targets");
        }
        Ok(Ok(accepted))
    });
    let accepted = accepted.await??;
    drop(turn);
    let (serial, repeated) = match accepted {
        AcceptedTargets::New { serial } => (serial, false),
        AcceptedTargets::Repeated { serial } => (serial, true),
        AcceptedTargets::KeyUsed => return Err(key_used()),
        AcceptedTargets::Refused { conflicts } => return Err(Problem::conflict(conflicts)),
    };
    let location = [(LOCATION, format!("/api/v1/serials/{serial}"))];
    let body = api::json(StatusCode::ACCEPTED, &Taken { serial, repeated });
    Ok((location, body).into_response())
}

/// Whether the request may be read: its token, its key, and room for its body.
async fn admit<'a>(
    state: &'a AppState,
    headers: &HeaderMap,
) -> Result<(TokenRow, Option<String>, SemaphorePermit<'a>), Problem> {
    let token = authenticate(state, headers).await?;
    require(&token, TokenScope::Api)?;
    state.check_signed_again().await?;
    check_media_type(headers)?;
    let key = idempotency_key(headers)?;
    let length = api::announced(headers).unwrap_or(BODY_LIMIT);
    if length > BODY_LIMIT {
        return Err(api::too_large(BODY_LIMIT));
    }
    let units = u32::try_from(length / BODIES_UNIT + 1).unwrap_or(u32::MAX);
    match tokio::time::timeout(BODIES_WAIT, state.bodies.acquire_many(units)).await {
        Ok(turn) => Ok((token, key, turn.map_err(Error::internal)?)),
        Err(_) => Err(Problem::unavailable(
            "busy",
            "the index is reading as many requests as it has memory for; nothing was recorded",
            "send it again, with the same Idempotency-Key",
        )),
    }
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Problem> {
    let value = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let refuse = |detail: &str, hint: &str| {
        let title = "The body is not in a form that is read here";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Err(Problem::new(status, "unsupported-media-type", title, detail, hint))
    };
    let media_type = value(CONTENT_TYPE).and_then(|value| value.split(';').next());
    if !media_type.is_some_and(|name| name.trim().eq_ignore_ascii_case("application/json")) {
        return refuse(
            "the body has to be JSON, and the header Content-Type has to say so",
            "send `Content-Type: application/json`",
        );
    }
    match headers.contains_key(CONTENT_ENCODING) {
        true if value(CONTENT_ENCODING) != Some("identity") => {
            let hint = "send the body as it is, without Content-Encoding";
            refuse("the body is compressed", hint)
                .map_err(|problem| problem.with_header(ACCEPT_ENCODING, "identity"))
        }
        _ => Ok(()),
    }
}

/// The request's key: up to 255 visible ASCII characters, with or without quotes around it
/// (draft-ietf-httpapi-idempotency-key-header has them).
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let refuse = |detail: &str| {
        let hint = "send one key of your own for each request, such as a UUID, with up to 255 \
                    visible ASCII characters";
        Err(Problem::bad_request("bad-idempotency-key", detail, hint))
    };
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = keys.next() else { return Ok(None) };
    if keys.next().is_some() {
        return refuse("the request has more than one Idempotency-Key");
    }
    let key = key.to_str().unwrap_or_default();
    let key = key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(key);
    let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    match (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(allowed) {
        true => Ok(Some(key.to_owned())),
        false => refuse("the Idempotency-Key cannot be used"),
    }
}

fn refusal(invalid: InvalidChanges) -> Problem {
    match invalid {
        InvalidChanges::Json(problem) => Problem::bad_request(
            "malformed-json",
            format!("the body cannot be read as JSON: {problem}; nothing was recorded"),
            "send one JSON object in UTF-8, each key once, numbers as integers",
        ),
        InvalidChanges::TooMany { count } => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-many-changes",
            "The request is too large",
            format!(
                "the request has {count} changes, more than {MAX_CHANGES}; nothing was recorded"
            ),
            "send the changes in several requests; for a whole index there is `waxseal repo import`",
        ),
        InvalidChanges::Mistakes(mistakes) => Problem::invalid_changes(mistakes),
    }
}

fn key_used() -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "idempotency-key-used",
        "The Idempotency-Key belongs to another request",
        "this Idempotency-Key was sent before with another body; nothing was recorded",
        "make a new key for each request, and send the same body when you send a key again",
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    fn key(values: &[&str]) -> Result<Option<String>, Problem> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IDEMPOTENCY_KEY, value.parse().unwrap());
        }
        idempotency_key(&headers)
    }

    #[test]
    fn keys_come_with_and_without_quotes() {
        assert_eq!(key(&[]).unwrap(), None);
        let long = "x".repeat(255);
        for (value, expected) in [("a", "a"), ("\"8e03-97\"", "8e03-97"), (&*long, &*long)] {
            assert_eq!(key(&[value]).unwrap().as_deref(), Some(expected));
        }
        let longer = "x".repeat(256);
        for values in [&[""][..], &["\"\""], &["a b"], &["\"a"], &["a\\"], &[&longer], &["a", "a"]]
        {
            assert!(key(values).is_err(), "{values:?}");
        }
    }
}
