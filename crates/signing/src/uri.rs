use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use crate::backend::{self, KeyBackend};
use crate::error::KeyError;
use crate::secret::SecretSource;

/// Says in a URI that a key may lie unencrypted.
const DEVELOPMENT: &str = "development";
/// Says in a URI where the passphrase is.
pub(crate) const PASSPHRASE_SOURCE: &str = "passphrase-source";
/// Says in a URI where the PIN is (RFC 7512, 2.4).
pub(crate) const PIN_SOURCE: &str = "pin-source";

/// What stands in a path or an attribute as it is: the characters that RFC 7512 leaves bare, and `/`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/')
    .remove(b':')
    .remove(b'@')
    .remove(b'+')
    .remove(b',');

/// Where a private key is: `SCHEME:PLACE?ATTRIBUTE=VALUE&…`, percent-encoded as RFC 3986 has it.
///
/// `Display` gives it back in one spelling. It holds no secret: those are named by where they are.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyUri {
    scheme: &'static str,
    /// Still percent-encoded: what its parts are is up to the scheme.
    place: String,
    /// Decoded.
    query: Vec<(String, String)>,
}

impl KeyUri {
    /// A key file.
    pub fn file(path: &Path) -> Self {
        Self { scheme: "file", place: encode(&path_bytes(path)), query: Vec::new() }
    }

    /// The scheme, such as `file`.
    pub fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// Whether it says that the key may lie unencrypted.
    pub fn is_development(&self) -> bool {
        self.attribute(DEVELOPMENT).is_some()
    }

    /// The same key, which may lie unencrypted.
    #[must_use]
    pub fn with_development(mut self) -> Self {
        if !self.is_development() {
            self.query.push((DEVELOPMENT.to_owned(), String::new()));
        }
        self
    }

    /// The same, with relative paths of files taken from `folder`.
    #[must_use]
    pub fn relative_to(mut self, folder: &Path) -> Self {
        if let Some(path) = self.path() {
            self.place = encode(&path_bytes(&folder.join(path)));
        }
        for (name, value) in &mut self.query {
            if ![PASSPHRASE_SOURCE, PIN_SOURCE].contains(&name.as_str()) {
                continue;
            }
            if let Ok(SecretSource::File(path)) = value.parse() {
                *value = SecretSource::File(folder.join(path)).to_string();
            }
        }
        self
    }

    /// A key file in another place, with the same attributes.
    #[must_use]
    pub fn with_path(&self, path: &Path) -> Self {
        Self { scheme: "file", ..self.with_place(encode(&path_bytes(path))) }
    }

    /// The file of a `file:` URI.
    pub fn path(&self) -> Option<PathBuf> {
        (self.scheme == "file").then(|| path_of(self.decoded_place()))
    }

    /// Another place with the same attributes.
    pub(crate) fn with_place(&self, place: String) -> Self {
        Self { place, ..self.clone() }
    }

    /// What comes before the attributes, percent-encoded.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    pub(crate) fn decoded_place(&self) -> Vec<u8> {
        percent_decode_str(&self.place).collect()
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Where the secret is that this attribute says.
    pub(crate) fn source(&self, attribute: &str) -> Result<Option<SecretSource>, KeyError> {
        self.attribute(attribute).map(str::parse).transpose()
    }

    pub(crate) fn backend(&self) -> &'static dyn KeyBackend {
        backend::of(self.scheme)
    }
}

impl FromStr for KeyUri {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let Some((scheme, rest)) = text.split_once(':').filter(|(scheme, _)| is_scheme(scheme))
        else {
            // The text is not repeated: someone may have passed a key in place of its URI.
            return Err(invalid("the text does not start with a scheme such as `file:`"));
        };
        let Some(backend) = backend::find(scheme) else {
            return Err(invalid(format!("`{scheme}:` is not a known scheme")));
        };
        let scheme = backend.scheme();
        let (place, query) = match rest.split_once('?') {
            Some((place, query)) => (place, Some(query)),
            None => (rest, None),
        };
        let place = match place.strip_prefix("//") {
            Some(path) if path.starts_with('/') => path,
            Some(_) => {
                return Err(invalid(format!("`{scheme}://` must go on with an absolute path")));
            }
            None => place,
        };
        check_encoding(place)?;
        let query = query.map(|query| read_query(query, backend)).transpose()?;
        let uri = Self { scheme, place: place.to_owned(), query: query.unwrap_or_default() };
        for attribute in [PASSPHRASE_SOURCE, PIN_SOURCE] {
            uri.source(attribute)?;
        }
        if uri.is_development() && uri.attribute(PASSPHRASE_SOURCE).is_some() {
            return Err(invalid(
                "`development` is for a key without a passphrase, and the URI says where one is",
            ));
        }
        backend.check(uri)
    }
}

impl fmt::Display for KeyUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.scheme, self.place)?;
        for (number, (name, value)) in self.query.iter().enumerate() {
            write!(f, "{}{name}", if number == 0 { '?' } else { '&' })?;
            if !value.is_empty() {
                write!(f, "={}", encode(value.as_bytes()))?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for KeyUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyUri({self})")
    }
}

fn read_query(query: &str, backend: &dyn KeyBackend) -> Result<Vec<(String, String)>, KeyError> {
    let mut read: Vec<(String, String)> = Vec::new();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // The value is not repeated, nor a name that could be more than a name.
        let shown =
            match name.len() <= 32 && name.bytes().all(|b| b == b'-' || b.is_ascii_lowercase()) {
                true => format!("`{name}`"),
                false => "one of them".to_owned(),
            };
        if name == "pin-value" {
            return Err(invalid(
                "`pin-value` would put the PIN where lists of processes and logs show it: use \
                 `pin-source=file:PATH` or `pin-source=env:NAME`, or leave it out to be asked",
            ));
        }
        if !backend.attributes().contains(&name) {
            let known = backend.attributes().join(", ");
            let scheme = backend.scheme();
            return Err(invalid(format!(
                "after `?`, {shown} is not an attribute of `{scheme}:`, which has: {known}"
            )));
        }
        if read.iter().any(|(other, _)| other == name) {
            return Err(invalid(format!("the attribute {shown} is there twice")));
        }
        if (name == DEVELOPMENT) != value.is_empty() {
            let how = if value.is_empty() { "needs a value" } else { "has no value" };
            return Err(invalid(format!("the attribute {shown} {how}")));
        }
        check_encoding(value)?;
        let value = String::from_utf8(percent_decode_str(value).collect())
            .map_err(|_| invalid(format!("the attribute {shown} is not UTF-8")))?;
        read.push((name.to_owned(), value));
    }
    Ok(read)
}

/// A bare `%` is likelier a mistake than a name.
fn check_encoding(text: &str) -> Result<(), KeyError> {
    let mut parts = text.split('%');
    parts.next();
    let is_hex =
        |part: &str| part.len() >= 2 && part.bytes().take(2).all(|b| b.is_ascii_hexdigit());
    match parts.all(is_hex) {
        true => Ok(()),
        false => Err(invalid("a `%` that is part of a name is written `%25`")),
    }
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    percent_encode(bytes, ENCODED).to_string()
}

pub(crate) fn invalid(problem: impl Into<String>) -> KeyError {
    KeyError::Uri { problem: problem.into() }
}

#[cfg(unix)]
pub(crate) fn path_of(bytes: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt as _;

    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(unix)]
fn path_bytes(path: &Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt as _;

    path.as_os_str().as_bytes().to_vec()
}

#[cfg(not(unix))]
pub(crate) fn path_of(bytes: Vec<u8>) -> PathBuf {
    String::from_utf8_lossy(&bytes).into_owned().into()
}

#[cfg(not(unix))]
fn path_bytes(path: &Path) -> Vec<u8> {
    path.to_string_lossy().into_owned().into_bytes()
}

/// RFC 3986, 3.1; short, so that a key is not taken for one.
fn is_scheme(text: &str) -> bool {
    text.len() <= 16
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use super::*;

    #[test]
    fn file_uris_are_read_and_written() {
        for (text, path, written) in [
            ("file:/etc/k.pem", "/etc/k.pem", "file:/etc/k.pem"),
            ("file:keys/a b:c.pem", "keys/a b:c.pem", "file:keys/a%20b:c.pem"),
            ("FILE:///etc/k.pem", "/etc/k.pem", "file:/etc/k.pem"),
            ("file:100%25?development", "100%", "file:100%25?development"),
            ("file:what%3f", "what?", "file:what%3F"),
            ("file:schl\u{fc}ssel", "schl\u{fc}ssel", "file:schl%C3%BCssel"),
        ] {
            let uri: KeyUri = text.parse().unwrap();
            assert_eq!(uri.path().unwrap(), Path::new(path), "{text}");
            assert_eq!(uri.to_string(), written);
            assert_eq!(written.parse::<KeyUri>().unwrap(), uri);
            let plain = written.strip_suffix("?development").unwrap_or(written);
            assert_eq!(KeyUri::file(Path::new(path)).to_string(), plain);
        }
    }

    #[test]
    fn attributes_are_read_and_written() {
        let text = "file:k.pem?passphrase-source=file:/run/a%26b%20c";
        let uri: KeyUri = text.parse().unwrap();
        assert_eq!(uri.attribute(PASSPHRASE_SOURCE), Some("file:/run/a&b c"));
        assert_eq!(uri.to_string(), text);
        assert!(!uri.is_development());
        let development = KeyUri::file(Path::new("k")).with_development().with_development();
        assert_eq!(development.to_string(), "file:k?development");
        assert!(development.is_development());
    }

    #[test]
    fn relative_paths_begin_at_a_folder_and_absolute_ones_stay() {
        for (text, expected) in [
            ("file:k.pem", "file:/data/k.pem"),
            ("file:/k.pem?development", "file:/k.pem?development"),
            (
                "file:k?passphrase-source=file:pass",
                "file:/data/k?passphrase-source=file:/data/pass",
            ),
            ("file:/k?passphrase-source=env:PASS", "file:/k?passphrase-source=env:PASS"),
            ("env:KEY?development", "env:KEY?development"),
            ("pkcs11:token=a?pin-source=file:pin", "pkcs11:token=a?pin-source=file:/data/pin"),
        ] {
            let uri: KeyUri = text.parse().unwrap();
            assert_eq!(uri.relative_to(Path::new("/data")).to_string(), expected);
        }
    }

    #[test]
    fn unknown_schemes_are_refused_with_the_known_ones() {
        for text in ["awskms:alias/x", "k.pem", "", "file:", "file://host/k.pem", "file:a\0b"] {
            let error = text.parse::<KeyUri>().unwrap_err().to_string();
            assert!(error.contains("file:PATH") && error.contains("pkcs11:"), "{text}: {error}");
        }
    }

    #[test]
    fn wrong_attributes_are_refused_and_their_values_not_repeated() {
        for (text, problem) in [
            ("file:k?passphrase=sesame", "`passphrase` is not an attribute"),
            ("file:k?sesame sesame", "one of them is not an attribute"),
            ("file:k?passphrase-source=sesame", "is `file:PATH` or `env:NAME`"),
            ("file:k?passphrase-source=env:sesame", "is `file:PATH` or `env:NAME`"),
            ("file:k?passphrase-source", "needs a value"),
            ("file:k?development=sesame", "has no value"),
            ("file:k?development&development", "twice"),
            ("file:k?development&passphrase-source=env:A", "without a passphrase"),
            ("file:k%sesame", "`%25`"),
            ("file:k%2", "`%25`"),
            ("pkcs11:token=a?pin-value=sesame", "`pin-source=file:PATH`"),
            ("pkcs11:token=a?development", "is not an attribute of `pkcs11:`"),
            ("pkcs11:tokn=sesame", "is not an attribute"),
            ("pkcs11:token=a;token=sesame", "twice"),
            ("pkcs11:type=sesame", "`type`"),
            ("pkcs11:slot-id=sesame", "`slot-id`"),
            ("pkcs11:id=%1", "`%25`"),
            ("pkcs11:token=a?module-path=sesame.so", "absolute"),
            ("pkcs11:token=a?module-name=../sesame", "`module-name`"),
            ("env:sesame", "upper-case"),
            ("env:", "upper-case"),
        ] {
            let error = text.parse::<KeyUri>().unwrap_err();
            assert!(error.to_string().contains(problem), "{text}: {error}");
            assert!(!format!("{error} {error:?}").contains("sesame"), "{text}: {error}");
        }
    }

    #[test]
    fn a_key_in_place_of_a_uri_is_not_repeated_in_the_error() {
        for text in [
            "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIE: x",
            "MC4CAQAwBQYDK2VwBCIEIAAAAAAAAAAAAAA:x",
            "file://MC4CAQAwBQYDK2VwBCIE",
            "env:MC4CAQAwBQYDK2VwBCIEIAAAAAAAAAAAAAA",
        ] {
            let error = text.parse::<KeyUri>().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("MC4CAQ"), "{error}");
        }
    }
}
