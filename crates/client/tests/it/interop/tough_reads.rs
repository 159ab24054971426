//! The crate `tough` reads our classic bins, and we read what its editor writes.

use std::fs;
use std::num::NonZeroU64;
use std::path::Path;

use data_encoding::HEXLOWER;
use jiff::Timestamp as Time;
use tough::editor::RepositoryEditor;
use tough::key_source::{KeySource, LocalKeySource};
use tough::schema::{PathHashPrefix, PathSet, Target};
use tough::{FilesystemTransport, IntoVec as _, RepositoryLoader, TargetName};
use url::Url;
use waxseal_testkit::keys::TestKey;
use waxseal_testkit::simulator::{Simulator, time};
use waxseal_tuf::hash::Sha256;

use super::ours::{Ours, write};
use super::python_tuf_reads::Repository;

/// Those whose file names are the same in a `file:` URL, which tough does not decode.
const PATHS: [&str; 6] = [
    "packages/flask/flask-3.0.0-py3-none-any.whl",
    "packages/flask/flask-3.0.0-py3-none-any.whl.metadata",
    "simple/flask/vnd.pypi.simple.v1.json",
    "simple/flask/vnd.pypi.simple.v1.html",
    "a+b/c~d.tar.gz",
    "file",
];

fn url(folder: &Path) -> Url {
    Url::from_directory_path(folder.canonicalize().unwrap()).unwrap()
}

/// tough lives now, not when the simulator's clients do.
fn far_off() -> Time {
    time("2120-01-01T00:00:00Z")
}

/// Writes a repository, and each target under the name by which tough asks for it as well: with
/// consistent snapshots that is `HASH.a/b` for `a/b`, where TUF 5.7.3 puts the digest before the
/// file's name, `a/HASH.b`.
fn write_for_tough(simulator: &Simulator, folder: &Path) {
    write(simulator, folder);
    for targets in simulator.targets.values() {
        for (path, file) in &targets.targets {
            let digest = file.hashes.file_name_digest().unwrap();
            let location = folder.join("targets").join(format!("{digest}.{path}"));
            fs::create_dir_all(location.parent().unwrap()).unwrap();
            fs::write(location, &simulator.target_files[path]).unwrap();
        }
    }
}

async fn load(folder: &Path) -> Result<tough::Repository, tough::error::Error> {
    let root = fs::read(folder.join("metadata/1.root.json")).unwrap();
    let (metadata, targets) = (url(&folder.join("metadata")), url(&folder.join("targets")));
    RepositoryLoader::new(&root, metadata, targets).transport(FilesystemTransport).load().await
}

/// The content of a target, or why it was refused.
async fn read(repository: &tough::Repository, path: &str) -> Result<Option<Vec<u8>>, String> {
    let name = TargetName::new(path).unwrap();
    match repository.read_target(&name).await.map_err(|error| error.to_string())? {
        Some(stream) => Ok(Some(stream.into_vec().await.map_err(|error| error.to_string())?)),
        None => Ok(None),
    }
}

#[tokio::test]
async fn tough_reads_our_classic_bins() {
    for (bins, consistent, rotations) in [(2, true, 0), (16, true, 3), (4, false, 1)] {
        let repository = Repository::classic_bins(consistent, bins, &PATHS);
        let repository = repository.expiring(far_off()).rotated(rotations);
        let folder = tempfile::tempdir().unwrap();
        write_for_tough(&repository.simulator, folder.path());
        let tough = load(folder.path()).await.unwrap();
        assert_eq!(tough.root().signed.version.get(), u64::from(rotations) + 1);
        for (path, content) in &repository.present {
            assert_eq!(read(&tough, path).await.as_ref(), Ok(&Some(content.clone())), "{path}");
        }
        for path in &repository.absent {
            assert_eq!(read(&tough, path).await, Ok(None), "{path}");
        }
    }
}

#[tokio::test]
async fn tough_reads_what_each_type_of_key_signs() {
    for (name, key) in TestKey::of_each_type() {
        let repository = Repository::signed_by(&[key]).expiring(far_off());
        let folder = tempfile::tempdir().unwrap();
        write_for_tough(&repository.simulator, folder.path());
        Ours::refreshed(folder.path()).unwrap();
        let tough = load(folder.path()).await;
        // It knows no other curve than P-256.
        if name == "ecdsa-sha2-nistp384" {
            let refused = format!("{:?}", tough.unwrap_err());
            assert!(refused.contains("Invalid SubjectPublicKeyInfo"), "{refused}");
            continue;
        }
        let tough = tough.unwrap();
        for (path, content) in &repository.present {
            assert_eq!(read(&tough, path).await.as_ref(), Ok(&Some(content.clone())), "{name}");
        }
    }
}

#[tokio::test]
async fn tough_refuses_what_was_changed() {
    let repository = Repository::classic_bins(true, 2, &PATHS).expiring(far_off()).rotated(1);
    let (simulator, path) = (&repository.simulator, PATHS[0]);
    let mut current: Vec<String> = vec!["timestamp.json".into(), "2.root.json".into()];
    current.push(simulator.path("snapshot", simulator.snapshot.version));
    for (name, targets) in &simulator.targets {
        current.push(simulator.path(name.as_str(), targets.version));
    }
    assert_eq!(current.len(), 3 + ["targets", "bins", "bin-0", "bin-1"].len());
    for file in current {
        let mut changed = simulator.clone();
        changed.replace_text(&file, "2120-", "2121-");
        let folder = tempfile::tempdir().unwrap();
        write(&changed, folder.path());
        assert!(load(folder.path()).await.is_err(), "{file}");
    }
    for change in [b"changed".to_vec(), repository.present[path].repeat(2), Vec::new()] {
        let mut changed = simulator.clone();
        changed.target_files.insert(path.to_owned(), change);
        let folder = tempfile::tempdir().unwrap();
        write_for_tough(&changed, folder.path());
        let tough = load(folder.path()).await.unwrap();
        assert!(read(&tough, path).await.is_err());
        let unchanged = read(&tough, PATHS[1]).await;
        assert_eq!(unchanged.as_ref(), Ok(&repository.present.get(PATHS[1]).cloned()));
    }
}

/// What tough does otherwise than TUF 1.0.34 or TAP 15 say, for those who use it with our indexes.
#[tokio::test]
async fn what_tough_does_not_read_is_known() {
    // TAP 15 is not known to it: delegations without `roles` are malformed.
    let succinct = Repository::succinct_bins(true, 1).expiring(far_off());
    // It signs and checks what Unicode normalisation makes of the metadata.
    let denormal = Repository::classic_bins(true, 2, &["e\u{301}"]).expiring(far_off());
    // A role that lists a path it is not trusted with: TUF passes over it (5.6.7), tough refuses all.
    let misplaced = Repository::classic_bins(true, 2, &PATHS).expiring(far_off()).misplaced(2);
    for (repository, reason) in [
        (succinct, "missing field `roles`"),
        (denormal, "signature"),
        (misplaced, "TargetNotFound"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        write(&repository.simulator, folder.path());
        Ours::refreshed(folder.path()).unwrap();
        let refused = load(folder.path()).await.map(drop).unwrap_err();
        let refused = format!("{refused} {refused:?}");
        assert!(refused.contains(reason), "{refused}");
    }
}

/// Targets in folders can be fetched by tough only where consistent snapshots are off, or where
/// copies lie at the names that it asks for.
#[tokio::test]
async fn where_tough_looks_for_targets_is_known() {
    for consistent in [true, false] {
        let repository = Repository::classic_bins(consistent, 2, &PATHS).expiring(far_off());
        let folder = tempfile::tempdir().unwrap();
        write(&repository.simulator, folder.path());
        let tough = load(folder.path()).await.unwrap();
        for (path, content) in &repository.present {
            let found = read(&tough, path).await;
            match consistent && path.contains('/') {
                true => assert!(found.is_err_and(|error| error.contains("file not found"))),
                false => assert_eq!(found.as_ref(), Ok(&Some(content.clone()))),
            }
        }
    }
}

/// The Ed25519 key that a [`TestKey`](waxseal_testkit::simulator::TestKey) of this label has, in a
/// file (PKCS#8 version 1).
fn key_file(folder: &Path, label: &str) -> Vec<Box<dyn KeySource>> {
    let start = HEXLOWER.decode(b"302e020100300506032b657004220420").unwrap();
    let path = folder.join(format!("{label}.key"));
    fs::write(&path, [&start[..], &Sha256::of(label.as_bytes()).0].concat()).unwrap();
    vec![Box::new(LocalKeySource { path })]
}

/// Writes a repository of two bins of half the hash prefixes each, with each path in the bin that
/// it falls into, whose content is the path.
async fn write_with_tough(folder: &Path, paths: &[&str]) -> Result<(), tough::error::Error> {
    let (first, far_off) = (NonZeroU64::MIN, far_off());
    let key = |label: &str| key_file(folder, label);
    let mut editor = RepositoryEditor::new(folder.join("metadata/1.root.json")).await?;
    editor.targets_version(first)?.targets_expires(far_off)?;
    for (name, half) in [("low", "01234567"), ("high", "89abcdef")] {
        let prefixes = half.chars().map(|digit| PathHashPrefix::new(digit).unwrap());
        let bin = PathSet::PathHashPrefixes(prefixes.collect());
        editor.delegate_role(name, &key(name), bin, true, first, far_off, first).await?;
    }
    editor.sign_targets_editor(&key("targets")).await?;
    for name in ["low", "high"] {
        editor.change_delegated_targets(name)?.targets_version(first)?.targets_expires(far_off)?;
        let is_low = |path: &&&str| Sha256::of(path.as_bytes()).0[0] < 0x80;
        for path in paths.iter().filter(|path| is_low(path) == (name == "low")) {
            let file = folder.join("content");
            fs::write(&file, path).unwrap();
            editor.add_target(*path, Target::from_path(&file).await.unwrap())?;
        }
        editor.sign_targets_editor(&key(name)).await?;
    }
    editor.snapshot_version(first).snapshot_expires(far_off);
    editor.timestamp_version(first).timestamp_expires(far_off);
    let online: Vec<_> = ["timestamp", "snapshot"].into_iter().flat_map(key).collect();
    editor.sign(&online).await?.write(folder.join("metadata")).await
}

#[tokio::test]
async fn we_read_what_tough_writes() {
    for consistent in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let mut simulator = Repository::new(consistent).simulator;
        // Root is ours: the editor only takes one.
        simulator.files.retain(|path, _| path == "1.root.json");
        write(&simulator, folder);
        write_with_tough(folder, &PATHS).await.unwrap();
        let mut ours = Ours::refreshed(folder).unwrap();
        for path in PATHS {
            let file = ours.find(path).unwrap().unwrap();
            let sha256 = Sha256::of(path.as_bytes()).to_string();
            assert_eq!(file.hashes.file_name_digest(), Some(&*sha256));
            assert_eq!(file.length, path.len() as u64);
        }
        assert_eq!(ours.find("nowhere").unwrap(), None);
    }
}
