//! The keys that a snapshot process can sign with.

use waxseal_tuf::metadata::Targets;
use waxseal_tuf::{KeyId, Signer};

use crate::bins::Bins;
use crate::error::Error;

/// The online keys that are at hand. One is used: that which the role `bins` trusts. While an online key is
/// replaced by another both are needed.
#[derive(Debug)]
pub struct OnlineKeys(Vec<Box<dyn Signer>>);

impl OnlineKeys {
    /// These keys, of which the first one that is trusted is used.
    pub fn new(keys: Vec<Box<dyn Signer>>) -> Self {
        Self(keys)
    }

    /// The one of these keys that is at hand; [`Error::WrongOnlineKey`] when none is.
    pub(crate) fn one_of(&self, keyids: &[KeyId]) -> Result<&dyn Signer, Error> {
        let trusted = |key: &&dyn Signer| keyids.contains(&key.public_key().default_keyid());
        let key = self.0.iter().map(|key| &**key).find(trusted);
        key.ok_or_else(|| Error::WrongOnlineKey {
            here: list(self.0.iter().map(|key| key.public_key().default_keyid())),
            trusted: list(keyids.iter().cloned()),
        })
    }
}

impl<S: Signer + 'static> From<Box<S>> for OnlineKeys {
    fn from(key: Box<S>) -> Self {
        Self(vec![key])
    }
}

impl From<Box<dyn Signer>> for OnlineKeys {
    fn from(key: Box<dyn Signer>) -> Self {
        Self(vec![key])
    }
}

/// The keyids that `bins` trusts for every bin.
pub(crate) fn online_keyids(bins: &Targets) -> &[KeyId] {
    let delegations = bins.delegations.as_ref();
    let role = Bins::of(bins).map(|bins| bins.role(0));
    let keys = delegations.zip(role).and_then(|(delegations, role)| delegations.role_keys(&role));
    keys.map_or(&[], |keys| &keys.keyids)
}

fn list(keyids: impl Iterator<Item = KeyId>) -> String {
    let keyids: Vec<_> = keyids.map(|keyid| keyid.to_string()).collect();
    match keyids.is_empty() {
        true => "none".to_owned(),
        false => keyids.join(", "),
    }
}
