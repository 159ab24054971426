//! This project reads what python-tuf writes, and finds in it what python-tuf finds.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::ask;
use super::ours::{Ours, found};

const REPOSITORIES: u64 = 48;

/// Kinds of keys that the script makes.
const KINDS: &[&str] = &["ed25519", "p256", "p256 by its scheme", "p384", "rsa"];

/// How many answers were of each kind: a script that makes nothing to find or to refuse is no test.
#[derive(Debug, Default)]
struct Seen {
    repositories: u32,
    found: u32,
    absent: u32,
    refused: u32,
}

#[test]
fn we_read_what_python_tuf_writes() {
    let folders: Vec<_> = (0..REPOSITORIES).map(|_| tempfile::tempdir().unwrap()).collect();
    let case = |(seed, folder): (u64, &tempfile::TempDir)| {
        json!({"folder": folder.path(), "seed": seed}).to_string()
    };
    let cases: Vec<String> = (0..).zip(&folders).map(case).collect();
    let answers = ask("we_read.py", &cases, KINDS);
    let mut seen = Seen::default();
    let mut differences = Vec::new();
    for ((seed, folder), answer) in folders.iter().enumerate().zip(&answers) {
        differences.extend(compare(seed, folder.path(), answer, &mut seen));
    }
    assert!(differences.is_empty(), "{}\n{seen:?}", differences.join("\n"));
    assert!(seen.repositories > 30 && seen.refused > 50, "{seen:?}");
    assert!(seen.found > 200 && seen.absent > 200, "{seen:?}");
}

/// What we find otherwise than python-tuf, as lines of text.
fn compare(seed: usize, folder: &Path, theirs: &Json, counts: &mut Seen) -> Vec<String> {
    let mut ours = match (Ours::refreshed(folder), theirs.get("refused")) {
        (Ok(ours), None) => ours,
        (Err(_), Some(_)) => return Vec::new(),
        (Ok(_), Some(refused)) => return vec![format!("{seed}: only python-tuf: {refused}")],
        (Err(refused), None) => return vec![format!("{seed}: only ours: {refused}")],
    };
    assert_eq!(theirs["root"], ours.trusted.root().version, "{seed}");
    counts.repositories += 1;
    let mut differences = Vec::new();
    // One client, or another one for each path, as the script has it.
    for (path, theirs) in theirs["found"].as_object().unwrap() {
        if seed.is_multiple_of(8) {
            ours = Ours::refreshed(folder).unwrap();
        }
        let found = ours.find(path);
        let same = match (&found, theirs) {
            (Ok(Some(file)), theirs) => self::found(file) == *theirs,
            (Ok(None), theirs) => theirs.is_null(),
            (Err(_), theirs) => theirs.as_str().is_some_and(|text| text.starts_with("refused")),
        };
        if !same {
            differences.push(format!("{seed} {path}: {found:?}, python-tuf {theirs}"));
        }
        match found {
            Ok(Some(_)) => counts.found += 1,
            Ok(None) => counts.absent += 1,
            Err(_) => counts.refused += 1,
        }
    }
    differences
}
