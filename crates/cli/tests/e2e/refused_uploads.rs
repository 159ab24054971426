//! Uploads that are refused: with a clear text, a failing exit code, and nothing changed.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

use waxseal_testkit::peers;
use waxseal_tuf::hash::Sha256;

use crate::harness::{Form, Index, Wheel, assert_shows, make_wheels};

/// Tries to upload with twine and with uv. Both must fail and show `words`, and nothing may change.
#[track_caller]
fn refused_by_both_tools(index: &Index, files: &[PathBuf], words: &[&str]) {
    let before = index.state();
    let outcome = index.twine(files).run().failure();
    assert_shows(&outcome.screen(), words);
    let outcome = index.uv_publish(files).run().failure();
    assert_shows(&outcome.screen(), words);
    assert!(index.state() == before, "a refused upload changed the index");
}

/// Posts what the tools would not send. It must be refused with `words`, and nothing may change.
#[track_caller]
fn refused(index: &Index, form: &Form, status: u16, words: &[&str]) {
    let before = index.state();
    let answer = form.post(&index.url).unwrap();
    assert_eq!(answer.status, status, "{} {}", answer.reason, answer.text());
    // What twine shows, and what uv shows.
    assert_shows(&answer.reason, words);
    assert_shows(&answer.text(), words);
    assert!(index.state() == before, "a refused upload changed the index");
}

fn blinker(index: &Index) -> Form {
    Form::file(&index.token, &peers::package("blinker-"))
}

#[test]
fn a_wrong_token() {
    let mut index = Index::with(&["click-"]);
    let right = index.token.clone();
    for wrong in ["wrong", &right[..right.len() - 1], &format!("{right}x")] {
        wrong.clone_into(&mut index.token);
        let words = ["403", "this upload token is not valid here", "waxseal token add"];
        refused_by_both_tools(&index, &[peers::package("blinker-")], &words);
    }
}

#[test]
fn a_revoked_token() {
    let mut index = Index::with(&["click-"]);
    let outcome = index.operator(["token", "add", "ci"]).run().success();
    index.token = outcome.stdout.trim().to_owned();
    index.twine(&[peers::package("idna-")]).run().success();
    index.operator(["token", "revoke", "ci"]).run().success();
    refused_by_both_tools(&index, &[peers::package("blinker-")], &["403", "revoked"]);
}

#[test]
fn a_broken_archive() {
    let index = Index::with(&["click-"]);
    let folder = tempfile::tempdir().unwrap();
    // A second archive behind the first: two readers could read two different wheels.
    let wheel = folder.path().join("blinker-1.9.0-py3-none-any.whl");
    fs::copy(peers::package("blinker-"), &wheel).unwrap();
    let mut file = OpenOptions::new().append(true).open(&wheel).unwrap();
    file.write_all(b"something behind the end").unwrap();
    let before = index.state();
    let outcome = index.twine(&[wheel]).run().failure();
    assert_shows(&outcome.screen(), &["400", "blinker-1.9.0-py3-none-any.whl"]);
    assert!(index.state() == before, "a refused upload changed the index");

    let whole = blinker(&index).content;
    for content in [b"not an archive".to_vec(), whole[..whole.len() / 2].to_vec(), Vec::new()] {
        let form = Form::new(&index.token, "blinker-1.9.0-py3-none-any.whl", content);
        refused(&index, &form, 400, &["blinker-1.9.0-py3-none-any.whl"]);
    }
    let form = Form::new(&index.token, "blinker-1.9.0.tar.gz", whole);
    refused(&index, &form, 400, &["blinker-1.9.0.tar.gz"]);
}

#[test]
fn a_name_that_does_not_match_its_metadata() {
    let index = Index::with(&["click-"]);
    let folder = tempfile::tempdir().unwrap();
    let wheel = Wheel { metadata_name: "requests", ..Wheel::new("innocent", "1.0") };
    let wheel = make_wheels(folder.path(), &[wheel]).remove(0);
    // twine takes the name from the metadata, uv from the filename.
    refused_by_both_tools(
        &index,
        std::slice::from_ref(&wheel),
        &["400", "innocent-1.0", "requests"],
    );

    let form = blinker(&index).with("name", "flask");
    refused(&index, &form, 400, &["the name is 'flask'", "blinker-1.9.0"]);
    let form = blinker(&index).with("version", "2.0");
    refused(&index, &form, 400, &["the version is '2.0'", "blinker-1.9.0"]);
}

#[test]
fn a_wrong_digest() {
    let index = Index::with(&["click-"]);
    let form = blinker(&index);
    let got = Sha256::of(&form.content).to_string();
    let form = form.with("sha256_digest", &"0".repeat(64));
    refused(&index, &form, 400, &["SHA-256", "digest", &got, "upload it again"]);
    // A byte changed on the way.
    let mut form = blinker(&index);
    form.content[1000] ^= 1;
    refused(&index, &form, 400, &["digest", &got]);
    let mut form = blinker(&index);
    form.fields.retain(|(name, _)| *name != "sha256_digest");
    refused(&index, &form, 400, &["sha256_digest"]);
}

#[test]
fn a_filename_that_leads_elsewhere() {
    let index = Index::with(&["click-"]);
    for filename in [
        "../../blinker-1.9.0-py3-none-any.whl",
        "/etc/blinker-1.9.0-py3-none-any.whl",
        "blinker/blinker-1.9.0-py3-none-any.whl",
        "..",
        "blinker-1.9.0/../x-py3-none-any.whl",
        "blinker-1.9.0-py3-none-any.whl/",
        "..%2fblinker-1.9.0-py3-none-any.whl",
        "blinker\\\\..\\\\x-1.0-py3-none-any.whl",
        "",
    ] {
        let mut form = blinker(&index);
        filename.clone_into(&mut form.filename);
        refused(&index, &form, 400, &[]);
    }
    assert!(!index.folder().join("blinker-1.9.0-py3-none-any.whl").exists());
}

#[test]
fn a_file_over_the_limit() {
    let mut index = Index::with(&["click-"]);
    index.configure("max-upload-bytes", 10_000);
    let words = ["413", "more than 10000 bytes", "limit of this index"];
    refused_by_both_tools(&index, &[peers::package("werkzeug-")], &words);
    refused_by_both_tools(&index, &[peers::package("numpy-")], &words);
    // What is within the limit goes on to work.
    index.twine(&[peers::package("blinker-")]).run().success();
}

#[test]
fn other_contents_under_a_name_in_use() {
    let index = Index::with(&["blinker-"]);
    let folder = tempfile::tempdir().unwrap();
    // The same file in another spelling of its name is the same name.
    let wheel = Wheel { module: "x = 1", ..Wheel::new("Blinker", "1.9.0") };
    let wheel = make_wheels(folder.path(), &[wheel]).remove(0);
    let form = Form::file(&index.token, &wheel);
    refused(&index, &form, 400, &["already exists", "Blinker-1.9.0", "other contents"]);
}

#[test]
fn a_form_that_is_none() {
    let index = Index::with(&["click-"]);
    refused(
        &index,
        &blinker(&index).with(":action", "remove_pkg"),
        400,
        &[":action", "file_upload"],
    );
    refused(&index, &blinker(&index).with("filetype", "sdist"), 400, &["'sdist'", "bdist_wheel"]);
    for field in [":action", "filetype", "name", "version"] {
        let mut form = blinker(&index);
        form.fields.retain(|(name, _)| *name != field);
        refused(&index, &form, 400, &[field]);
        let mut form = blinker(&index);
        let again = form.fields.iter().find(|(name, _)| *name == field).unwrap().clone();
        form.fields.push(again);
        refused(&index, &form, 400, &[field, "more than once"]);
    }
}
