//! Digests of metadata and target files.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{self, Context, SHA256, SHA512};
use data_encoding::HEXLOWER;

/// A SHA-256 digest. Displays and parses as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut out = [0; 32];
        out.copy_from_slice(digest::digest(&SHA256, bytes).as_ref());
        Self(out)
    }
}

/// Bytes together with their own SHA-256, for whoever needs it more than once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashed {
    bytes: Vec<u8>,
    sha256: Sha256,
}

impl Hashed {
    /// Computes the digest of `bytes`.
    pub fn new(bytes: Vec<u8>) -> Self {
        let sha256 = Sha256::of(&bytes);
        Self { bytes, sha256 }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Their digest.
    pub fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// The bytes alone.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256({self})")
    }
}

/// The text is not 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256 digest in lower-case hex: {0:?}")]
pub struct InvalidSha256(String);

impl FromStr for Sha256 {
    type Err = InvalidSha256;

    fn from_str(text: &str) -> Result<Self, InvalidSha256> {
        let invalid = || InvalidSha256(text.chars().take(80).collect());
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| invalid())?;
        bytes.try_into().map(Self).map_err(|_| invalid())
    }
}

/// A SHA-512 digest. Displays and parses as 128 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha512(pub [u8; 64]);

impl Sha512 {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut out = [0; 64];
        out.copy_from_slice(digest::digest(&SHA512, bytes).as_ref());
        Self(out)
    }
}

impl fmt::Display for Sha512 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Sha512 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha512({self})")
    }
}

/// The text is not 128 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-512 digest in lower-case hex: {0:?}")]
pub struct InvalidSha512(String);

impl FromStr for Sha512 {
    type Err = InvalidSha512;

    fn from_str(text: &str) -> Result<Self, InvalidSha512> {
        let invalid = || InvalidSha512(text.chars().take(160).collect());
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| invalid())?;
        bytes.try_into().map(Self).map_err(|_| invalid())
    }
}

/// A digest of any algorithm that is known here. Displays as lower-case hex, and parses from it: the
/// number of digits tells the algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Digest {
    /// SHA-256.
    Sha256(Sha256),
    /// SHA-512.
    Sha512(Sha512),
}

impl Digest {
    /// The algorithm, as metadata spells it.
    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "sha256",
            Self::Sha512(_) => "sha512",
        }
    }

    /// Whether it is the digest of `bytes`.
    pub fn is_of(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Sha256(digest) => Sha256::of(bytes) == *digest,
            Self::Sha512(digest) => Sha512::of(bytes) == *digest,
        }
    }
}

impl From<Sha256> for Digest {
    fn from(digest: Sha256) -> Self {
        Self::Sha256(digest)
    }
}

impl From<Sha512> for Digest {
    fn from(digest: Sha512) -> Self {
        Self::Sha512(digest)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(digest) => digest.fmt(f),
            Self::Sha512(digest) => digest.fmt(f),
        }
    }
}

impl FromStr for Digest {
    type Err = InvalidSha256;

    fn from_str(text: &str) -> Result<Self, InvalidSha256> {
        match text.parse() {
            Ok(digest) => Ok(Self::Sha512(digest)),
            Err(_) => text.parse().map(Self::Sha256),
        }
    }
}

/// The digests that metadata lists for one file, by algorithm (TUF 4.2, `HASHES`).
///
/// Algorithms this crate does not know are kept, and cannot be checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hashes(Vec<(Cow<'static, str>, String)>);

impl Hashes {
    /// The digests of a file of which only the SHA-256 is listed.
    pub fn sha256(digest: Sha256) -> Self {
        Self(vec![(Cow::Borrowed("sha256"), digest.to_string())])
    }

    /// Of pairs of algorithm and lower-case hex digest, each algorithm once.
    pub fn new<'a>(digests: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let algorithm = |name: &str| match name {
            "sha256" => Cow::Borrowed("sha256"),
            "sha512" => Cow::Borrowed("sha512"),
            other => Cow::Owned(other.to_owned()),
        };
        let owned = |(name, digest): (&str, &str)| (algorithm(name), digest.to_owned());
        let mut digests: Vec<_> = digests.map(owned).collect();
        digests.sort_unstable();
        Self(digests)
    }

    fn get(&self, algorithm: &str) -> Option<&str> {
        self.iter().find(|(listed, _)| *listed == algorithm).map(|(_, digest)| digest)
    }

    /// The SHA-256, where it is listed and well formed.
    pub fn listed_sha256(&self) -> Option<Sha256> {
        self.get("sha256")?.parse().ok()
    }

    /// The SHA-512, where it is listed and well formed.
    pub fn listed_sha512(&self) -> Option<Sha512> {
        self.get("sha512")?.parse().ok()
    }

    /// The digests of known algorithms that are well formed, SHA-256 first. Under consistent snapshots
    /// the file has a name with each (TUF 6.2.2).
    pub fn known(&self) -> impl Iterator<Item = Digest> + use<> {
        let sha256 = self.listed_sha256().map(Digest::Sha256);
        sha256.into_iter().chain(self.listed_sha512().map(Digest::Sha512))
    }

    /// Lists this digest, in place of another one of its algorithm.
    pub fn insert(&mut self, digest: Digest) {
        self.remove(digest.algorithm());
        self.0.push((Cow::Borrowed(digest.algorithm()), digest.to_string()));
        self.0.sort_unstable();
    }

    /// Lists no digest of this algorithm.
    pub fn remove(&mut self, algorithm: &str) {
        self.0.retain(|(listed, _)| *listed != algorithm);
    }

    /// Pairs of algorithm and lower-case hex digest, ordered by algorithm.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(a, d)| (a.as_ref(), d.as_str()))
    }

    /// Whether nothing is listed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The digest that names the file under consistent snapshots (TUF 6.2.2): SHA-256 where it is
    /// listed, else SHA-512.
    pub fn file_name_digest(&self) -> Option<&str> {
        self.get("sha256").or_else(|| self.get("sha512"))
    }

    /// Whether a file can be checked against any of them: a known algorithm is listed.
    pub fn can_be_checked(&self) -> bool {
        self.file_name_digest().is_some()
    }

    /// Whether every listed digest of a known algorithm is that of `bytes`, and there is one.
    pub fn are_of(&self, bytes: &[u8]) -> bool {
        self.checker().is_some_and(|mut checker| {
            checker.update(bytes);
            checker.finish().is_ok()
        })
    }

    /// Starts checking a file against every listed digest; `None` when no listed algorithm is
    /// known, so that nothing could be checked.
    pub fn checker(&self) -> Option<HashChecker> {
        let known = |(algorithm, digest): &(Cow<'static, str>, String)| {
            let context = match algorithm.as_ref() {
                "sha256" => Context::new(&SHA256),
                "sha512" => Context::new(&SHA512),
                _ => return None,
            };
            Some((algorithm.to_string(), digest.clone(), context))
        };
        let contexts: Vec<_> = self.0.iter().filter_map(known).collect();
        (!contexts.is_empty()).then_some(HashChecker { contexts })
    }
}

impl FromIterator<Digest> for Hashes {
    /// Each algorithm once.
    fn from_iter<I: IntoIterator<Item = Digest>>(digests: I) -> Self {
        let mut this = Self::default();
        digests.into_iter().for_each(|digest| this.insert(digest));
        this
    }
}

/// A file being checked against its digests, piece by piece.
#[derive(Clone)]
pub struct HashChecker {
    contexts: Vec<(String, String, Context)>,
}

impl HashChecker {
    /// Takes the next bytes of the file.
    pub fn update(&mut self, bytes: &[u8]) {
        for (_, _, context) in &mut self.contexts {
            context.update(bytes);
        }
    }

    /// Compares every digest; the error is the first that differs.
    pub fn finish(self) -> Result<(), HashMismatch> {
        for (algorithm, expected, context) in self.contexts {
            let got = HEXLOWER.encode(context.finish().as_ref());
            if got != expected {
                return Err(HashMismatch { algorithm, expected, got });
            }
        }
        Ok(())
    }
}

impl fmt::Debug for HashChecker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithms = self.contexts.iter().map(|(algorithm, ..)| algorithm);
        f.debug_list().entries(algorithms).finish()
    }
}

/// A file's digest is not the one that metadata lists.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{algorithm} is {got}, metadata says {expected}")]
pub struct HashMismatch {
    /// Name of the hash algorithm, as metadata spells it.
    pub algorithm: String,
    /// Lower-case hex digest from metadata.
    pub expected: String,
    /// Lower-case hex digest of the bytes that came.
    pub got: String,
}
