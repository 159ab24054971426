//! The name of a project, as its author writes it and as the index compares it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::shown;

/// Longest name of a project, in bytes: leaves room for a version and tags in a filename.
const MAX_LENGTH: usize = 128;

/// A name that no project can have, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("project name '{name}' {problem}")]
pub struct NameError {
    /// The name, escaped and cut for display.
    pub name: String,
    /// What is wrong with it, and what a valid one looks like.
    pub problem: &'static str,
}

/// A project's name as its author writes it (PEP 508): ASCII letters, digits, `.`, `_` and `-`,
/// a letter or digit at both ends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProjectName(String);

impl ProjectName {
    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form under which the index knows the project (PEP 503).
    pub fn normalized(&self) -> NormalizedName {
        let mut normalized = String::with_capacity(self.0.len());
        for character in self.0.chars() {
            if !matches!(character, '-' | '_' | '.') {
                normalized.push(character.to_ascii_lowercase());
            } else if !normalized.ends_with('-') {
                normalized.push('-');
            }
        }
        NormalizedName(normalized)
    }
}

impl FromStr for ProjectName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        let refuse = |problem| Err(NameError { name: shown(name), problem });
        if name.is_empty() {
            return refuse("is empty");
        }
        if name.len() > MAX_LENGTH {
            return refuse("is longer than 128 characters");
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !name.bytes().all(allowed) {
            return refuse(
                "has characters that are not allowed; use ASCII letters, digits, '.', '_' and '-'",
            );
        }
        let at_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = name.as_bytes();
        if !at_end(bytes.first()) || !at_end(bytes.last()) {
            return refuse("must start and end with a letter or digit");
        }
        Ok(Self(name.to_owned()))
    }
}

/// A project's name as the index compares it and writes it into URLs and target paths (PEP 503):
/// lower case, and every run of `.`, `_` and `-` one `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NormalizedName(String);

impl NormalizedName {
    /// The normalized form of any valid project name.
    pub fn of(name: &str) -> Result<Self, NameError> {
        name.parse::<ProjectName>().map(|name| name.normalized())
    }

    /// The normalized name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form that stands in filenames (PEP 625): `_` for `-`.
    pub fn in_filename(&self) -> String {
        self.0.replace('-', "_")
    }
}

impl FromStr for NormalizedName {
    type Err = NameError;

    /// Takes a name that is normalized already, as the URLs of the Simple API carry it; see
    /// [`NormalizedName::of`] for any other.
    fn from_str(name: &str) -> Result<Self, NameError> {
        let normalized = Self::of(name)?;
        if normalized.0 == name {
            return Ok(normalized);
        }
        Err(NameError {
            name: shown(name),
            problem: "is not normalized; write it in lower case with single '-' (PEP 503)",
        })
    }
}

macro_rules! text_conversions {
    ($type:ty) => {
        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;

            fn try_from(name: String) -> Result<Self, NameError> {
                name.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }
    };
}

text_conversions!(ProjectName);
text_conversions!(NormalizedName);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_spelling_has_one_normalized_form() {
        for name in ["Foo_Bar", "foo-bar", "FOO.BAR", "foo-._bar", "foo__bar"] {
            assert_eq!(NormalizedName::of(name).unwrap().as_str(), "foo-bar", "{name}");
        }
        assert_eq!(NormalizedName::of("zope.interface").unwrap().in_filename(), "zope_interface");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "a".repeat(129);
        for name in [
            "",
            "-foo",
            "foo-",
            ".",
            "..",
            "foo bar",
            "foo/bar",
            "foo\\bar",
            "foo\0",
            "foo\n",
            "föö",
            "<b>",
            "_foo",
            "foo.",
            "\u{202e}foo",
            "ſoo",
            &long,
        ] {
            assert!(name.parse::<ProjectName>().is_err(), "{name:?}");
            assert!(name.parse::<NormalizedName>().is_err(), "{name:?}");
        }
        "a".repeat(128).parse::<ProjectName>().unwrap();
    }

    #[test]
    fn a_url_carries_only_the_normalized_form() {
        "foo-bar2".parse::<NormalizedName>().unwrap();
        for name in ["Foo", "foo_bar", "foo--bar", "foo.bar"] {
            let error = name.parse::<NormalizedName>().unwrap_err();
            assert!(error.to_string().contains("not normalized"), "{error}");
        }
        assert!(serde_json::from_str::<NormalizedName>("\"Foo\"").is_err());
    }

    #[test]
    fn a_hostile_name_cannot_write_on_the_terminal() {
        let error = "a\u{1b}[2J".parse::<ProjectName>().unwrap_err().to_string();
        assert!(!error.contains('\u{1b}'), "{error:?}");
    }

    proptest! {
        #[test]
        fn normalizing_twice_changes_nothing(name in "[A-Za-z0-9]([A-Za-z0-9._-]{0,20}[A-Za-z0-9])?") {
            let once = NormalizedName::of(&name).unwrap();
            prop_assert_eq!(NormalizedName::of(once.as_str()).unwrap(), once.clone());
            prop_assert_eq!(once.as_str().parse::<NormalizedName>().unwrap(), once);
        }

        #[test]
        fn any_text_is_taken_or_refused(name in any::<String>()) {
            let _ = name.parse::<ProjectName>();
            let _ = name.parse::<NormalizedName>();
        }
    }
}
