//! No bin is written that clients do not read.

use std::fmt::Write;
use std::fs;

use waxseal_repository::Error;
use waxseal_repository::bins::{BinStyle, Bins};
use waxseal_repository::import::{ImportError, ImportOptions};
use waxseal_testkit::faulty_store::contents;
use waxseal_tuf::hash::Sha256;

use super::index::{Index, Kind, start};
use super::targets::changes;

/// More targets than two bins take, one a line, each about as long as it may be.
fn targets() -> String {
    let (sha256, custom) = (Sha256::of(b"x"), "x".repeat(4_000));
    let mut lines = String::new();
    for n in 0..8_500 {
        writeln!(
            lines,
            r#"{{"path":"a/{n}","length":1,"hashes":{{"sha256":"{sha256}"}},"custom":{{"c":"{custom}"}}}}"#
        )
        .unwrap();
    }
    lines
}

#[test]
fn nothing_is_written_of_a_batch_with_a_bin_that_clients_do_not_read() {
    let index = Index::with_bins(Kind::Memory, Bins::new(2, BinStyle::Succinct).unwrap());
    index.store.files_are_elsewhere();
    let (repository, process) = index.create().unwrap();
    process.publish_all(start()).unwrap();
    let before = contents(repository.store());

    let lines = targets();
    let file = index.path().join("targets.jsonl");
    fs::write(&file, &lines).unwrap();
    let options = ImportOptions::new(index.path().join("scratch"));
    let error = process.import(&file, &options, start(), &|_| {}).unwrap_err();
    assert!(
        matches!(error, ImportError::Repository(Error::BinTooLong { bins: 64, .. })),
        "{error}"
    );
    assert!(contents(repository.store()) == before);

    let body = format!(r#"{{"add":[{}]}}"#, lines.trim().replace('\n', ","));
    repository.accept_targets(changes(&body), "laptop".to_owned(), None).unwrap();
    let error = process.publish(start()).unwrap_err();
    assert!(matches!(error, Error::BinTooLong { bins: 64, .. }), "{error}");
    assert!(contents(repository.store()) == before);
    // No versions are used up, and nothing is to be gone on with.
    assert_eq!(repository.database().batch().unwrap(), None);
}
