//! The transition of hash algorithms, with clients that were there before it.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Index, Person, Tool, Wheel, assert_shows, exited};
use crate::python_tuf::python_tuf;

/// Waits until every target is listed so.
fn wait_until_listed(index: &Index, wanted: &Value) {
    let begun = Instant::now();
    loop {
        let status = index.status();
        if status["hash_algorithms"] == *wanted && status["hash_algorithms_next"].is_null() {
            return;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "{status}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// The digests in the newest snapshot and bins, as text.
fn listed(index: &Index) -> String {
    let metadata = index.data().join("store/tuf/metadata");
    let timestamp = fs::read_to_string(metadata.join("timestamp.json")).unwrap();
    let read: Value = serde_json::from_str(&timestamp).unwrap();
    let version = &read["signed"]["meta"]["snapshot.json"]["version"];
    let snapshot = fs::read_to_string(metadata.join(format!("{version}.snapshot.json"))).unwrap();
    let read: Value = serde_json::from_str(&snapshot).unwrap();
    let roles = read["signed"]["meta"].as_object().unwrap();
    let bins = roles.iter().filter(|(role, _)| role.starts_with("bin-"));
    let bins = bins.map(|(role, file)| {
        fs::read_to_string(metadata.join(format!("{}.{role}", file["version"]))).unwrap()
    });
    [timestamp, snapshot].into_iter().chain(bins).collect()
}

#[test]
fn pip_uv_and_python_tuf_follow_through_all_states_and_back() {
    let mut index = Index::quickstart();
    index.upload_new(Wheel::new("alpha", "1.0"));
    let person = Person::trusting(&index);
    let folder = tempfile::tempdir().unwrap();
    person.install(Tool::Pip, ["alpha==1.0"]).run().success();
    python_tuf(&index, folder.path()).success();

    let states: [(&[&str], &str); 4] = [
        (&["sha256", "sha512"], "2.0"),
        (&["sha512"], "3.0"),
        (&["sha256", "sha512"], "4.0"),
        (&["sha256"], "5.0"),
    ];
    for (wanted, version) in states {
        index.configure("hash-algorithms", format!("{wanted:?}"));
        wait_until_listed(&index, &json!(wanted));
        index.upload_new(Wheel::new("alpha", version));
        let listed = listed(&index);
        for algorithm in ["sha256", "sha512"] {
            let is_listed = listed.contains(&format!("\"hashes\":{{\"{algorithm}\":\""))
                || listed.contains(&format!(",\"{algorithm}\":\""));
            assert_eq!(is_listed, wanted.contains(&algorithm), "{algorithm} in {wanted:?}");
        }
        // What was there before, and what came now.
        for tool in Tool::BOTH {
            for version in ["1.0", version] {
                let wheel = format!("alpha=={version}");
                person.install(tool, [wheel.as_str()]).run().success();
            }
        }
        let newcomer = Person::trusting(&index);
        newcomer.install(Tool::Pip, ["alpha==1.0"]).run().success();
        let seen = python_tuf(&index, folder.path()).success().stdout;
        for version in ["1.0", version] {
            let path = format!("packages/alpha/alpha-{version}-py3-none-any.whl\n");
            assert!(seen.contains(&path), "{seen}");
        }
        let fresh = tempfile::tempdir().unwrap();
        python_tuf(&index, fresh.path()).success();
        index.operator(["audit", "repo", "--deep", "waxseal-data"]).run().success();
        index.operator(["audit", "repo", "waxseal-data/store"]).run().success();
    }
}

#[test]
fn a_list_that_cannot_be_used_is_refused_with_what_to_write() {
    let mut index = Index::quickstart();
    index.stop();
    for (value, problem) in [
        ("[]", "hash-algorithms is empty"),
        ("[\"sha1\"]", "\"sha1\", which is none that is known"),
        ("[\"sha256\", \"sha256\"]", "\"sha256\" twice"),
        ("\"sha256\"", "is no list of names"),
        ("[\"sha512\"]", "asks for sha512 alone"),
    ] {
        index.write_config("hash-algorithms", value);
        let refused = index.operator(["serve", "--data", "waxseal-data"]).run();
        exited(&refused, 1);
        assert_shows(&refused.stderr, &[problem, "[\"sha256\", \"sha512\"]"]);
    }
    index.write_config("hash-algorithms", "[\"sha256\"]");
    index.start();
}

/// A kill in the midst of it, and a changed file.
#[test]
fn a_changed_file_holds_the_change_up_and_nothing_else() {
    let mut index = Index::quickstart();
    index.upload_new(Wheel::new("alpha", "1.0"));
    index.stop();
    let targets = index.data().join("store/tuf/targets/packages/alpha");
    let wheel = fs::read_dir(&targets).unwrap().map(|entry| entry.unwrap().path());
    let wheel = wheel.into_iter().find(|path| path.extension().is_some_and(|end| end == "whl"));
    let wheel = wheel.unwrap();
    let before = fs::read(&wheel).unwrap();
    let mut changed = before.clone();
    changed[100] ^= 1;
    fs::write(&wheel, changed).unwrap();
    index.write_config("hash-algorithms", "[\"sha256\", \"sha512\"]");
    index.start();
    let process = index.process();
    process.wait_for(&process.stderr, "alpha-1.0-py3-none-any.whl was changed in the store");
    // Uploads go on.
    index.upload_new(Wheel::new("beta", "1.0"));
    assert_eq!(index.status()["hash_algorithms_next"], json!(["sha256", "sha512"]));
    index.kill();
    fs::write(&wheel, before).unwrap();
    index.start();
    wait_until_listed(&index, &json!(["sha256", "sha512"]));
    let person = Person::trusting(&index);
    person.install(Tool::Pip, ["alpha", "beta"]).run().success();
    index.operator(["audit", "repo", "--deep", "waxseal-data"]).run().success();
}
