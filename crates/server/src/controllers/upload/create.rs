use axum::extract::{Request, State};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, EXPECT};
use waxseal_repository::Accepted;
use waxseal_repository::database::TokenScope;

use super::form::{Form, Received};
use super::release::{self, Outcome};
use crate::auth::{authenticate, require};
use crate::error::{Error, shown};
use crate::multipart::{Multipart, drain};
use crate::state::AppState;

/// Most bytes of everything in the form but the file. Descriptions are the bulk of it.
const FIELDS_LIMIT: u64 = 32 << 20;

/// How much is still read from a refused upload, so that a client that reads no answer before it
/// has sent everything gets to the answer: with a valid token, and without.
const DRAIN: u64 = 128 << 20;
const DRAIN_UNKNOWN: u64 = 16 << 20;

/// `POST /legacy/`: takes one file. Status 200 means that it is in the journal for good, and, but
/// for a slow snapshot process, that it can be installed.
pub(crate) async fn create(
    State(state): State<AppState>,
    request: Request,
) -> Result<String, Error> {
    let (parts, body) = request.into_parts();
    let headers = parts.headers;
    let limit = state.settings.max_upload.saturating_add(FIELDS_LIMIT);
    let token = match admit(&state, &headers, limit).await {
        Ok(token) => token,
        Err((error, most)) => {
            // A client that asked first has sent nothing yet.
            if !headers.contains_key(EXPECT) {
                drain(body.into_data_stream(), most).await;
            }
            return Err(error);
        }
    };
    let turn = state.uploads.acquire().await.map_err(Error::internal)?;
    let mut multipart = Multipart::new(&headers, body, limit, state.settings.upload_idle)?;
    let received = Form::read(&state, &mut multipart, FIELDS_LIMIT).await;
    multipart.drain(DRAIN).await;
    let Received { form, filename, file } = received?;
    let uploader = token.clone();
    let outcome = state
        .blocking(move |repository| release::accept(repository, &form, filename, file, uploader));
    let Outcome { accepted, filename } = outcome.await?;
    drop(turn);
    let serial = match accepted {
        Accepted::New { serial } => {
            tracing::info!(%filename, serial, uploaded_by = token, "accepted an upload");
            serial
        }
        Accepted::Same { serial } => serial,
        Accepted::Taken { filename: used } => {
            return Err(Error::Taken { filename: filename.to_string(), used });
        }
        Accepted::Revoked(revoked) => {
            return Err(Error::Revoked {
                filename: filename.to_string(),
                revoked: revoked.name,
                serial: revoked.serial,
                at: revoked.revoked_at,
                reason: shown(&revoked.reason),
            });
        }
        Accepted::Foreign { path } => {
            return Err(Error::Foreign { project: filename.project().to_string(), path });
        }
    };
    Ok(match is_published(&state, serial).await {
        true => "OK\n".to_owned(),
        false => format!(
            "OK: accepted as number {serial} of the journal, and not published yet; it can be \
             installed when the snapshot process has signed it\n"
        ),
    })
}

/// The name of the token that the upload comes with, if it may be read; or else what is wrong, and
/// how much of its body to skip.
async fn admit(state: &AppState, headers: &HeaderMap, limit: u64) -> Result<String, (Error, u64)> {
    let token = authenticate(state, headers).await.map_err(|error| (error, DRAIN_UNKNOWN))?;
    require(&token, TokenScope::Upload).map_err(|error| (error, DRAIN_UNKNOWN))?;
    state.check_signed_again().await.map_err(|error| (error, DRAIN))?;
    let space = state.blocking(|repository| Ok(repository.check_space()?)).await;
    space.map_err(|error| (error, DRAIN))?;
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    match length {
        Some(length) if limit < length => {
            let limit = state.settings.max_upload;
            Err((Error::TooLarge { what: "the file", limit }, DRAIN))
        }
        _ => Ok(token.name),
    }
}

/// Waits, as long as the settings allow, until the journal is published up to `serial`.
async fn is_published(state: &AppState, serial: u64) -> bool {
    let mut published = state.repository.published();
    let reached = published.wait_for(|up_to| *up_to >= serial);
    matches!(tokio::time::timeout(state.settings.publish_wait, reached).await, Ok(Ok(_)))
}
