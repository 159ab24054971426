//! Distribution files, and what lies beside them.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::{Method, StatusCode};
use tokio::time::timeout;
use waxseal_client::{Error, Located};
use waxseal_index::percent;
use waxseal_tuf::TargetPath;

use crate::answer::{Kind, out_of_range, plain};
use crate::content::{Content, Entry};
use crate::proxy::Proxy;
use crate::request::{Head, Wanted, has, wanted};

impl Proxy {
    /// A target, or a file that its project's page vouches for; `target` is its path, percent-encoded.
    pub(crate) async fn file(&self, target: &str, request: &Head) -> Response {
        let not_found = || plain(StatusCode::NOT_FOUND, "the index has no such file");
        let Some(target) = percent::decode(target) else { return not_found() };
        if let Some(refusal) = self.0.refusals.announced(&target) {
            return refusal.response();
        }
        let Ok(path) = TargetPath::new(target) else { return not_found() };
        let answered = match self.answer_file(&path, request).await {
            // Replaced in between, as only pages and lists are: the new one, once.
            Err(Error::Superseded { .. }) => self.answer_file(&path, request).await,
            answered => answered,
        };
        match answered {
            Ok(Some(response)) => response,
            Ok(None) => not_found(),
            Err(error) => self.refuse(format!("file {path}"), &error).response(),
        }
    }

    async fn answer_file(
        &self,
        path: &TargetPath,
        request: &Head,
    ) -> Result<Option<Response>, Error> {
        let Some(file) = self.0.fresh.locate(path).await? else { return Ok(None) };
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
