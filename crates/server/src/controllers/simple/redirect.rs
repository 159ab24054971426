use axum::response::{IntoResponse, Response};
use http::Uri;
use http::header::{CACHE_CONTROL, LOCATION};
use http::{HeaderValue, StatusCode};
use waxseal_index::NormalizedName;

use crate::error::Error;
use crate::url_path::decode;

/// `GET /simple`: the list has a `/` at its end (PEP 503).
pub(crate) async fn redirect_list(uri: Uri) -> Result<Response, Error> {
    moved("simple/", uri.query())
}

/// `GET /simple/{project}`: so has a project's page.
pub(crate) async fn redirect_show(uri: Uri) -> Result<Response, Error> {
    let name = project_in(uri.path()).ok_or(Error::NotFound)?;
    moved(&format!("{}/", NormalizedName::of(&name)?), uri.query())
}

/// The name of the project in the path of its page.
pub(super) fn project_in(path: &str) -> Option<String> {
    let name = path.strip_prefix("/simple/")?;
    decode(name.strip_suffix('/').unwrap_or(name)).map(String::from)
}

/// A relative redirect, which is right whatever prefix a proxy in front of the index has added.
pub(super) fn moved(to: &str, query: Option<&str>) -> Result<Response, Error> {
    let to = query.map_or_else(|| to.to_owned(), |query| format!("{to}?{query}"));
    let to = HeaderValue::try_from(to).map_err(Error::internal)?;
    let mut response = StatusCode::MOVED_PERMANENTLY.into_response();
    response.headers_mut().insert(LOCATION, to);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=600"));
    Ok(response)
}
