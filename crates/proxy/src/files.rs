//! Distribution files, and what lies beside them.

use std::fmt;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::{Method, StatusCode};
use tokio::time::timeout;
use url::Url;
use waxseal_client::{Error, Located};
use waxseal_index::percent;
use waxseal_tuf::TargetPath;

use crate::answer::{Kind, out_of_range, plain};
use crate::content::{Content, Entry};
use crate::proxy::Proxy;
use crate::request::{Head, Wanted, has, wanted};

/// By what a file is looked for.
enum Sought<'a> {
    Path(&'a TargetPath),
    Link(&'a Url),
}

impl fmt::Display for Sought<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{path}"),
            Self::Link(url) => write!(f, "{url}"),
        }
    }
}

impl Proxy {
    /// A target, or a file that its project's page vouches for; `target` is its path, percent-encoded.
    pub(crate) async fn file(&self, target: &str, request: &Head) -> Response {
        let not_found = || plain(StatusCode::NOT_FOUND, "the index has no such file");
        let Some(target) = percent::decode(target) else { return not_found() };
        if let Some(refusal) = self.0.refusals.announced(&target) {
            return refusal.response();
        }
        let Ok(path) = TargetPath::new(target) else { return not_found() };
        let response = self.file_found_by(&Sought::Path(&path), request).await;
        response.unwrap_or_else(not_found)
    }

    /// The same by its URL, if a page of the index links to it; `None` if none does.
    pub(crate) async fn linked_file(&self, url: &Url, request: &Head) -> Option<Response> {
        self.file_found_by(&Sought::Link(url), request).await
    }

    async fn file_found_by(&self, sought: &Sought<'_>, request: &Head) -> Option<Response> {
        let answered = match self.answer_file(sought, request).await {
            // Replaced in between, as only pages and lists are: the new one, once.
            Err(Error::Superseded { .. }) => self.answer_file(sought, request).await,
            answered => answered,
        };
        match answered {
            Ok(response) => response,
            Err(error) => Some(self.refuse(format!("file {sought}"), &error).response()),
        }
    }

    async fn answer_file(
        &self,
        sought: &Sought<'_>,
        request: &Head,
    ) -> Result<Option<Response>, Error> {
        let fresh = &self.0.fresh;
        let found = match sought {
            Sought::Path(path) => match fresh.locate(path).await? {
                None => {
                    let path = TargetPath::clone(path);
                    let served = format!("files/{path}");
                    fresh.signed_soon(&[path], &served).await?
                }
                found => found,
            },
            Sought::Link(url) => fresh.locate_link(url).await?,
        };
        let Some(file) = found else { return Ok(None) };
        if let Some(refusal) = self.refuse_young(file.path()).await? {
            return Ok(Some(refusal.response()));
        }
        let kind = Kind::file(&file);
        if has(&request.headers, &kind.etag) {
            return Ok(Some(kind.not_modified()));
        }
        let Some(length) = file.length() else {
            return self.send_unsized(&file, &kind, request).await.map(Some);
        };
        if request.method == Method::HEAD {
            return Ok(Some(kind.whole(Body::empty(), length)));
        }
        let wanted = wanted(&request.headers, &kind.etag, length);
        if wanted == Wanted::Nothing {
            return Ok(Some(out_of_range(length)));
        }
        self.send_file(&file, length, &kind, wanted).await.map(Some)
    }

    /// The file from verified bytes; when those take too long, an answer that begins with a few bytes
    /// to keep the tool waiting and goes on once the file is verified. A part is only ever taken from
    /// verified bytes; a client that waits too long for one gets the whole instead.
    async fn send_file(
        &self,
        file: &Located,
        length: u64,
        kind: &Kind,
        wanted: Wanted,
    ) -> Result<Response, Error> {
        let (parts, entry) = (&self.0, self.obtain(file));
        let patience = match wanted {
            Wanted::Part(..) => parts.settings.answer_within,
            Wanted::Whole | Wanted::Nothing => parts.settings.stream_after,
        };
        let Ok(verified) = timeout(patience, entry.verified()).await else {
            parts.fresh.within(entry.begun()).await?;
            return Ok(kind.whole(entry.stream(parts.settings.heartbeat), length));
        };
        Ok(part(verified?, kind, wanted))
    }

    /// A file of which nothing says the length: it is known once the file is verified. An answer that
    /// has to begin before that ends where the file does, and is not whole if it is refused.
    async fn send_unsized(
        &self,
        file: &Located,
        kind: &Kind,
        request: &Head,
    ) -> Result<Response, Error> {
        let (parts, entry) = (&self.0, self.obtain(file));
        let head = request.method == Method::HEAD;
        if !head && let Err(_) = timeout(parts.settings.stream_after, entry.verified()).await {
            parts.fresh.within(entry.begun()).await?;
            return Ok(kind.whole(entry.stream(parts.settings.heartbeat), None));
        }
        let content = parts.fresh.within(entry.verified()).await?;
        let length = content.length();
        if head {
            return Ok(kind.whole(Body::empty(), length));
        }
        Ok(match wanted(&request.headers, &kind.etag, length) {
            Wanted::Nothing => out_of_range(length),
            wanted => part(content, kind, wanted),
        })
    }

    fn obtain(&self, file: &Located) -> Arc<Entry> {
        let (proxy, what) = (self.clone(), format!("file {}", file.path()));
        self.0.contents.obtain(&self.0.client, file, move |error| {
            // What was replaced in between is asked for again, and refused only then.
            if !matches!(error, Error::Superseded { .. }) {
                proxy.refuse(what, error);
            }
        })
    }
}

fn part(content: Content, kind: &Kind, wanted: Wanted) -> Response {
    let length = content.length();
    match wanted {
        Wanted::Part(first, end) => kind.part(content.body(first, end), first, end, length),
        Wanted::Whole | Wanted::Nothing => kind.whole(content.body(0, length), length),
    }
}
