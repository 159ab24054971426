//! Answering with an object of the store: validators, ranges, and its bytes without reading it whole.

use std::io::{Read, Seek, SeekFrom};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;
use waxseal_repository::StoreError;
use waxseal_repository::store::{CachePolicy, ObjectReader, StoreKey};

use crate::compress::Compressible;
use crate::error::Error;
use crate::range::{Wanted, has_already, wanted};
use crate::state::AppState;

/// Up to this many bytes an object is read in the same step that opens it.
const SMALL: u64 = 256 << 10;

/// How much of a larger object is read at a time.
const CHUNK: usize = 256 << 10;

/// How an object is presented.
#[derive(Debug, Clone)]
pub(crate) struct Presentation {
    /// A strong entity tag, quotes included: equal tags mean equal bytes and type.
    pub(crate) etag: String,
    pub(crate) content_type: &'static str,
    pub(crate) cache_policy: CachePolicy,
    /// Whether the request's `Accept` header decided what it is.
    pub(crate) negotiated: bool,
}

/// What a request says that matters for an object.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
}

/// What the store has for a request.
enum Found {
    Unchanged,
    Content { length: u64, wanted: Wanted, content: Content },
}

/// Bytes of an object on their way out.
enum Content {
    Memory(Bytes),
    File(tokio::fs::File),
}

/// Answers with the object `key`; none if the store does not have it.
pub(crate) async fn respond(
    state: &AppState,
    asked: &Asked,
    key: StoreKey,
    presentation: &Presentation,
) -> Result<Option<Response>, Error> {
    let Asked { method, headers } = asked.clone();
    let etag = presentation.etag.clone();
    let found = state.blocking(move |repository| {
        let Some(object) = repository.store().open(&key)? else { return Ok(None) };
        if has_already(&headers, &etag) {
            return Ok(Some(Found::Unchanged));
        }
        let length = object.length;
        let wanted = match method {
            Method::GET => wanted(&headers, &etag, length),
            // RFC 9110, 14.2: a range has a meaning for GET only.
            _ => Wanted::Whole,
        };
        let content = match (&method, wanted) {
            (&Method::HEAD, _) => Content::Memory(Bytes::new()),
            (_, Wanted::Unsatisfiable) => return Err(Error::Range { length }),
            (_, Wanted::Whole) => read(&key, object.reader, 0, length)?,
            (_, Wanted::Part { first, last }) => {
                read(&key, object.reader, first, last - first + 1)?
            }
        };
        Ok(Some(Found::Content { length, wanted, content }))
    });
    let (length, wanted, content) = match found.await? {
        None => return Ok(None),
        Some(Found::Unchanged) => return unchanged(presentation).map(Some),
        Some(Found::Content { length, wanted, content }) => (length, wanted, content),
    };
    let (status, content_length) = match wanted {
        Wanted::Part { first, last } => (StatusCode::PARTIAL_CONTENT, last - first + 1),
        Wanted::Whole | Wanted::Unsatisfiable => (StatusCode::OK, length),
    };
    let mut response = content.into_body(content_length).into_response();
    *response.status_mut() = status;
    presentation.describe(&mut response)?;
    insert(&mut response, ACCEPT_RANGES, "bytes")?;
    insert(&mut response, CONTENT_LENGTH, &content_length.to_string())?;
    if let Wanted::Part { first, last } = wanted {
        insert(&mut response, CONTENT_RANGE, &format!("bytes {first}-{last}/{length}"))?;
    } else if asked.method == Method::GET && presentation.is_text() {
        response.extensions_mut().insert(Compressible);
    }
    Ok(Some(response))
}

/// Answers with bytes that are at hand.
pub(crate) fn respond_with(
    asked: &Asked,
    bytes: Vec<u8>,
    presentation: &Presentation,
) -> Result<Response, Error> {
    if has_already(&asked.headers, &presentation.etag) {
        return unchanged(presentation);
    }
    let mut response = Body::from(bytes).into_response();
    presentation.describe(&mut response)?;
    if asked.method == Method::GET && presentation.is_text() {
        response.extensions_mut().insert(Compressible);
    }
    Ok(response)
}

/// Status 304, for a client that has the object already.
fn unchanged(presentation: &Presentation) -> Result<Response, Error> {
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    presentation.describe(&mut response)?;
    response.headers_mut().remove(CONTENT_TYPE);
    Ok(response)
}

impl Presentation {
    /// Whether it is worth compressing. Archives are compressed, and are not to be touched.
    fn is_text(&self) -> bool {
        self.content_type != "application/octet-stream"
    }

    fn describe(&self, response: &mut Response) -> Result<(), Error> {
        insert(response, ETAG, &self.etag)?;
        insert(response, CONTENT_TYPE, self.content_type)?;
        insert(response, CACHE_CONTROL, self.cache_policy.cache_control())?;
        let vary = match (self.negotiated, self.is_text()) {
            (true, _) => "Accept, Accept-Encoding",
            (false, true) => ACCEPT_ENCODING.as_str(),
            (false, false) => return Ok(()),
        };
        insert(response, VARY, vary)
    }
}

impl Content {
    fn into_body(self, length: u64) -> Body {
        match self {
            Self::Memory(bytes) => Body::from(bytes),
            Self::File(file) => {
                Body::from_stream(ReaderStream::with_capacity(file.take(length), CHUNK))
            }
        }
    }
}

/// `length` bytes from `first` on: read now if they are few or in memory anyway.
fn read(
    key: &StoreKey,
    mut reader: ObjectReader,
    first: u64,
    length: u64,
) -> Result<Content, Error> {
    let failed = |source| -> Error {
        StoreError::Io { action: "read", path: key.path().into(), source }.into()
    };
    if first > 0 {
        reader.seek(SeekFrom::Start(first)).map_err(failed)?;
    }
    match reader {
        ObjectReader::File(file) if length > SMALL => {
            Ok(Content::File(tokio::fs::File::from_std(file)))
        }
        reader => {
            let mut bytes = Vec::new();
            reader.take(length).read_to_end(&mut bytes).map_err(failed)?;
            if bytes.len() as u64 != length {
                return Err(failed(std::io::ErrorKind::UnexpectedEof.into()));
            }
            Ok(Content::Memory(bytes.into()))
        }
    }
}

fn insert(response: &mut Response, name: HeaderName, value: &str) -> Result<(), Error> {
    let value = HeaderValue::from_str(value).map_err(Error::internal)?;
    response.headers_mut().insert(name, value);
    Ok(())
}
