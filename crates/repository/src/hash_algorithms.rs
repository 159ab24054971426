//! Which digests an index lists of what it signs (PEP 458, "Hash Algorithm Transition Plan").

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use waxseal_tuf::TargetFile;
use waxseal_tuf::hash::{Digest, Hashes, Sha256, Sha512};

/// The algorithms whose digests metadata lists for every file, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashAlgorithms {
    /// SHA-256 alone.
    Sha256,
    /// SHA-256 and SHA-512.
    Both,
    /// SHA-512 alone.
    Sha512,
}

/// A list of algorithms that an index cannot use, and what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "hash-algorithms {problem}: write [\"sha256\"], [\"sha256\", \"sha512\"] or [\"sha512\"] \
     (docs/hash-algorithms.md says when which)"
)]
pub struct InvalidHashAlgorithms {
    problem: String,
}

impl HashAlgorithms {
    /// Those of a list of names, in any order.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidHashAlgorithms> {
        let invalid = |problem: String| InvalidHashAlgorithms { problem };
        let (mut sha256, mut sha512) = (false, false);
        for name in names {
            let listed = match name {
                "sha256" => &mut sha256,
                "sha512" => &mut sha512,
                other => {
                    return Err(invalid(format!("has {other:?}, which is none that is known")));
                }
            };
            if std::mem::replace(listed, true) {
                return Err(invalid(format!("has {name:?} twice")));
            }
        }
        match (sha256, sha512) {
            (true, false) => Ok(Self::Sha256),
            (true, true) => Ok(Self::Both),
            (false, true) => Ok(Self::Sha512),
            (false, false) => Err(invalid("is empty, and nothing could be verified".to_owned())),
        }
    }

    /// Their names, as metadata spells them.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::Sha256 => &["sha256"],
            Self::Both => &["sha256", "sha512"],
            Self::Sha512 => &["sha512"],
        }
    }

    /// Whether SHA-256 is one of them.
    pub fn has_sha256(self) -> bool {
        self != Self::Sha512
    }

    /// Whether SHA-512 is one of them.
    pub fn has_sha512(self) -> bool {
        self != Self::Sha256
    }

    /// Whether a client that knows only some algorithm of one can follow to the other.
    pub fn shares_one_with(self, other: Self) -> bool {
        !matches!((self, other), (Self::Sha256, Self::Sha512) | (Self::Sha512, Self::Sha256))
    }

    /// Whether it is one of them.
    pub(crate) fn has(self, digest: &Digest) -> bool {
        self.names().contains(&digest.algorithm())
    }

    /// What is listed of these bytes.
    pub fn hashes_of(self, bytes: &[u8]) -> Hashes {
        self.digests_of(bytes).collect()
    }

    pub(crate) fn digests_of(self, bytes: &[u8]) -> impl Iterator<Item = Digest> {
        let sha256 = self.has_sha256().then(|| Sha256::of(bytes).into());
        let sha512 = self.has_sha512().then(|| Sha512::of(bytes).into());
        sha256.into_iter().chain(sha512)
    }

    /// The first of them that a file lists no digest of.
    pub fn missing_in(self, hashes: &Hashes) -> Option<&'static str> {
        let lists = |name: &str| hashes.known().any(|digest| digest.algorithm() == name);
        self.names().iter().copied().find(|name| !lists(name))
    }

    /// What is listed of a target that another index keeps: what that index says of it, but for a SHA-256
    /// where that is not to be listed any more and there is another digest.
    pub(crate) fn adopt(self, file: &mut TargetFile) {
        if !self.has_sha256() && file.hashes.listed_sha512().is_some() {
            file.hashes.remove("sha256");
        }
    }

    pub(crate) fn number(self) -> i64 {
        match self {
            Self::Sha256 => 1,
            Self::Sha512 => 2,
            Self::Both => 3,
        }
    }

    pub(crate) fn of_number(number: i64) -> Option<Self> {
        match number {
            1 => Some(Self::Sha256),
            2 => Some(Self::Sha512),
            3 => Some(Self::Both),
            _ => None,
        }
    }
}

#[expect(
    clippy::derivable_impls,
    reason = "the default is a decision, ADR 6, and not the first of a list"
)]
impl Default for HashAlgorithms {
    fn default() -> Self {
        Self::Sha256
    }
}

impl fmt::Display for HashAlgorithms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(" and "))
    }
}

impl FromStr for HashAlgorithms {
    type Err = InvalidHashAlgorithms;

    /// Names with commas between them.
    fn from_str(text: &str) -> Result<Self, InvalidHashAlgorithms> {
        Self::of(text.split(',').map(str::trim).filter(|name| !name.is_empty()))
    }
}

impl Serialize for HashAlgorithms {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.names().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for HashAlgorithms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            List(Vec<String>),
            Other(serde::de::IgnoredAny),
        }
        let list = match Written::deserialize(deserializer)? {
            Written::List(names) => Self::of(names.iter().map(String::as_str)),
            Written::Other(_) => {
                Err(InvalidHashAlgorithms { problem: "is no list of names".to_owned() })
            }
        };
        list.map_err(serde::de::Error::custom)
    }
}

/// What an index lists by now, and what it is on its way to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listing {
    /// What every target lists, or listed when the change began.
    pub settled: HashAlgorithms,
    /// What targets are being listed with. While there is one, each target has either.
    pub moving_to: Option<HashAlgorithms>,
}

impl Listing {
    /// What everything new is listed with.
    pub fn wanted(&self) -> HashAlgorithms {
        self.moving_to.unwrap_or(self.settled)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn a_list_that_is_none_is_refused_with_what_to_write() {
        for (names, problem) in [
            (vec![], "is empty"),
            (vec!["md5"], "\"md5\", which is none that is known"),
            (vec!["SHA256"], "\"SHA256\""),
            (vec!["sha256", "sha256"], "\"sha256\" twice"),
            (vec!["sha512", "sha256", "blake2b-256"], "blake2b-256"),
        ] {
            let error = HashAlgorithms::of(names).unwrap_err().to_string();
            assert!(error.contains(problem) && error.contains("write [\"sha256\"]"), "{error}");
        }
        assert_eq!("sha512, sha256".parse(), Ok(HashAlgorithms::Both));
    }

    #[test]
    fn one_step_of_the_transition_shares_an_algorithm_with_the_next() {
        let [sha256, both, sha512] =
            [HashAlgorithms::Sha256, HashAlgorithms::Both, HashAlgorithms::Sha512];
        assert!(sha256.shares_one_with(both) && both.shares_one_with(sha512));
        assert!(!sha256.shares_one_with(sha512) && !sha512.shares_one_with(sha256));
        for one in [sha256, both, sha512] {
            assert!(one.shares_one_with(one));
            assert_eq!(HashAlgorithms::of_number(one.number()), Some(one));
        }
    }
}
