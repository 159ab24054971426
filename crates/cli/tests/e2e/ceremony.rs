//! A key ceremony that is interrupted, at any moment, leaves nothing that stands in the way of the next
//! one, and nothing that could be taken for an index.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;
use waxseal_repository::WriterLock;
use waxseal_testkit::peers::CleanCommand;
use waxseal_tuf::hash::Sha256;

use crate::harness::{Index, WAXSEAL, assert_shows, exited, tree, waxseal};

const INIT: [&str; 4] = ["repo", "init", "--development", "--bins=16"];

/// Calls by which a ceremony changes something on disk, and how far apart those are that are tried.
const CALLS: [(&str, usize); 4] =
    [("rename,renameat,renameat2", 1), ("mkdir,mkdirat", 1), ("fsync,fdatasync", 2), ("unlink", 1)];

/// Runs `waxseal` under `strace`; the log of these calls.
fn traced(folder: &Path, calls: &str, inject: Option<String>, words: &[&str]) -> (bool, String) {
    let log = folder.join("strace.log");
    let command = CleanCommand::new("strace").args(["--follow-forks", "--quiet=all"]);
    let command = command.args(["--decode-fds=path", &format!("--trace={calls}")]);
    let command = command.arg(format!("--output={}", log.display()));
    let command = command.args(inject.map(|inject| format!("--inject={calls}:{inject}")));
    let outcome = command.arg(WAXSEAL).args(words).current_dir(folder).run();
    let text = fs::read_to_string(&log).unwrap();
    fs::remove_file(log).unwrap();
    (outcome.status.success(), text)
}

#[test]
fn a_ceremony_that_is_killed_at_any_call_is_followed_by_one_that_succeeds() {
    let (mut removed, mut finished, mut there) = (0, 0, 0);
    for (calls, step) in CALLS {
        for n in (1..).step_by(step) {
            let folder = tempfile::tempdir().unwrap();
            let kill = format!("signal=KILL:when={n}");
            if traced(folder.path(), calls, Some(kill), &INIT).0 {
                break;
            }
            let data = folder.path().join("waxseal-data");
            let was_index = data.join("waxseal.toml").exists();
            let outcome = waxseal(INIT).current_dir(folder.path()).run();
            if was_index {
                exited(&outcome, 2);
                assert_shows(&outcome.stderr, &["there is an index in", "left as it is"]);
                there += 1;
            } else {
                let outcome = outcome.success();
                removed += usize::from(outcome.stderr.contains("removed "));
                finished += usize::from(outcome.stderr.contains("was complete"));
                let left = |name: &str| name.starts_with(".waxseal-");
                let names = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name());
                let names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
                assert!(!names.iter().any(|name| left(name)), "{calls} {n}: {names:?}");
            }
            for key in ["root-1.pem", "root-2.pem", "root-3.pem", "online.pem"] {
                assert!(data.join("keys").join(key).is_file(), "{calls} {n}: {key}");
            }
            // It can be published, by that very online key.
            fs::write(folder.path().join("empty.jsonl"), "").unwrap();
            let import = waxseal(["repo", "import", "empty.jsonl"]).current_dir(folder.path());
            import.run().success();
        }
    }
    assert!(removed > 5 && finished > 1 && there > 0, "{removed} {finished} {there}");
}

#[test]
fn an_interrupted_ceremony_of_other_options_is_not_taken_for_the_one_that_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let here = |words: &[&str]| waxseal(words.iter().copied()).current_dir(folder.path()).run();
    here(&INIT).success();
    let data = folder.path().join("waxseal-data");
    let aside = data.join(".waxseal-ceremony-abc");
    fs::create_dir(&aside).unwrap();
    for name in ["waxseal.toml", "waxseal.sqlite"] {
        fs::rename(data.join(name), aside.join(name)).unwrap();
    }
    let outcome = here(&["repo", "init", "--development", "--bins=32"]);
    exited(&outcome, 2);
    assert_shows(&outcome.stderr, &["was complete", "made it with other options", "hint:"]);
    here(&["repo", "status"]).success();
}

#[test]
fn what_is_not_of_a_ceremony_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("waxseal-data");
    let aside = data.join(".waxseal-ceremony-abc");
    let refused = |what: &str| {
        let before = tree(&data);
        let outcome = waxseal(INIT).current_dir(folder.path()).run();
        exited(&outcome, 2);
        assert_shows(&outcome.stderr, &["not an index", "nothing was changed", what]);
        assert_eq!(tree(&data), before);
    };
    // Keys that somebody put there, beside what is left of a ceremony.
    fs::create_dir_all(aside.join("keys")).unwrap();
    fs::create_dir(data.join("keys")).unwrap();
    fs::write(data.join("keys/root-1.pem"), "mine").unwrap();
    refused("which an interrupted ceremony left");
    fs::write(aside.join("waxseal.toml"), "").unwrap();
    refused("which an interrupted ceremony left");
    // And while another one is held, nobody touches it.
    fs::remove_file(aside.join("waxseal.toml")).unwrap();
    fs::remove_dir_all(data.join("keys")).unwrap();
    let lock = WriterLock::acquire(&data.join("writer.lock")).unwrap();
    let outcome = waxseal(INIT).current_dir(folder.path()).run();
    exited(&outcome, 1);
    assert_shows(&outcome.stderr, &["writer.lock"]);
    assert!(aside.join("keys").is_dir());
    drop(lock);
    waxseal(INIT).current_dir(folder.path()).run().success();
    assert!(!aside.exists());
}

#[test]
fn a_power_cut_after_the_ceremony_loses_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let words = [&INIT[..], &["--data", "a/b"]].concat();
    let (success, log) = traced(folder.path(), "fsync,rename,renameat,renameat2", None, &words);
    assert!(success, "{log}");
    let root = folder.path().canonicalize().unwrap();
    let root = root.to_str().unwrap();
    let config = log.rfind("waxseal.toml").unwrap();
    for (made, before) in [("", true), ("/a", true), ("/a/b", false)] {
        let synced = log.rfind(&format!("<{root}{made}>)")).unwrap_or_else(|| panic!("{log}"));
        assert_eq!(synced < config, before, "{made}: {log}");
    }
}

#[test]
fn init_tells_programs_what_it_made() {
    let folder = tempfile::tempdir().unwrap();
    let words = ["--json", "--layout=index", "--online-key=ecdsa-sha2-nistp256", "--data=d"];
    let outcome = waxseal(INIT).args(words).current_dir(folder.path()).run().success();
    let told: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let root = fs::read(folder.path().join("d/store/tuf/metadata/1.root.json")).unwrap();
    let expires = serde_json::from_slice::<Value>(&root).unwrap()["signed"]["expires"].clone();
    let expected = serde_json::json!({
        "data": "d", "root_fingerprint": Sha256::of(&root).to_string(), "root_expires": expires,
        "bins": 16, "layout": "index", "online_key": "ecdsa-sha2-nistp256", "keys": "d/keys",
    });
    assert_eq!(told, expected);
}

/// Whoever may not write to the folder: here that is who does not try.
#[test]
fn status_opens_nothing_to_write() {
    let mut index = Index::with(&["blinker-"]);
    for running in [true, false] {
        if !running {
            index.stop();
        }
        let has_log = index.data().join("waxseal.sqlite-wal").exists();
        let before = fs::metadata(index.data()).unwrap().permissions();
        fs::set_permissions(index.data(), fs::Permissions::from_mode(0o555)).unwrap();
        let calls = "open,openat,mkdir,mkdirat,unlink,unlinkat,ftruncate,pwrite64";
        let words = ["repo", "status", "--json"];
        let (success, log) = traced(index.folder(), calls, None, &words);
        fs::set_permissions(index.data(), before).unwrap();
        assert!(success, "{log}");
        assert!(log.contains("waxseal.sqlite"), "{log}");
        let writes = |line: &&str| {
            let data = line.contains("waxseal-data") || line.contains("waxseal.sqlite");
            // SQLite tries to write to a log that is there, and does without.
            let shared =
                ["waxseal.sqlite-shm", "waxseal.sqlite-wal"].iter().any(|of| line.contains(of));
            data && !(has_log && shared) && !line.contains("O_RDONLY")
        };
        assert_eq!(log.lines().filter(writes).collect::<Vec<_>>(), [""; 0], "{running}");
    }
}

/// A web server of another user reads what clients are to have.
#[test]
fn what_is_public_is_readable_whatever_the_umask() {
    let folder = tempfile::tempdir().unwrap();
    let words = format!("umask 077 && exec '{WAXSEAL}' {} --data=d", INIT.join(" "));
    CleanCommand::new("sh").args(["-c", &words]).current_dir(folder.path()).run().success();
    let mode =
        |path: &str| fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o777;
    let metadata = "d/store/tuf/metadata";
    for role in ["root", "targets", "bins"] {
        assert_eq!(mode(&format!("{metadata}/1.{role}.json")), 0o644, "{role}");
    }
    assert_eq!((mode(metadata), mode("d/keys/online.pem")), (0o755, 0o600));
}
