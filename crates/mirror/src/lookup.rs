//! Finds targets in a snapshot that is in the folder, without the network.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use waxseal_tuf::metadata::{Snapshot, Targets};
use waxseal_tuf::{RoleName, TargetFile, TargetPath};

use crate::error::Error;
use crate::folder::Folder;
use crate::walk::{Which, claims};

/// Roles that are kept as they were read last.
const KEPT: usize = 64;

/// Roles that one search goes through, as clients have it.
const MOST_ROLES: usize = 32;

pub(crate) struct Lookup<'a> {
    folder: &'a Folder,
    snapshot: Snapshot,
    which: Which,
    read: BTreeMap<RoleName, Option<Arc<Targets>>>,
    order: VecDeque<RoleName>,
    is_damaged: bool,
}

impl<'a> Lookup<'a> {
    pub(crate) fn new(folder: &'a Folder, snapshot: Snapshot, which: Which) -> Self {
        Self {
            folder,
            snapshot,
            which,
            read: BTreeMap::new(),
            order: VecDeque::new(),
            is_damaged: false,
        }
    }

    /// Whether a role that the snapshot lists could not be read: then what was not found may be there.
    pub(crate) fn is_damaged(&self) -> bool {
        self.is_damaged
    }

    /// The version that the snapshot lists of a role.
    pub(crate) fn version(&self, role: &RoleName) -> Option<u64> {
        self.snapshot.roles.get(role).map(|listed| listed.version)
    }

    /// The snapshot's own version.
    pub(crate) fn snapshot(&self) -> u64 {
        self.snapshot.version
    }

    /// What the snapshot lists of a target.
    pub(crate) fn find(&mut self, path: &TargetPath) -> Result<Option<TargetFile>, Error> {
        let mut pending = vec![RoleName::targets()];
        for _ in 0..MOST_ROLES {
            let Some(name) = pending.pop() else { return Ok(None) };
            let Some(role) = self.role(&name)? else { continue };
            if let Some(file) = role.targets.get(path.as_str()) {
                return Ok(Some(file.clone()));
            }
            let Some(delegations) = &role.delegations else { continue };
            let mut children = Vec::new();
            for (child, terminating) in delegations.roles_for(path) {
                children.push(child);
                if terminating {
                    pending.clear();
                    break;
                }
            }
            pending.extend(children.into_iter().rev());
        }
        Ok(None)
    }

    fn role(&mut self, name: &RoleName) -> Result<Option<Arc<Targets>>, Error> {
        if let Some(role) = self.read.get(name) {
            return Ok(role.clone());
        }
        let role = match self.version(name) {
            Some(version) => {
                let role = claims(self.folder, name, version, self.which)?.map(Arc::new);
                self.is_damaged |= role.is_none();
                role
            }
            None => None,
        };
        if self.order.len() >= KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.read.remove(&oldest);
        }
        self.order.push_back(name.clone());
        self.read.insert(name.clone(), role.clone());
        Ok(role)
    }
}
