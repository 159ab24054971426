//! The bodies of the fuzz targets in `fuzz/`, and the inputs that are kept for them.
//!
//! Each body takes any bytes and panics where a property is broken, so that the fuzzer, the tests of
//! `waxseal-tuf` and a person with one found input run the same code. Two read their input as the bytes
//! that a mirror sends; three read it as decisions, byte by byte, until it is used up:
//!
//! | body | its input | what it is compared with |
//! |---|---|---|
//! | [`canonical_json`] | a JSON text | a slow reader of JSON and of canonical JSON |
//! | [`metadata`] | a metadata file, of whatever role | its own spelling; a count of its signatures |
//! | [`keys_and_signatures`] | which keys and signatures a root has | what was signed with which key |
//! | [`delegation_search`] | a graph of delegations, and paths | a recursive search, as TUF 5.6.7 reads |
//! | [`update_session`] | what a repository publishes and what a mirror makes of it | what was ever signed |

#![allow(clippy::unwrap_used, reason = "a body stops at the first surprise")]
#![allow(clippy::missing_panics_doc, reason = "a body panics where a property is broken")]

mod canonical_json;
mod cursor;
mod delegation_search;
mod keys_and_signatures;
mod lies;
mod metadata;
mod patterns;
mod reader;
mod update_session;

use std::fs;
use std::path::Path;

pub use canonical_json::canonical_json;
pub use delegation_search::delegation_search;
pub use keys_and_signatures::keys_and_signatures;
pub use metadata::metadata;
pub use update_session::update_session;

/// The inputs that are committed for a target, with their paths in the checkout: its corpus, and the
/// regressions, which are inputs that once broke a property.
///
/// # Panics
///
/// Where the corpus has no files: then nothing would be tested.
pub fn kept_inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    let corpus = files(&format!("corpus/{target}"));
    assert!(
        !corpus.is_empty(),
        "fuzz/corpus/{target} is empty: `docs/testing.md` says how to fill it"
    );
    corpus.into_iter().chain(files(&format!("regressions/{target}"))).collect()
}

/// The files of a folder below `fuzz/`, by name; none where there is no such folder.
fn files(folder: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz").join(folder);
    let Ok(entries) = fs::read_dir(&folder) else { return Vec::new() };
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.display().to_string(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}
