//! What is particular to the store in a folder.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use waxseal_repository::StoreError;
use waxseal_repository::store::{Area, FilesystemStore, Link, Object, Store, StoreKey};
use waxseal_tuf::hash::Sha256;

use super::{file, metadata, target};

/// Every file below a folder.
fn files_below(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files_below(&entry.path()));
        } else {
            found.insert(entry.path());
        }
    }
    found
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_web_server_can_serve_the_folder_and_nothing_private() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("new/and/deep");
    let store = FilesystemStore::open(&base).unwrap();
    let from = target("packages/a/a-1.whl", b"wheel");
    let mut spooled = store.spool().unwrap();
    spooled.write_all(b"wheel").unwrap();
    assert_eq!(mode(spooled.path()), 0o600, "an unfinished upload is nobody else's");
    store.create_from_file(&from, spooled, &[]).unwrap();
    let to = file("packages/a/a-1.whl");
    store.link(&[Link { from: from.clone(), to: to.clone() }]).unwrap();
    store.create(&[Object { key: &metadata(1, "root"), bytes: b"{}" }]).unwrap();
    store.replace_timestamp(None, b"{}").unwrap();

    for key in [&from, &to, &metadata(1, "root"), &StoreKey::Timestamp] {
        assert_eq!(mode(&base.join(key.path())), 0o644, "{key}");
    }
    for public in ["", "tuf", "tuf/metadata", "tuf/targets/packages/a", "files/packages"] {
        assert_eq!(mode(&base.join(public)), 0o755, "{public}");
    }
    assert_eq!(mode(&base.join(".store")), 0o700);
    let inode = |key: &StoreKey| fs::metadata(base.join(key.path())).unwrap().ino();
    assert_eq!(inode(&from), inode(&to), "a link takes no space of its own");
}

#[test]
fn what_a_crash_left_is_swept_and_what_is_alive_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let crashed = folder.path().join(".store/spool/crashed");
    let store = FilesystemStore::open(folder.path()).unwrap();
    store.create(&[Object { key: &metadata(1, "root"), bytes: b"{}" }]).unwrap();
    // A process that was killed leaves its folder, without a lock on it.
    fs::create_dir_all(&crashed).unwrap();
    fs::write(crashed.join("half"), b"half an upload").unwrap();
    let mut uploading = store.spool().unwrap();
    uploading.write_all(b"wheel").unwrap();

    let second = FilesystemStore::open(folder.path()).unwrap();
    assert!(!crashed.exists());
    let key = target("a", b"wheel");
    store.create_from_file(&key, uploading, &[]).unwrap();
    for store in [&store, &second] {
        assert_eq!(store.read(&key, 9).unwrap().unwrap(), b"wheel");
        assert_eq!(store.read(&metadata(1, "root"), 9).unwrap().unwrap(), b"{}");
    }
    let left = |name: &str| files_below(&folder.path().join(name));
    assert_eq!(left(".store/spool"), BTreeSet::new());
    drop((store, second));
    assert_eq!(fs::read_dir(folder.path().join(".store/spool")).unwrap().count(), 0);
}

#[test]
fn failures_name_the_path_and_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let store = FilesystemStore::open(folder.path()).unwrap();
    // A file where a folder has to be, as somebody's stray copy would make it.
    fs::create_dir(folder.path().join("files")).unwrap();
    fs::write(folder.path().join("files/packages"), b"stray").unwrap();
    let before = files_below(folder.path());
    let error =
        store.create(&[Object { key: &file("packages/a/a-1.whl"), bytes: b"wheel" }]).unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }));
    assert!(error.to_string().contains("files/packages"), "{error}");
    assert_eq!(files_below(folder.path()), before);

    let long = file(&"x".repeat(300));
    let error = store.create(&[Object { key: &long, bytes: b"wheel" }]).unwrap_err();
    assert!(error.to_string().contains("xxx"), "{error}");
    assert_eq!(files_below(folder.path()), before);
}

#[test]
fn a_store_where_a_file_is_cannot_be_opened() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("notes.txt");
    fs::write(&base, b"mine").unwrap();
    let error = FilesystemStore::open(&base).unwrap_err();
    assert!(error.to_string().contains("notes.txt"), "{error}");
    assert_eq!(fs::read(&base).unwrap(), b"mine");
}

#[test]
fn symbolic_links_are_no_objects() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, b"key").unwrap();
    let store = FilesystemStore::open(folder.path().join("store")).unwrap();
    let key = file("packages/a/a-1.whl");
    store.create(&[Object { key: &file("packages/a/b"), bytes: b"b" }]).unwrap();
    symlink(&secret, store.base().join(key.path())).unwrap();

    assert!(store.read(&key, 99).is_err());
    assert!(store.open(&key).is_err());
    assert!(store.create(&[Object { key: &key, bytes: b"key" }]).is_err());
    let to = file("packages/a/c");
    assert!(store.link(&[Link { from: key.clone(), to: to.clone() }]).is_err());
    assert!(store.read(&to, 99).unwrap().is_none());
    let listed: Vec<_> = store.list(Area::Files).unwrap().map(Result::unwrap).collect();
    let stranger = listed.iter().find(|one| one.path == key.path()).unwrap();
    assert_eq!(stranger.key, None);

    let timestamp = store.base().join(StoreKey::Timestamp.path());
    fs::create_dir_all(timestamp.parent().unwrap()).unwrap();
    symlink(&secret, timestamp).unwrap();
    assert!(store.replace_timestamp(Some(Sha256::of(b"key")), b"new").is_err());
    assert_eq!(fs::read(&secret).unwrap(), b"key");
}

#[test]
fn strangers_are_listed_without_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let store = FilesystemStore::open(folder.path()).unwrap();
    store.create(&[Object { key: &metadata(1, "root"), bytes: b"{}" }]).unwrap();
    fs::write(folder.path().join("tuf/metadata/README"), b"mine").unwrap();
    let listed: Vec<_> = store.list(Area::Metadata).unwrap().map(Result::unwrap).collect();
    let stranger = listed.iter().find(|one| one.path == "tuf/metadata/README").unwrap();
    assert_eq!((&stranger.key, stranger.length, listed.len()), (&None, 4, 2));
}

#[test]
fn two_processes_share_the_timestamp() {
    let folder = tempfile::tempdir().unwrap();
    let one = FilesystemStore::open(folder.path()).unwrap();
    let two = FilesystemStore::open(folder.path()).unwrap();
    one.replace_timestamp(None, b"one").unwrap();
    assert!(matches!(two.replace_timestamp(None, b"two"), Err(StoreError::Changed { .. })));
    two.replace_timestamp(Some(Sha256::of(b"one")), b"two").unwrap();
    let late = one.replace_timestamp(Some(Sha256::of(b"one")), b"three");
    assert!(late.unwrap_err().to_string().contains("make sure that only one runs"));
}
