//! What pages name (layout `index`): files and core metadata that no bin lists, and that clients fetch all
//! the same.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use waxseal_index::simple::{Digests, Listing};
use waxseal_index::{NormalizedName, paths};
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::{TargetFile, TargetPath};

use crate::bin_file::{Entries, NotOurs};
use crate::error::Error;
use crate::layout::Layout;
use crate::repository::{Repository, target_path};
use crate::store::StoreKey;

/// The largest page that is read.
const PAGE_LIMIT: u64 = 256 << 20;

/// What core metadata has behind the name of its file.
const METADATA: &str = ".metadata";

/// Adds to `named` those of `keys` that a page names which one of these `versions` of bins lists. Where
/// such a page is not here, or cannot be read, that is all of its project's.
pub(crate) fn mark_vouched<'a>(
    repository: &Repository,
    versions: &BTreeMap<u32, BTreeSet<u64>>,
    keys: impl Iterator<Item = &'a StoreKey>,
    named: &mut HashSet<StoreKey>,
) -> Result<(), Error> {
    if repository.database().layout()? != Some(Layout::Index) {
        return Ok(());
    }
    let mut projects: BTreeMap<String, Vec<&StoreKey>> = BTreeMap::new();
    for key in keys {
        if let Some((project, _)) = file_of(key) {
            projects.entry(project.to_owned()).or_default().push(key);
        }
    }
    for (bin, pages) in pages_by_bin(repository, projects.keys())? {
        let mut read = HashSet::new();
        for version in versions.get(&bin).into_iter().flatten() {
            // Of a batch that is being written it may not be there yet.
            let Some(file) = repository.bin_file(bin, *version)? else { continue };
            let found = vouching(&file, &pages).map_err(|_| Error::BinDamaged {
                file: format!("{version}.{}.json", repository.bins().role(bin)),
                problem: "is not in the form that this program writes".to_owned(),
            })?;
            for (path, digest) in found {
                if read.insert((path, digest)) {
                    let keys = &projects[&pages[path]];
                    mark_page(repository, path, digest, keys, named)?;
                }
            }
        }
    }
    Ok(())
}

/// The pages of projects, and whose they are, by the bins that would list them.
fn pages_by_bin<'a>(
    repository: &Repository,
    projects: impl Iterator<Item = &'a String>,
) -> Result<BTreeMap<u32, BTreeMap<TargetPath, String>>, Error> {
    let mut pages: BTreeMap<u32, BTreeMap<TargetPath, String>> = BTreeMap::new();
    for project in projects {
        // What lies below no project's name has no page.
        let Ok(name) = NormalizedName::of(project) else { continue };
        for path in [paths::project_json(&name), paths::project_html(&name)] {
            let path = target_path(path)?;
            let bin = repository.bins().bin_of(&path);
            pages.entry(bin).or_default().insert(path, project.clone());
        }
    }
    Ok(pages)
}

/// Those pages that a bin lists and that vouch for their files, with their digests.
fn vouching<'p>(
    bin: &[u8],
    pages: &'p BTreeMap<TargetPath, String>,
) -> Result<Vec<(&'p TargetPath, Sha256)>, NotOurs> {
    let listed = Entries::of_file(bin)?.find_each(pages.keys().map(TargetPath::as_str))?;
    let mut found = Vec::new();
    for (path, text) in pages.keys().zip(listed) {
        let Some(text) = text else { continue };
        let file = TargetFile::from_json(text).map_err(|_| NotOurs)?;
        if let Some(digest) = file.hashes.listed_sha256().filter(|_| Layout::vouches(&file)) {
            found.push((path, digest));
        }
    }
    Ok(found)
}

fn mark_page(
    repository: &Repository,
    path: &TargetPath,
    digest: Sha256,
    keys: &[&StoreKey],
    named: &mut HashSet<StoreKey>,
) -> Result<(), Error> {
    let key = StoreKey::Target { path: path.clone(), digest: digest.into() };
    let page = repository.store().read(&key, PAGE_LIMIT)?;
    let listing = page.and_then(|page| {
        let read = match path.file_name().rsplit('.').next() {
            Some("html") => Listing::from_html(&page),
            _ => Listing::from_json(&page),
        };
        read.ok()
    });
    let is_named = |key: &StoreKey| listing.as_ref().is_none_or(|listing| names(listing, key));
    named.extend(keys.iter().copied().filter(|key| is_named(key)).cloned());
    Ok(())
}

/// Whether a page names an object: by its name, and by its digest where the object has one in its name
/// and the page says it.
fn names(listing: &Listing, key: &StoreKey) -> bool {
    let Some((_, filename)) = file_of(key) else { return false };
    let same = |digests: &Digests| match (key, digests.get("sha256")) {
        (StoreKey::Target { digest, .. }, Some(listed)) => digest.to_string() == *listed,
        _ => true,
    };
    match listing.file(filename) {
        Ok(Some(file)) => return same(&file.hashes),
        // Listed twice, and who knows which is meant.
        Err(_) => return true,
        Ok(None) => {}
    }
    let Some(filename) = filename.strip_suffix(METADATA) else { return false };
    match listing.file(filename) {
        Ok(file) => file.and_then(|file| file.core_metadata.as_ref()).is_some_and(same),
        Err(_) => true,
    }
}

/// Project and name of a distribution file or its core metadata.
fn file_of(key: &StoreKey) -> Option<(&str, &str)> {
    match key {
        StoreKey::Target { path, .. } | StoreKey::File(path) => {
            path.as_str().strip_prefix("packages/")?.split_once('/')
        }
        _ => None,
    }
}
