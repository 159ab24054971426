//! Bins that do not list what the journal's last entries say, as a thief of the online key and of the
//! database's rows about bins would leave them, or a defect of ours.

use waxseal_repository::audit::{Kind, Report};
use waxseal_repository::import::ImportOptions;
use waxseal_repository::{Layout, Repository, SnapshotProcess, TargetChanges};
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::metadata::Targets;

use super::cold::{Cold, finds, listed, valid};
use super::index::{send, start};

const ONE: &str = "files/one-1.whl";
const TWO: &str = "files/two-1.whl";
const GONE: &str = "files/gone-1.whl";

fn adding(path: &str, content: &str) -> String {
    let (length, sha256) = (content.len(), Sha256::of(content.as_bytes()));
    format!(r#"{{"path":"{path}","length":{length},"hashes":{{"sha256":"{sha256}"}}}}"#)
}

fn change(repository: &Repository, body: &str) {
    let changes = TargetChanges::parse(body.as_bytes()).unwrap();
    repository.accept_targets(changes, "warehouse".to_owned(), None).unwrap();
}

impl Cold {
    /// Lets the index run, and publishes what it accepts.
    fn running(&self, run: impl FnOnce(&Repository, &SnapshotProcess)) {
        let (repository, process) = self.index.open().unwrap();
        self.index.store.files_are_elsewhere();
        run(&repository, &process);
        process.publish_all(start()).unwrap();
    }

    /// Entries 6 to 8: `ONE` and `TWO` are there, `TWO` with its second content, and `GONE` is not.
    fn with_targets() -> Self {
        let cold = Self::new();
        cold.running(|repository, process| {
            let first = [adding(ONE, "one"), adding(TWO, "first"), adding(GONE, "gone")];
            change(repository, &format!(r#"{{"add":[{}]}}"#, first.join(",")));
            process.publish_all(start()).unwrap();
            change(repository, &format!(r#"{{"add":[{}],"replace":true}}"#, adding(TWO, "second")));
            change(repository, &format!(r#"{{"remove":["{GONE}"]}}"#));
        });
        cold
    }

    fn alter(&self, path: &str, change: impl FnOnce(&mut Targets)) {
        self.sign_bin(&self.bin_of(path), change);
    }

    fn import(&self, lines: &[String]) {
        let file = self.index.path().join("import");
        std::fs::write(&file, lines.join("\n")).unwrap();
        let options = ImportOptions { replace: true, ..ImportOptions::new(self.index.path()) };
        self.running(|_, process| {
            process.import(&file, &options, start(), &|_| {}).unwrap();
        });
        std::fs::remove_file(file).unwrap();
    }
}

/// Asserts that only this is found: what the entry did, and what the bin's file says.
#[track_caller]
fn diverges(cold: &Cold, path: &str, entry: &str, bin_says: &str) {
    let report = cold.audit();
    finds(&report, Kind::Divergent, path, entry);
    let bin = cold.bin_of(path).path();
    let (_, bin) = bin.rsplit_once('/').unwrap();
    let problem = &report.findings[0].problem;
    assert!(problem.contains(&format!("and {bin} {bin_says}")), "{bin}: {problem}");
    assert!(report.findings[0].hint.contains("send the change to the API again"));
    // A copy without the database is as good as any.
    valid(&cold.audit_copy());
}

fn compared(report: &Report) -> (u64, u64) {
    (report.counts.journalled, report.counts.imported_over)
}

#[test]
fn bins_that_list_what_the_last_entries_say_are_valid() {
    let cold = Cold::with_targets();
    let report = cold.audit();
    valid(&report);
    assert_eq!(compared(&report), (3, 0));
    assert_eq!(report.counts.journal_entries, 8);
}

#[test]
fn a_target_that_was_taken_out_is_named() {
    let cold = Cold::with_targets();
    cold.alter(ONE, |bin| drop(bin.targets.remove(ONE)));
    let says = format!("entry 6 adds it with the digest {} and 3 bytes", Sha256::of(b"one"));
    diverges(&cold, ONE, &says, "does not list it");
}

#[test]
fn a_target_with_other_content_is_named() {
    // That of before, too.
    for content in ["other", "first"] {
        let cold = Cold::with_targets();
        cold.alter(TWO, |bin| {
            bin.targets.insert(TWO.to_owned(), listed(content.as_bytes()));
        });
        let says = format!("entry 7 adds it with the digest {}", Sha256::of(b"second"));
        let lists = format!("lists it with the digest {}", Sha256::of(content.as_bytes()));
        diverges(&cold, TWO, &says, &lists);
    }
    let cold = Cold::with_targets();
    cold.alter(ONE, |bin| bin.targets.get_mut(ONE).unwrap().length += 1);
    diverges(&cold, ONE, "and 3 bytes", "lists it with");
    let cold = Cold::with_targets();
    cold.alter(ONE, |bin| {
        let custom = waxseal_tuf::json::Value::String("x".to_owned());
        bin.targets.get_mut(ONE).unwrap().custom = Some(custom);
    });
    diverges(&cold, ONE, "entry 6 adds it", "lists it with");
}

#[test]
fn a_target_that_is_back_is_named() {
    let cold = Cold::with_targets();
    cold.alter(GONE, |bin| {
        bin.targets.insert(GONE.to_owned(), listed(b"gone"));
    });
    diverges(&cold, GONE, "entry 8 removes it", "lists it with");
}

#[test]
fn what_waits_may_be_there_or_not() {
    let cold = Cold::with_targets();
    {
        let (repository, _process) = cold.index.open().unwrap();
        change(&repository, &format!(r#"{{"remove":["{ONE}"],"add":[{}]}}"#, adding(GONE, "new")));
    }
    let report = cold.audit();
    valid(&report);
    assert_eq!(compared(&report), (1, 0), "of the others the last entry waits");
    // As if that were published a moment after the audit asked for the serial.
    cold.alter(ONE, |bin| drop(bin.targets.remove(ONE)));
    cold.alter(GONE, |bin| {
        bin.targets.insert(GONE.to_owned(), listed(b"new"));
    });
    valid(&cold.audit());
    cold.alter(TWO, |bin| drop(bin.targets.remove(TWO)));
    diverges(&cold, TWO, "entry 7", "does not list it");
}

#[test]
fn what_an_import_may_have_changed_is_counted_and_what_it_cannot_have_is_named() {
    let cold = Cold::with_targets();
    cold.import(&[adding(TWO, "imported"), adding(GONE, "imported"), adding("files/new", "new")]);
    let report = cold.audit();
    valid(&report);
    assert_eq!(compared(&report), (1, 2));
    // An import takes nothing away.
    cold.alter(ONE, |bin| drop(bin.targets.remove(ONE)));
    diverges(&cold, ONE, "entry 6 adds it", "does not list it");

    // What comes after it is compared as before.
    let cold = Cold::with_targets();
    cold.import(&[adding(TWO, "imported")]);
    cold.running(|repository, _| {
        change(repository, &format!(r#"{{"add":[{}],"replace":true}}"#, adding(TWO, "third")));
        change(repository, &format!(r#"{{"remove":["{ONE}"]}}"#));
    });
    let report = cold.audit();
    valid(&report);
    assert_eq!(compared(&report), (3, 0));
    cold.alter(TWO, |bin| {
        bin.targets.insert(TWO.to_owned(), listed(b"imported"));
    });
    diverges(&cold, TWO, "entry 9 adds it", "lists it with");
}

#[test]
fn what_uploads_took_over_is_theirs() {
    let page = "simple/foreign/vnd.pypi.simple.v1.json";
    let file = "packages/foreign/foreign-1.0.tar.gz";
    let cold = Cold::new();
    cold.running(|repository, process| {
        let both = [adding(page, "page"), adding(file, "file")].join(",");
        change(repository, &format!(r#"{{"add":[{both}]}}"#));
        process.publish_all(start()).unwrap();
        change(repository, &format!(r#"{{"remove":["{page}","{file}"]}}"#));
        process.publish_all(start()).unwrap();
        send(repository, "foreign-1.0.tar.gz");
    });
    let report = cold.audit();
    valid(&report);
    assert_eq!(compared(&report), (2, 0));
}

#[test]
fn a_page_that_vouches_for_its_files_is_as_the_journal_has_it() {
    let page = "simple/foreign/vnd.pypi.simple.v1.json";
    let cold = Cold::new();
    let (repository, process) = cold.index.open().unwrap();
    cold.index.store.files_are_elsewhere();
    let process = process.with_layout(Layout::Index).unwrap();
    change(&repository, &format!(r#"{{"add":[{}]}}"#, adding(page, "page")));
    process.publish_all(start()).unwrap();
    drop((repository, process));
    assert!(Layout::vouches(&cold.target(page)));
    let report = cold.audit();
    valid(&report);
    assert_eq!(compared(&report), (1, 0));
}
