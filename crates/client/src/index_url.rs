//! Where an index is.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::Url;
use waxseal_index::percent::decode_leniently;

use crate::Error;

/// The base URL of an index: `http` or `https`, no credentials, query or fragment, a `/` at the end.
///
/// The URL of its Simple API is taken for the index that it belongs to: `https://host/simple/` reads
/// as `https://host/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IndexUrl(Url);

impl IndexUrl {
    /// Reads a URL that may hold credentials, and takes them out of it.
    pub fn parse(text: &str) -> Result<(Self, Option<Credentials>), Error> {
        let trimmed = text.trim();
        let mut url = Url::parse(trimmed).map_err(|error| invalid(trimmed, &error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(invalid(trimmed, "only http and https are known"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(invalid(trimmed, "it has a query or a fragment"));
        }
        let credentials = Credentials::of(&url);
        let cannot = |()| invalid(trimmed, "it has no host");
        url.set_username("").map_err(cannot)?;
        url.set_password(None).map_err(cannot)?;
        let path = url.path().trim_end_matches('/');
        let path = path.strip_suffix("/simple").unwrap_or(path).trim_end_matches('/');
        url.set_path(&format!("{path}/"));
        Ok((Self(url), credentials))
    }

    /// The URL.
    pub fn as_url(&self) -> &Url {
        &self.0
    }
}

impl FromStr for IndexUrl {
    type Err = Error;

    /// Refuses a URL that holds credentials: see [`IndexUrl::parse`].
    fn from_str(text: &str) -> Result<Self, Error> {
        match Self::parse(text)? {
            (url, None) => Ok(url),
            (url, Some(_)) => Err(invalid(url.0.as_str(), "it holds a user or a password")),
        }
    }
}

/// The text is shown without anything that may be a password.
fn invalid(text: &str, problem: &str) -> Error {
    let shown = match text.rsplit_once('@') {
        Some((_, rest)) => format!("…@{rest}"),
        None => text.to_owned(),
    };
    Error::InvalidUrl { url: shown.chars().take(200).collect(), problem: problem.to_owned() }
}

impl fmt::Display for IndexUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl TryFrom<String> for IndexUrl {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<IndexUrl> for String {
    fn from(url: IndexUrl) -> Self {
        url.0.into()
    }
}

/// Who asks an index for its files. Sent to that index alone, never stored, never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub(crate) username: String,
    pub(crate) password: String,
}

impl Credentials {
    /// For HTTP basic authentication.
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self { username: username.into(), password: password.into() }
    }

    /// User and password, for one who sends them to the index.
    pub fn into_parts(self) -> (String, String) {
        (self.username, self.password)
    }

    pub(crate) fn of(url: &Url) -> Option<Self> {
        let password = url.password().unwrap_or_default();
        if url.username().is_empty() && password.is_empty() {
            return None;
        }
        Some(Self::new(decoded(url.username()), decoded(password)))
    }
}

/// Undoes percent-encoding; what is not UTF-8 afterwards stays as it is.
fn decoded(text: &str) -> String {
    decode_leniently(text).map_or_else(|| text.to_owned(), Cow::into_owned)
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn every_way_to_write_an_index_is_one_url() {
        for text in [
            "https://Host.example",
            "https://host.example/",
            "https://host.example:443/simple",
            " https://host.example/simple/ ",
        ] {
            let url: IndexUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), "https://host.example/", "{text}");
        }
        let url: IndexUrl = "http://h:81/team/index/simple/".parse().unwrap();
        assert_eq!(url.to_string(), "http://h:81/team/index/");
    }

    #[test]
    fn credentials_are_taken_out_and_never_shown() {
        let (url, credentials) = IndexUrl::parse("https://me:se%40cret@host/simple/").unwrap();
        assert_eq!(url.to_string(), "https://host/");
        assert_eq!(credentials, Some(Credentials::new("me", "se@cret")));
        assert!(!format!("{credentials:?}").contains("se@cret"));
        for text in ["https://me:secret@host/", "https://me:secret@host:99999/", "ftp://a:secret@b"]
        {
            let error = text.parse::<IndexUrl>().unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn what_is_no_index_is_refused() {
        for text in ["", "host", "ftp://host/", "file:///etc", "https://host/?a=b", "https://h/#x"]
        {
            assert!(text.parse::<IndexUrl>().is_err(), "{text}");
        }
    }
}
