//! The archive of digests: it grows with the change, finds what was changed, and a torn or altered file is
//! told from a whole one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use waxseal_repository::Repository;
use waxseal_repository::archive::{Appended, Archive, ArchiveError, append, check, repair};
use waxseal_repository::audit::Pin;
use waxseal_repository::bins::{BinStyle, Bins};
use waxseal_repository::store::StoreKey;
use waxseal_testkit::simulator::TestKey;
use waxseal_tuf::hash::{Hashes, Sha256};
use waxseal_tuf::metadata::{MetaFile, Snapshot, Targets, Timestamp, Unverified, sign};

use super::index::{Index, Kind, LIMIT, hours, send, start};

struct World {
    _index: Index,
    repository: Arc<Repository>,
    process: waxseal_repository::SnapshotProcess,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let index = Index::with_bins(Kind::Memory, Bins::new(4, BinStyle::Succinct).unwrap());
        // Thieves are at it.
        index.store.set_watch(Arc::new(|_, _| {}));
        let (repository, process) = index.create().unwrap();
        process.publish_all(start()).unwrap();
        Self { _index: index, repository, process, folder: tempfile::tempdir().unwrap() }
    }

    fn upload(&self, filename: &str) {
        send(&self.repository, filename);
        self.process.publish_all(start()).unwrap();
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("index.archive")
    }

    fn pin(&self) -> Pin {
        let key = super::metadata(1, "root");
        Pin::Fingerprint(Sha256::of(&self.repository.store().read(&key, LIMIT).unwrap().unwrap()))
    }

    fn append(&self) -> Result<Appended, ArchiveError> {
        let archive = Archive::open(&self.path())?;
        let source = (self.repository.store(), &self.pin());
        append(&archive, &self.path(), source, start(), &mut |_, _| {})
    }

    fn check(&self) -> waxseal_repository::archive::Checked {
        let archive = Archive::open(&self.path()).unwrap();
        check(&archive, (self.repository.store(), &self.pin()), start(), &mut |_, _| {}).unwrap()
    }

    /// The targets that the archive has of a snapshot.
    fn state(&self, snapshot: u64) -> BTreeMap<String, String> {
        let archive = Archive::open(&self.path()).unwrap();
        let entries = archive.state_at(snapshot).unwrap().map(Result::unwrap);
        let mut last: Option<Sha256> = None;
        let entry = |entry: waxseal_repository::archive::Entry| {
            assert!(last.is_none_or(|last| last.0 < entry.order.0), "not in order");
            last = Some(entry.order);
            (entry.path, format!("{} {}", entry.digest, entry.length))
        };
        entries.map(entry).collect()
    }

    fn published(&self) -> BTreeMap<String, String> {
        let mut targets = BTreeMap::new();
        for bin in self.repository.database().bins().unwrap() {
            let role = self.repository.bins().role(bin.number);
            let key = StoreKey::Metadata { version: bin.published.unwrap().version, role };
            let bytes = self.repository.store().read(&key, LIMIT).unwrap().unwrap();
            let bin = Unverified::<Targets>::parse(&bytes).unwrap();
            for (path, file) in &bin.claims().targets {
                let digest = file.hashes.listed_sha256().unwrap();
                targets.insert(path.clone(), format!("sha256:{digest} {}", file.length));
            }
        }
        targets
    }

    fn snapshot(&self) -> u64 {
        let name = waxseal_tuf::RoleName::new("snapshot").unwrap();
        self.repository.database().role(&name).unwrap().unwrap().published
    }
}

#[test]
fn each_snapshot_can_be_had_again_and_a_piece_holds_what_changed() {
    let world = World::new();
    let mut moments = vec![(world.snapshot(), world.published())];
    let first = world.append().unwrap();
    assert!(first.full && first.removed == 0);
    // So many that one of them lists all again.
    for number in 0..70 {
        world.upload(&format!("flask-{number}.tar.gz"));
        let appended = world.append().unwrap();
        moments.push((world.snapshot(), world.published()));
        match appended.full {
            // The file, and the project's two pages; at first the two lists of projects.
            false => assert!(appended.added <= 5, "{appended:?}"),
            true => assert_eq!(number, 63),
        }
        // The same again adds nothing.
        assert_eq!(world.append().unwrap().bytes, 0);
    }
    for (snapshot, published) in &moments {
        assert_eq!(&world.state(*snapshot), published, "snapshot {snapshot}");
    }
    let archive = Archive::open(&world.path()).unwrap();
    let error = archive.state_at(9_999).unwrap_err().to_string();
    assert!(error.contains("no snapshot 9999") && error.contains("71 of them"), "{error}");
    let checked = world.check();
    assert!(checked.valid && checked.changed == 0 && checked.vanished == 0, "{checked:?}");
    assert_eq!(checked.same, moments.last().unwrap().1.len() as u64);
}

/// Any byte that is changed is found, and a file that was cut off anywhere is told from that.
#[test]
fn a_changed_archive_is_damaged_and_a_cut_one_is_torn() {
    let world = World::new();
    world.append().unwrap();
    let first = fs::read(world.path()).unwrap();
    world.upload("flask-1.0.tar.gz");
    world.append().unwrap();
    let whole = fs::read(world.path()).unwrap();
    assert_eq!(&whole[..first.len()], first, "what was there stays");

    let other = world.folder.path().join("other");
    for at in (0..whole.len()).step_by(7) {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(&other, &changed).unwrap();
        let error = Archive::open(&other).unwrap_err();
        let last = at + 2 > whole.len();
        let told = matches!(error, ArchiveError::Damaged { .. })
            || matches!(error, ArchiveError::Torn { .. }) && (last || whole[at] == b'\n');
        assert!(told, "byte {at}: {error}");
    }
    for cut in (1..whole.len()).step_by(11) {
        fs::write(&other, &whole[..cut]).unwrap();
        match Archive::open(&other) {
            Ok(archive) => {
                assert!(cut == first.len() && archive.pieces().len() == 1, "{cut}");
            }
            Err(ArchiveError::Torn { piece, offset, .. }) => {
                let (begin, number) = if cut < first.len() { (0, 1) } else { (first.len(), 2) };
                assert_eq!((piece, offset), (number, begin as u64), "{cut}");
                assert_eq!(repair(&other).unwrap(), (cut - begin) as u64);
                assert_eq!(fs::read(&other).unwrap(), &whole[..begin]);
            }
            Err(error) => panic!("{cut}: {error}"),
        }
    }
    // A whole piece that was taken out of the middle, and two that changed places.
    let mut swapped = whole[first.len()..].to_vec();
    swapped.extend_from_slice(&first);
    for bytes in [&whole[first.len()..], &swapped] {
        fs::write(&other, bytes).unwrap();
        let error = Archive::open(&other).unwrap_err();
        assert!(matches!(error, ArchiveError::Damaged { piece: 1, .. }), "{error}");
    }
    // Nothing is appended to either, and nothing is lost by trying.
    fs::write(world.path(), &whole[..whole.len() - 5]).unwrap();
    assert!(matches!(world.append().unwrap_err(), ArchiveError::Torn { piece: 2, .. }));
    assert_eq!(fs::read(world.path()).unwrap(), &whole[..whole.len() - 5]);
    repair(&world.path()).unwrap();
    world.append().unwrap();
    assert_eq!(world.state(world.snapshot()), world.published());
}

/// What a thief with the online key did is found by what was archived before.
#[test]
fn a_file_that_was_changed_or_hidden_is_found() {
    let world = World::new();
    world.upload("flask-1.0.tar.gz");
    world.upload("click-8.0.tar.gz");
    world.append().unwrap();
    world.upload("flask-2.0.tar.gz");
    forge(&world, |bin| {
        if let Some(file) = bin.targets.get_mut("packages/flask/flask-1.0.tar.gz") {
            file.hashes = Hashes::sha256(Sha256::of(b"evil"));
        }
        bin.targets.remove("packages/click/click-8.0.tar.gz");
    });
    let checked = world.check();
    assert!(!checked.valid);
    assert_eq!((checked.changed, checked.vanished, checked.added), (1, 1, 1), "{checked:?}");
    assert!(checked.changed_pages > 0);
    let [click, flask] = checked.projects.as_slice() else { panic!("{checked:?}") };
    assert_eq!((click.project.as_str(), flask.project.as_str()), ("click", "flask"));
    assert_eq!(click.files[0].found, None);
    assert_eq!(flask.files[0].path, "packages/flask/flask-1.0.tar.gz");
    let evil = format!("sha256:{}", Sha256::of(b"evil"));
    assert_eq!(flask.files[0].found.as_deref(), Some(evil.as_str()));
}

/// An index that was set back, one of other keys, and one that is not whole are not appended.
#[test]
fn what_is_not_whole_or_older_is_not_archived() {
    let world = World::new();
    world.upload("flask-1.0.tar.gz");
    world.append().unwrap();
    let before = fs::read(world.path()).unwrap();
    let unchanged = |world: &World| assert_eq!(fs::read(world.path()).unwrap(), before);

    let older = World::new();
    fs::copy(world.path(), older.path()).unwrap();
    let error = older.append().unwrap_err();
    assert!(matches!(error, ArchiveError::Older { index: 1, archive: 2 }), "{error}");
    unchanged(&older);
    assert!(!older.check().valid);

    let archive = Archive::open(&world.path()).unwrap();
    let wrong = Pin::Fingerprint(Sha256::of(b"another"));
    let source = (world.repository.store(), &wrong);
    let error = append(&archive, &world.path(), source, start(), &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, ArchiveError::Findings(_)), "{error}");
    unchanged(&world);
    // The last bin is missing: the others were written already, and are taken back.
    let last = world.repository.bins().role(3);
    let version = world.repository.database().bin(3).unwrap().unwrap().published.unwrap().version;
    world.upload("flask-2.0.tar.gz");
    let bin = world.repository.database().bin(3).unwrap().unwrap().published.unwrap().version;
    let keys = [version, bin].map(|version| StoreKey::Metadata { version, role: last.clone() });
    world.repository.store().remove(&keys).unwrap();
    let error = world.append().unwrap_err();
    assert!(error.to_string().contains("is not there"), "{error}");
    unchanged(&world);
    // Expired, as a whole.
    let late = append(
        &archive,
        &world.path(),
        (world.repository.store(), &world.pin()),
        hours(48),
        &mut |_, _| {},
    );
    assert!(matches!(late.unwrap_err(), ArchiveError::Findings(_)));
}

/// Publishes other bins with the online key, as a thief does who has it.
fn forge(world: &World, change: impl Fn(&mut Targets)) {
    let key = TestKey::new("online");
    let store = world.repository.store();
    let read = |key: &StoreKey| store.read(key, LIMIT).unwrap().unwrap();
    let timestamp_bytes = read(&StoreKey::Timestamp);
    let mut timestamp = Unverified::<Timestamp>::parse(&timestamp_bytes).unwrap().claims().clone();
    let old = read(&super::metadata(timestamp.snapshot.version, "snapshot"));
    let mut snapshot = Unverified::<Snapshot>::parse(&old).unwrap().claims().clone();
    let mut roles: BTreeMap<_, _> =
        snapshot.roles.iter().map(|(role, file)| (role.clone(), file.clone())).collect();
    let put = |key: &StoreKey, bytes: &[u8]| {
        store.create(&[waxseal_repository::store::Object { key, bytes }]).unwrap();
    };
    for number in 0..world.repository.bins().count() {
        let role = world.repository.bins().role(number);
        let version = roles[&role].version;
        let bytes = read(&StoreKey::Metadata { version, role: role.clone() });
        let mut bin = Unverified::<Targets>::parse(&bytes).unwrap().claims().clone();
        change(&mut bin);
        bin.version = version + 100;
        let forged = StoreKey::Metadata { version: bin.version, role: role.clone() };
        put(&forged, &sign(&bin, &[&key]).unwrap());
        roles.insert(role, MetaFile::version(bin.version));
    }
    snapshot.version += 100;
    snapshot.roles = roles.into_iter().collect();
    let bytes = sign(&snapshot, &[&key]).unwrap();
    put(&super::metadata(snapshot.version, "snapshot"), &bytes);
    timestamp.version += 100;
    timestamp.snapshot = MetaFile {
        version: snapshot.version,
        length: Some(bytes.len() as u64),
        hashes: Some(Hashes::sha256(Sha256::of(&bytes))),
    };
    let digest = Some(Sha256::of(&timestamp_bytes));
    store.replace_timestamp(digest, &sign(&timestamp, &[&key]).unwrap()).unwrap();
}

#[test]
fn an_archive_that_is_not_there_is_empty_and_what_is_none_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::open(&folder.path().join("none")).unwrap();
    assert_eq!(archive.pieces().len(), 0);
    let path = folder.path().join("other");
    for text in ["hello\n", "{}\n", "{\"waxseal_archive\":2}\n", "\n"] {
        fs::write(&path, text).unwrap();
        let error = Archive::open(&path).unwrap_err();
        assert!(matches!(error, ArchiveError::Damaged { .. }), "{text:?}: {error}");
    }
    fs::write(&path, "x".repeat(100_000)).unwrap();
    let error = Archive::open(&path).unwrap_err();
    assert!(error.to_string().contains("line without end"), "{error}");
    assert!(matches!(Archive::open(Path::new("/")), Err(ArchiveError::Io { .. })));
}
