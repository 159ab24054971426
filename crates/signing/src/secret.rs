//! Passphrases and PINs, and where they can come from.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use zeroize::Zeroizing;

use crate::error::KeyError;
use crate::private_file;
use crate::uri::{invalid, path_of};

/// The most bytes that a passphrase has.
const MAX_LENGTH: u64 = 1 << 10;

/// A passphrase or a PIN. It is wiped after use, and `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a secret over, memory and all.
    pub fn new(secret: String) -> Self {
        Self(Zeroizing::new(secret))
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Where a secret is: `file:PATH` or `env:NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SecretSource {
    File(PathBuf),
    Env(String),
}

impl SecretSource {
    /// Reads the secret, without one newline at its end.
    pub(crate) fn read(&self) -> Result<Secret, KeyError> {
        let problem = |problem| KeyError::Source { place: self.to_string(), problem };
        let mut text = match self {
            Self::File(path) => {
                let bytes = private_file::read(path, "file of a passphrase or PIN", MAX_LENGTH)?;
                let text = str::from_utf8(&bytes).map_err(|_| problem("is not text in UTF-8"))?;
                Zeroizing::new(text.to_owned())
            }
            Self::Env(name) => variable(name)?,
        };
        for end in ['\n', '\r'] {
            if text.ends_with(end) {
                let length = text.len() - 1;
                text.truncate(length);
            }
        }
        match text.is_empty() || text.contains(['\0', '\n']) {
            true => Err(problem("is not one line with a passphrase or PIN")),
            false => Ok(Secret(text)),
        }
    }
}

impl FromStr for SecretSource {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        match text.split_once(':') {
            Some(("file", path)) if !path.is_empty() && !path.contains('\0') => {
                let path = path.strip_prefix("//").unwrap_or(path);
                Ok(Self::File(path_of(path.as_bytes().to_vec())))
            }
            Some(("env", name)) if is_variable(name) => Ok(Self::Env(name.to_owned())),
            // The text is not repeated: it may be the secret.
            _ => Err(invalid(
                "where a passphrase or PIN comes from is `file:PATH` or `env:NAME` (in upper-case \
                 letters), never the secret itself",
            )),
        }
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Env(name) => write!(f, "env:{name}"),
        }
    }
}

/// Whether this names a variable: in upper case, so that a key or passphrase is not taken for a name and
/// shown in an error.
pub(crate) fn is_variable(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

/// What the environment has under this name.
pub(crate) fn variable(name: &str) -> Result<Zeroizing<String>, KeyError> {
    match std::env::var(name) {
        Ok(value) => Ok(Zeroizing::new(value)),
        Err(error) => {
            let problem = match error {
                std::env::VarError::NotPresent => "is not set",
                // The value would be shown otherwise.
                std::env::VarError::NotUnicode(_) => "is not text in UTF-8",
            };
            Err(KeyError::Source { place: format!("env:{name}"), problem })
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_is_one_line_without_its_newline() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passphrase");
        let source: SecretSource = format!("file:{}", path.display()).parse().unwrap();
        for (text, secret) in [("a b\n", "a b"), ("a\r\n", "a"), (" a ", " a ")] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
            assert_eq!(source.read().unwrap().expose(), secret);
            fs::remove_file(&path).unwrap();
        }
        for text in ["", "\n", "sesame\nsesame\n", "sesame\0", &"sesame".repeat(1000)] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            let error = source.read().unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(shown.contains("passphrase") && !shown.contains("sesame"), "{shown}");
        }
        fs::write(&path, "sesame").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let error = source.read().unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
        let error = "env:WAXSEAL_TEST_UNSET".parse::<SecretSource>().unwrap().read().unwrap_err();
        assert!(error.to_string().contains("env:WAXSEAL_TEST_UNSET is not set"), "{error}");
    }

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::new("sesame".to_owned());
        assert_eq!(format!("{secret:?} {:#?}", Some(&secret)).find("sesame"), None);
    }
}
