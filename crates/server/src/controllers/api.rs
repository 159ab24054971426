//! The door for other indexes: which URL of `/api/v1` is answered by which handler.

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use http::header::CACHE_CONTROL;
use http::{HeaderValue, Method};

use crate::controllers::{openapi, publication, serial, target};
use crate::problem::Problem;
use crate::state::AppState;

/// What the API has, as `GET /api/v1/openapi.json` describes it: path, methods, handler.
pub(super) fn routes() -> [(&'static str, &'static str, MethodRouter<AppState>); 4] {
    [
        ("/targets", "POST", post(target::create)),
        ("/serials/{serial}", "GET, HEAD", get(serial::show)),
        ("/publish", "POST", post(publication::create)),
        ("/openapi.json", "GET, HEAD", get(openapi::show)),
    ]
}

/// Everything under `/api`.
pub(crate) fn router() -> Router<AppState> {
    let mut api = Router::new();
    for (path, allow, routes) in routes() {
        let refuse = async move |method: Method| Problem::method(&method, allow);
        api = api.route(path, routes.fallback(refuse));
    }
    let nothing = async || Problem::not_found();
    Router::new()
        .nest("/v1", api.fallback(nothing))
        .fallback(nothing)
        .layer(from_fn(keep_from_caches))
}

/// Answers are about one moment, and some are for one client.
async fn keep_from_caches(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
