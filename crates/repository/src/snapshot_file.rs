//! The snapshot as text: sixteen thousand versions, of which a batch changes a few.
//!
//! Of bins snapshot lists versions only (PEP 458, V11), so its text follows from the version of each. It is
//! kept, and a version of as many digits is written over the one before. Of `targets` and `bins` it lists
//! length and digest too: whoever has their keys alone cannot put other files in their place (PEP 458,
//! Table 4).

use jiff::Timestamp;
use waxseal_tuf::RoleName;
use waxseal_tuf::hash::Hashes;
use waxseal_tuf::metadata::{ROOM_FOR_SIGNATURES, SPEC_VERSION, format_time};

use crate::bins::Bins;
use crate::hash_algorithms::HashAlgorithms;

/// The files of `targets` and `bins` that a snapshot lists.
#[derive(Debug, Clone)]
pub(crate) struct OfflineFiles {
    pub(crate) bins: OfflineFile,
    pub(crate) targets: OfflineFile,
}

/// One of them.
#[derive(Debug, Clone)]
pub(crate) struct OfflineFile {
    version: u64,
    length: u64,
    hashes: Hashes,
}

impl OfflineFile {
    pub(crate) fn of(version: u64, bytes: &[u8], algorithms: HashAlgorithms) -> Self {
        Self { version, length: bytes.len() as u64, hashes: algorithms.hashes_of(bytes) }
    }
}

/// The entries of a snapshot's `meta`.
#[derive(Debug)]
pub(crate) struct SnapshotText {
    bins: Bins,
    versions: Vec<u64>,
    /// The two other roles it lists, `bins` and `targets`, as their entries stand at the end.
    rest: String,
    text: Vec<u8>,
    /// Where each bin's version stands in the text.
    at: Vec<usize>,
}

impl SnapshotText {
    /// Lists the bins with `versions`, by number, and the offline roles.
    pub(crate) fn new(bins: Bins, versions: Vec<u64>, offline: &OfflineFiles) -> Self {
        let entry = |role: &str, OfflineFile { version, length, hashes }: &OfflineFile| {
            let digest = |(name, hex): (&str, &str)| format!("\"{name}\":\"{hex}\"");
            let hashes = hashes.iter().map(digest).collect::<Vec<_>>().join(",");
            format!(
                "\"{role}.json\":{{\"hashes\":{{{hashes}}},\"length\":{length},\
                 \"version\":{version}}}"
            )
        };
        let (bins_role, targets) =
            (entry("bins", &offline.bins), entry("targets", &offline.targets));
        let rest = format!("{bins_role},{targets}");
        let mut this = Self { bins, versions, rest, text: Vec::new(), at: Vec::new() };
        this.write();
        this
    }

    /// The same with other bins.
    pub(crate) fn with_bins(&self, bins: Bins, versions: Vec<u64>) -> Self {
        let rest = self.rest.clone();
        let mut this = Self { bins, versions, rest, text: Vec::new(), at: Vec::new() };
        this.write();
        this
    }

    /// Lists other files of the offline roles.
    pub(crate) fn update_offline(&mut self, offline: &OfflineFiles) {
        let (bins, versions) = (self.bins, std::mem::take(&mut self.versions));
        *self = Self::new(bins, versions, offline);
    }

    /// The version that is listed of a bin.
    #[cfg(test)]
    fn version(&self, bin: u32) -> u64 {
        self.versions[bin as usize]
    }

    /// Lists other versions of some bins.
    pub(crate) fn update(&mut self, versions: impl Iterator<Item = (u32, u64)>) {
        let mut fits = true;
        for (bin, version) in versions {
            let bin = bin as usize;
            let (old, new) = (self.versions[bin].to_string(), version.to_string());
            self.versions[bin] = version;
            fits &= old.len() == new.len();
            if fits {
                let at = self.at[bin];
                self.text[at..at + new.len()].copy_from_slice(new.as_bytes());
            }
        }
        if !fits {
            self.write();
        }
    }

    /// The canonical `signed` value.
    pub(crate) fn signed(&self, version: u64, expires: Timestamp) -> Vec<u8> {
        let head = format!(
            "{{\"_type\":\"snapshot\",\"expires\":\"{}\",\"meta\":{{",
            format_time(expires)
        );
        let tail = format!("}},\"spec_version\":\"{SPEC_VERSION}\",\"version\":{version}}}");
        let length = head.len() + self.text.len() + tail.len();
        let mut signed = Vec::with_capacity(length + ROOM_FOR_SIGNATURES);
        for part in [head.as_bytes(), &self.text, tail.as_bytes()] {
            signed.extend_from_slice(part);
        }
        signed
    }

    /// Writes all entries: `bin-…` come before `bins` and `targets`, and in the order of their numbers,
    /// for names have one width.
    fn write(&mut self) {
        self.text.clear();
        self.at.clear();
        for (bin, version) in (0..).zip(&self.versions) {
            let role: RoleName = self.bins.role(bin);
            self.text.push(b'"');
            self.text.extend_from_slice(role.as_str().as_bytes());
            self.text.extend_from_slice(b".json\":{\"version\":");
            self.at.push(self.text.len());
            self.text.extend_from_slice(version.to_string().as_bytes());
            self.text.extend_from_slice(b"},");
        }
        self.text.extend_from_slice(self.rest.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use waxseal_testkit::simulator::TestKey;
    use waxseal_tuf::metadata::{MetaFile, Snapshot, sign, sign_canonical};

    use super::*;
    use crate::bins::BinStyle;
    use crate::ceremony::BINS;

    #[test]
    fn the_text_is_what_would_be_written_anew() {
        let bins = Bins::new(32, BinStyle::Succinct).unwrap();
        let expires = "2100-01-02T03:04:05Z".parse().unwrap();
        let key = TestKey::new("online");
        let mut algorithms = HashAlgorithms::Sha256;
        let offline = |algorithms| OfflineFiles {
            bins: OfflineFile::of(1, b"bins", algorithms),
            targets: OfflineFile::of(12, b"targets", algorithms),
        };
        let mut text = SnapshotText::new(bins, vec![1; 32], &offline(algorithms));
        for round in 1..200_u64 {
            if let Some(other) = HashAlgorithms::of_number((round / 50).cast_signed()) {
                algorithms = other;
                text.update_offline(&offline(algorithms));
            }
            let changed = [(round % 32, round * round), ((round * 7) % 32, 3 * round + 5)];
            text.update(
                changed.iter().map(|(bin, version)| (u32::try_from(*bin).unwrap(), *version)),
            );
            let listed = (0..32).map(|bin| (bins.role(bin), MetaFile::version(text.version(bin))));
            let others = [(BINS, 1, b"bins".as_slice()), (RoleName::targets(), 12, b"targets")];
            let others = others.map(|(role, version, bytes)| {
                let hashes = Some(algorithms.hashes_of(bytes));
                (role, MetaFile { version, length: Some(bytes.len() as u64), hashes })
            });
            let roles = listed.chain(others).collect();
            let anew = sign(&Snapshot { version: round, expires, roles }, &[&key]).unwrap();
            let file = sign_canonical(text.signed(round, expires), &[&key]).unwrap();
            assert_eq!(String::from_utf8(file).unwrap(), String::from_utf8(anew).unwrap());
        }
    }
}
