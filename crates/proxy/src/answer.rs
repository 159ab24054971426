//! The answers that are not refusals.

use axum::body::Body;
use axum::response::Response;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName,
    LOCATION, VARY,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use waxseal_client::Located;
use waxseal_index::simple::Links;

/// A page may be kept, and must be asked for again: unchanged, it costs one short answer.
const REVALIDATE: &str = "max-age=0, must-revalidate";

/// One name never has two contents.
const IMMUTABLE: &str = "max-age=31536000, immutable";

/// What every answer about one target says.
#[derive(Debug, Clone)]
pub(crate) struct Kind {
    pub(crate) content_type: &'static str,
    pub(crate) etag: String,
    page: bool,
}

impl Kind {
    /// A page that vouches for its files may be passed on with other links, and any page without some of
    /// its files; so with another tag.
    pub(crate) fn page(
        content_type: &'static str,
        file: &Located,
        links: Links,
        without: &str,
    ) -> Self {
        let mut etag = etag(file);
        if file.vouches_for_files() {
            let how = match links {
                Links::Ours => "-relinked",
                Links::Kept => "-kept",
            };
            etag.insert_str(etag.len() - 1, how);
        }
        etag.insert_str(etag.len() - 1, without);
        Self { content_type, etag, page: true }
    }

    pub(crate) fn file(file: &Located) -> Self {
        Self { content_type: "application/octet-stream", etag: etag(file), page: false }
    }

    fn headers(&self, headers: &mut HeaderMap) {
        let cache = if self.page { REVALIDATE } else { IMMUTABLE };
        set(headers, ETAG, &self.etag);
        set(headers, CACHE_CONTROL, cache);
        match self.page {
            true => set(headers, VARY, "Accept"),
            false => set(headers, ACCEPT_RANGES, "bytes"),
        }
    }

    /// All of the file, `length` bytes; as many as come, where the length is not known yet.
    pub(crate) fn whole(&self, body: Body, length: impl Into<Option<u64>>) -> Response {
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        self.headers(headers);
        set(headers, CONTENT_TYPE, self.content_type);
        if let Some(length) = length.into() {
            headers.insert(CONTENT_LENGTH, length.into());
        }
        response
    }

    /// The bytes from `first` to before `end`.
    pub(crate) fn part(&self, body: Body, first: u64, end: u64, length: u64) -> Response {
        let mut response = self.whole(body, end.saturating_sub(first));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let range = format!("bytes {first}-{}/{length}", end.saturating_sub(1));
        set(response.headers_mut(), CONTENT_RANGE, &range);
        response
    }

    /// The client has it.
    pub(crate) fn not_modified(&self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        self.headers(response.headers_mut());
        response
    }
}

/// The digest that names the file, which metadata signs.
fn etag(file: &Located) -> String {
    format!("\"{}\"", file.hashes().file_name_digest().unwrap_or_default())
}

/// A sentence for a person.
pub(crate) fn plain(status: StatusCode, text: impl Into<String>) -> Response {
    let mut response = Response::new(Body::from(text.into() + "\n"));
    *response.status_mut() = status;
    set(response.headers_mut(), CONTENT_TYPE, "text/plain; charset=utf-8");
    set(response.headers_mut(), CACHE_CONTROL, "no-store");
    response
}

/// The file has none of the bytes asked for.
pub(crate) fn out_of_range(length: u64) -> Response {
    let text = format!("the file has {length} bytes");
    let mut response = plain(StatusCode::RANGE_NOT_SATISFIABLE, text);
    set(response.headers_mut(), CONTENT_RANGE, &format!("bytes */{length}"));
    response
}

/// The page has another address, relative to the one asked for.
pub(crate) fn moved(location: &str) -> Response {
    let mut response = plain(StatusCode::MOVED_PERMANENTLY, format!("see {location}"));
    set(response.headers_mut(), LOCATION, location);
    response
}

/// Sets a header whose value is made of digests, names that were validated, and our own words.
fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
