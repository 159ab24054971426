//! What a person compares before trusting a root.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use waxseal_tuf::hash::Sha256;

use crate::Error;

/// The SHA-256 of a root metadata file. Displays as 64 lower-case hex digits; reads them in any case
/// and in groups, as people write them: `ABCD EF01 …`, `ab:cd:…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(Sha256);

impl Fingerprint {
    /// The fingerprint of a root file.
    pub fn of(root: &[u8]) -> Self {
        Self(Sha256::of(root))
    }

    /// The digest.
    pub fn sha256(self) -> Sha256 {
        self.0
    }
}

impl FromStr for Fingerprint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let grouping = |c: &char| !c.is_whitespace() && !":-".contains(*c);
        let bare = text.trim();
        let bare = bare.strip_prefix("sha256:").unwrap_or(bare);
        let hex: String = bare.chars().filter(grouping).collect();
        let digest = hex.to_ascii_lowercase().parse();
        let invalid = |_| Error::InvalidFingerprint { text: text.chars().take(100).collect() };
        digest.map(Self).map_err(invalid)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn every_spelling_of_a_person_is_the_same_fingerprint() {
        let fingerprint = Fingerprint::of(b"root");
        let hex = fingerprint.to_string();
        let pairs: Vec<_> = hex.as_bytes().chunks(2).collect();
        let colons = pairs.iter().map(|pair| str::from_utf8(pair).unwrap()).collect::<Vec<_>>();
        for text in [
            hex.clone(),
            hex.to_uppercase(),
            colons.join(":"),
            format!(" {} \n", colons.join(" ")),
            format!("sha256:{hex}"),
        ] {
            assert_eq!(text.parse(), Ok(fingerprint), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        let hex = Fingerprint::of(b"root").to_string();
        for text in ["", "abcd", &hex[1..], &format!("{hex}0"), &hex.replace('a', "g")] {
            if text != hex {
                assert!(text.parse::<Fingerprint>().is_err(), "{text}");
            }
        }
    }
}
