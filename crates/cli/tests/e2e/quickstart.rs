//! What a new user does: `waxseal quickstart`, and the lines that it prints.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use waxseal_testkit::peers::{self, CleanCommand};

use crate::harness::{
    Form, Index, Person, Process, Tool, WAXSEAL, Wheel, assert_shows, exited, make_wheels, tree,
};

/// The lines to paste among what was printed.
fn lines(printed: &str) -> Vec<&str> {
    let is_command = |line: &&str| {
        ["twine upload", "uv publish", "trust add", "waxseal pip", "waxseal run"]
            .iter()
            .any(|command| line.contains(command))
    };
    printed.lines().filter(is_command).map(str::trim).collect()
}

#[test]
fn every_printed_line_runs_as_pasted() {
    let index = Index::quickstart();
    let lines = lines(&index.printed);
    assert_eq!(lines.len(), 5, "{}", index.printed);

    let person = Person::new();
    let dist = person.work().join("dist");
    fs::create_dir(&dist).unwrap();
    for package in peers::packages() {
        fs::copy(&package, dist.join(package.file_name().unwrap())).unwrap();
    }
    // The tools are on the PATH, waxseal is not.
    let tools = peers::twine().parent().unwrap().to_owned();
    let path =
        format!("{}:{}:/usr/bin:/bin", person.venv.root().join("bin").display(), tools.display());
    for line in lines {
        let shell = person.command("sh").args(["-c", line]).env("PATH", &path);
        let outcome = shell.env("VIRTUAL_ENV", person.venv.root()).run().success();
        println!("{outcome}");
    }
    person.python("import flask, requests");
    let installed = person.venv.installed();
    assert!(installed.iter().any(|name| name.starts_with("werkzeug-")), "{installed:?}");
}

#[test]
fn it_says_what_lies_on_this_disk_and_keeps_it_private() {
    let index = Index::quickstart();
    assert_shows(
        &index.printed,
        &["root keys of this index are on this disk", "Before production", "root-*.pem"],
    );
    let keys = index.data().join("keys");
    let mut names = Vec::new();
    for entry in fs::read_dir(&keys).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.path());
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    // None of targets or bins: those keys are gone.
    assert_eq!(names, ["online.pem", "root-1.pem", "root-2.pem", "root-3.pem", "upload-token"]);
    let mode = fs::metadata(index.data().join("waxseal.sqlite")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "the database is for its owner alone: {mode:o}");
}

#[test]
fn the_ceremony_has_the_shape_of_pep_458() {
    let index = Index::quickstart();
    let role = |file: &str| -> serde_json::Value {
        let path = index.data().join("store/tuf/metadata").join(file);
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    };
    let root = role("1.root.json");
    let shape = |name: &str| {
        let role = &root["signed"]["roles"][name];
        (role["threshold"].as_u64().unwrap(), role["keyids"].as_array().unwrap().len())
    };
    assert_eq!(shape("root"), (2, 3));
    assert_eq!(shape("targets"), (2, 2));
    assert_eq!((shape("snapshot"), shape("timestamp")), ((1, 1), (1, 1)));
    assert_eq!(root["signed"]["roles"]["snapshot"], root["signed"]["roles"]["timestamp"]);
    let bins = &role("1.targets.json")["signed"]["delegations"]["roles"][0];
    assert_eq!((bins["name"].as_str(), bins["threshold"].as_u64()), (Some("bins"), Some(2)));
    let succinct = &role("1.bins.json")["signed"]["delegations"]["succinct_roles"];
    assert_eq!(
        (succinct["bit_length"].as_u64(), succinct["threshold"].as_u64()),
        (Some(8), Some(1))
    );
}

#[test]
fn the_online_key_signs_as_it_was_asked_to() {
    let schemes = |index: &Index| -> Vec<String> {
        let root = fs::read(index.data().join("store/tuf/metadata/1.root.json")).unwrap();
        let root: serde_json::Value = serde_json::from_slice(&root).unwrap();
        let signed = &root["signed"];
        let ids = signed["roles"]["timestamp"]["keyids"].as_array().unwrap();
        let scheme =
            |id: &serde_json::Value| signed["keys"][id.as_str().unwrap()]["scheme"].clone();
        ids.iter().map(|id| scheme(id).as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(schemes(&Index::quickstart()), ["ed25519"]);
    let chosen = ["--online-key", "ecdsa-sha2-nistp256"];
    let index = Index::quickstart_with(|command| command.args(chosen));
    assert_eq!(schemes(&index), ["ecdsa-sha2-nistp256"]);
}

#[test]
fn run_again_it_goes_on_with_what_is_there() {
    let mut index = Index::with(&["blinker-"]);
    let (status, screen) = index.stop();
    assert_eq!(status.code(), Some(0), "{screen}");
    let before = tree(&index.data());

    index.start();
    let printed = index.process().stdout.text();
    assert_shows(&printed, &["was there, goes on", &index.fingerprint, &index.token]);
    for (path, bytes) in before {
        let name = path.file_name().unwrap().to_str().unwrap();
        // The database's own files live.
        if !name.starts_with("waxseal.sqlite") && name != "timestamp.json" {
            assert_eq!(fs::read(&path).unwrap(), bytes, "{}", path.display());
        }
    }
    let person = Person::trusting(&index);
    person.install(Tool::Uv, ["blinker"]).run().success();
}

#[test]
fn ctrl_c_publishes_what_was_accepted() {
    let mut index = Index::quickstart();
    // The answer does not wait for the snapshot.
    index.configure("publish-wait-seconds", 0);
    let folder = tempfile::tempdir().unwrap();
    let wheel = make_wheels(folder.path(), &[Wheel::new("late", "1.0")]).remove(0);
    let form = Form::file(&index.token, &wheel);
    assert_eq!(form.post(&index.url).unwrap().status, 200);
    let (status, screen) = index.stop();
    assert_eq!(status.code(), Some(0), "{screen}");

    let status = index.status();
    assert_eq!((&status["journal_serial"], &status["published_serial"]), (&1.into(), &1.into()));
    index.start();
    Person::trusting(&index).install(Tool::Uv, ["late"]).run().success();
}

#[test]
fn a_second_process_on_the_same_folder_is_refused() {
    let index = Index::quickstart();
    for command in ["quickstart", "serve"] {
        let args = [command, "--listen", "127.0.0.1:0"];
        let outcome = index.operator(args).run().failure();
        assert_shows(&outcome.stderr, &["writer.lock", "another"]);
        assert_eq!(outcome.stdout, "", "{outcome}");
    }
}

#[test]
fn a_folder_with_other_things_in_it_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("letter.txt"), "dear\n").unwrap();
    let command = CleanCommand::new(WAXSEAL).args(["quickstart", "--listen", "127.0.0.1:0"]);
    let outcome = command.arg("--data").arg(folder.path()).run().failure();
    exited(&outcome, 2);
    assert_shows(
        &outcome.stderr,
        &["error:", "not an index", "nothing was changed", "hint:", "--data"],
    );
    assert_eq!(outcome.stdout, "");
    assert_eq!(tree(folder.path()).len(), 1);
}

#[test]
fn the_empty_folder_in_which_one_stands_can_be_the_index() {
    let mut index = Index::quickstart_with(|command| command.args(["--data", "."]));
    let names = |folder: &std::path::Path| -> BTreeSet<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let made = names(index.folder());
    for name in ["keys", "store", "waxseal.sqlite", "waxseal.toml"] {
        assert!(made.contains(name), "{made:?}");
    }
    assert!(!made.iter().any(|name| name.starts_with('.')), "{made:?}");
    let (status, _) = index.stop();
    assert!(status.success());
}

#[test]
fn an_address_in_use_is_a_clear_text() {
    let index = Index::quickstart();
    let address = index.url.strip_prefix("http://").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let command = CleanCommand::new(WAXSEAL).current_dir(folder.path());
    let outcome = command.args(["quickstart", "--listen", address]).run().failure();
    exited(&outcome, 1);
    assert_shows(&outcome.stderr, &["cannot listen on", address, "choose one with --listen"]);
    assert_eq!(outcome.stdout, "");
    assert!(!folder.path().join("waxseal-data").exists(), "an index was made all the same");
}

#[test]
fn secrets_are_in_no_log_and_no_process_list() {
    let index = Index::with(&["blinker-"]);
    let wrong = Form::new("waxseal_000000000000_wrong-secret", "a-1.0-py3-none-any.whl", vec![]);
    assert_eq!(wrong.post(&index.url).unwrap().status, 403);
    // Of a request the log tells after the answer.
    let both = |text: &str| text.matches("/legacy/").count() >= 2;
    assert!(index.process().stderr.wait(both), "{}", index.process().screen());
    let log = index.process().stderr.text();
    for secret in [index.token.as_str(), "wrong-secret"] {
        assert!(!log.contains(secret), "{log}");
    }
    let command_line = fs::read(format!("/proc/{}/cmdline", index.process().id())).unwrap();
    assert!(!String::from_utf8_lossy(&command_line).contains(&index.token));

    // Credentials for the index stay with waxseal; the tool it runs has no use for them.
    let person = Person::trusting(&index);
    let url = index.url.replace("http://", "http://me:secret-of-mine@");
    let outcome = person.waxseal(["-v", "run", "--index", &url, "--", "env"]).run().success();
    assert_shows(&outcome.stdout, &["PIP_INDEX_URL=", "UV_DEFAULT_INDEX="]);
    assert!(!outcome.screen().contains("secret-of-mine"), "{outcome}");
}

#[test]
fn terminated_it_stops_like_with_ctrl_c() {
    let index = Index::quickstart();
    let serve = index.folder().join("other");
    let other = Process::start(
        index.operator(["quickstart", "--listen", "127.0.0.1:0", "--data"]).arg(&serve),
    );
    other.wait_for(&other.stdout, "Ctrl-C stops the index");
    let (status, screen) = other.terminate();
    assert_eq!(status.code(), Some(0), "{screen}");
}
