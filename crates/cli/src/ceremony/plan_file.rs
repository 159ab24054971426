//! `plan.toml`: what the offline roles of an index are to be, as people write it down before a ceremony.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context as _;
use jiff::SignedDuration;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use waxseal_repository::HashAlgorithms;
use waxseal_repository::bins::{BinStyle, Bins};
use waxseal_repository::ceremony::{OfflineLifetimes, OfflineRoles};
use waxseal_signing::{KeyUri, Scheme};

use super::current::holders;
use crate::plan_text;

/// The most bytes of a plan.
const MAX_LENGTH: u64 = 1 << 20;

/// A plan as it is written. `docs/key-ceremony.md` explains it, and so do the comments of a new one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct PlanFile {
    /// The index, as people know it.
    pub(crate) name: String,
    pub(crate) root: RootPlan,
    pub(crate) targets_and_bins: DelegationsPlan,
    pub(crate) online: OnlinePlan,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RootPlan {
    /// How many of the holders must sign root.
    pub(crate) threshold: u64,
    pub(crate) valid_days: u32,
    #[serde(rename = "holder")]
    pub(crate) holders: Vec<HolderPlan>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct HolderPlan {
    pub(crate) name: String,
    pub(crate) key: KeyPlan,
    /// How a new key signs.
    #[serde(default)]
    pub(crate) scheme: SchemeName,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct DelegationsPlan {
    /// Whether they are made anew. At the first ceremony they are.
    #[serde(default = "yes")]
    pub(crate) renew: bool,
    pub(crate) bins: u64,
    #[serde(default)]
    pub(crate) style: StyleName,
    pub(crate) targets_valid_days: u32,
    pub(crate) bins_valid_days: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct OnlinePlan {
    pub(crate) key: KeyPlan,
    #[serde(default)]
    pub(crate) scheme: SchemeName,
    /// How long what it signs is valid: timestamp, snapshot and every bin.
    #[serde(default = "a_day")]
    pub(crate) valid_hours: u32,
    /// The algorithms whose digests a new index lists for every file.
    #[serde(default)]
    pub(crate) hash_algorithms: HashAlgorithms,
}

/// Where a key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyPlan {
    /// It is made at the ceremony, in a file that a passphrase keeps.
    New,
    /// It is the one that the published root has.
    Present,
    /// It is there: in a file, or on a token.
    There(KeyUri),
    /// Its public half is in this file; the private one is elsewhere, and signs later.
    Public(PathBuf),
}

/// [`Scheme`] by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SchemeName(pub(crate) Scheme);

/// [`BinStyle`] by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StyleName(pub(crate) BinStyle);

impl Default for StyleName {
    fn default() -> Self {
        Self(BinStyle::Succinct)
    }
}

fn yes() -> bool {
    true
}

fn a_day() -> u32 {
    24
}

impl PlanFile {
    /// Reads a plan and checks what can be known without keys.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = plan_text::read(path, MAX_LENGTH, "waxseal ceremony plan --output plan.toml")?;
        let mut plan = Self::parse(&text)
            .with_context(|| format!("the plan {} cannot be carried out", path.display()))?;
        plan.resolve(path.parent().unwrap_or(Path::new("")));
        Ok(plan)
    }

    /// The plan in a bundle.
    pub(crate) fn from_bytes(bytes: &[u8]) -> anyhow::Result<Self> {
        let text = str::from_utf8(bytes).context("the plan in the bundle is not text")?;
        Self::parse(text).context("the plan in the bundle cannot be used")
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let plan: Self = toml::from_str(text)?;
        plan.check()?;
        Ok(plan)
    }

    fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            !self.name.trim().is_empty(),
            "`name` is empty: say which index this is for"
        );
        anyhow::ensure!(
            self.name.len() <= 200 && !self.name.contains(char::is_control),
            "`name` is too long or has no plain text: it is printed, on one line or two"
        );
        let mut names = BTreeSet::new();
        for HolderPlan { name, .. } in &self.root.holders {
            anyhow::ensure!(
                !name.trim().is_empty() && name.len() <= 100 && !name.contains(char::is_control),
                "{name:?} is no name of a key holder: it is printed, and goes into root"
            );
            anyhow::ensure!(
                names.insert(slug(name)),
                "two key holders are named {name:?}, or nearly so: people must be able to tell them apart"
            );
        }
        let (threshold, holders) = (self.root.threshold, self.root.holders.len() as u64);
        anyhow::ensure!(
            (2..=holders).contains(&threshold),
            "root cannot have a threshold of {threshold} with {holders} key holders: choose at least 2, so \
             that no one alone can replace every key, and less than all, so that a lost key is no disaster"
        );
        self.bins()?;
        let (root, days) = (self.root.valid_days, &self.targets_and_bins);
        for (what, days) in [
            ("root.valid-days", root),
            ("targets-and-bins.targets-valid-days", days.targets_valid_days),
            ("targets-and-bins.bins-valid-days", days.bins_valid_days),
        ] {
            anyhow::ensure!(
                (1..=3650).contains(&days),
                "{what} is {days}: choose from 1 to 3650; PEP 458 recommends 365"
            );
        }
        let hours = self.online.valid_hours;
        anyhow::ensure!(
            (1..=365 * 24).contains(&hours),
            "online.valid-hours is {hours}: choose from 1 to 8760; PEP 458 recommends 24"
        );
        Ok(())
    }

    /// Relative paths are relative to the plan's folder.
    fn resolve(&mut self, folder: &Path) {
        let keys = self.root.holders.iter_mut().map(|holder| &mut holder.key);
        for key in keys.chain([&mut self.online.key]) {
            match key {
                KeyPlan::Public(path) => *path = folder.join(&*path),
                KeyPlan::There(uri) => *uri = uri.clone().relative_to(folder),
                KeyPlan::New | KeyPlan::Present => {}
            }
        }
    }

    pub(crate) fn bins(&self) -> anyhow::Result<Bins> {
        let DelegationsPlan { bins, style, .. } = &self.targets_and_bins;
        Ok(Bins::new(*bins, style.0)?)
    }

    pub(crate) fn lifetimes(&self) -> OfflineLifetimes {
        let days = |days: u32| SignedDuration::from_hours(i64::from(days) * 24);
        OfflineLifetimes {
            root: days(self.root.valid_days),
            targets: days(self.targets_and_bins.targets_valid_days),
            bins: days(self.targets_and_bins.bins_valid_days),
        }
    }
}

impl FromStr for KeyPlan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "new" => return Ok(Self::New),
            "present" => return Ok(Self::Present),
            _ => {}
        }
        if let Some(path) = text.strip_prefix("public:").filter(|path| !path.is_empty()) {
            return Ok(Self::Public(path.into()));
        }
        text.parse().map(Self::There).map_err(|error| {
            format!(
                "{error}; or `new`, `present` (as in the published root), or `public:FILE` (whoever holds \
                 the key signs later)"
            )
        })
    }
}

impl fmt::Display for KeyPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => f.write_str("new, in a file with a passphrase"),
            Self::Present => f.write_str("as in the published root"),
            Self::There(uri) => write!(f, "{uri}"),
            Self::Public(path) => write!(f, "elsewhere; public half in {}", path.display()),
        }
    }
}

impl<'de> Deserialize<'de> for KeyPlan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for SchemeName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let scheme = String::deserialize(deserializer)?.parse();
        scheme.map(Self).map_err(|error: waxseal_signing::KeyError| D::Error::custom(error))
    }
}

impl<'de> Deserialize<'de> for StyleName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "succinct" => Ok(Self(BinStyle::Succinct)),
            "classic" => Ok(Self(BinStyle::Classic)),
            other => Err(D::Error::custom(format!("{other:?} is not `succinct` or `classic`"))),
        }
    }
}

/// A name as a part of file names.
pub(crate) fn slug(name: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let text: String = name.trim().chars().map(plain).collect();
    let words: Vec<_> = text.split('-').filter(|word| !word.is_empty()).collect();
    match words.is_empty() {
        true => "holder".to_owned(),
        false => words.join("-"),
    }
}

/// A new plan to fill in: for a first ceremony, or as things are now.
pub(crate) fn template(now: Option<&OfflineRoles>) -> String {
    let first = [("Ada", "new"), ("Grace", "new"), ("Barbara", "new")];
    let people: Vec<(String, String)> = match now {
        None => first.map(|(name, key)| (name.to_owned(), key.to_owned())).into(),
        Some(now) => {
            let present = |(name, _)| (name, "present".to_owned());
            holders(now.root()).into_iter().map(present).collect()
        }
    };
    let blocks: Vec<_> = people
        .iter()
        .map(|(name, key)| {
            format!("[[root.holder]]\nname = {}\nkey = {key:?}\n", toml::Value::from(name.as_str()))
        })
        .collect();
    let threshold = now.map_or(2, |now| now.root().roles.root.threshold);
    let bins = now.map_or(256, |now| u64::from(now.bins().count()));
    let style = match now.map(|now| now.bins().style()) {
        Some(BinStyle::Classic) => "classic",
        _ => "succinct",
    };
    let online = if now.is_some() { "present" } else { "new" };
    format!(
        r#"# The plan of a key ceremony. It says what root, targets and bins are to be; the ceremony makes
# them so. Check it with `waxseal ceremony plan --check plan.toml`, practise with
# `waxseal ceremony rehearse plan.toml`, and then run `waxseal ceremony perform plan.toml`.
# Keep it: next year's ceremony begins with it.

# The index, as people know it. It is printed, and is in no metadata.
name = "packages.example.org"

[root]
# How many of the holders must sign root. At least 2, so that no one alone can replace every key; less than
# all, so that a lost key is no disaster.
threshold = {threshold}
# When the next ceremony must have been. A year is what PEP 458 recommends.
valid-days = 365

# The people who hold a root key, each with a key of their own. `key` is one of:
#   "new"             made at the ceremony, in a file that a passphrase of theirs keeps
#   "pkcs11:token=…"  on a token that is there (`waxseal key generate` makes it, `key list` shows its URI)
#   "file:PATH"       in a file that is there
#   "public:FILE"     elsewhere: FILE has the public half (`waxseal key generate --public FILE`), and whoever
#                     holds the key signs later with `waxseal sign`
#   "present"         the key that this holder has in the published root
# To replace a lost key write another one; to add or remove a holder add or remove these lines.
{holders}
[targets-and-bins]
# Their keys, two each, are made in memory, sign once and are gone (PEP 458). `renew = false` leaves both as
# they are, and changes root alone: for another holder, say, in the middle of the year.
renew = true
# A power of two: 256 suits a private index, 16384 one of PyPI's size.
bins = {bins}
# "succinct" (TAP 15), or "classic" for clients that do not know it.
style = "{style}"
targets-valid-days = 365
bins-valid-days = 365

[online]
# The key that the server signs with: "new", "present", "pkcs11:token=…" or "file:PATH" as above, or
# "public:FILE" where the server has it already.
key = "{online}"
# How a new one signs: "ed25519", or "ecdsa-sha2-nistp256", which costs less for large metadata.
scheme = "ed25519"
# How long what it signs is valid. The server renews it well before. PEP 458 recommends a day.
valid-hours = 24
# The digests that a new index lists of every file: ["sha256"], ["sha256", "sha512"] or ["sha512"]. Later
# `hash-algorithms` in waxseal.toml says it, without a ceremony.
hash-algorithms = ["sha256"]
"#,
        holders = blocks.join("\n")
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use super::*;

    #[test]
    fn a_new_plan_can_be_carried_out_as_it_is() {
        let plan = PlanFile::parse(&template(None)).unwrap();
        assert_eq!(plan.root.holders.len(), 3);
        assert_eq!(plan.online.key, KeyPlan::New);
        assert_eq!(plan.bins().unwrap().count(), 256);
        assert_eq!(plan.lifetimes(), OfflineLifetimes::default());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let good = template(None);
        for (old, new, problem) in [
            ("threshold = 2", "threshold = 1", "threshold of 1 with 3"),
            ("threshold = 2", "threshold = 4", "threshold of 4 with 3"),
            ("bins = 256", "bins = 300", "power of two"),
            ("\"Grace\"", "\"ADA\"", "two key holders"),
            ("\"Grace\"", "\"\"", "no name"),
            ("\"Grace\"", "\"a\\nb\"", "no name"),
            ("valid-days = 365", "valid-days = 0", "root.valid-days is 0"),
            ("valid-hours = 24", "valid-hours = 9000", "online.valid-hours is 9000"),
            ("key = \"new\"", "key = \"gpg:x\"", "not a known scheme"),
            ("key = \"new\"", "key = \"public:\"", "not a known scheme"),
            ("style = \"succinct\"", "style = \"big\"", "`succinct` or `classic`"),
            ("scheme = \"ed25519\"", "scheme = \"rsa\"", "one of: ed25519"),
            ("hash-algorithms = [\"sha256\"]", "hash-algorithms = []", "is empty"),
            (
                "hash-algorithms = [\"sha256\"]",
                "hash-algorithms = [\"sha1\"]",
                "\"sha1\", which is none",
            ),
            ("renew = true", "renew = true\nrenews = 1", "unknown field `renews`"),
            ("packages.example.org", " ", "`name` is empty"),
        ] {
            assert!(good.contains(old), "{old}");
            let error = PlanFile::parse(&good.replacen(old, new, 1)).unwrap_err();
            let text = format!("{error:#}");
            assert!(text.contains(problem), "{new}: {text}");
        }
    }

    #[test]
    fn paths_are_relative_to_the_plan() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.toml");
        let text = template(None)
            .replacen("key = \"new\"", "key = \"public:ada.pem\"", 1)
            .replacen("key = \"new\"", "key = \"file:grace.pem\"", 1);
        std::fs::write(&path, text).unwrap();
        let plan = PlanFile::read(&path).unwrap();
        assert_eq!(plan.root.holders[0].key, KeyPlan::Public(folder.path().join("ada.pem")));
        let KeyPlan::There(uri) = &plan.root.holders[1].key else { panic!() };
        assert_eq!(uri.path().unwrap(), folder.path().join("grace.pem"));
    }
}
