//! Which URL is answered by which handler.

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::{MethodRouter, get, post};
use http::Method;

use crate::controllers::{api, health, home, object, simple, upload};
use crate::error::Error;
use crate::state::AppState;
use crate::{compress, observe};

/// The web side of an index as one service.
pub fn router(state: AppState) -> Router {
    Router::new()
        .route("/", reading(get(home::show)))
        .route("/legacy/", uploading())
        .route("/legacy", uploading())
        .route("/simple", reading(get(simple::redirect_list)))
        .route("/simple/", reading(get(simple::list)))
        .route("/simple/{project}", reading(get(simple::redirect_show)))
        .route("/simple/{project}/", reading(get(simple::show)))
        .route("/files/{*path}", reading(get(object::show)))
        .route("/tuf/metadata/{*path}", reading(get(object::show)))
        .route("/tuf/targets/{*path}", reading(get(object::show)))
        .nest("/api", api::router())
        .route("/healthz", reading(get(health::live)))
        .route("/readyz", reading(get(health::ready)))
        .fallback(async || Error::NotFound)
        .layer(compress::layer())
        .layer(from_fn(compress::weaken_entity_tag))
        .layer(from_fn(observe::observe))
        .with_state(state)
}

fn reading(routes: MethodRouter<AppState>) -> MethodRouter<AppState> {
    routes.fallback(async |method: Method| Error::Method {
        method: method.to_string(),
        hint: "files are uploaded to /legacy/",
        allow: "GET, HEAD",
    })
}

fn uploading() -> MethodRouter<AppState> {
    post(upload::create).fallback(async |method: Method| Error::Method {
        method: method.to_string(),
        hint: "it takes uploads of twine, uv and the like; pages begin at /simple/",
        allow: "POST",
    })
}
