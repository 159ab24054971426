//! An index that exists is taken over: all of it in one snapshot, or nothing.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use waxseal_repository::bins::{BinStyle, Bins};
use waxseal_repository::import::{ImportError, ImportOptions, ImportProgress, Imported};
use waxseal_repository::{Accepted, Published, Repository, SnapshotProcess};
use waxseal_tuf::TargetPath;
use waxseal_tuf::hash::Sha256;

use super::audit::{Client, read_present};
use super::audit_keys::prove_logged;
use super::index::{Index, Kind, hours, send, start, upload};
use waxseal_testkit::faulty_store::Fault;
use waxseal_testkit::simulator::TestKey;

fn digest(text: &str) -> String {
    Sha256::of(text.as_bytes()).to_string()
}

pub(crate) fn line(path: &str, content: &str) -> String {
    let (length, digest) = (content.len(), digest(content));
    format!("{{\"path\":\"{path}\",\"length\":{length},\"hashes\":{{\"sha256\":\"{digest}\"}}}}\n")
}

fn lines(count: usize) -> String {
    (0..count).map(|n| line(&format!("packages/p{}/p-{n}.whl", n % 97), &format!("{n}"))).collect()
}

fn import_at(
    index: &Index,
    process: &SnapshotProcess,
    content: &[u8],
    replace: bool,
    now: Timestamp,
) -> Result<Imported, ImportError> {
    let file: PathBuf = index.path().join("import");
    std::fs::write(&file, content).unwrap();
    let options = ImportOptions { replace, ..options(index) };
    process.import(&file, &options, now, &|_| {})
}

fn options(index: &Index) -> ImportOptions {
    ImportOptions { replace: false, scratch: index.path().to_owned(), memory: 1 << 20 }
}

fn import(
    index: &Index,
    process: &SnapshotProcess,
    content: &[u8],
) -> Result<Imported, ImportError> {
    import_at(index, process, content, false, start())
}

fn published(repository: &Repository, path: &str) -> Option<String> {
    let target = repository.target(&TargetPath::new(path).unwrap()).unwrap();
    target.map(|target| target.hashes.file_name_digest().unwrap().to_owned())
}

/// An index whose files are elsewhere.
fn index_of(kind: Kind, bins: u64) -> (Index, Arc<Repository>, SnapshotProcess) {
    let index = Index::with_bins(kind, Bins::new(bins, BinStyle::Succinct).unwrap());
    index.store.files_are_elsewhere();
    let (repository, process) = index.create().unwrap();
    (index, repository, process)
}

/// A client finds each target of a file, wherever that lies.
fn check(repository: &Repository, content: &str) {
    assert_eq!(repository.database().batch().unwrap(), None);
    let found = RefCell::new(BTreeSet::new());
    let absent = |path: &str| _ = found.borrow_mut().insert(path.to_owned());
    let trust = &mut BTreeMap::new();
    read_present(repository.store(), trust, Timestamp::UNIX_EPOCH, &absent).unwrap();
    for line in content.lines() {
        assert!(found.borrow().contains(line.split('"').nth(3).unwrap()), "{line}");
    }
    check_digests(repository, content);
}

fn check_digests(repository: &Repository, content: &str) {
    prove_logged(repository);
    for line in content.lines() {
        let path = line.split('"').nth(3).unwrap();
        assert!(line.contains(&published(repository, path).unwrap()), "{line}");
    }
}

#[test]
fn a_file_is_published_in_one_snapshot_however_it_is_packed() {
    let content = lines(1_000);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(content.as_bytes()).unwrap();
    let packed = [
        content.clone().into_bytes(),
        gzip.finish().unwrap(),
        zstd::encode_all(content.as_bytes(), 1).unwrap(),
    ];
    for packed in packed {
        let (index, repository, process) = index_of(Kind::Filesystem, 8);
        let imported = import(&index, &process, &packed).unwrap();
        let first = Published { snapshot: 1, serial: 0 };
        let all = Imported { targets: 1_000, bins: 8, resumed: 0, published: Some(first) };
        assert_eq!(imported, all);
        check(&repository, &content);
        // Again: nothing to do.
        let again = import(&index, &process, &packed).unwrap();
        assert_eq!(again, Imported { targets: 1_000, bins: 0, resumed: 0, published: None });
        // And uploads go on.
        send(&repository, "flask-3.0.tar.gz");
        process.publish_all(hours(1)).unwrap();
        check(&repository, &content);
        assert!(published(&repository, "packages/flask/flask-3.0.tar.gz").is_some());
    }
}

#[test]
fn what_a_line_says_beside_a_sha256_is_kept() {
    let (index, repository, process) = index_of(Kind::Memory, 8);
    let (sha256, sha512) = (digest("x"), "ab".repeat(64));
    let content = format!(
        "\n  {{\"custom\":{{\"a\":[1,\"é\\\"}}\"]}}, \"hashes\": {{\"sha512\":\"{sha512}\",\"sha256\":\
         \"{sha256}\"}},\"path\":\"a\\u0020b/\\\"c\", \"length\": 9007199254740991}}\r\n\n"
    );
    import(&index, &process, content.as_bytes()).unwrap();
    let target = repository.target(&TargetPath::new("a b/\"c").unwrap()).unwrap().unwrap();
    assert_eq!(target.length, 9_007_199_254_740_991);
    let hashes: Vec<_> = target.hashes.iter().collect();
    assert_eq!(hashes, [("sha256", sha256.as_str()), ("sha512", sha512.as_str())]);
    assert_eq!(target.custom.unwrap().to_json(), "{\"a\":[1,\"é\\\"}\"]}".as_bytes());
}

#[test]
fn a_bad_line_is_named_and_nothing_is_published() {
    let (index, repository, process) = Index::published(Kind::Memory);
    let good = lines(50_000);
    let calls = index.store.calls().len();
    for (bad, words) in [
        ("{\"path\":\"a\"}".to_owned(), "length"),
        ("x".to_owned(), "line 50001: expected a value at column 1; nothing"),
        (line("/etc/passwd", ""), "empty segment"),
        (line("a/../b", ""), "`..`"),
        ("{\"path\":\"a\",\"length\":1,\"hashes\":{\"md5\":\"00\"}}".to_owned(), "SHA-256"),
        (
            format!(
                "{{\"path\":\"a\",\"length\":1.5,\"hashes\":{{\"sha256\":\"{}\"}}}}",
                digest("")
            ),
            "integer",
        ),
        ("y".repeat(3 << 20), "line 50001: is longer than"),
    ] {
        let content = format!("{good}{bad}\n{}", line("later", "x"));
        let error = import(&index, &process, content.as_bytes()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(words) && text.contains("nothing was published"), "{text}");
        if let ImportError::Line { line, .. } = error {
            assert_eq!(line, 50_001);
        }
    }
    assert_eq!(index.store.calls().len(), calls);
    assert_eq!(published(&repository, "packages/p0/p-0.whl"), None);
}

#[test]
fn files_that_are_cut_off_are_not_taken_for_whole() {
    let (index, _repository, process) = Index::published(Kind::Memory);
    let content = lines(1_000);
    let packed = zstd::encode_all(content.as_bytes(), 1).unwrap();
    for cut in [packed.len() - 1, packed.len() / 2] {
        let error = import(&index, &process, &packed[..cut]).unwrap_err();
        assert!(matches!(error, ImportError::File { .. }), "{error}");
        assert!(error.to_string().contains("it is cut off: copy or pack it again"), "{error}");
    }
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(content.as_bytes()).unwrap();
    let packed = gzip.finish().unwrap();
    let error = import(&index, &process, &packed[..packed.len() / 2]).unwrap_err();
    assert!(error.to_string().contains("it is cut off: copy or pack it again"), "{error}");
    let cut = &content[..content.len() - 5];
    let error = import(&index, &process, cut.as_bytes()).unwrap_err();
    assert!(matches!(error, ImportError::Line { line: 1_000, .. }), "{error}");
    let nowhere = process.import(&index.path().join("nothing"), &options(&index), start(), &|_| {});
    assert!(nowhere.unwrap_err().to_string().contains("nothing"));
}

#[test]
fn other_content_is_a_conflict_unless_it_is_to_be_replaced() {
    let (index, repository, process) = index_of(Kind::Memory, 8);
    let content = lines(100);
    import(&index, &process, content.as_bytes()).unwrap();
    let other = line("packages/p3/p-3.whl", "other") + &line("packages/p4/p-4.whl", "other");
    let file = content.clone() + &other;
    let twice = import(&index, &process, file.as_bytes()).unwrap_err();
    // Whichever of the two is met first.
    let (p3, p4) = (Some((4, 101)), Some((5, 102)));
    assert!(
        matches!(&twice, ImportError::Twice { lines, .. } if *lines == p3 || *lines == p4),
        "{twice}"
    );
    assert!(twice.to_string().contains("keep the line that is right and import again"), "{twice}");
    let error = import(&index, &process, other.as_bytes()).unwrap_err();
    assert!(
        matches!(&error, ImportError::Conflict { count: 2, paths } if paths.len() == 2),
        "{error}"
    );
    check(&repository, &content);
    import_at(&index, &process, other.as_bytes(), true, start()).unwrap();
    check(&repository, &other);
    assert_eq!(published(&repository, "packages/p5/p-5.whl"), Some(digest("5")));
}

#[test]
fn what_is_uploaded_here_is_not_for_an_import_to_change() {
    let (index, repository, process) = index_of(Kind::Memory, 8);
    process.publish_all(start()).unwrap();
    // While there are no projects, the list is the file's to bring.
    let list = line("simple/vnd.pypi.simple.v1.json", "list");
    import(&index, &process, list.as_bytes()).unwrap();
    check(&repository, &list);

    let (index, repository, process) = Index::published(Kind::Memory);
    send(&repository, "flask-3.0.tar.gz");
    for path in [
        "packages/flask/flask-3.0.tar.gz",
        "packages/flask/other",
        "simple/flask/vnd.pypi.simple.v1.json",
        "simple/vnd.pypi.simple.v1.html",
    ] {
        let error = import_at(&index, &process, line(path, "x").as_bytes(), true, start());
        assert!(matches!(error.unwrap_err(), ImportError::Hosted { path: named } if named == path));
    }
    // What waited was published all the same.
    Client::default().audit(&repository, start());
    assert_eq!(repository.database().published_serial().unwrap(), 1);
}

/// A crash at each write of an import of many bins; the next run goes on, or begins anew.
#[test]
fn an_interrupted_import_is_gone_on_with() {
    let content = lines(30_000);
    let mut resumed = Vec::new();
    for (call, fault) in
        [(0, Fault::All), (3, Fault::FirstHalf), (3, Fault::All), (4, Fault::Nothing)]
    {
        let (index, repository, process) = index_of(Kind::Memory, 16_384);
        index.store.fail(index.store.calls().len() + call, 1, fault);
        import(&index, &process, content.as_bytes()).unwrap_err();
        index.store.remember(&index.store);
        drop((repository, process));
        let (repository, process) = index.open().unwrap();
        let imported = import_at(&index, &process, content.as_bytes(), false, hours(1)).unwrap();
        // The first snapshot of this index, whatever happened.
        assert_eq!(imported.published, Some(Published { snapshot: 1, serial: 0 }));
        assert_eq!(imported.bins, 16_384);
        // Other clients take no more than 1 MB of a snapshot, or 2.
        let snapshot = super::audit::metadata(repository.store(), 1, "snapshot");
        assert!((400_000..1_000_000).contains(&snapshot.len()), "{}", snapshot.len());
        check_digests(&repository, &content);
        // One name never has two contents.
        index.store.remember(&index.store);
        resumed.push(imported.resumed);
    }
    // Bins are written in four calls, a slice in each.
    assert_eq!(resumed[0], 4_096);
    assert!((12_288..16_384).contains(&resumed[1]), "{resumed:?}");
    assert_eq!(resumed[2..], [16_384, 16_384]);
}

/// Two signatures of an ECDSA key over the same are not the same, and what is there counts.
#[test]
fn an_interrupted_import_is_gone_on_with_whatever_signs() {
    let content = lines(2_000);
    for calls in 0..2 {
        let mut index = Index::with_bins(Kind::Memory, Bins::new(64, BinStyle::Succinct).unwrap());
        index.online = TestKey::ecdsa_p256();
        index.store.files_are_elsewhere();
        let (repository, process) = index.create().unwrap();
        // All is written, and the last call is said to have failed: the one that creates bins and
        // snapshot, or the one after it.
        index.store.fail(index.store.calls().len() + calls, 1, Fault::All);
        import(&index, &process, content.as_bytes()).unwrap_err();
        index.store.remember(&index.store);
        drop((repository, process));
        let (repository, process) = index.open().unwrap();
        let imported = import_at(&index, &process, content.as_bytes(), false, hours(1)).unwrap();
        assert_eq!((imported.bins, imported.resumed), (64, 64), "after {calls} calls");
        assert_eq!(imported.published, Some(Published { snapshot: 1, serial: 0 }));
        check(&repository, &content);
        index.store.remember(&index.store);
    }
}

#[test]
fn another_file_or_an_upload_ends_an_interrupted_import() {
    let (content, other) = (lines(2_000), lines(2_001));
    for kind in ["other file", "upload", "late"] {
        let (index, repository, process) = index_of(Kind::Memory, 16_384);
        index.store.fail(index.store.calls().len() + 1, 1, Fault::All);
        import(&index, &process, content.as_bytes()).unwrap_err();
        drop((repository, process));
        let (repository, process) = index.open().unwrap();
        let imported = match kind {
            "other file" => import(&index, &process, other.as_bytes()).unwrap(),
            "late" => import_at(&index, &process, content.as_bytes(), false, hours(23)).unwrap(),
            _ => {
                send(&repository, "flask-3.0.tar.gz");
                process.publish_all(start()).unwrap();
                import(&index, &process, content.as_bytes()).unwrap()
            }
        };
        assert_eq!(imported.resumed, 0, "{kind}");
        assert!(imported.published.unwrap().snapshot > 1, "{kind}: a version was used again");
        check_digests(&repository, &content);
    }
}

/// More bytes than are kept in memory, so that partitions go through the file.
#[test]
fn a_file_larger_than_the_memory_for_it_is_sorted_on_disk() {
    let (index, repository, process) = index_of(Kind::Memory, 8);
    let tail = "y".repeat(900);
    let path = index.path().join("import");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    let count = 10_000;
    for n in 0..count {
        file.write_all(line(&format!("{n}/{tail}"), &n.to_string()).as_bytes()).unwrap();
    }
    drop(file);
    let seen = std::sync::Mutex::new(Vec::new());
    let progress = |now| seen.lock().unwrap().push(now);
    let imported = process.import(&path, &options(&index), start(), &progress).unwrap();
    assert_eq!(imported.targets, count);
    for n in (0..count).step_by(97) {
        assert_eq!(published(&repository, &format!("{n}/{tail}")), Some(digest(&n.to_string())));
    }
    let seen = seen.into_inner().unwrap();
    let read = seen.iter().filter(|now| matches!(now, ImportProgress::Reading { .. })).count();
    assert!(read > 5, "{read}");
    assert!(matches!(seen.last(), Some(ImportProgress::Signing { bins: 8, total: 8 })));
    // Nothing of it stays.
    let names: Vec<_> =
        std::fs::read_dir(index.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().contains("tmp")), "{names:?}");
}

/// What came by an import would otherwise be where neither the API nor an upload can take it out.
#[test]
fn projects_of_an_import_take_no_uploads() {
    let (index, repository, process) = index_of(Kind::Memory, 8);
    let page = "simple/paged/vnd.pypi.simple.v1.json";
    let content: String = ["packages/demo/demo-1.0.whl", "packages/paged/paged-1.0.whl", page]
        .map(|path| line(path, "x"))
        .concat();
    import(&index, &process, content.as_bytes()).unwrap();
    for (file, path) in [("demo-2.0.tar.gz", "packages/demo/"), ("paged-2.0.tar.gz", page)] {
        let refused = upload(&repository, file, b"x").unwrap();
        assert_eq!(refused, Accepted::Foreign { path: path.to_owned() });
    }
    send(&repository, "demo-b-1.0.tar.gz");
    // Nothing of what is uploaded was taken from it.
    assert_eq!(repository.database().last_serial().unwrap(), 1);
}
