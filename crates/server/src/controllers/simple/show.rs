use axum::extract::State;
use axum::response::Response;
use http::Uri;
use waxseal_index::{NormalizedName, paths};

use super::redirect::{moved, project_in};
use super::{format, page};
use crate::error::Error;
use crate::object::Asked;
use crate::state::AppState;

/// `GET /simple/{project}/`: a project's files. Another spelling of its name is redirected to the
/// normalized one (PEP 503).
pub(crate) async fn show(
    State(state): State<AppState>,
    uri: Uri,
    asked: Asked,
) -> Result<Response, Error> {
    let name = project_in(uri.path()).ok_or(Error::NotFound)?;
    let project = NormalizedName::of(&name)?;
    if project.as_str() != name {
        return moved(&format!("../{project}/"), uri.query());
    }
    let format = format(&asked.headers, uri.query())?;
    let path = match format.is_html() {
        true => paths::project_html(&project),
        false => paths::project_json(&project),
    };
    let page = page(&state, &asked, path, format, Some(&project)).await?;
    page.ok_or_else(|| Error::NoProject { project: project.to_string() })
}
