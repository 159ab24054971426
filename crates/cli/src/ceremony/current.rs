//! What is published, as it came to the machine of the ceremony.

use std::path::Path;

use anyhow::Context as _;
use waxseal_repository::ceremony::OfflineRoles;
use waxseal_tuf::metadata::{Root, Unverified};
use waxseal_tuf::trusted::RootPhase;
use waxseal_tuf::{KeyId, Limits, PublicKey};

use super::bundle::{Bundle, read_bounded};
use crate::failure::{Exit, Failure};

/// The offline roles that are published, and where they came from.
#[derive(Debug, Clone)]
pub(crate) struct Current {
    pub(crate) bundle: Bundle,
    pub(crate) offline: OfflineRoles,
    /// The first root in the bundle, whose fingerprint people compare.
    pub(crate) first_root: Vec<u8>,
}

impl Current {
    /// Reads a bundle or a folder, and verifies it: from the root in the file `pinned` on, or from the
    /// oldest one in it, whose fingerprint is then to be compared.
    pub(crate) fn read(path: &Path, pinned: Option<&Path>) -> anyhow::Result<Self> {
        let bundle = Bundle::read(path)?;
        let wrong = |problem: String| {
            Failure::new(
                Exit::Usage,
                format!("{} cannot be gone on from: {problem}", path.display()),
                "export it from the server once more with `waxseal ceremony export`",
            )
        };
        let roots = bundle.roots();
        let delegations = bundle.delegations();
        let delegations = delegations.ok_or_else(|| wrong("targets or bins are missing".into()))?;
        let first_root = match pinned {
            Some(pinned) => read_bounded(pinned)
                .with_context(|| format!("cannot read the root {}", pinned.display()))?,
            None => match roots.values().next() {
                Some(first) => first.to_vec(),
                None => return Err(wrong("no root is in it".into()).into()),
            },
        };
        let mut root = RootPhase::new(&first_root, &Limits::default())?;
        let newer = roots.range(root.root().version + 1..);
        for (_, bytes) in newer {
            root.update(bytes).context("the roots do not follow each other")?;
        }
        let offline = OfflineRoles::verify(root, &delegations.targets, &delegations.bins)
            .context("root, targets and bins do not belong together")?;
        Ok(Self { bundle, offline, first_root })
    }

    /// The keyid and the key of the holder with this name in the published root.
    pub(crate) fn holder(&self, name: &str) -> anyhow::Result<(KeyId, PublicKey)> {
        let root = self.offline.root();
        let holders = holders(root);
        let keyid = holders.iter().find(|(known, _)| known == name).map(|(_, keyid)| keyid);
        let key = keyid.and_then(|keyid| Some((keyid.clone(), root.keys.get(keyid)?.clone())));
        key.with_context(|| {
            let names: Vec<_> = holders.iter().map(|(name, _)| name.as_str()).collect();
            format!(
                "the published root has no holder named {name:?}: it has {}; the plan says `present` for \
                 that name",
                names.join(", ")
            )
        })
    }

    /// The online key of the published root.
    pub(crate) fn online(&self) -> anyhow::Result<PublicKey> {
        let root = self.offline.root();
        let key = self.offline.online_keys().first().and_then(|keyid| root.keys.get(keyid));
        key.cloned().context("the published root has no online key")
    }
}

/// The holders of a root's keys, by the names that it has for them, or else by their keyids.
pub(crate) fn holders(root: &Root) -> Vec<(String, KeyId)> {
    let named = |keyid: &KeyId| {
        let short: String = keyid.as_str().chars().take(8).collect();
        let name = root.holders.get(keyid).cloned();
        (name.unwrap_or_else(|| format!("holder of {short}")), keyid.clone())
    };
    root.roles.root.keyids.iter().map(named).collect()
}

/// What a root file claims, verified by nothing but its own keys.
pub(crate) fn claims(root: &[u8]) -> anyhow::Result<Root> {
    let root = Unverified::<Root>::parse(root);
    Ok(root
        .map_err(|problem| anyhow::anyhow!("it is not root metadata: {problem}"))?
        .claims()
        .clone())
}
