//! What happens around every request: one line in the log, headers that keep browsers from running
//! what packages bring, and an answer even when a handler panics.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::HeaderValue;
use http::header::{CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS};

use crate::error::{Cause, Error};
use crate::problem::Problem;

/// Nothing that comes from a package may run in a browser; links may be followed and files saved.
const POLICY: &str = "default-src 'none'; sandbox allow-downloads";

/// Runs the request, answers 500 for a panic, and logs. Headers are not logged: one holds a token.
pub(crate) async fn observe(request: Request, next: Next) -> Response {
    let start = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response = match answered {
        Ok(response) => response,
        Err(panic) => {
            let error = Error::internal(panic_text(&*panic));
            match path.starts_with("/api/") {
                true => Problem::from(error).into_response(),
                false => error.into_response(),
            }
        }
    };
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));

    let status = response.status().as_u16();
    let ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    match response.extensions().get::<Cause>() {
        Some(Cause(cause)) => {
            tracing::error!(%method, path, status, ms, cause, "a request failed");
        }
        None => tracing::debug!(%method, path, status, ms, "answered a request"),
    }
    response
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a handler panicked: {}", text.unwrap_or("no text"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::middleware::from_fn;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_answered_and_tells_nothing() {
        let panicking = || get(async || -> &'static str { panic!("secret") });
        let service = Router::new().route("/", panicking()).route("/api/v1/x", panicking());
        let service = service.layer(from_fn(observe));
        let request = Request::get("/api/v1/x").body(Body::empty()).unwrap();
        let response = service.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let response = service.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(response.extensions().get::<Cause>().unwrap().0, "a handler panicked: secret");
        let body = to_bytes(response.into_body(), 1000).await.unwrap();
        assert!(!body.is_empty() && !String::from_utf8_lossy(&body).contains("secret"));
    }
}
