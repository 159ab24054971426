//! Killed at any moment, the index keeps every upload that it answered with 200.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use waxseal_testkit::peers;

use crate::harness::{Form, Index, Person, Wheel, make_wheels};

/// How many times the index is killed.
const ROUNDS: usize = 5;
/// Uploads at hand in each round; more than are answered before the end.
const UPLOADS: usize = 24;
/// Uploaders at once, so that batches hold more than one entry.
const UPLOADERS: usize = 4;

#[test]
fn every_upload_that_was_answered_200_survives_kill_9() {
    let mut index = Index::quickstart();
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..ROUNDS * UPLOADS).map(|number| format!("crash{number}")).collect();
    let wheels: Vec<_> = names.iter().map(|name| Wheel::new(name, "1.0")).collect();
    let files = make_wheels(folder.path(), &wheels);

    let mut accepted = Vec::new();
    for (round, files) in files.chunks(UPLOADS).enumerate() {
        let killed_after = 1 + random() % (UPLOADS / 2);
        accepted.extend(upload_until_killed(&mut index, files, killed_after));
        index.start();
        let status = index.status();
        assert_eq!(status["journal_serial"], status["published_serial"], "round {round}");
        eprintln!("round {round}: killed after {killed_after}, {} in all", accepted.len());
    }
    assert!(accepted.len() >= ROUNDS, "{accepted:?}");

    // Each of them installs.
    let person = Person::trusting(&index);
    let install =
        person.waxseal(["run", "--"]).arg(peers::uv()).args(["pip", "install", "--no-deps"]);
    install.args(&accepted).run().success();
    let installed = person.venv.installed();
    for name in &accepted {
        assert!(installed.contains(&format!("{name}-1.0")), "{name} was lost: {installed:?}");
    }
    // An upload that was cut off can be made again, as the same bytes.
    index.upload(&files);
    assert_eq!(index.status()["projects"].as_u64(), Some(files.len() as u64));
}

/// Uploads until so many are answered with 200, then kills the index in the middle of the others.
/// The projects of all that were answered.
fn upload_until_killed(index: &mut Index, files: &[PathBuf], killed_after: usize) -> Vec<String> {
    let accepted = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    let (url, token) = (index.url.clone(), index.token.clone());
    thread::scope(|scope| {
        for _ in 0..UPLOADERS {
            scope.spawn(|| {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let form = Form::file(&token, file);
                    let Ok(answer) = form.post(&url) else { return };
                    assert_eq!(answer.status, 200, "{}", answer.reason);
                    accepted.lock().unwrap().push(form.fields[4].1.clone());
                }
            });
        }
        while accepted.lock().unwrap().len() < killed_after {
            thread::yield_now();
        }
        index.kill();
    });
    accepted.into_inner().unwrap()
}

/// Another number in each run, shown with the test's output.
fn random() -> usize {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.subsec_nanos() as usize / 1000
}
