//! A ceremony on throwaway keys, of which nothing is kept.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use anyhow::Context as _;
use jiff::Timestamp;
use waxseal_repository::ceremony::{
    self, Ceremony, Holder, OfflineRoles, OneTimeKeys, Plan, Signers,
};
use waxseal_signing::{KeyUri, Passphrases, PrivateKey, Question, Scheme, Secret};
use waxseal_tuf::{PublicKey, SignError, Signer};

use super::bundle::{Bundle, Kind};
use super::conversation::{Answer, Conversation};
use super::current::{Current, holders as holders_of};
use super::hold::{Keys, KnownKey};

/// Keys in place of real ones.
pub(crate) struct ThrowawayKeys<'a> {
    /// Of the holders of the published root, by their names.
    present: BTreeMap<String, Shared>,
    passphrases: &'a dyn Passphrases,
}

impl<'a> ThrowawayKeys<'a> {
    pub(crate) fn new(twin: Option<&Twin>, passphrases: &'a dyn Passphrases) -> Self {
        let present = twin.map(|twin| twin.holders.clone()).unwrap_or_default();
        Self { present, passphrases }
    }

    fn make(scheme: Scheme) -> anyhow::Result<Box<dyn Signer>> {
        Ok(Box::new(PrivateKey::generate(scheme)?))
    }
}

impl Keys for ThrowawayKeys<'_> {
    fn open(&self, _: &KeyUri, scheme: Scheme) -> anyhow::Result<Box<dyn Signer>> {
        Self::make(scheme)
    }

    fn public(&self, _: &Path) -> anyhow::Result<KnownKey> {
        let key = Self::make(Scheme::Ed25519)?;
        Ok((key.public_key().clone(), Some(key)))
    }

    fn present(&self, name: &str, _: &mut Conversation) -> anyhow::Result<Answer<KnownKey>> {
        let key = self.present.get(name).with_context(|| {
            let names: Vec<_> = self.present.keys().map(String::as_str).collect();
            let names = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
            format!(
                "the plan says `present` for {name:?}, and the published root has {names}: name what is \
                 published with --from, and holders as they are named there"
            )
        })?;
        Ok(Answer::Given((key.0.public_key().clone(), Some(Box::new(key.clone())))))
    }

    fn leaving(&self) -> Vec<&dyn Signer> {
        self.present.values().map(|key| key as &dyn Signer).collect()
    }

    fn passphrases(&self) -> &dyn Passphrases {
        self.passphrases
    }
}

/// A key that is used in several places.
#[derive(Debug, Clone)]
struct Shared(std::sync::Arc<PrivateKey>);

impl Signer for Shared {
    fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.0.sign(message)
    }
}

/// An index in the shape of the published one, made of throwaway keys: its next ceremony can be practised
/// without anybody's key.
pub(crate) struct Twin {
    pub(crate) current: Current,
    holders: BTreeMap<String, Shared>,
}

impl Twin {
    pub(crate) fn of(published: &Current) -> anyhow::Result<Self> {
        let root = published.offline.root();
        let mut holders = BTreeMap::new();
        let mut people = Vec::new();
        for (name, _) in holders_of(root) {
            let key = Shared(PrivateKey::generate(Scheme::Ed25519)?.into());
            people.push(Holder { name: name.clone(), key: key.public_key().clone() });
            holders.insert(name, key);
        }
        let key = || PrivateKey::generate(Scheme::Ed25519);
        let (targets, bins, online) = ([key()?, key()?], [key()?, key()?], key()?);
        let plan = Plan {
            holders: people,
            root_threshold: root.roles.root.threshold.max(2),
            online: online.public_key().clone(),
            bins: published.offline.bins(),
            lifetimes: ceremony::OfflineLifetimes::default(),
        };
        let signers: Vec<_> = holders.values().map(|key| key as &dyn Signer).collect();
        let one_time =
            OneTimeKeys { targets: &[&targets[0], &targets[1]], bins: &[&bins[0], &bins[1]] };
        let signers = Signers { root: &signers, one_time: Some(one_time) };
        let made = ceremony::perform(&plan, None, signers, Timestamp::now())?;
        Ok(Self { current: current_of(&made)?, holders })
    }
}

fn current_of(made: &Ceremony) -> anyhow::Result<Current> {
    let new = made.delegations.as_ref().context("the twin has no targets and bins")?;
    let root = made.roots.first().context("the twin has no root")?;
    let offline = OfflineRoles::verify_files(root, &new.targets, &new.bins)?;
    let mut bundle = Bundle::new(Kind::Public, "rehearsal", Timestamp::now());
    for file in super::papers::files(made)? {
        bundle.add_metadata(file.version, &file.role, &file.bytes);
    }
    Ok(Current { bundle, offline, first_root: root.clone() })
}

/// Answers every question for a passphrase with one that was made up.
#[derive(Debug)]
pub(crate) struct MadeUp(Secret);

impl MadeUp {
    pub(crate) fn new() -> anyhow::Result<Self> {
        // What nobody knows: the keyid of a key that was never used.
        let key = PrivateKey::generate(Scheme::Ed25519)?;
        Ok(Self(Secret::new(key.public_key().default_keyid().to_string())))
    }
}

impl Passphrases for MadeUp {
    fn ask(&self, _: &Question<'_>) -> io::Result<Option<Secret>> {
        Ok(Some(self.0.clone()))
    }
}
