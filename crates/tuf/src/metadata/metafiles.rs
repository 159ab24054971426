//! The files that a snapshot lists.

use std::ops::Index;
use std::{slice, vec};

use super::MetaFile;
use crate::names::RoleName;

/// What snapshot says about each role, ordered by role name: a map in one piece of memory, since
/// clients read thousands of entries to look up three.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetaFiles(Vec<(RoleName, MetaFile)>);

impl MetaFiles {
    fn find(&self, role: &RoleName) -> Result<usize, usize> {
        self.0.binary_search_by(|(name, _)| name.cmp(role))
    }

    /// What is listed for a role.
    pub fn get(&self, role: &RoleName) -> Option<&MetaFile> {
        self.find(role).ok().map(|at| &self.0[at].1)
    }

    /// Lists a role, or lists it otherwise.
    pub fn insert(&mut self, role: RoleName, file: MetaFile) {
        match self.find(&role) {
            Ok(at) => self.0[at].1 = file,
            Err(at) => self.0.insert(at, (role, file)),
        }
    }

    /// Lists a role no longer; what was listed.
    pub fn remove(&mut self, role: &RoleName) -> Option<MetaFile> {
        self.find(role).ok().map(|at| self.0.remove(at).1)
    }

    /// Lists nothing.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// How many roles are listed.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The roles in order.
    pub fn iter(&self) -> impl Iterator<Item = (&RoleName, &MetaFile)> {
        self.0.iter().map(|(role, file)| (role, file))
    }
}

impl Index<&RoleName> for MetaFiles {
    type Output = MetaFile;

    /// # Panics
    ///
    /// If the role is not listed.
    fn index(&self, role: &RoleName) -> &MetaFile {
        match self.get(role) {
            Some(file) => file,
            None => panic!("{role} is not listed"),
        }
    }
}

impl FromIterator<(RoleName, MetaFile)> for MetaFiles {
    /// Of entries for the same role the last one stays.
    fn from_iter<I: IntoIterator<Item = (RoleName, MetaFile)>>(entries: I) -> Self {
        let mut this = Self::default();
        this.extend(entries);
        this
    }
}

impl Extend<(RoleName, MetaFile)> for MetaFiles {
    fn extend<I: IntoIterator<Item = (RoleName, MetaFile)>>(&mut self, entries: I) {
        let entries = entries.into_iter();
        self.0.reserve(entries.size_hint().0);
        self.0.extend(entries);
        if !self.0.is_sorted_by(|(a, _), (b, _)| a < b) {
            // Stable, so that of two the later one comes second.
            self.0.sort_by(|(a, _), (b, _)| a.cmp(b));
            self.0.reverse();
            self.0.dedup_by(|(a, _), (b, _)| a == b);
            self.0.reverse();
        }
    }
}

impl IntoIterator for MetaFiles {
    type Item = (RoleName, MetaFile);
    type IntoIter = vec::IntoIter<(RoleName, MetaFile)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a MetaFiles {
    type Item = &'a (RoleName, MetaFile);
    type IntoIter = slice::Iter<'a, (RoleName, MetaFile)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use super::*;

    fn role(name: &str) -> RoleName {
        RoleName::new(name).unwrap()
    }

    fn listed(files: &MetaFiles) -> Vec<(&str, u64)> {
        files.iter().map(|(role, file)| (role.as_str(), file.version)).collect()
    }

    #[test]
    fn roles_are_in_order_and_each_once_however_they_came() {
        let entry = |(name, version)| (role(name), MetaFile::version(version));
        let mut files: MetaFiles = [("b", 1), ("a", 2), ("b", 3)].map(entry).into_iter().collect();
        assert_eq!(listed(&files), [("a", 2), ("b", 3)]);
        files.extend([("c", 4), ("a", 5)].map(entry));
        assert_eq!(listed(&files), [("a", 5), ("b", 3), ("c", 4)]);
        files.insert(role("bb"), MetaFile::version(6));
        files.insert(role("c"), MetaFile::version(7));
        assert_eq!(listed(&files), [("a", 5), ("b", 3), ("bb", 6), ("c", 7)]);
        assert_eq!(files.remove(&role("b")), Some(MetaFile::version(3)));
        assert_eq!(files.remove(&role("b")), None);
        assert_eq!(
            (files.get(&role("bb")), files.get(&role("b"))),
            (Some(&MetaFile::version(6)), None)
        );
        assert_eq!((files.len(), files[&role("c")].version), (3, 7));
        files.clear();
        assert!(files.is_empty());
    }
}
