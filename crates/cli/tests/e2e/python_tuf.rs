//! python-tuf's `Updater` against a running index.

use std::path::Path;

use waxseal_testkit::peers::{self, CleanCommand, Outcome};

use crate::harness::{Index, Wheel};

fn python_tuf(index: &Index, folder: &Path) -> Outcome {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/data/python_tuf.py");
    let root = index.data().join("store/tuf/metadata/1.root.json");
    CleanCommand::new(peers::python()).arg(script).arg(&index.url).arg(root).arg(folder).run()
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
