//! Many processes at once on one trust store and one cache.

use std::path::PathBuf;
use std::thread;

use waxseal_testkit::peers::CleanCommand;

use crate::harness::{Index, Person, Process, Tool, Wheel};

/// How many at once; of these every fourth is a pip that installs.
const PROCESSES: usize = 52;

/// What each of them does, into folders of its own.
fn job(person: &Person, number: usize) -> CleanCommand {
    let folder = format!("of-{number}");
    match number % 4 {
        0 => {
            let target = ["--target", &folder, "--no-deps", "--no-compile", "blinker"];
            person.install(Tool::Pip, target)
        }
        1 => person
            .waxseal(["download", "packages/blinker/blinker-1.9.0-py3-none-any.whl"])
            .args(["--output", &format!("{folder}.whl")]),
        _ => person.waxseal(["run", "--", "true"]),
    }
}

#[test]
fn fifty_installs_share_one_trust_store_and_one_cache() {
    let index = Index::with(&["blinker-"]);
    let person = Person::trusting(&index);
    let processes: Vec<_> =
        (0..PROCESSES).map(|number| Process::start(job(&person, number))).collect();
    // The index goes on meanwhile, so that the store has something to write.
    let uploading = thread::spawn(move || {
        for version in ["1.0", "1.1", "1.2"] {
            index.upload_new(Wheel::new("meanwhile", version));
        }
        index
    });
    for (number, process) in processes.into_iter().enumerate() {
        let (status, screen) = process.end();
        assert!(status.success(), "{number}: {status}\n{screen}");
    }
    let mut index = uploading.join().unwrap();
    for number in (0..PROCESSES).step_by(4) {
        let module = person.work().join(format!("of-{number}/blinker/__init__.py"));
        assert!(module.is_file(), "{number}");
        assert!(person.work().join(format!("of-{}.whl", number + 1)).is_file(), "{number}");
    }

    // What they left is valid: whole files alone, it goes on to the newest snapshot, and answers offline.
    let store = person.trust_store();
    let is_whole = |path: &&PathBuf| path.extension().is_some_and(|extension| extension == "json");
    assert_eq!(store.keys().find(|path| !is_whole(path)), None);
    for (path, bytes) in &store {
        let parsed = serde_json::from_slice::<serde_json::Value>(bytes);
        assert!(parsed.is_ok(), "{}: {parsed:?}", path.display());
    }
    person.install(Tool::Pip, ["meanwhile"]).run().success();
    assert_eq!(person.venv.installed(), ["meanwhile-1.2"]);
    index.stop();
    let again = ["--force-reinstall", "meanwhile"];
    person.install(Tool::Pip, again).env("WAXSEAL_OFFLINE", "1").run().success();
}
