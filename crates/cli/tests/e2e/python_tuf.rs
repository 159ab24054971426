//! python-tuf's `Updater` against a running index.

use std::fs;
use std::path::Path;

use waxseal_testkit::peers::{self, CleanCommand, Outcome};

use crate::harness::{Index, Person, Tool, Wheel};

/// What python-tuf says of an index.
pub(crate) fn python_tuf(index: &Index, folder: &Path) -> Outcome {
    let root = index.data().join("store/tuf/metadata/1.root.json");
    script("python_tuf.py").arg(&index.url).arg(root).arg(folder).run()
}

/// A script of `data/`, which shares a module with others there.
pub(crate) fn script(name: &str) -> CleanCommand {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/data").join(name);
    CleanCommand::new(peers::python()).env("PYTHONDONTWRITEBYTECODE", "1").arg(script)
}

#[test]
fn it_downloads_every_target_by_its_path() {
    let index = Index::filled();
    let folder = tempfile::tempdir().unwrap();
    let seen = python_tuf(&index, folder.path()).success().stdout;
    let targets: Vec<&str> = seen.lines().collect();
    for package in peers::packages() {
        let filename = package.file_name().unwrap().to_str().unwrap();
        let file = targets.iter().find(|path| path.ends_with(&format!("/{filename}")));
        assert!(file.is_some_and(|path| path.starts_with("packages/")), "{filename}:\n{seen}");
    }
    // Two pages for each project and for the list, and the metadata of each file.
    let count = |end: &str| targets.iter().filter(|path| path.ends_with(end)).count();
    let packages = peers::packages().len();
    assert_eq!(count("/vnd.pypi.simple.v1.json"), packages + 1, "{seen}");
    assert_eq!(count("/vnd.pypi.simple.v1.html"), packages + 1, "{seen}");
    assert!(count(".metadata") >= packages - 1, "{seen}");

    // And again, from what it trusts by then, after the index has moved on.
    index.upload_new(Wheel::new("news", "1.0"));
    let seen = python_tuf(&index, folder.path()).success().stdout;
    assert!(seen.contains("packages/news/news-1.0-py3-none-any.whl\n"), "{seen}");
}

/// An online key that is not Ed25519, from the ceremony to pip, uv and python-tuf.
#[test]
fn it_and_pip_and_uv_read_what_an_ecdsa_key_signed() {
    let mut index = Index::init(["--online-key", "ecdsa-sha2-nistp256"]);
    index.upload(&[peers::package("blinker-"), peers::package("click-")]);
    let root = fs::read_to_string(index.data().join("store/tuf/metadata/1.root.json")).unwrap();
    let ecdsa = |text: &str| text.matches("\"scheme\":\"ecdsa-sha2-nistp256\"").count();
    // Of root, timestamp and snapshot, and the online key alone.
    assert_eq!(ecdsa(&root), 1, "{root}");
    let folder = tempfile::tempdir().unwrap();
    let seen = python_tuf(&index, folder.path()).success().stdout;
    assert!(seen.contains("packages/blinker/blinker-1.9.0-py3-none-any.whl\n"), "{seen}");
    for tool in Tool::BOTH {
        let person = Person::trusting(&index);
        person.install(tool, ["blinker", "click"]).run().success();
    }
    // And goes on with it.
    index.stop();
    let audit = index.operator(["audit", "repo", "waxseal-data"]).run().success();
    assert!(audit.screen().contains("valid"), "{audit}");
    index.start();
    index.upload_new(Wheel::new("news", "1.0"));
    let seen = python_tuf(&index, folder.path()).success().stdout;
    assert!(seen.contains("packages/news/news-1.0-py3-none-any.whl\n"), "{seen}");
}
