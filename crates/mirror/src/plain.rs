//! What plain clients see: pages, and files under their own names.
//!
//! When this begins, every file that a new page links to is there. Pages that are gone go at once; the files
//! that they linked to stay for the grace time.

use std::collections::BTreeSet;
use std::sync::Mutex;

use serde::Deserialize;
use waxseal_index::NormalizedName;
use waxseal_index::paths::PROJECT_LIST_JSON;
use waxseal_index::simple::ProjectList;
use waxseal_tuf::metadata::Snapshot;
use waxseal_tuf::{RoleName, TargetFile, TargetPath};

use crate::durable::read_if_there;
use crate::error::Error;
use crate::fill::Fill;
use crate::folder::{Plain, list_name, target_name};
use crate::lookup::Lookup;
use crate::parallel;
use crate::walk::{Changed, Which, claims, locked};

/// Shows plain clients what the changed roles list, and no more what they, or roles that are gone, have
/// listed.
pub(crate) fn show(
    filling: &Fill<'_>,
    snapshot: &Snapshot,
    changed: &[Changed],
    vanished: &[RoleName],
    all: bool,
    threads: usize,
) -> Result<(), Error> {
    // A role may have lost a path to another one, so whether it is gone is asked at the end.
    let gone = Mutex::new(BTreeSet::new());
    parallel::for_each(threads, changed, |role| {
        let targets = claims(filling.folder, &role.role, role.version, Which::Newest)?;
        let Some(targets) = targets else {
            return Ok(());
        };
        let before = filling.before(&role.role, Some(role.version))?;
        let was_touched = !before.left.is_empty() || all;
        let mut wanted = BTreeSet::new();
        for (path, file) in filling.wanted(role, &targets) {
            if was_touched || before.old.get(path.as_str()) != Some(file) {
                one(filling, &path, file)?;
            }
            wanted.insert(path);
        }
        let left = before.left.iter().flat_map(|targets| targets.targets.keys());
        let paths = before.old.keys().chain(left).filter_map(|path| TargetPath::new(path).ok());
        locked(&gone).extend(paths.filter(|path| !wanted.contains(path)));
        Ok::<(), Error>(())
    })?;
    let mut gone = gone.into_inner().unwrap_or_default();
    for role in vanished {
        let before = filling.before(role, None)?;
        let left = before.left.iter().flat_map(|targets| targets.targets.keys());
        gone.extend(before.old.keys().chain(left).filter_map(|path| TargetPath::new(path).ok()));
    }
    let mut lookup = Lookup::new(filling.folder, snapshot.clone(), Which::Newest);
    for path in gone {
        let plain = Plain::of(&path);
        let Some(Plain::Page(name) | Plain::List(name)) = plain else { continue };
        match lookup.find(&path)?.filter(|_| filling.filter.takes(&path)) {
            Some(file) => one(filling, &path, &file)?,
            None => {
                filling.folders.remove(&filling.folder.path(&name))?;
            }
        }
    }
    Ok(())
}

/// Shows one target.
fn one(filling: &Fill<'_>, path: &TargetPath, file: &TargetFile) -> Result<(), Error> {
    let (Some(plain), Some(digest)) = (Plain::of(path), file.hashes.known().next()) else {
        return Ok(());
    };
    let main = filling.folder.path(&target_name(path, &digest.to_string()));
    match plain {
        Plain::List(_) if !filling.filter.is_everything() => match path.as_str() {
            PROJECT_LIST_JSON => filtered_list(filling, &main),
            _ => Ok(()),
        },
        Plain::File(name) | Plain::Page(name) | Plain::List(name) => {
            filling.folders.link(&main, &filling.folder.path(&name))
        }
    }
}

/// The list of all projects, as far as it is read.
#[derive(Deserialize)]
struct List {
    projects: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    name: String,
}

/// A list of the projects that are here: plain clients that list them find a page for each. Nobody signs it,
/// as nobody does who could; clients that verify take the whole list, which is a target.
fn filtered_list(filling: &Fill<'_>, signed: &std::path::Path) -> Result<(), Error> {
    let Some(bytes) = read_if_there(signed)? else { return Ok(()) };
    let damaged = |error: serde_json::Error| Error::Damaged {
        path: signed.to_owned(),
        problem: format!("it is no list of projects: {error}"),
    };
    let list: List = serde_json::from_slice(&bytes).map_err(damaged)?;
    let names = list.projects.iter().filter_map(|project| NormalizedName::of(&project.name).ok());
    let names = names.filter(|name| filling.filter.takes_project(name.as_str())).collect();
    let list = ProjectList { names };
    for (html, bytes) in [(true, list.to_html()), (false, list.to_json())] {
        filling.folders.write(&filling.folder.path(&list_name(html)), &bytes)?;
    }
    Ok(())
}
