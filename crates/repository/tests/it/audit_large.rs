//! Large files are hashed on all cores, and an audit goes on where another one was interrupted.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use waxseal_repository::audit::{Done, Kind as Finding, Report, Settings, audit_from};
use waxseal_repository::store::Object;
use waxseal_repository::{Error, Layout, Repository, SnapshotProcess};
use waxseal_tuf::RoleName;
use waxseal_tuf::hash::Sha256;

use super::index::{Index, Kind, start, upload};

/// More than what is hashed at once.
const LARGE: usize = 100_000;
const FILES: usize = 12;

/// What an audit keeps for the next one.
#[derive(Default)]
struct Kept(Mutex<HashSet<(RoleName, Sha256)>>);

impl Done for Kept {
    fn contains(&self, role: &RoleName, sha256: Sha256) -> bool {
        self.0.lock().unwrap().contains(&(role.clone(), sha256))
    }

    fn add(&self, role: &RoleName, sha256: Sha256) -> Result<(), Error> {
        self.0.lock().unwrap().insert((role.clone(), sha256));
        Ok(())
    }
}

fn bytes(number: usize) -> Vec<u8> {
    vec![u8::try_from(number).unwrap(); LARGE]
}

fn path(number: usize) -> String {
    format!("packages/flask/flask-{number}.0.tar.gz")
}

fn index(layout: Layout) -> (Index, Arc<Repository>, SnapshotProcess) {
    let index = Index::new(Kind::Memory);
    index.store.set_watch(Arc::new(|_, _| {}));
    let (repository, process) = index.create().unwrap();
    let process = process.with_layout(layout).unwrap();
    for number in 0..FILES {
        upload(&repository, &format!("flask-{number}.0.tar.gz"), &bytes(number)).unwrap();
    }
    process.publish_all(start()).unwrap();
    (index, repository, process)
}

fn audit(repository: &Repository, kept: Option<&Kept>) -> Report {
    let settings = Settings { now: start(), deep: true };
    let place = (repository.store(), Some(repository.database()));
    audit_from(place, settings, kept.map(|kept| kept as &dyn Done), &mut |_| {}).unwrap()
}

fn change(repository: &Repository, number: usize) {
    let key = super::target(&path(number), &bytes(number));
    let store = repository.store();
    store.remove(std::slice::from_ref(&key)).unwrap();
    let mut other = bytes(number);
    other[LARGE - 1] ^= 1;
    store.create(&[Object { key: &key, bytes: &other }]).unwrap();
}

#[test]
fn what_was_right_is_left_out_by_the_next_audit() {
    for layout in [Layout::Files, Layout::Index] {
        let (_index, repository, _process) = index(layout);
        let kept = Kept::default();
        let first = audit(&repository, Some(&kept));
        assert!(first.valid, "{:#?}", first.findings);
        let second = audit(&repository, Some(&kept));
        assert!(second.valid);
        assert_eq!(first.counts.hashed - second.counts.hashed, FILES as u64, "{layout}");
        assert_eq!(audit(&repository, None).counts.hashed, first.counts.hashed);
    }
}

#[test]
fn a_large_file_that_was_changed_is_found_and_not_kept_as_right() {
    for layout in [Layout::Files, Layout::Index] {
        let (_index, repository, _process) = index(layout);
        change(&repository, 3);
        change(&repository, 7);
        let kept = Kept::default();
        for kept in [None, Some(&kept), Some(&kept)] {
            let report = audit(&repository, kept);
            let mut found: Vec<_> = report
                .findings
                .iter()
                .filter(|finding| finding.kind == Finding::TargetChanged)
                .map(|finding| finding.path.as_str())
                .collect();
            found.sort_unstable();
            let expected = [3, 7].map(|number| super::target(&path(number), &bytes(number)).path());
            let mut expected: Vec<_> = expected.iter().map(String::as_str).collect();
            expected.sort_unstable();
            assert_eq!(found, expected, "{layout}: {:#?}", report.findings);
        }
    }
}
