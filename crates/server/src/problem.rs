//! What a request to the API ends in besides success: problem details (RFC 9457), with a hint at what
//! to do next.

use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use waxseal_repository::database::{Conflict, ConflictReason, Content};
use waxseal_repository::target_changes::Mistake;

use crate::error::{Cause, Error};

/// What types of problems begin with. They are names, not addresses.
const TYPE: &str = "urn:waxseal:problem:";

/// A request to the API that was not answered as asked.
#[derive(Debug)]
pub struct Problem(Box<Details>);

/// What the answer says.
#[derive(Debug, Serialize)]
struct Details {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: String,
    hint: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Place>,
    #[serde(skip)]
    headers: Vec<(HeaderName, HeaderValue)>,
    #[serde(skip)]
    cause: Option<String>,
}

/// One place of the request that stands against it.
#[derive(Debug, Serialize)]
struct Place {
    pointer: String,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    have: Option<Described>,
    #[serde(skip_serializing_if = "Option::is_none")]
    got: Option<Described>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<u64>,
}

/// The content of a file.
#[derive(Debug, Serialize)]
struct Described {
    length: u64,
    sha256: String,
}

impl Problem {
    /// A problem. `kind` is what programs know it by.
    pub(crate) fn new(
        status: StatusCode,
        kind: &str,
        title: &'static str,
        detail: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self(Box::new(Details {
            kind: format!("{TYPE}{kind}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            hint: hint.into(),
            errors: Vec::new(),
            headers: Vec::new(),
            cause: None,
        }))
    }

    fn with_errors(mut self, errors: Vec<Place>) -> Self {
        self.0.errors = errors;
        self
    }

    /// The same with what the log says beside it.
    fn with_cause(mut self, cause: &dyn std::error::Error) -> Self {
        self.0.cause = Some(cause.to_string());
        self
    }

    /// The same with a header.
    pub(crate) fn with_header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.0.headers.push((name, HeaderValue::from_static(value)));
        self
    }

    /// A query, header or text that cannot be read.
    pub(crate) fn bad_request(
        kind: &str,
        detail: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self::new(StatusCode::BAD_REQUEST, kind, "The request cannot be read", detail, hint)
    }

    /// Changes that do not say what they have to.
    pub(crate) fn invalid_changes(mistakes: Vec<Mistake>) -> Self {
        let detail = match mistakes.as_slice() {
            [mistake] => {
                format!("{} {}; nothing was recorded", shown(&mistake.pointer), mistake.problem)
            }
            _ => format!(
                "{} things are wrong with the request; nothing was recorded",
                mistakes.len()
            ),
        };
        let errors = mistakes.into_iter().map(|Mistake { pointer, problem }| Place {
            pointer,
            detail: problem,
            path: None,
            have: None,
            got: None,
            serial: None,
        });
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid-changes",
            "The changes are not valid",
            detail,
            "correct what `errors` names and send the request again; the first hundred are \
                 named",
        )
        .with_errors(errors.collect())
    }

    /// Paths stand against the changes.
    pub(crate) fn conflict(conflicts: Vec<Conflict>) -> Self {
        let replaceable = conflicts
            .iter()
            .all(|conflict| matches!(conflict.reason, ConflictReason::OtherContent { .. }));
        let hint = match replaceable {
            true => {
                "publish the new content under a new path, as clients expect of an index; if the \
                 content has to change, such as that of a page, say `replace`"
            }
            false => {
                "leave these paths out; `replace` does not help with those that belong to uploads \
                 or to the index itself"
            }
        };
        let count = conflicts.len();
        let errors: Vec<_> = conflicts.into_iter().map(Place::of).collect();
        let detail = match errors.as_slice() {
            [error] => format!("{}; nothing was recorded", error.detail),
            _ => format!("{count} paths stand against the request; nothing was recorded"),
        };
        let title = "A path cannot be changed so";
        Self::new(StatusCode::CONFLICT, "path-conflict", title, detail, hint).with_errors(errors)
    }

    /// Nothing is at this URL.
    pub(crate) fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "There is nothing here",
            "the API has nothing at this URL",
            "GET /api/v1/openapi.json describes what there is",
        )
    }

    /// The URL does not take the method.
    pub(crate) fn method(method: &http::Method, allow: &'static str) -> Self {
        let detail = format!("this URL does not take the method {method}");
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "The URL does not take this method",
            detail,
            format!("it takes {allow}; GET /api/v1/openapi.json describes what there is"),
        )
        .with_header(ALLOW, allow)
    }

    /// The index cannot do it now, and may soon.
    pub(crate) fn unavailable(kind: &str, detail: impl Into<String>, hint: &str) -> Self {
        let title = "The index cannot do this now";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, kind, title, detail, hint)
            .with_header(RETRY_AFTER, "5")
    }

    fn unauthorized(kind: &str, detail: impl Into<String>, challenge: &'static str) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            kind,
            "The request needs a valid token",
            detail,
            "send `Authorization: Bearer waxseal_…`; whoever runs this index makes a token with \
             `waxseal token add NAME --scope api`",
        )
        .with_header(WWW_AUTHENTICATE, challenge)
        .with_header(WWW_AUTHENTICATE, r#"Basic realm="waxseal", charset="UTF-8""#)
    }
}

impl Place {
    fn of(conflict: Conflict) -> Self {
        let Conflict { pointer, path, reason } = conflict;
        let path = path.to_string();
        let shown = shown(&path);
        let (detail, have, got, serial) = match reason {
            ConflictReason::OtherContent { have, got, serial } => {
                let detail = format!("{shown} has other content, and a path keeps what it has");
                (detail, Some(have.into()), Some(got.into()), serial)
            }
            ConflictReason::Hosted { project } => {
                let detail = format!(
                    "{shown} belongs to the project {project}, whose files are uploaded to this \
                     index: uploads alone change its pages and files"
                );
                (detail, None, None, None)
            }
            ConflictReason::ProjectList => {
                let detail =
                    format!("{shown} is the list of this index's projects, which it makes itself");
                (detail, None, None, None)
            }
        };
        Self { pointer, detail, path: Some(path), have, got, serial }
    }
}

impl From<Content> for Described {
    fn from(Content { length, sha256 }: Content) -> Self {
        Self { length, sha256 }
    }
}

/// What the API has in common with the rest of the index.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let status = error.status();
        match error {
            Error::Unauthenticated => Self::unauthorized(
                "no-token",
                "the request has no token",
                r#"Bearer realm="waxseal""#,
            ),
            Error::Credentials | Error::UserName | Error::Token => Self::unauthorized(
                "invalid-token",
                "the token is mistyped, revoked or of another index, or the Authorization header \
                 cannot be read",
                r#"Bearer realm="waxseal", error="invalid_token""#,
            ),
            Error::Scope { .. } => {
                let hint = "whoever runs this index makes a token for it with `waxseal token add \
                            NAME --scope api`";
                Self::new(
                    status,
                    "wrong-scope",
                    "The token may not do this",
                    error.to_string(),
                    hint,
                )
                .with_header(
                    WWW_AUTHENTICATE,
                    r#"Bearer realm="waxseal", error="insufficient_scope", scope="api""#,
                )
            }
            Error::Overtaken => Self::unavailable(
                "busy",
                error.to_string(),
                "send it again, with the same Idempotency-Key, or in smaller parts",
            ),
            Error::NotSignedAgain => Self::unavailable(
                "not-ready",
                error.to_string(),
                "send it again, with the same Idempotency-Key",
            ),
            Error::Locked { source } => Self::unavailable(
                "busy",
                "another program holds a lock of the index for long; nothing was recorded",
                "send it again, with the same Idempotency-Key; if it goes on, tell whoever runs the \
                 index",
            )
            .with_cause(&*source),
            Error::BinFull { bins, .. } => Self::new(
                status,
                "bin-full",
                "A bin of the index is full",
                error.to_string(),
                format!(
                    "remove targets of that bin and send the request again when that is published; for \
                     more room, whoever runs the index founds it anew with `waxseal repo init --bins \
                     {bins}`, a key ceremony, and brings its targets there with `waxseal repo import`"
                ),
            ),
            Error::StorageFull { source } => Self::new(
                status,
                "storage-full",
                "The index has no space left",
                "the index has no space left; nothing was recorded",
                "tell whoever runs the index; send the request again, with the same \
                     Idempotency-Key, when there is space",
            )
            .with_cause(&*source),
            Error::Internal { source } => Self::new(
                status,
                "internal",
                "The index failed",
                "the index failed at this; its log has the cause",
                "send the request again later, with the same Idempotency-Key: if it was \
                     recorded, the answer says so",
            )
            .with_cause(&*source),
            other => Self::new(
                status,
                "refused",
                "The request is refused",
                other.to_string(),
                "GET /api/v1/openapi.json describes what there is",
            ),
        }
    }
}

impl From<waxseal_repository::Error> for Problem {
    fn from(error: waxseal_repository::Error) -> Self {
        Error::from(error).into()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self(details) = self;
        let body = serde_json::to_vec(&details).unwrap_or_default();
        let status = StatusCode::from_u16(details.status);
        let mut response =
            (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body).into_response();
        let json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        for (name, value) in details.headers {
            response.headers_mut().append(name, value);
        }
        if let Some(cause) = details.cause {
            response.extensions_mut().insert(Cause(cause));
        }
        response
    }
}

/// A pointer or path as it may stand in a sentence; the whole of it stands in a field of its own.
fn shown(text: &str) -> String {
    match text.is_empty() {
        true => "the request".to_owned(),
        false => crate::error::shown(text),
    }
}
