use axum::extract::{RawQuery, State};
use axum::response::Response;
use waxseal_index::paths::{PROJECT_LIST_HTML, PROJECT_LIST_JSON};
use waxseal_index::simple::ProjectList;
use waxseal_tuf::hash::Sha256;

use super::{format, page, presentation};
use crate::error::Error;
use crate::object::{self, Asked};
use crate::state::AppState;

/// `GET /simple/`: all projects. Before the first of them is published the list is empty.
pub(crate) async fn list(
    State(state): State<AppState>,
    RawQuery(query): RawQuery,
    asked: Asked,
) -> Result<Response, Error> {
    let format = format(&asked.headers, query.as_deref())?;
    let path = if format.is_html() { PROJECT_LIST_HTML } else { PROJECT_LIST_JSON };
    if let Some(response) = page(&state, &asked, path.to_owned(), format, None).await? {
        return Ok(response);
    }
    let empty = ProjectList::default();
    let bytes = if format.is_html() { empty.to_html() } else { empty.to_json() };
    let presentation = presentation(&Sha256::of(&bytes).to_string(), format);
    object::respond_with(&asked, bytes, &presentation)
}
