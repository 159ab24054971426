//! An index out of what a ceremony made.

use std::collections::BTreeMap;

use anyhow::Context as _;
use waxseal_repository::{HashAlgorithms, ceremony};
use waxseal_signing::{KeyError, KeyUri, Passphrases};
use waxseal_tuf::PublicKey;

use super::bundle::{Bundle, Kind};
use super::current::claims;
use super::hold::Asking;
use super::plan_file::PlanFile;
use crate::config::Config;
use crate::data_folder::{self, NewIndex, write_private};
use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;

/// The name of the online key in a bundle.
pub(crate) const ONLINE_KEY: &str = "keys/online.pem";

/// A first ceremony, complete and verified.
pub(crate) struct Founding {
    ceremony: ceremony::Ceremony,
    online: PublicKey,
    online_file: Option<Vec<u8>>,
    valid_hours: u32,
    hash_algorithms: HashAlgorithms,
}

impl Founding {
    /// Takes a bundle, with `roots` in place of the root in it, where that came with more signatures.
    pub(crate) fn of(bundle: &Bundle, roots: &[Vec<u8>]) -> anyhow::Result<Self> {
        if bundle.kind == Kind::Everything {
            return Err(Failure::new(
                Exit::Usage,
                "this bundle is for the safe: it has keys that a server must not see",
                "give the server the other one, server-bundle.tar, and put this one back",
            )
            .into());
        }
        let ceremony = with_roots(bundle.ceremony(0), roots)?;
        if ceremony.roots.len() > 1 {
            return Err(Failure::new(
                Exit::Usage,
                "this bundle is of a later ceremony: an index begins with its first",
                "`waxseal repo publish-root --bundle FILE` publishes it where the index is",
            )
            .into());
        }
        let roles = ceremony::check_first(&ceremony).map_err(|error| {
            Failure::new(
                Exit::Failed,
                format!("no index can begin with this bundle: {error}"),
                "where signatures of root are missing, name the root that has them all with --root",
            )
        })?;
        let online = roles.online_keys().first().and_then(|keyid| roles.root().keys.get(keyid));
        let online = online.cloned().context("the root in the bundle has no online key")?;
        let plan = bundle.get("plan.toml").map(PlanFile::from_bytes).transpose()?;
        Ok(Self {
            online,
            online_file: bundle.get(ONLINE_KEY).map(<[u8]>::to_vec),
            valid_hours: plan.as_ref().map_or(24, |plan| plan.online.valid_hours),
            hash_algorithms: plan.map(|plan| plan.online.hash_algorithms).unwrap_or_default(),
            ceremony,
        })
    }

    /// A configuration for it, with the online key of the bundle.
    pub(crate) fn config(&self) -> Config {
        Config {
            online_lifetime_hours: self.valid_hours,
            hash_algorithms: self.hash_algorithms,
            ..Config::default()
        }
    }

    /// Whether the online key is in the bundle.
    pub(crate) fn has_online_key(&self) -> bool {
        self.online_file.is_some()
    }

    /// Opens the online key, and refuses one that bins does not delegate to. `uri`: where it is; of the
    /// one in the bundle only its attributes count.
    pub(crate) fn check_online_key(&self, uri: &KeyUri, in_bundle: bool) -> anyhow::Result<()> {
        let unpacked = tempfile::tempdir()?;
        let uri = match (&self.online_file, in_bundle) {
            (Some(bytes), true) => {
                let path = unpacked.path().join("online.pem");
                write_private(&path, bytes)?;
                uri.with_path(&path)
            }
            _ => uri.clone(),
        };
        let place = "the online key in the bundle";
        let asking = Asking { inner: &Terminal, place };
        let passphrases: &dyn Passphrases = if in_bundle { &asking } else { &Terminal };
        let signer = waxseal_signing::open(&uri, passphrases).map_err(|error| match error {
            KeyError::NoPassphrase { .. } if in_bundle => anyhow::Error::from(Failure::new(
                Exit::Usage,
                format!("{place} is encrypted, and there is no terminal to ask for its passphrase"),
                "say with --passphrase-source where it is: `file:PATH` or `env:NAME`",
            )),
            KeyError::WrongPassphrase { from, .. } if in_bundle => Failure::new(
                Exit::Failed,
                format!("the passphrase {from} does not open {place}"),
                "it was chosen for the online key at the ceremony; nothing was made here",
            )
            .into(),
            error => error.into(),
        })?;
        anyhow::ensure!(
            signer.public_key() == &self.online,
            "the online key {} is not the one of the ceremony, {}",
            signer.public_key().default_keyid(),
            self.online.default_keyid()
        );
        Ok(())
    }

    /// The index to make of it.
    pub(crate) fn new_index<'a>(&'a self, config: &'a Config) -> NewIndex<'a> {
        let founding = data_folder::Founding::Held {
            ceremony: &self.ceremony,
            online_key: self.online_file.as_deref(),
        };
        NewIndex { founding, config, upload_token: false }
    }
}

/// What a ceremony made, with other files of some of its roots, or of newer ones.
pub(crate) fn with_roots(
    made: ceremony::Ceremony,
    roots: &[Vec<u8>],
) -> anyhow::Result<ceremony::Ceremony> {
    let mut versions = BTreeMap::new();
    for bytes in made.roots.into_iter().chain(roots.iter().cloned()) {
        versions.insert(claims(&bytes)?.version, bytes);
    }
    Ok(ceremony::Ceremony { roots: versions.into_values().collect(), ..made })
}
