use axum::extract::State;
use axum::response::Response;
use http::Uri;
use waxseal_repository::store::StoreKey;
use waxseal_tuf::hash::Sha256;

use crate::error::Error;
use crate::object::{self, Asked, Presentation};
use crate::state::AppState;
use crate::url_path::store_key;

/// Most bytes of `timestamp.json`.
const TIMESTAMP_LIMIT: u64 = 1 << 20;

/// `GET /files/…`, `/tuf/metadata/…`, `/tuf/targets/…`: an object under the path that the store has
/// it under.
pub(crate) async fn show(
    State(state): State<AppState>,
    uri: Uri,
    asked: Asked,
) -> Result<Response, Error> {
    let key = store_key(uri.path()).ok_or(Error::NotFound)?;
    let presentation = |tag: String| Presentation {
        etag: format!("\"{tag}\""),
        content_type: key.content_type(),
        cache_policy: key.cache_policy(),
        negotiated: false,
    };
    let tag = match &key {
        StoreKey::Timestamp => {
            let read = |repository: &waxseal_repository::Repository| {
                Ok(repository.store().read(&StoreKey::Timestamp, TIMESTAMP_LIMIT)?)
            };
            let bytes = state.blocking(read).await?.ok_or(Error::NotFound)?;
            let presentation = presentation(Sha256::of(&bytes).to_string());
            return object::respond_with(&asked, bytes, &presentation);
        }
        // One name never has two contents, so the name does as a tag.
        StoreKey::Metadata { version, role } => format!("{version}.{}", role.encoded()),
        StoreKey::Target { digest, .. } => digest.to_string(),
        StoreKey::File(path) => {
            // Files get their plain names before the snapshot that lists them is committed, and
            // nothing is visible before that.
            let path = path.clone();
            let file = state.blocking(move |repository| Ok(repository.plain_file(&path)?));
            file.await?.ok_or(Error::NotFound)?
        }
    };
    let presentation = presentation(tag);
    object::respond(&state, &asked, key, &presentation).await?.ok_or(Error::NotFound)
}
