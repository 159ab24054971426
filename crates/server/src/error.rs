//! What a request can end in besides success: one type that knows its status and its public text.

use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONTENT_RANGE, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use hyper::ext::ReasonPhrase;
use jiff::Timestamp;
use waxseal_index::archive::ArchiveError;
use waxseal_index::{FileKind, FilenameError, NameError};
use waxseal_repository::StoreError;
use waxseal_tuf::RoleName;

/// Longest reason phrase, in bytes. twine shows it in the middle of a line of its own.
const MAX_REASON: usize = 500;

/// A request that was not answered as asked. The texts are for the person in front of twine, uv or
/// a browser; an internal failure keeps its cause for the log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An upload without credentials.
    #[error(
        "uploading needs a token: give __token__ as the user name and an upload token as the \
         password; whoever runs this index makes one with `waxseal token add NAME`"
    )]
    Unauthenticated,

    /// An upload whose credentials are not a user name and a password.
    #[error(
        "the Authorization header cannot be read; send `Basic` with the user name __token__ and \
         an upload token as the password"
    )]
    Credentials,

    /// An upload with another user name.
    #[error(
        "the user name has to be __token__, with an upload token as the password; whoever runs \
         this index makes one with `waxseal token add NAME`"
    )]
    UserName,

    /// An upload with a token that is not valid.
    #[error(
        "this upload token is not valid here: it is mistyped, revoked or of another index; \
         whoever runs this index makes a new one with `waxseal token add NAME`"
    )]
    Token,

    /// A token that is made for something else.
    #[error("this token is for `{have}`, and this needs one for `{need}`")]
    Scope {
        /// The token's scope.
        have: &'static str,
        /// The scope that the request needs.
        need: &'static str,
    },

    /// The form of an upload is not one.
    #[error("the upload form cannot be read: {problem}; nothing was stored")]
    Form {
        /// What is wrong with it.
        problem: String,
    },

    /// The client went away, or its connection broke, in the middle of an upload.
    #[error("the upload ended in the middle: {problem}; nothing was stored, upload it again")]
    Interrupted {
        /// What became of the connection.
        problem: String,
    },

    /// The client stopped sending.
    #[error("nothing came for {seconds} seconds; nothing was stored, upload it again")]
    Stalled {
        /// How long the server waited.
        seconds: u64,
    },

    /// A field that must be in the form is not.
    #[error("the upload form has no field {field}; use a tool such as twine or uv to upload")]
    MissingField {
        /// The field's name.
        field: &'static str,
    },

    /// A field that may stand in the form once stands there twice.
    #[error("the upload form has the field {field} more than once")]
    RepeatedField {
        /// The field's name.
        field: &'static str,
    },

    /// The form asks for something that is not done here.
    #[error("the upload form's field {field} is '{value}'; here it has to be '{expected}'")]
    FieldValue {
        /// The field's name.
        field: &'static str,
        /// Its value, escaped and cut for display.
        value: String,
        /// The value it has to have.
        expected: &'static str,
    },

    /// Something is over its limit.
    #[error("{what} has more than {limit} bytes, which is the limit of this index")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The limit.
        limit: u64,
    },

    /// The bytes that came do not have the digest that the form says.
    #[error(
        "the file does not have the {algorithm} digest that the upload form says: it has {got}, \
         the form says {claimed}; upload it again"
    )]
    Digest {
        /// The digest's algorithm.
        algorithm: &'static str,
        /// The digest in the form, escaped and cut for display.
        claimed: String,
        /// The digest of the bytes.
        got: String,
    },

    /// The filename is not one of a wheel or source distribution.
    #[error(transparent)]
    Filename(#[from] FilenameError),

    /// The archive is broken, unsafe, or not what its filename says.
    #[error("{filename}: {source}")]
    Archive {
        /// The filename.
        filename: String,
        /// What is wrong with it.
        source: ArchiveError,
    },

    /// The form and the file disagree.
    #[error(
        "the upload form says that the {field} is '{form}', but {filename} says '{file}'; upload \
         with the metadata of the file itself, as twine and uv do"
    )]
    Mismatch {
        /// What was compared.
        field: &'static str,
        /// The value in the form, escaped and cut for display.
        form: String,
        /// The value in the file.
        file: String,
        /// The filename.
        filename: String,
    },

    /// The form's `filetype` is not the kind of the file.
    #[error("the upload form says that {filename} is '{form}', but it is '{kind}'")]
    Kind {
        /// The filename.
        filename: String,
        /// The value in the form, escaped and cut for display.
        form: String,
        /// What the file is.
        kind: FileKind,
    },

    /// The filename is in use for other bytes. The words `already exists` are what tools look for.
    #[error(
        "File already exists: {filename} was uploaded before{} with other contents, and one name \
         never has two contents here; give the release a new version number",
        spelled(filename, used)
    )]
    Taken {
        /// The filename.
        filename: String,
        /// The filename as it was uploaded then.
        used: String,
    },

    /// The file was revoked, or its project was. Not in the words of [`Error::Taken`]: nobody is to take it
    /// for done.
    #[error(
        "{filename} is not taken: {revoked} was revoked from this index on {} (journal entry {serial}): \
         {reason}; whoever runs this index can say `waxseal repo revoke --undo {revoked}`",
        at.strftime("%Y-%m-%d")
    )]
    Revoked {
        /// The filename.
        filename: String,
        /// It, or its project.
        revoked: String,
        /// The entry that revoked it.
        serial: u64,
        /// When.
        at: Timestamp,
        /// Why, in the operator's words.
        reason: String,
    },

    /// The project's first upload, while another index has targets among its paths.
    #[error(
        "this index takes no uploads of {project}: {path} comes from another index, through the \
         API or an import; whoever runs this index can remove it first"
    )]
    Foreign {
        /// The project's normalized name.
        project: String,
        /// One of those paths.
        path: String,
    },

    /// Publishing was faster than reading what is published.
    #[error("the index is publishing faster than it can compare; nothing was recorded")]
    Overtaken,

    /// The name in a URL of the Simple API is no project's.
    #[error(transparent)]
    ProjectName(#[from] NameError),

    /// There is no such project.
    #[error("there is no project '{project}' on this index")]
    NoProject {
        /// The normalized name.
        project: String,
    },

    /// There is nothing at this URL.
    #[error("there is nothing here; the index's pages begin at /simple/")]
    NotFound,

    /// A page that another index has, and that is signed here.
    #[error(
        "this page is signed here and kept by another index: ask that one, or install through \
         `waxseal`"
    )]
    KeptElsewhere,

    /// The URL has no such method.
    #[error("this URL does not take the method {method}; {hint}")]
    Method {
        /// The method.
        method: String,
        /// What would do.
        hint: &'static str,
        /// The methods it does take.
        allow: &'static str,
    },

    /// No format that the client takes is one of ours (PEP 691).
    #[error(
        "pages of this index are application/vnd.pypi.simple.v1+json, \
         application/vnd.pypi.simple.v1+html or text/html, and the request accepts none of them"
    )]
    NotAcceptable,

    /// The range begins after the end.
    #[error("the range begins after the end of the file, which has {length} bytes")]
    Range {
        /// The length of the file.
        length: u64,
    },

    /// A bin of the index has no room for what came.
    #[error(
        "{bin} of this index is full: with this and all that waits it would have {length} bytes, and \
         {limit} are taken, for clients read no longer one; nothing was recorded; whoever runs the \
         index can found it anew with {bins} bins"
    )]
    BinFull {
        /// The bin's name.
        bin: RoleName,
        /// How many bytes it would have.
        length: u64,
        /// How many it may have.
        limit: u64,
        /// How many bins the index should have.
        bins: u64,
    },

    /// A filename leaves no room for the digest that is put before it.
    #[error(
        "the filename {filename} is too long: this index takes up to {limit} bytes, since it names files \
         with their SHA-512; nothing was recorded"
    )]
    FilenameTooLong {
        /// The filename.
        filename: String,
        /// How many bytes it may have.
        limit: usize,
    },

    /// The disk of the index is full.
    #[error("the index has no space left; nothing was changed, tell whoever runs it")]
    StorageFull {
        /// What failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// Another process holds a lock of the index; the text does not say which one.
    #[error(
        "another program holds a lock of the index for long; nothing was changed, try again later or \
         tell whoever runs it"
    )]
    Locked {
        /// What was waited for.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// The index cannot serve now.
    #[error("the index is not ready: {problem}{}", because(held_up.as_deref()))]
    NotReady {
        /// What is missing.
        problem: ReadinessProblem,
        /// What holds up publishing, where that is known.
        held_up: Option<String>,
    },

    /// What expired before the server started is not signed again yet.
    #[error(
        "what is published has expired, and nothing is taken before it is signed again; nothing was \
         stored, try again soon: /readyz says what holds it up"
    )]
    NotSignedAgain,

    /// Something of ours failed; the text tells nothing that is not public.
    #[error("the index failed at this; its log has the cause, try again later")]
    Internal {
        /// What failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Why an index cannot serve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadinessProblem {
    /// No snapshot was published yet.
    #[error("no snapshot is published yet; its snapshot process has to run once")]
    NothingPublished,
    /// Clients refuse what is published.
    #[error(
        "what is published has expired, and clients refuse it: {}; {}",
        expired(roles),
        renewal(roles)
    )]
    Expired {
        /// The roles that have expired; all bins are one, `bin-n`.
        roles: Vec<RoleName>,
    },
}

fn expired(roles: &[RoleName]) -> String {
    roles.iter().map(RoleName::as_str).collect::<Vec<_>>().join(", ")
}

/// Who can make it fresh again.
fn renewal(roles: &[RoleName]) -> &'static str {
    match roles.iter().any(waxseal_repository::is_offline) {
        true => "a key ceremony has to renew it (`waxseal repo status` says how it begins)",
        false => "its snapshot process has to run",
    }
}

/// The cause of a failure, carried to where it is logged.
#[derive(Debug, Clone)]
pub(crate) struct Cause(pub(crate) String);

impl Error {
    /// A failure of ours.
    pub(crate) fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal { source: source.into() }
    }

    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Credentials | Self::UserName | Self::Token | Self::Scope { .. } => {
                StatusCode::FORBIDDEN
            }
            Self::Form { .. }
            | Self::Interrupted { .. }
            | Self::MissingField { .. }
            | Self::RepeatedField { .. }
            | Self::FieldValue { .. }
            | Self::FilenameTooLong { .. }
            | Self::Digest { .. }
            | Self::Filename(_)
            | Self::Archive { .. }
            | Self::Mismatch { .. }
            | Self::Kind { .. }
            // Not 409: uv takes that for "the same file is there already" and reports success.
            | Self::Taken { .. }
            | Self::Revoked { .. }
            | Self::Foreign { .. } => StatusCode::BAD_REQUEST,
            Self::Stalled { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ProjectName(_) | Self::NoProject { .. } | Self::NotFound | Self::KeptElsewhere => StatusCode::NOT_FOUND,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::Range { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::BinFull { .. } | Self::StorageFull { .. } => StatusCode::INSUFFICIENT_STORAGE,
            Self::NotReady { .. } | Self::NotSignedAgain | Self::Overtaken | Self::Locked { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Internal { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What the log says beside the public text.
    fn cause(&self) -> Option<Cause> {
        match self {
            Self::StorageFull { source } | Self::Locked { source } | Self::Internal { source } => {
                Some(Cause(source.to_string()))
            }
            _ => None,
        }
    }

    /// The header that its status asks for.
    fn header(&self) -> Option<(http::HeaderName, HeaderValue)> {
        match self {
            Self::Unauthenticated => {
                let challenge = r#"Basic realm="waxseal upload", charset="UTF-8""#;
                Some((WWW_AUTHENTICATE, HeaderValue::from_static(challenge)))
            }
            Self::Method { allow, .. } => Some((ALLOW, HeaderValue::from_static(allow))),
            Self::Range { length } => {
                let value = HeaderValue::try_from(format!("bytes */{length}")).ok()?;
                Some((CONTENT_RANGE, value))
            }
            Self::NotReady { .. }
            | Self::NotSignedAgain
            | Self::Overtaken
            | Self::Locked { .. } => Some((RETRY_AFTER, HeaderValue::from_static("5"))),
            _ => None,
        }
    }
}

/// The text goes out twice: as the body, which uv and browsers show, and as the HTTP/1.1 reason
/// phrase, which is all that twine and pip show.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let text = self.to_string();
        let mut response = format!("{text}\n").into_response();
        *response.status_mut() = self.status();
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, plain);
        response.headers_mut().extend(self.header());
        if let Ok(reason) = ReasonPhrase::try_from(reason_phrase(&text)) {
            response.extensions_mut().insert(reason);
        }
        if let Some(cause) = self.cause() {
            response.extensions_mut().insert(cause);
        }
        response
    }
}

impl From<waxseal_repository::Error> for Error {
    fn from(error: waxseal_repository::Error) -> Self {
        match error {
            waxseal_repository::Error::Overtaken => Self::Overtaken,
            waxseal_repository::Error::FilenameTooLong { filename, limit } => {
                Self::FilenameTooLong { filename: shown(&filename), limit }
            }
            waxseal_repository::Error::BinFull { bin, length, limit, bins } => {
                Self::BinFull { bin, length, limit, bins }
            }
            held if held.is_lock_held() => Self::Locked { source: held.into() },
            full if full.is_storage_full() => Self::StorageFull { source: full.into() },
            other => Self::internal(other),
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        waxseal_repository::Error::from(error).into()
    }
}

/// A value out of a request as it may stand in a message: escaped, and cut.
pub(crate) fn shown(text: &str) -> String {
    const LENGTH: usize = 100;
    let mut shown: String = text.chars().take(LENGTH).flat_map(char::escape_debug).collect();
    if text.chars().nth(LENGTH).is_some() {
        shown.push('…');
    }
    shown
}

fn because(held_up: Option<&str>) -> String {
    held_up.map_or_else(String::new, |held_up| format!("; {held_up}"))
}

fn spelled(filename: &str, used: &str) -> String {
    if filename == used { String::new() } else { format!(" as {used}") }
}

/// A text as HTTP/1.1 allows it in its first line: one line of visible ASCII.
fn reason_phrase(text: &str) -> String {
    let visible = |character: char| match character {
        ' '..='~' => character,
        _ if character.is_whitespace() => ' ',
        _ => '?',
    };
    text.chars().map(visible).take(MAX_REASON).collect()
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use waxseal_repository::LockHeld;

    use super::*;

    #[test]
    fn reasons_are_one_line_of_visible_ascii() {
        assert_eq!(reason_phrase("a\r\nSet-Cookie: b\té…\u{7f}"), "a  Set-Cookie: b ???");
        assert_eq!(reason_phrase(&"x".repeat(2000)).len(), MAX_REASON);
    }

    #[test]
    fn an_error_is_told_in_body_and_reason() {
        let filename = "a-1.0.tar.gz".to_owned();
        let response = Error::Taken { used: "A-1.tar.gz".to_owned(), filename }.into_response();
        assert_eq!(response.status(), 400);
        let reason = response.extensions().get::<ReasonPhrase>().map(ReasonPhrase::as_bytes);
        let reason = String::from_utf8_lossy(reason.unwrap_or_default());
        assert!(reason.starts_with("File already exists: a-1.0.tar.gz was uploaded before as A-1"));
    }

    #[test]
    fn a_full_disk_is_told_as_such() {
        let failed = |kind: io::ErrorKind| {
            let path = "/srv/index/file".into();
            Error::from(StoreError::Io { action: "write", path, source: kind.into() })
        };
        let full = failed(io::ErrorKind::StorageFull);
        assert_eq!(full.status(), 507);
        assert!(full.to_string().contains("no space left") && !full.to_string().contains("/srv"));
        assert_eq!(failed(io::ErrorKind::QuotaExceeded).status(), 507);
        assert_eq!(failed(io::ErrorKind::PermissionDenied).status(), 500);
    }

    #[test]
    fn a_lock_of_another_process_is_told_as_such() {
        let held = || LockHeld {
            doing: "use the database",
            path: "/srv/index/waxseal.sqlite".into(),
            waited: std::time::Duration::from_secs(30),
            holder: None,
        };
        let shared = waxseal_repository::Error::Shared(Arc::new(held().into()));
        for error in [held().into(), StoreError::Locked(held()).into(), shared] {
            let error = Error::from(error);
            assert!(!error.to_string().contains("/srv"), "{error}");
            let cause = error.cause().map(|cause| cause.0);
            assert!(cause.is_some_and(|cause| cause.contains("waited 30.0 s to use the database")));
            let response = error.into_response();
            assert_eq!(
                (response.status().as_u16(), &response.headers()[RETRY_AFTER]),
                (503, &HeaderValue::from_static("5"))
            );
        }
    }

    #[test]
    fn the_cause_of_a_failure_is_for_the_log_only() {
        let error = Error::internal("secret path /srv/index");
        assert!(!error.to_string().contains("/srv"));
        assert_eq!(error.cause().map(|cause| cause.0).as_deref(), Some("secret path /srv/index"));
    }
}
