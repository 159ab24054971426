//! Trusting a root that does not follow from the trusted one, where a threshold of root keys is gone.
//!
//! Nothing proves such a root: whoever can make a person do this decides what that person installs. So it
//! is found by the fingerprint that the person was told over another way, and refused where it follows from
//! what is trusted: then there is nothing that an update does not do by itself.

use jiff::Timestamp;
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::trusted::RootPhase;
use waxseal_tuf::{Limits, RoleName};

use crate::client::{fetch_root_version, missing};
use crate::{Error, Fingerprint, Settings, TrustStore};

/// A root that may take the place of the trusted one, once a person has said so.
#[derive(Debug)]
pub struct Replacement {
    store: TrustStore,
    /// The root that is trusted.
    trusted: RootPhase,
    /// The one to trust instead.
    root: Vec<u8>,
    version: u64,
}

/// The root with this fingerprint, out of those that the index hands out: its first one, and those after
/// the trusted one.
pub async fn find_new_root(
    store: &TrustStore,
    expected: Fingerprint,
    settings: &Settings,
) -> Result<Vec<u8>, Error> {
    let url = &store.index().url;
    let next = trusted_root(store)?.1.root().version + 1;
    let mut got = None;
    for version in [1].into_iter().chain(next..).take(rotations(settings)) {
        let Some(root) = fetch_root_version(url, version, settings).await? else {
            if version == 1 {
                continue;
            }
            break;
        };
        let fingerprint = Fingerprint::of(&root);
        if fingerprint == expected {
            return Ok(root);
        }
        got = Some(fingerprint);
    }
    let got = got.ok_or_else(|| missing("1.root.json", RoleName::ROOT))?;
    Err(Error::Fingerprint { url: url.to_string(), expected, got })
}

impl Replacement {
    /// Checks that the root is one, signed by its own keys (TUF 5.2), and does not follow from the trusted
    /// one ([`Error::Follows`]). The roots between the two are asked of the index.
    pub async fn check(
        store: TrustStore,
        root: Vec<u8>,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let new = RootPhase::new(&root, &settings.limits)?;
        let version = new.root().version;
        let (bytes, trusted) = trusted_root(&store)?;
        let follows = match version.cmp(&trusted.root().version) {
            std::cmp::Ordering::Equal => bytes == root,
            // Where the trusted one came from.
            std::cmp::Ordering::Less => leads_to(new, &bytes, &store, settings).await?,
            std::cmp::Ordering::Greater => {
                leads_to(trusted.clone(), &root, &store, settings).await?
            }
        };
        match follows || store.index().fingerprint == Fingerprint::of(&root) {
            true => Err(Error::Follows { url: store.index().url.to_string(), version }),
            false => Ok(Self { store, trusted, root, version }),
        }
    }

    /// Of the root that is trusted.
    pub fn trusted(&self) -> (u64, Fingerprint) {
        (self.trusted.root().version, Fingerprint::of(self.trusted.root().bytes()))
    }

    /// Of the root that would be trusted.
    pub fn new_root(&self) -> (u64, Fingerprint) {
        (self.version, Fingerprint::of(&self.root))
    }

    /// Trusts the new root instead, at once. What the old one verified is forgotten: its versions say
    /// nothing of what the new one signs. The record of it stays; `now` is in it.
    ///
    /// [`Error::Busy`] when the trust was changed since it was looked at.
    pub fn perform(self, now: Timestamp) -> Result<(), Error> {
        let seen = Sha256::of(self.trusted.root().bytes());
        let (trusted, _) = self.trusted();
        self.store.replace_root(&self.root, (trusted, seen), now)
    }
}

/// Whether the index has roots that lead from one to the bytes of another, each signed by the keys of the
/// one before it (TUF 5.3).
async fn leads_to(
    mut from: RootPhase,
    to: &[u8],
    store: &TrustStore,
    settings: &Settings,
) -> Result<bool, Error> {
    let last = RootPhase::new(to, &settings.limits)?.root().version;
    for _ in 0..rotations(settings) {
        let next = from.root().version + 1;
        if next == last {
            return Ok(from.update(to).is_ok());
        }
        let Some(root) = fetch_root_version(&store.index().url, next, settings).await? else {
            return Ok(false);
        };
        if from.update(&root).is_err() {
            return Ok(false);
        }
    }
    Ok(false)
}

/// The root that a person trusts, as it lies on the disk.
fn trusted_root(store: &TrustStore) -> Result<(Vec<u8>, RootPhase), Error> {
    let role = RoleName::from_static(RoleName::ROOT);
    let url = &store.index().url;
    let bytes = store.metadata().read(&role)?;
    let bytes = bytes.ok_or_else(|| Error::NotTrusted { url: url.to_string() })?;
    let root = RootPhase::new(&bytes, &Limits::default())?;
    Ok((bytes, root))
}

fn rotations(settings: &Settings) -> usize {
    usize::try_from(settings.limits.root_rotations).unwrap_or(usize::MAX)
}
