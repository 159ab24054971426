//! An index that exists is adopted: `repo init`, `repo import`, and `repo gc` of what later imports replace.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use waxseal_testkit::peers::{CleanCommand, Outcome};
use waxseal_tuf::hash::Sha256;

use crate::harness::{Index, Process, assert_shows, exited, waxseal};

/// The folder of an operator, with an index in `waxseal-data` that is not served.
struct Operator {
    folder: TempDir,
}

impl Operator {
    fn init(bins: u32) -> Self {
        let this = Self { folder: tempfile::tempdir().unwrap() };
        let bins = bins.to_string();
        this.waxseal(["repo", "init", "--development", "--bins", &bins]).run().success();
        this
    }

    fn waxseal<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> CleanCommand {
        waxseal(args).current_dir(self.folder.path())
    }

    /// `repo import` of a file of this content.
    fn import(&self, content: impl AsRef<[u8]>) -> CleanCommand {
        fs::write(self.folder.path().join("targets"), content).unwrap();
        self.waxseal(["repo", "import", "targets"])
    }

    /// What a command with `--json` says on stdout, which is nothing else.
    fn json(command: CleanCommand) -> Value {
        let outcome = command.arg("--json").run().success();
        serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome}"))
    }

    /// The report of an audit that found nothing wrong.
    fn audit(&self) -> Value {
        let report = Self::json(self.waxseal(["audit", "repo", "waxseal-data"]));
        assert_eq!(report["valid"], true, "{report}");
        report
    }

    fn status(&self) -> Value {
        Self::json(self.waxseal(["repo", "status"]))
    }

    fn metadata(&self) -> PathBuf {
        self.folder.path().join("waxseal-data/store/tuf/metadata")
    }

    fn count_metadata(&self) -> u64 {
        fs::read_dir(self.metadata()).unwrap().count() as u64
    }

    #[track_caller]
    fn assert_nothing_is_published(&self) {
        assert_eq!(self.status()["snapshot"], Value::Null);
        assert!(!self.metadata().join("timestamp.json").exists());
    }
}

/// A line of an import file, of a target that says so.
fn line(path: &str, content: &str) -> String {
    let (length, digest) = (content.len(), Sha256::of(content.as_bytes()));
    format!(
        "{{\"path\": \"{path}\", \"length\": {length}, \"hashes\": {{\"sha256\": \"{digest}\"}}}}\n"
    )
}

fn lines(count: usize, content: &str) -> String {
    (0..count).map(|n| line(&format!("packages/p{}/p-{n}.whl", n % 97), content)).collect()
}

#[track_caller]
fn refused(outcome: &Outcome, words: &[&str]) {
    exited(outcome, 1);
    assert_shows(&outcome.stderr, words);
    assert_eq!(outcome.stdout, "", "{outcome}");
}

#[test]
fn init_asks_to_be_told_that_its_keys_are_for_trials() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = waxseal(["repo", "init", "--data", "new"]).current_dir(folder.path()).run();
    exited(&outcome, 2);
    assert_shows(
        &outcome.stderr,
        &["this would make root keys on this disk, unencrypted", "hint:", "--development"],
    );
    assert_eq!(outcome.stdout, "", "{outcome}");
    assert!(!folder.path().join("new").exists(), "{outcome}");
}

#[test]
fn the_lines_that_init_prints_run_as_pasted() {
    let folder = tempfile::tempdir().unwrap();
    let here = |command: CleanCommand| command.current_dir(folder.path());
    let init = ["repo", "init", "--development", "--data", "my index"];
    let printed = here(waxseal(init)).run().success().stdout;
    let root = fs::read(folder.path().join("my index/store/tuf/metadata/1.root.json")).unwrap();
    let fingerprint = Sha256::of(&root).to_string();
    let trust = format!("trust add http://127.0.0.1:8458 --fingerprint {fingerprint}");
    assert_shows(&printed, &["keys", &format!("fingerprint {fingerprint}"), &trust]);
    for words in waxseal_tuf::spoken::of_hex(&fingerprint).unwrap().lines() {
        assert_shows(&printed, &[words]);
    }
    // No token that nobody asked for.
    assert!(!folder.path().join("my index/keys/upload-token").exists());
    let list = ["token", "list", "--json", "--data", "my index"];
    assert_eq!(here(waxseal(list)).run().success().stdout, "[]\n");

    let audit = here(waxseal(["audit", "repo", "my index"])).run();
    refused(
        &audit,
        &["nothing is published yet in my index", "repo import --data 'my index' FILE"],
    );

    fs::write(folder.path().join("FILE"), line("a.whl", "x")).unwrap();
    let paste = |words: &str| {
        let line = printed.lines().find(|line| line.contains(words)).unwrap().trim();
        here(CleanCommand::new("sh").args(["-c", line])).run().success().stdout
    };
    assert_shows(&paste(" repo import "), &["published in snapshot 1"]);
    assert!(paste(" token add ").starts_with("waxseal_"));
    here(waxseal(["audit", "repo", "my index"])).run().success();
}

#[test]
fn a_file_is_imported_however_it_is_packed() {
    let content = lines(500, "x");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(content.as_bytes()).unwrap();
    let packed = [
        content.clone().into_bytes(),
        gzip.finish().unwrap(),
        zstd::encode_all(content.as_bytes(), 1).unwrap(),
    ];
    let mut reports = Vec::new();
    for packed in packed {
        let operator = Operator::init(16);
        let outcome = operator.import(&packed).arg("--json").run().success();
        let imported: Value = serde_json::from_str(&outcome.stdout).unwrap();
        let of = |field: &str| imported[field].as_u64();
        assert_eq!((of("targets"), of("bins"), of("snapshot")), (Some(500), Some(16), Some(1)));
        // What a log has of it.
        let size = packed.len();
        let read = format!("reading, {size} of {size} bytes");
        assert_shows(&outcome.stderr, &[&read, "comparing, ", "signing, 16 of 16 bins"]);
        reports.push(operator.audit());

        // Again: nothing to do.
        let outcome = operator.import(&packed).run().success();
        assert_shows(&outcome.stdout, &["targets 500", "all of it was published before"]);
        assert_eq!(operator.status()["snapshot"], 1);
    }
    // 500 and what every index has, its list of projects in both forms.
    assert_eq!(reports[0]["counts"]["targets"], 502, "{}", reports[0]);
    assert!(reports.iter().all(|report| *report == reports[0]), "{reports:#?}");
}

#[test]
fn a_file_that_is_wrong_is_said_to_be_where_and_publishes_nothing() {
    let operator = Operator::init(16);
    let good = lines(3, "x");
    let next = "nothing was published";
    let outcome = operator.import(format!("{good}x\n{good}")).run();
    refused(&outcome, &["line 4: expected a value at column 1", next, "import it again"]);
    operator.assert_nothing_is_published();

    let twice = format!("{good}{}", line("packages/p1/p-1.whl", "y"));
    refused(
        &operator.import(twice).run(),
        &["packages/p1/p-1.whl is in the file twice", "in lines 2 and 4", next, "import again"],
    );
    operator.assert_nothing_is_published();

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(good.as_bytes()).unwrap();
    let packed = gzip.finish().unwrap();
    let outcome = operator.import(&packed[..packed.len() - 9]).run();
    refused(&outcome, &["cannot read targets", next, "it is cut off: copy or pack it again"]);
    operator.assert_nothing_is_published();

    operator.import(&packed).run().success();
    assert_eq!(operator.status()["snapshot"], 1);
}

#[test]
fn other_content_is_taken_with_replace_alone() {
    let operator = Operator::init(16);
    let (before, after) = (lines(20, "before"), lines(20, "after"));
    operator.import(&before).run().success();
    let conflict = ["20 targets are published with other content", "`--replace`"];
    refused(&operator.import(&after).run(), &conflict);
    assert_eq!(operator.status()["snapshot"], 1);

    let replaced = Operator::json(operator.import(&after).arg("--replace"));
    assert_eq!((&replaced["targets"], &replaced["snapshot"]), (&20.into(), &2.into()));
    // It is what is published now.
    assert_eq!(Operator::json(operator.import(&after))["snapshot"], Value::Null);
    refused(&operator.import(&before).run(), &conflict);
    assert_eq!(operator.audit()["snapshot"], 2);
}

#[test]
fn an_import_that_was_killed_is_gone_on_with() {
    let operator = Operator::init(8_192);
    let content = lines(10_000, "x");
    let import = Process::start(operator.import(&content));
    // Said when a first part of the bins is written.
    import.wait_for(&import.stderr, "signing");
    import.kill();
    operator.assert_nothing_is_published();

    let imported = Operator::json(operator.waxseal(["repo", "import", "targets"]));
    let of = |field: &str| imported[field].as_u64().unwrap();
    assert_eq!((of("targets"), of("bins"), of("snapshot")), (10_000, 8_192, 1), "{imported}");
    assert!((1..=8_192).contains(&of("resumed_bins")), "{imported}");
    let report = operator.audit();
    assert_eq!(report["counts"]["targets"], 10_002, "{report}");
    assert_eq!(report["counts"]["garbage"], 0, "{report}");
}

#[test]
fn an_import_beside_a_server_is_refused() {
    let index = Index::quickstart();
    let before = index.state();
    fs::write(index.folder().join("targets"), lines(3, "x")).unwrap();
    let outcome = index.operator(["repo", "import", "targets"]).run();
    refused(&outcome, &["(waxseal) holds waxseal-data/writer.lock", "stop the other"]);
    assert_eq!(index.state(), before);
}

#[test]
fn gc_removes_what_imports_superseded_and_may_be_killed() {
    let operator = Operator::init(1_024);
    for generation in 0..6 {
        let import = operator.import(lines(4_096, &generation.to_string()));
        import.arg("--replace").run().success();
    }
    let gc = || operator.waxseal(["repo", "gc"]);
    // A client may still be reading all of it.
    assert_eq!(Operator::json(gc())["removed"], 0);

    shorten_grace(&operator.folder.path().join("waxseal-data/waxseal.toml"));
    let before = operator.count_metadata();
    let dry_run = || -> u64 {
        let report = Operator::json(gc().arg("--dry-run"));
        assert_eq!((&report["dry_run"], &report["snapshots"]), (&true.into(), &3.into()));
        report["removed"].as_u64().unwrap()
    };
    let garbage = dry_run();
    // Of three snapshots nearly all bins, and the snapshots.
    assert!((2_900..=3 * 1_025).contains(&garbage), "{garbage} of {before}");
    assert_eq!(operator.count_metadata(), before, "a dry run removed something");

    let collection = Process::start(gc());
    let deadline = Instant::now() + Duration::from_mins(1);
    while operator.count_metadata() == before {
        assert!(Instant::now() < deadline, "{}", collection.screen());
    }
    collection.kill();
    let left = dry_run();
    assert!((1..garbage).contains(&left), "{left} of {garbage}");
    operator.audit();

    let report = Operator::json(gc());
    assert_eq!((&report["dry_run"], &report["removed"]), (&false.into(), &left.into()));
    assert_eq!(operator.count_metadata(), before - garbage);
    let report = operator.audit();
    assert_eq!((&report["snapshot"], &report["counts"]["targets"]), (&6.into(), &4_098.into()));
    assert_shows(&gc().run().success().stdout, &["kept 3 snapshots", "removed 0 objects"]);
}

/// What is superseded may go at once.
fn shorten_grace(config: &Path) {
    let text = fs::read_to_string(config).unwrap();
    assert!(text.contains("gc-grace-minutes = 60"), "{text}");
    fs::write(config, text.replace("gc-grace-minutes = 60", "gc-grace-minutes = 0")).unwrap();
}
