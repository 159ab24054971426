//! HTTP compression of pages and metadata; never of archives, parts of objects, or errors.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::header::{CONTENT_ENCODING, ETAG};
use http::{Extensions, HeaderMap, HeaderValue, StatusCode, Version};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{And, Predicate, SizeAbove};

/// Below this many bytes compression costs more than it saves.
const SMALLEST: u16 = 512;

/// Marks an answer that may be compressed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Compressible;

type Marked = fn(StatusCode, Version, &HeaderMap, &Extensions) -> bool;

/// Compresses marked answers as the client asks for it: zstd, gzip or deflate.
pub(crate) fn layer() -> CompressionLayer<And<SizeAbove, Marked>> {
    let marked: Marked = |_, _, _, extensions| extensions.get::<Compressible>().is_some();
    CompressionLayer::new().compress_when(SizeAbove::new(SMALLEST).and(marked))
}

/// Makes the entity tag of a compressed answer a weak one: its bytes are not those that the strong
/// tag stands for (RFC 9110, 8.8.1), so no range may be asked for by it.
pub(crate) async fn weaken_entity_tag(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    if headers.contains_key(CONTENT_ENCODING)
        && let Some(tag) = headers.get(ETAG).and_then(|tag| tag.to_str().ok())
        && let Ok(weak) = HeaderValue::try_from(format!("W/{tag}"))
    {
        headers.insert(ETAG, weak);
    }
    response
}
