//! Goes through the roles of a snapshot, those that delegate first, and passes over what has not changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, PoisonError};

use waxseal_tuf::metadata::{Roles, Targets, Unverified};
use waxseal_tuf::verify::Verified;
use waxseal_tuf::{Limits, MetadataFile, RoleName, TargetPath, TrustedMetadata};

use crate::durable::{read_if_there, write_synced};
use crate::error::Error;
use crate::folder::{Folder, metadata_file, version_and_role};
use crate::parallel;
use crate::run::{Counters, add};
use crate::upstream::Upstream;
use crate::view::Shown;

/// What a walk goes through.
pub(crate) struct Walk<'a> {
    pub(crate) folder: &'a Folder,
    /// Where a role comes from that is not in the folder.
    pub(crate) upstream: &'a dyn Upstream,
    pub(crate) trusted: &'a TrustedMetadata,
    /// The roles that are passed over if they are the same in this one.
    pub(crate) old: Option<&'a Shown>,
    /// Whether root, which says who signs the first role, is another one than it was.
    pub(crate) other_root: bool,
    /// Metadata that runs before have staged.
    pub(crate) staged: &'a Staged,
    pub(crate) threads: usize,
    pub(crate) counters: &'a Counters,
}

/// A role that was verified, and who delegates to it.
pub(crate) type Delegator = Arc<(RoleName, Verified<Targets>)>;

/// A role that is not what it was.
#[derive(Debug, Clone)]
pub(crate) struct Changed {
    pub(crate) role: RoleName,
    pub(crate) version: u64,
    pub(crate) delegator: Option<Delegator>,
}

impl Changed {
    /// Whether a search for a target leads to this role.
    pub(crate) fn is_searched_for(&self, path: &TargetPath) -> bool {
        let Some(delegator) = &self.delegator else { return true };
        let Some(delegations) = &delegator.1.delegations else { return false };
        delegations.roles_for(path).iter().any(|(role, _)| *role == self.role)
    }
}

struct Item {
    changed: Changed,
    /// Whether who signs it may be others than before.
    other_keys: bool,
}

type Visit<'a> = &'a (dyn Fn(&Changed, &Verified<Targets>) -> Result<(), Error> + Sync);

impl Walk<'_> {
    /// Verifies each role that changed, stages it if it came from upstream, and hands it to `visit`, from
    /// many threads. Those that changed, delegators first.
    pub(crate) fn run(
        &self,
        progress: &(dyn Fn(u64, u64) + Sync),
        visit: Visit<'_>,
    ) -> Result<Vec<Changed>, Error> {
        let listed = &self.trusted.snapshot().roles;
        let (mut visited, mut all) = (BTreeSet::new(), Vec::new());
        let done = std::sync::atomic::AtomicU64::new(0);
        let mut level = self.items([RoleName::targets()].into_iter(), None, self.other_root);
        while !level.is_empty() {
            level.retain(|item| visited.insert(item.changed.role.clone()));
            // Where every role is known by now, none of these delegates.
            let may_delegate = visited.len() < listed.len();
            let (changed, delegators) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
            parallel::for_each(self.threads, &level, |item| {
                let so_far = done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
                progress(so_far, listed.len() as u64);
                let is_same = !item.other_keys && self.is_same(&item.changed);
                if is_same && !may_delegate {
                    return Ok(());
                }
                let verified = self.acquire(&item.changed)?;
                if !is_same {
                    visit(&item.changed, &verified)?;
                    locked(&changed).push(item.changed.clone());
                }
                if verified.delegations.is_some() {
                    let delegator = Arc::new((item.changed.role.clone(), verified));
                    locked(&delegators).push((delegator, !is_same));
                }
                Ok::<(), Error>(())
            })?;
            all.extend(changed.into_inner().unwrap_or_else(PoisonError::into_inner));
            let delegators = delegators.into_inner().unwrap_or_else(PoisonError::into_inner);
            level = Vec::new();
            for (delegator, is_other) in delegators {
                let names = self.delegated(&delegator.1);
                level.extend(self.items(names.into_iter(), Some(&delegator), is_other));
            }
        }
        Ok(all)
    }

    fn items(
        &self,
        roles: impl Iterator<Item = RoleName>,
        delegator: Option<&Delegator>,
        other_keys: bool,
    ) -> Vec<Item> {
        let listed = &self.trusted.snapshot().roles;
        let item = |role: RoleName| {
            let version = listed.get(&role)?.version;
            let changed = Changed { role, version, delegator: delegator.cloned() };
            Some(Item { changed, other_keys })
        };
        roles.filter_map(item).collect()
    }

    /// The roles of a snapshot that a role delegates to.
    fn delegated(&self, by: &Targets) -> Vec<RoleName> {
        let Some(delegations) = &by.delegations else { return Vec::new() };
        match &delegations.roles {
            Roles::Listed(roles) => roles.iter().map(|role| role.name.clone()).collect(),
            // There are as many as snapshot lists, whatever the metadata claims.
            Roles::Succinct(_) => {
                let listed = self.trusted.snapshot().roles.iter().map(|(role, _)| role);
                listed.filter(|role| delegations.role_keys(role).is_some()).cloned().collect()
            }
        }
    }

    fn is_same(&self, item: &Changed) -> bool {
        let Some(old) = self.old else { return false };
        let version = old.snapshot.roles.get(&item.role).map(|listed| listed.version);
        version == Some(item.version) && !self.staged.has(&item.role)
    }

    /// The verified metadata of a role: what is in the folder or was staged, else what upstream has.
    fn acquire(&self, item: &Changed) -> Result<Verified<Targets>, Error> {
        let Changed { role, version, delegator } = item;
        let by = delegator.as_deref().map(|(name, verified)| (name, verified));
        let staged = self.folder.staged(*version, role);
        for path in [&self.folder.metadata(*version, role), &staged] {
            if let Some(bytes) = read_if_there(path)?
                && let Ok(verified) = self.trusted.verify_role(role, by, &bytes)
            {
                return Ok(verified);
            }
        }
        let listed = self.trusted.snapshot().roles.get(role).and_then(|listed| listed.length);
        let file = MetadataFile {
            role: role.clone(),
            path: metadata_file(*version, role),
            max_length: Limits::default().targets.min(listed.unwrap_or(u64::MAX)),
            length: listed,
        };
        let mut verified = None;
        let mut check = |bytes: Vec<u8>| {
            verified = Some(self.trusted.verify_role(role, by, &bytes)?);
            Ok(())
        };
        self.upstream.metadata(&file, &mut check)?;
        let Some(verified) = verified else {
            let named_by = RoleName::from_static(RoleName::SNAPSHOT);
            return Err(waxseal_tuf::Error::Missing { file: file.path, named_by }.into());
        };
        add(&self.counters.roles, 1);
        write_synced(&staged, verified.bytes())?;
        Ok(verified)
    }
}

/// Metadata that a run has staged and not published: what it has put into the folder, no snapshot that is
/// kept may name.
#[derive(Debug, Default)]
pub(crate) struct Staged(BTreeMap<String, Vec<u64>>);

impl Staged {
    pub(crate) fn list(folder: &Folder) -> Result<Self, Error> {
        let path = folder.private("staged");
        let mut staged = BTreeMap::<String, Vec<u64>>::new();
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Error::io("list", &path)(error)),
        };
        for entry in entries {
            let name = entry.map_err(Error::io("list", &path))?.file_name();
            if let Some((version, role)) = name.to_str().and_then(version_and_role) {
                staged.entry(role.to_owned()).or_default().push(version);
            }
        }
        Ok(Self(staged))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn has(&self, role: &RoleName) -> bool {
        self.0.contains_key(&role.encoded())
    }

    /// The staged versions of a role other than this one, which may be no role's any more.
    pub(crate) fn others(&self, role: &RoleName, version: Option<u64>) -> Vec<u64> {
        let versions = self.0.get(&role.encoded()).into_iter().flatten().copied();
        versions.filter(|there| Some(*there) != version).collect()
    }

    /// The roles, as far as their names are known.
    pub(crate) fn roles(&self) -> impl Iterator<Item = RoleName> {
        // The names of bins and of what is above them are spelled as they are.
        self.0.keys().filter_map(|encoded| {
            RoleName::new(encoded).ok().filter(|role| role.encoded() == *encoded)
        })
    }
}

/// Which of a role's files is meant. After a root was replaced by hand a version may have two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// The one that is published.
    Published,
    /// The one that was staged, or else is published.
    Newest,
}

/// What a role's file says; `None` where there is none that can be read.
pub(crate) fn claims(
    folder: &Folder,
    role: &RoleName,
    version: u64,
    which: Which,
) -> Result<Option<Targets>, Error> {
    let staged = folder.staged(version, role);
    let staged = (which == Which::Newest).then_some(staged);
    for path in staged.into_iter().chain([folder.metadata(version, role)]) {
        if let Some(bytes) = read_if_there(&path)?
            && let Ok(read) = Unverified::<Targets>::parse(&bytes)
        {
            return Ok(Some(read.claims().clone()));
        }
    }
    Ok(None)
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
