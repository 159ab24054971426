use axum::Extension;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use crate::compress::Compressible;

/// The API as an OpenAPI 3.1 document.
const DOCUMENT: &str = include_str!("openapi.json");

/// `GET /api/v1/openapi.json`
pub(crate) async fn show() -> Response {
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "public, max-age=300")];
    (headers, Extension(Compressible), DOCUMENT).into_response()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_described_and_nothing_else_is() {
        let document: serde_json::Value = serde_json::from_str(DOCUMENT).unwrap();
        let mut described = BTreeSet::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            let methods = operations.as_object().unwrap().keys();
            let methods = methods.filter(|method| *method != "parameters");
            described.extend(methods.map(|method| (path.clone(), method.to_uppercase())));
        }
        let mut there = BTreeSet::new();
        for (path, allow, _) in crate::controllers::api::routes() {
            let methods = allow.split(", ").filter(|method| *method != "HEAD");
            there.extend(methods.map(|method| (format!("/api/v1{path}"), method.to_owned())));
        }
        assert_eq!(described, there);
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    }
}
