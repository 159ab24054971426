//! twine and uv upload as they do to PyPI.

use waxseal_testkit::peers;

use crate::harness::{Index, Person, Tool, assert_shows, other_contents};

#[test]
fn twine_uploads_everything_with_its_progress_bar() {
    let index = Index::quickstart();
    let packages = peers::packages();
    let outcome = index.twine(&packages).run().success();
    assert_shows(
        &outcome.screen(),
        &["Uploading numpy-", "100%", "Uploading tomli_w-1.2.0.tar.gz"],
    );
    let serial = index.status()["published_serial"].as_u64();
    assert_eq!(serial, Some(packages.len() as u64), "a 200 means that it is published");

    // The same files again are no error, and nothing new.
    index.twine(&packages).run().success();
    index.uv_publish(&packages).run().success();
    assert_eq!(index.status()["journal_serial"].as_u64(), serial);
}

#[test]
fn uv_publishes_everything() {
    let index = Index::quickstart();
    let mut packages = peers::packages();
    // uv passes over files that are not called by their normalized names, and says so.
    packages.retain(|path| !path.ends_with("backports.tarfile-1.2.0-py3-none-any.whl"));
    let outcome = index.uv_publish(&packages).run().success();
    assert_shows(&outcome.screen(), &["Uploading numpy-", "Uploading tomli_w-1.2.0.tar.gz"]);
    let status = index.status();
    assert_eq!(status["published_serial"].as_u64(), Some(packages.len() as u64));
    assert_eq!(status["projects"].as_u64(), Some(packages.len() as u64));
}

#[test]
fn one_name_never_gets_other_contents() {
    let index = Index::with(&["blinker-"]);
    let folder = tempfile::tempdir().unwrap();
    let changed = [other_contents(folder.path(), "blinker-")];
    let before = index.state();
    let words = ["400", "File already exists", "blinker-1.9.0", "other contents", "new version"];

    let outcome = index.twine(&changed).run().failure();
    assert_shows(&outcome.screen(), &words);
    let outcome = index.uv_publish(&changed).run().failure();
    assert_shows(&outcome.screen(), &words);
    assert!(index.state() == before, "a refused upload changed the index");
}

#[test]
fn uv_can_look_what_is_there_before_it_uploads() {
    let index = Index::with(&["blinker-"]);
    let check = ["--check-url", &format!("{}/simple/", index.url)];
    let before = index.state();
    let same = [peers::package("blinker-")];
    let outcome = index.uv_publish(&same).args(check).run().success();
    assert_shows(&outcome.screen(), &["already exists, skipping"]);

    let folder = tempfile::tempdir().unwrap();
    let changed = [other_contents(folder.path(), "blinker-")];
    let outcome = index.uv_publish(&changed).args(check).run().failure();
    assert_shows(&outcome.screen(), &["blinker-1.9.0"]);
    assert!(index.state() == before, "a refused upload changed the index");
}

/// Not asserted, shown: `cargo nextest run -p waxseal --no-capture from_upload_to_install`.
#[test]
fn from_upload_to_install_at_once() {
    let index = Index::quickstart();
    let person = Person::trusting(&index);
    for tool in Tool::BOTH {
        let start = if tool == Tool::Pip { "idna-" } else { "blinker-" };
        index.twine(&[peers::package(start)]).run().success();
        let uploaded = std::time::Instant::now();
        person.install(tool, [start.trim_end_matches('-')]).run().success();
        eprintln!("{tool:?}: {start}* installed {:.2?} after twine returned", uploaded.elapsed());
    }
}
