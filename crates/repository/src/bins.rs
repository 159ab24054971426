//! Hash bins: which `bin-n` role signs a target, and how `bins` delegates to all of them.

use std::collections::BTreeSet;

use tracing::warn;
use waxseal_tuf::metadata::{
    DelegatedRole, Delegations, Keys, Paths, RoleKeys, Roles, SuccinctRoles, Targets,
};
use waxseal_tuf::paths::bin_of;
use waxseal_tuf::{Limits, PublicKey, RoleName, TargetPath};

use crate::error::Error;

/// What the names of the bins start with: `bin-0a`.
const NAME_PREFIX: &str = "bin";

/// The most bins, as a power of two: a snapshot of 2¹⁸ has 9 MB, and one of more is not read by clients
/// ([`Limits::snapshot`], and [`Limits::json_values`]).
const MOST_BITS: u8 = 18;

/// Above this many bytes of a bin, python-tuf has to be told to take it (`targets_max_length`).
const USUAL: u64 = 5_000_000;

/// How many bytes of a bin are good for clients: of the bins that an error asks for, about.
const GOOD: u64 = 1 << 20;

/// How `bins` writes down its delegations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinStyle {
    /// One line for all bins (TAP 15): under 2 KB whatever their number.
    Succinct,
    /// One entry for each bin with its `path_hash_prefixes`, for clients without TAP 15; 3 MB for
    /// 16,384 bins.
    Classic,
}

/// The bins of a repository: a power of two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bins {
    bit_length: u8,
    style: BinStyle,
}

/// The number of bins is not a power of two from 2 to 2¹⁸.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} bins are not possible: choose a power of two from 2 to 262144, such as 256 for a private \
     index or 16384 for one of PyPI's size; clients do not read a snapshot of more"
)]
pub struct InvalidBinCount(pub u64);

impl Bins {
    /// `count` bins.
    pub fn new(count: u64, style: BinStyle) -> Result<Self, InvalidBinCount> {
        let bit_length = u8::try_from(count.trailing_zeros()).unwrap_or(u8::MAX);
        match count.is_power_of_two() && (1..=MOST_BITS).contains(&bit_length) {
            true => Ok(Self { bit_length, style }),
            false => Err(InvalidBinCount(count)),
        }
    }

    /// The bins that a `bins` role delegates to; `None` where it is not one that this program made.
    pub fn of(bins: &Targets) -> Option<Self> {
        let (count, style, names) = match &bins.delegations.as_ref()?.roles {
            Roles::Succinct(succinct) => {
                let (count, first) = (succinct.bins(), succinct.name(0));
                (count, BinStyle::Succinct, BTreeSet::from([first]))
            }
            Roles::Listed(listed) => {
                let names = listed.iter().map(|role| role.name.clone()).collect();
                (listed.len() as u64, BinStyle::Classic, names)
            }
        };
        let this = Self::new(count, style).ok()?;
        let ours = match style {
            // One line names them all, by its prefix.
            BinStyle::Succinct => BTreeSet::from([this.role(0)]),
            BinStyle::Classic => (0..this.count()).map(|bin| this.role(bin)).collect(),
        };
        (names == ours).then_some(this)
    }

    /// How many there are.
    pub fn count(self) -> u32 {
        1 << self.bit_length
    }

    /// Whether each of these roles is one of `later` as well, so that clients who know these find them.
    pub fn go_on_in(self, later: Self) -> bool {
        self.digits() == later.digits() && self.bit_length <= later.bit_length
    }

    /// How many hexadecimal digits a role's name has (TAP 15).
    fn digits(self) -> usize {
        usize::from(self.bit_length).div_ceil(4)
    }

    /// How `bins` writes them down.
    pub fn style(self) -> BinStyle {
        self.style
    }

    /// The bin that `path` falls into.
    pub fn bin_of(self, path: &TargetPath) -> u32 {
        self.bin_of_str(path.as_str())
    }

    /// The same of a path that was checked.
    pub(crate) fn bin_of_str(self, path: &str) -> u32 {
        bin_of(path, self.bit_length)
    }

    /// The role that signs a bin.
    pub fn role(self, bin: u32) -> RoleName {
        self.succinct(&[]).name(bin)
    }

    /// Whether a role is named like a bin, of however many.
    pub(crate) fn is_name(role: &RoleName) -> bool {
        let number =
            role.as_str().strip_prefix(NAME_PREFIX).and_then(|rest| rest.strip_prefix('-'));
        number.is_some_and(|number| {
            (1..=5).contains(&number.len())
                && number
                    .bytes()
                    .all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit))
        })
    }

    /// The number of the bin that `role` signs; `None` for other roles.
    pub fn number(self, role: &RoleName) -> Option<u32> {
        let number = role.as_str().strip_prefix(NAME_PREFIX)?.strip_prefix('-')?;
        let bin = u32::from_str_radix(number, 16).ok()?;
        (bin < self.count() && self.role(bin) == *role).then_some(bin)
    }

    /// Refuses a bin that clients would not read, before it is signed: one that was of `before` bytes
    /// and is to have `after`. One that is that long already may be signed again, and become shorter.
    pub(crate) fn check_length(self, bin: u32, before: u64, after: u64) -> Result<(), Error> {
        if after > Limits::TARGETS && after > before {
            let (bin, bins) = (self.role(bin), self.good_count(after));
            return Err(Error::BinTooLong { bin, length: after, limit: Limits::TARGETS, bins });
        }
        if before <= USUAL && USUAL < after {
            let bin = self.role(bin);
            warn!(
                %bin,
                bytes = after,
                limit = Limits::TARGETS,
                "a bin is longer than python-tuf reads by default; an index of more bins has shorter ones"
            );
        }
        Ok(())
    }

    /// Of how many bins an index should be where one of these would have `length` bytes.
    pub(crate) fn good_count(self, length: u64) -> u64 {
        let times = length.div_ceil(GOOD).next_power_of_two();
        (u64::from(self.count()) * times).min(1 << MOST_BITS)
    }

    /// The delegations of `bins`: every bin signed by any one of `online`.
    pub(crate) fn delegations(self, online: &[&PublicKey]) -> Delegations {
        let keys: Keys = online.iter().map(|key| (key.default_keyid(), (*key).clone())).collect();
        let roles = match self.style {
            BinStyle::Succinct => Roles::Succinct(self.succinct(online)),
            BinStyle::Classic => {
                Roles::Listed((0..self.count()).map(|bin| self.listed(bin, online)).collect())
            }
        };
        Delegations { keys, roles }
    }

    fn succinct(self, online: &[&PublicKey]) -> SuccinctRoles {
        SuccinctRoles {
            keys: one_of(online),
            bit_length: self.bit_length,
            name_prefix: NAME_PREFIX.to_owned(),
        }
    }

    fn listed(self, bin: u32, online: &[&PublicKey]) -> DelegatedRole {
        let digits = self.digits();
        let prefixes_a_bin = (1 << (4 * digits)) / self.count();
        let first = bin * prefixes_a_bin;
        let prefixes = (first..first + prefixes_a_bin).map(|p| format!("{p:0digits$x}")).collect();
        DelegatedRole {
            name: self.role(bin),
            keys: one_of(online),
            terminating: true,
            paths: Paths::HashPrefixes(prefixes),
        }
    }
}

fn one_of(keys: &[&PublicKey]) -> RoleKeys {
    RoleKeys { keyids: keys.iter().map(|key| key.default_keyid()).collect(), threshold: 1 }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use super::*;

    #[test]
    fn both_styles_put_a_path_into_the_same_bin() {
        let online = PublicKey::ed25519([7; 32]);
        for count in [2, 8, 16, 32, 256, 1024] {
            let styles = [BinStyle::Succinct, BinStyle::Classic];
            let both = styles.map(|style| Bins::new(count, style).unwrap());
            let [succinct, _] = both;
            let delegations = both.map(|bins| bins.delegations(&[&online]));
            for i in 0..200 {
                let path = TargetPath::new(format!("packages/p{i}/p-{i}.whl")).unwrap();
                let role = succinct.role(succinct.bin_of(&path));
                for (style, delegations) in styles.iter().zip(&delegations) {
                    let found = delegations.roles_for(&path);
                    assert_eq!(found, [(role.clone(), true)], "{count} {style:?}");
                }
            }
        }
    }

    #[test]
    fn names_have_the_width_of_the_highest_bin() {
        let bins = |count| Bins::new(count, BinStyle::Succinct).unwrap();
        assert_eq!(bins(256).role(10).as_str(), "bin-0a");
        assert_eq!(bins(16_384).role(0x0a3f).as_str(), "bin-0a3f");
        assert_eq!(bins(2).role(1).as_str(), "bin-1");
    }

    #[test]
    fn only_powers_of_two_are_possible() {
        for count in [0, 1, 3, 100, 255, (1 << 18) + 1, 1 << 19, 1 << 24, u64::MAX] {
            assert_eq!(Bins::new(count, BinStyle::Succinct), Err(InvalidBinCount(count)));
        }
        assert_eq!(Bins::new(1 << 18, BinStyle::Succinct).unwrap().count(), 1 << 18);
    }

    #[test]
    fn a_bin_that_is_too_long_may_only_become_shorter() {
        let bins = Bins::new(256, BinStyle::Succinct).unwrap();
        let most = Limits::default().targets;
        bins.check_length(3, 0, most).unwrap();
        let error = bins.check_length(10, most, most + 1).unwrap_err().to_string();
        for said in ["bin-0a", "16777217", "16777216", "8192 bins"] {
            assert!(error.contains(said), "{error}");
        }
        // It was made by a program that had no limit: it is not to expire for it.
        bins.check_length(3, most + 9, most + 9).unwrap();
        bins.check_length(3, most + 9, most + 8).unwrap();
        let error = bins.check_length(0, 0, 1 << 40).unwrap_err().to_string();
        assert!(error.contains("262144 bins"), "{error}");
    }
}
