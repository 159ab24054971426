//! Two collections of files, compared without holding either: a sum over each, for each bin.

use waxseal_tuf::hash::Sha256;

/// What pages list, and what bins name. Where both sums of a bin are equal so are the collections, for
/// the terms are digests; somebody who forges equal sums can forge the repository without.
#[derive(Debug)]
pub(super) struct Tally {
    listed: Vec<u128>,
    named: Vec<u128>,
    unread: Vec<bool>,
}

/// A file in a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) path: &'a str,
    /// Its SHA-256 in hex.
    pub(super) sha256: &'a str,
    /// Its length, where both sides say one.
    pub(super) length: Option<u64>,
}

impl Tally {
    pub(super) fn new(bins: u32) -> Self {
        let bins = bins as usize;
        Self { listed: vec![0; bins], named: vec![0; bins], unread: vec![false; bins] }
    }

    /// A page lists it.
    pub(super) fn list(&mut self, bin: u32, entry: &Entry<'_>) {
        add(&mut self.listed, bin, entry);
    }

    /// A bin names it.
    pub(super) fn name(&mut self, bin: u32, entry: &Entry<'_>) {
        add(&mut self.named, bin, entry);
    }

    /// The bin could not be read: nothing is said of it.
    pub(super) fn leave_out(&mut self, bin: u32) {
        if let Some(unread) = self.unread.get_mut(bin as usize) {
            *unread = true;
        }
    }

    /// The bins in which the two are not the same.
    pub(super) fn different(&self) -> impl Iterator<Item = u32> {
        let sums = self.listed.iter().zip(&self.named).zip(&self.unread);
        let bins = (0..).zip(sums);
        bins.filter(|(_, ((listed, named), unread))| listed != named && !**unread)
            .map(|(bin, _)| bin)
    }
}

fn add(sums: &mut [u128], bin: u32, entry: &Entry<'_>) {
    let Entry { path, sha256, length } = entry;
    let term = half(format!("{path}\n{sha256}\n{length:?}").as_bytes());
    if let Some(sum) = sums.get_mut(bin as usize) {
        *sum = sum.wrapping_add(u128::from_le_bytes(term));
    }
}

/// Half a SHA-256: enough to tell things apart, and in sums.
pub(super) type Half = [u8; 16];

/// The half that stands for these bytes.
pub(super) fn half(bytes: &[u8]) -> Half {
    let mut half = [0; 16];
    half.copy_from_slice(&Sha256::of(bytes).0[..16]);
    half
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bin_in_which_one_thing_differs_is_named() {
        let entry = |path, length| Entry { path, sha256: "00", length };
        let mut tally = Tally::new(4);
        for bin in 0..4 {
            tally.list(bin, &entry("a", Some(1)));
            tally.list(bin, &entry("b", None));
            tally.name(bin, &entry("b", None));
            tally.name(bin, &entry("a", Some(1)));
        }
        assert_eq!(tally.different().count(), 0);
        tally.name(1, &entry("c", None));
        tally.list(3, &entry("a", Some(2)));
        tally.name(3, &entry("a", Some(3)));
        assert_eq!(tally.different().collect::<Vec<_>>(), [1, 3]);
        tally.leave_out(1);
        assert_eq!(tally.different().collect::<Vec<_>>(), [3]);
    }
}
