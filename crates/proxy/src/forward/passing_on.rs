//! Requests that are passed on unverified, because the user said so.

use std::sync::OnceLock;

use axum::body::Body;
use axum::response::Response;
use http::header::{
    AUTHORIZATION, CONNECTION, HOST, HeaderName, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, Request, StatusCode};
use hyper::body::Incoming;
use url::Url;
use waxseal_client::Credentials;

use super::Policy;
use crate::answer::plain;

/// What is about one connection and not about the request (RFC 9110, 7.6.1).
const OF_THE_CONNECTION: [HeaderName; 7] =
    [CONNECTION, HOST, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

impl Policy {
    /// Whether the child may have what is at this URL unverified.
    pub(super) fn allows(&self, url: &Url) -> bool {
        self.allowed.iter().any(|allowed| is_at_or_below(url, allowed))
    }
}

/// Whether a URL is that of `base`, or of something below it.
pub fn is_at_or_below(url: &Url, base: &Url) -> bool {
    let rest = url.path().strip_prefix(base.path().trim_end_matches('/'));
    url.origin() == base.origin() && rest.is_some_and(|r| r.is_empty() || r.starts_with('/'))
}

/// Asks other servers as the child would have done, through the user's own proxy if there is one.
#[derive(Debug)]
pub(super) struct PassingOn {
    /// Made when it is first needed, which is seldom: reading the system's certificates takes longer than
    /// all else that a run adds to its tool.
    agent: OnceLock<Result<reqwest::Client, String>>,
    /// For the index alone.
    credentials: Option<Credentials>,
}

impl PassingOn {
    pub(super) fn new(credentials: Option<Credentials>) -> Self {
        Self { agent: OnceLock::new(), credentials }
    }

    fn agent(&self) -> Result<&reqwest::Client, String> {
        let make = || {
            // The child follows redirects itself, so that each is decided on.
            let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
            builder.build().map_err(|error| error.to_string())
        };
        self.agent.get_or_init(make).as_ref().map_err(Clone::clone)
    }

    pub(super) async fn pass_on(
        &self,
        url: Url,
        request: Request<Incoming>,
        is_index: bool,
    ) -> Response {
        let agent = match self.agent() {
            Ok(agent) => agent,
            Err(error) => return plain(StatusCode::BAD_GATEWAY, error),
        };
        let (head, body) = request.into_parts();
        let mut headers = without_connection(head.headers);
        let mut outgoing = agent.request(head.method, url.clone());
        if let Some(credentials) = self.credentials.clone().filter(|_| is_index) {
            let (username, password) = credentials.into_parts();
            headers.remove(AUTHORIZATION);
            outgoing = outgoing.basic_auth(username, Some(password));
        }
        let body = Body::new(body).into_data_stream();
        let sent = outgoing.headers(headers).body(reqwest::Body::wrap_stream(body)).send().await;
        match sent {
            Ok(answer) => {
                let status = answer.status();
                let headers = without_connection(answer.headers().clone());
                let mut response = Response::new(Body::from_stream(answer.bytes_stream()));
                *response.status_mut() = status;
                *response.headers_mut() = headers;
                response
            }
            Err(error) => {
                let host = url.host_str().unwrap_or_default();
                let text = format!("{host} cannot be reached: {}", error.without_url());
                plain(StatusCode::BAD_GATEWAY, text)
            }
        }
    }
}

fn without_connection(mut headers: HeaderMap) -> HeaderMap {
    for name in OF_THE_CONNECTION {
        headers.remove(name);
    }
    headers
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn what_is_allowed_is_at_or_below_a_url() {
        let allowed = ["https://a.example/simple/", "http://b.example", "https://c.example/x"];
        let allowed = allowed.map(|url| url.parse().unwrap()).to_vec();
        let policy = Policy { allowed, index_unverified: false };
        for (url, expected) in [
            ("https://a.example/simple/flask/", true),
            ("https://a.example/simple", true),
            ("https://a.example/simpler/", false),
            ("https://a.example/files/x", false),
            ("http://a.example/simple/", false),
            ("https://a.example:444/simple/", false),
            ("http://b.example/any/thing?x=y", true),
            ("https://b.example/", false),
            ("https://c.example/x/y", true),
            ("https://c.example/xy", false),
            ("https://evil.example/https://a.example/simple/", false),
        ] {
            assert_eq!(policy.allows(&url.parse().unwrap()), expected, "{url}");
        }
    }
}
