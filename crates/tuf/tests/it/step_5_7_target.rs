//! TUF 5.7: the target file itself.

use waxseal_testkit::simulator::{Simulator, target_path};
use waxseal_tuf::hash::{Hashes, Sha256};
use waxseal_tuf::{Error, TargetCheck, TargetFile};

use crate::client::Client;

fn file(content: &[u8]) -> TargetFile {
    let hashes = Hashes::sha256(Sha256::of(content));
    TargetFile { length: content.len() as u64, hashes, custom: None }
}

fn check(file: &TargetFile, pieces: &[&[u8]]) -> Result<(), Error> {
    let mut check = TargetCheck::new(target_path("dir/f"), file)?;
    for piece in pieces {
        check.update(piece)?;
    }
    check.finish()
}

#[test]
fn step_5_7_2_a_path_that_no_role_lists_is_not_found() {
    let mut repository = Simulator::new();
    repository.add_target("targets", "dir/f", b"content");
    repository.publish_targets("targets");
    let mut client = Client::new(&repository);
    assert_eq!(client.find(&repository, "dir/f"), Ok(Some(file(b"content"))));
    for path in ["f", "dir", "dir/F", "dir/f2"] {
        assert_eq!(client.find(&repository, path), Ok(None), "{path}");
    }
}

#[test]
fn step_5_7_3_a_file_of_the_listed_length_and_digest() {
    assert_eq!(check(&file(b"content"), &[b"content"]), Ok(()));
    assert_eq!(check(&file(b"content"), &[b"", b"con", b"tent", b""]), Ok(()));
    assert_eq!(check(&file(b""), &[]), Ok(()));
}

#[test]
fn step_5_7_3_a_file_of_another_length() {
    let error = |got| {
        let file = "dir/f".to_owned();
        Err(Error::Length { file, expected: 7, exact: true, got })
    };
    assert_eq!(check(&file(b"content"), &[b"conten"]), error(6));
    assert_eq!(check(&file(b"content"), &[]), error(0));
    // An endless file is refused at the first byte too many, not at its end.
    let mut endless = TargetCheck::new(target_path("dir/f"), &file(b"content")).unwrap();
    endless.update(b"content").unwrap();
    assert_eq!(endless.missing(), 0);
    assert_eq!(endless.update(b"!"), error(8));
}

#[test]
fn step_5_7_3_a_file_of_which_only_digests_are_known() {
    let within = |most, pieces: &[&[u8]]| {
        let file = TargetFile { length: most, ..file(b"content") };
        let mut check = TargetCheck::at_most(target_path("dir/f"), &file)?;
        for piece in pieces {
            check.update(piece)?;
        }
        check.finish()
    };
    assert_eq!(within(7, &[b"content"]), Ok(()));
    assert_eq!(within(99, &[b"con", b"tent"]), Ok(()));
    for pieces in [&[&b"conten"[..]][..], &[], &[b"content", b"!"], &[b"Content"]] {
        assert!(matches!(within(99, pieces), Err(Error::Hash { .. })), "{pieces:?}");
    }
    let file = "dir/f".to_owned();
    let too_long = Error::Length { file, expected: 6, exact: false, got: 7 };
    assert_eq!(within(6, &[b"content"]), Err(too_long));
}

#[test]
fn step_5_7_3_a_file_of_another_digest() {
    let error = check(&file(b"content"), &[b"Content"]).unwrap_err();
    let Error::Hash { file: path, mismatch } = error else { panic!("{error}") };
    assert_eq!(path, "dir/f");
    assert_eq!(mismatch.algorithm, "sha256");
    assert_eq!(mismatch.expected, Sha256::of(b"content").to_string());
    assert_eq!(mismatch.got, Sha256::of(b"Content").to_string());
}

#[test]
fn step_5_7_3_location_with_and_without_consistent_snapshots() {
    let mut repository = Simulator::new();
    let trusted = Client::new(&repository).refresh(&repository).unwrap();
    let digest = Sha256::of(b"content");
    let location = trusted.target_location(&target_path("dir/f"), &file(b"content"));
    assert_eq!(location, Ok(format!("dir/{digest}.f")));

    repository.root.consistent_snapshot = false;
    repository.write_root();
    for name in ["targets", "snapshot"] {
        let bytes = repository.files[&format!("1.{name}.json")].clone();
        repository.files.insert(format!("{name}.json"), bytes);
    }
    let trusted = Client::new(&repository).refresh(&repository).unwrap();
    let location = trusted.target_location(&target_path("dir/f"), &file(b"content"));
    assert_eq!(location, Ok("dir/f".to_owned()));
}
