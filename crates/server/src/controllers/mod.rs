//! The handlers, by noun and verb.

pub(crate) mod api;
pub(crate) mod health;
pub(crate) mod home;
pub(crate) mod object;
pub(crate) mod openapi;
pub(crate) mod publication;
pub(crate) mod serial;
pub(crate) mod simple;
pub(crate) mod target;
pub(crate) mod upload;

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::object::Asked;

/// Every handler may ask for what matters about a request for an object.
impl<S: Sync> FromRequestParts<S> for Asked {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        Ok(Self { method: parts.method.clone(), headers: parts.headers.clone() })
    }
}
