use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::KeyError;

/// Where a private key is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyUri {
    /// `file:PATH`: a PEM file. A relative path is relative to the working directory;
    /// `file:///PATH` is understood as well.
    File(PathBuf),
}

impl FromStr for KeyUri {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let invalid = |problem: String| Err(KeyError::Uri { problem });
        let Some((scheme, rest)) = text.split_once(':').filter(|(scheme, _)| is_scheme(scheme))
        else {
            // The text is not repeated: someone may have passed a key in place of its URI.
            return invalid("the text does not start with a scheme such as `file:`".to_owned());
        };
        if !scheme.eq_ignore_ascii_case("file") {
            return invalid(format!("`{scheme}:` is not a known scheme"));
        }
        let path = match rest.strip_prefix("//") {
            Some(path) if path.starts_with('/') => path,
            Some(_) => return invalid("`file://` must go on with an absolute path".to_owned()),
            None => rest,
        };
        match path.is_empty() || path.contains('\0') {
            true => invalid("`file:` must go on with a path".to_owned()),
            false => Ok(Self::File(path.into())),
        }
    }
}

/// RFC 3986, 3.1; short, so that a key is not taken for one.
fn is_scheme(text: &str) -> bool {
    text.len() <= 16
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

impl fmt::Display for KeyUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use super::*;

    #[test]
    fn file_uris_are_read_and_written() {
        for (text, path, written) in [
            ("file:/etc/k.pem", "/etc/k.pem", "file:/etc/k.pem"),
            ("file:keys/a b:c.pem", "keys/a b:c.pem", "file:keys/a b:c.pem"),
            ("FILE:///etc/k.pem", "/etc/k.pem", "file:/etc/k.pem"),
        ] {
            let uri: KeyUri = text.parse().unwrap();
            assert_eq!(uri, KeyUri::File(path.into()), "{text}");
            assert_eq!(uri.to_string(), written);
            assert_eq!(written.parse::<KeyUri>().unwrap(), uri);
        }
    }

    #[test]
    fn unknown_schemes_are_refused_with_the_known_ones() {
        for text in ["awskms:alias/x", "k.pem", "", "file:", "file://host/k.pem", "file:a\0b"] {
            let error = text.parse::<KeyUri>().unwrap_err().to_string();
            assert!(error.contains("file:PATH"), "{text}: {error}");
        }
    }

    #[test]
    fn a_key_in_place_of_a_uri_is_not_repeated_in_the_error() {
        for text in [
            "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIE: x",
            "MC4CAQAwBQYDK2VwBCIEIAAAAAAAAAAAAAA:x",
            "file://MC4CAQAwBQYDK2VwBCIE",
        ] {
            let error = text.parse::<KeyUri>().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("MC4CAQ"), "{error}");
        }
    }
}
