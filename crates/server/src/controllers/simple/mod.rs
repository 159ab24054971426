//! The Simple API for plain clients (PEP 503, 691): pages as the snapshot process published them.

mod list;
mod redirect;
mod show;

use axum::response::Response;
use http::HeaderMap;
use http::header::ACCEPT;
use waxseal_index::NormalizedName;
use waxseal_index::negotiate::{Format, negotiate};
use waxseal_repository::store::{CachePolicy, StoreKey};
use waxseal_tuf::TargetPath;

use crate::error::Error;
use crate::object::{self, Asked, Presentation};
use crate::state::AppState;
use crate::url_path::decode;

pub(crate) use list::list;
pub(crate) use redirect::{redirect_list, redirect_show};
pub(crate) use show::show;

/// The format for a request: what `?format=` says (PEP 691), or else the `Accept` header.
fn format(headers: &HeaderMap, query: Option<&str>) -> Result<Format, Error> {
    let query = query.unwrap_or_default();
    let asked = query.split('&').find_map(|pair| pair.strip_prefix("format=")).and_then(decode);
    let accept: Vec<_> = headers.get_all(ACCEPT).iter().filter_map(|v| v.to_str().ok()).collect();
    let accept = match asked {
        Some(asked) => Some(asked.into_owned()),
        None => (!accept.is_empty()).then(|| accept.join(",")),
    };
    negotiate(accept.as_deref()).ok_or(Error::NotAcceptable)
}

/// The page at `path` as it is published now; none if there is none. [`Error::KeptElsewhere`] for one that
/// is not in the store, unless it is of `project`, or of any, whose files were uploaded here.
async fn page(
    state: &AppState,
    asked: &Asked,
    path: String,
    format: Format,
    project: Option<&NormalizedName>,
) -> Result<Option<Response>, Error> {
    let path = TargetPath::new(path).map_err(Error::internal)?;
    // Between the two look-ups a newer page may be published and this one collected: look again.
    for _ in 0..2 {
        let published = path.clone();
        let target = state.blocking(move |repository| Ok(repository.target(&published)?));
        let Some(target) = target.await? else { return Ok(None) };
        let digest = target.hashes.known().next();
        let no_digest = || Error::internal(format!("{path} has no digest that is known here"));
        let digest = digest.ok_or_else(no_digest)?;
        let presentation = presentation(&digest.to_string(), format);
        let key = StoreKey::Target { path: path.clone(), digest };
        if let Some(response) = object::respond(state, asked, key, &presentation).await? {
            return Ok(Some(response));
        }
    }
    let project = project.cloned();
    let hosted = state.blocking(move |repository| {
        let database = repository.database();
        Ok(match project {
            Some(project) => database.is_hosted(project.as_str())?,
            None => database.hosts_projects()?,
        })
    });
    match hosted.await? {
        true => Err(Error::internal(format!("{path} is published and not in the store"))),
        false => Err(Error::KeptElsewhere),
    }
}

/// The two names of the HTML page have the same bytes and different types, so different tags.
fn presentation(digest: &str, format: Format) -> Presentation {
    let kind = match format {
        Format::LegacyHtml => "-html",
        Format::HtmlV1 | Format::JsonV1 => "",
    };
    Presentation {
        etag: format!("\"{digest}{kind}\""),
        content_type: format.content_type(),
        cache_policy: CachePolicy::Revalidate,
        negotiated: true,
    }
}
