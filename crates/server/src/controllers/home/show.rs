use std::net::IpAddr;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::{CONTENT_TYPE, HOST, VARY};
use http::uri::Authority;

use crate::state::AppState;

/// `GET /`: what this is, and the lines that use it.
pub(crate) async fn show(State(state): State<AppState>, headers: HeaderMap) -> Response {
    let base = state.settings.base_url.clone().unwrap_or_else(|| asked_for(&headers));
    let text = format!(
        "This is a Python package index kept by Waxseal. Everything it serves is signed with TUF,\n\
         as PEP 458 describes, so that what you install is proven to be what it published.\n\
         \n\
         Verified:  waxseal trust add {base} --fingerprint FINGERPRINT\n\
        \x20          waxseal pip install NAME\n\
         Plain:     pip install --index-url {base}/simple/ NAME\n\
         Upload:    twine upload --repository-url {base}/legacy/ -u __token__ dist/*\n\
        \x20          uv publish --publish-url {base}/legacy/ dist/*\n\
         \n\
         Ask whoever runs this index for the fingerprint of its root, and for an upload token.\n"
    );
    ([(CONTENT_TYPE, "text/plain; charset=utf-8"), (VARY, "Host")], text).into_response()
}

/// The URL that the client used, as far as its `Host` header tells. A name that others reach is shown
/// with `https`: whoever pastes the line sends a token there.
fn asked_for(headers: &HeaderMap) -> String {
    let host = headers.get(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    match host {
        Some(host) if is_this_machine(host.host()) => format!("http://{host}"),
        Some(host) => format!("https://{host}"),
        None => "http://INDEX".to_owned(),
    }
}

fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}
