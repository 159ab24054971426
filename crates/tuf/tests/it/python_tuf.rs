//! A repository that python-tuf wrote, read by this crate. `../data/README.md` says how it was made.

use std::collections::BTreeMap;

use waxseal_testkit::simulator::{Store, drive, drive_search, role, target_path, time};
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::{Error, Limits, MetadataFile, Search, TargetCheck, TargetFile, Updater};

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_bytes!(concat!("../data/python-tuf/", $name)).as_slice())),*]
    };
}

const FILES: [(&str, &[u8]); 10] = files![
    "1.root.json",
    "2.root.json",
    "timestamp.json",
    "1.snapshot.json",
    "1.targets.json",
    "1.bins.json",
    "1.bin-0.json",
    "1.bin-1.json",
    "1.bin-2.json",
    "1.bin-3.json",
];

const TARGETS: [(&str, &[u8]); 4] = [
    ("packages/flask/flask-3.0.0-py3-none-any.whl", b"wheel"),
    ("packages/flask/flask-3.0.0-py3-none-any.whl.metadata", b"metadata"),
    ("simple/flask/vnd.pypi.simple.v1.json", b"{}"),
    ("packages/\u{e9}t\u{e9}/e\u{301}.whl", b"not normalised"),
];

type Files = BTreeMap<&'static str, Vec<u8>>;

fn files() -> Files {
    FILES.map(|(name, bytes)| (name, bytes.to_vec())).into()
}

/// Refreshes from the first root, and finds a path.
fn find(files: &Files, store: &mut Store, path: &str) -> Result<Option<TargetFile>, Error> {
    let fetch = |file: &MetadataFile| files.get(file.path.as_str()).cloned();
    let (now, limits) = (time("2030-01-01T00:00:00Z"), Limits::default());
    let updater = Updater::new(FILES[0].1, now, limits)?;
    let mut trusted = drive(updater, store, fetch)?;
    let search = Search::new(target_path(path), &trusted, limits)?;
    drive_search(search, &mut trusted, store, fetch)
}

#[test]
fn every_target_is_found_and_checked() {
    let (files, mut store) = (files(), Store::new());
    for (path, content) in TARGETS {
        let file = find(&files, &mut store, path).unwrap().unwrap();
        assert_eq!(file.hashes.file_name_digest(), Some(&*Sha256::of(content).to_string()));
        assert!(file.hashes.iter().any(|(algorithm, _)| algorithm == "sha512"));
        let mut check = TargetCheck::new(target_path(path), &file).unwrap();
        check.update(content).unwrap();
        assert_eq!(check.finish(), Ok(()));
    }
    assert_eq!(store[&role("root")], files["2.root.json"]);
    assert_eq!(store[&role("bins")], files["1.bins.json"]);
    assert_eq!(find(&files, &mut store, "packages/flask/other.whl"), Ok(None));
    assert_eq!(find(&files, &mut store, "other/flask/flask-3.0.0-py3-none-any.whl"), Ok(None));
}

#[test]
fn every_changed_byte_is_refused() {
    let (honest, path) = (files(), TARGETS[0].0);
    let mut used = Store::new();
    find(&honest, &mut used, path).unwrap().unwrap();
    let bin = used.keys().find(|role| role.as_str().starts_with("bin-")).unwrap();
    let bin = format!("1.{bin}.json");
    let names =
        ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json", "1.bins.json"];
    for name in names.into_iter().chain([bin.as_str()]) {
        for at in (0..honest[name].len()).step_by(5) {
            let mut changed = honest.clone();
            changed.get_mut(name).unwrap()[at] ^= 1;
            let refused = find(&changed, &mut Store::new(), path);
            assert!(refused.is_err(), "{name} at byte {at}");
        }
    }
}
