//! A folder as a value, to be compared before and after.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Every file below a folder, with its bytes.
///
/// # Panics
///
/// If something below it cannot be read.
pub fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(folder) = pending.pop() {
        let entries = fs::read_dir(&folder);
        let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries {
            let path = entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display())).path();
            match path.is_dir() {
                true => pending.push(path),
                false => {
                    let bytes = fs::read(&path);
                    let bytes = bytes.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                    found.insert(path, bytes);
                }
            }
        }
    }
    found
}
