//! `waxseal repo revoke`, beside a server that runs and without one, as pip and uploaders meet it.

use serde_json::Value;
use waxseal_testkit::peers::Outcome;

use crate::harness::{
    Form, Index, Person, Terminal, Tool, WAXSEAL, Wheel, assert_shows, exited, make_wheels,
    on_terminal,
};

const WHEEL: &str = "alpha-1.0-py3-none-any.whl";

fn revoke(index: &Index, words: &[&str]) -> Outcome {
    index.operator(["repo", "revoke"]).args(words).run()
}

fn index() -> Index {
    let index = Index::quickstart();
    for (name, version) in [("alpha", "1.0"), ("alpha", "2.0"), ("beta", "1.0")] {
        index.upload_new(Wheel::new(name, version));
    }
    index
}

fn audit(index: &Index) {
    index.operator(["audit", "repo", "waxseal-data", "--deep"]).run().success();
}

#[test]
fn a_file_and_a_project_are_gone_while_the_server_runs() {
    let index = index();
    let person = Person::trusting(&index);
    person.install(Tool::Pip, ["alpha==1.0"]).run().success();
    let before = index.status()["snapshot"].clone();

    let outcome = revoke(&index, &[WHEEL, "--reason", "steals tokens", "--json"]).success();
    assert_shows(&outcome.stderr, &["a server runs: it publishes what was recorded"]);
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(report["files"], serde_json::json!([WHEEL]));
    assert!(report["snapshot"].as_u64() > before.as_u64(), "{report}");
    for tool in Tool::BOTH {
        let fresh = Person::trusting(&index);
        let refused = fresh.install(tool, ["alpha==1.0"]).run().failure();
        assert!(!refused.screen().contains("Successfully"), "{refused}");
        fresh.install(tool, ["alpha", "beta"]).run().success();
        assert!(fresh.venv.installed().contains(&"alpha-2.0".to_owned()));
    }
    // Whoever has it goes on having it, and a new one gets the other.
    let again = ["--force-reinstall", "--no-cache-dir", "alpha==1.0"];
    person.install(Tool::Pip, again).run().failure();

    let repeated = revoke(&index, &["Alpha-1.0-py3-none-any.whl", "--reason", "again"]).success();
    assert_shows(&repeated.stdout, &["is revoked already, at serial 4, because: steals tokens"]);
    assert_eq!(index.status()["journal_serial"], 4);

    let folder = tempfile::tempdir().unwrap();
    let file = &make_wheels(folder.path(), &[Wheel::new("alpha", "1.0")])[0];
    let refused = Form::file(&index.token, file).post(&index.url).unwrap();
    assert_eq!(refused.status, 400, "{}", refused.text());
    let words = [WHEEL, "was revoked from this index", "journal entry 4", "steals tokens"];
    assert_shows(&refused.text(), &words);
    for publish in
        [index.twine(std::slice::from_ref(file)), index.uv_publish(std::slice::from_ref(file))]
    {
        assert_shows(&publish.run().failure().screen(), &["steals tokens"]);
    }

    revoke(&index, &["Beta", "--yes", "--reason", "a typo-squat"]).success();
    Person::trusting(&index).install(Tool::Pip, ["beta"]).run().failure();
    let list = waxseal_testkit::peers::CleanCommand::new("curl");
    let list = list.args(["--silent", &format!("{}/simple/", index.url)]).run().success();
    assert!(list.stdout.contains("alpha") && !list.stdout.contains("beta"), "{list}");
    audit(&index);
    let listed = revoke(&index, &["--list"]).success();
    let words = [WHEEL, "steals tokens", "project", "beta", "a typo-squat"];
    assert_shows(&listed.stdout, &words);
}

#[test]
fn without_a_server_the_command_publishes_and_undo_takes_the_name_again() {
    let mut index = index();
    index.stop();
    let revoked = revoke(&index, &["alpha", "--yes", "--reason", "malware"]).success();
    assert_shows(&revoked.stdout, &["project alpha: revoked", WHEEL, "journal entry 4, snapshot"]);
    audit(&index);
    let status = index.status();
    assert_eq!((&status["projects"], &status["published_serial"]), (&1.into(), &4.into()));

    index.start();
    let folder = tempfile::tempdir().unwrap();
    let files = make_wheels(folder.path(), &[Wheel::new("alpha", "3.0")]);
    let refused = Form::file(&index.token, &files[0]).post(&index.url).unwrap();
    assert_eq!(refused.status, 400);
    assert_shows(&refused.text(), &["alpha was revoked", "malware", "repo revoke --undo alpha"]);
    revoke(&index, &["--undo", "alpha", "--reason", "a false alarm"]).success();
    index.upload(&files);
    Person::trusting(&index).install(Tool::Pip, ["alpha==3.0"]).run().success();
    let nothing = revoke(&index, &["--undo", "alpha", "--reason", "again"]).success();
    assert_shows(&nothing.stdout, &["none of it is revoked: nothing was changed"]);
    audit(&index);
}

#[test]
fn what_is_not_there_is_an_error_that_says_where_to_look() {
    let index = index();
    let before = index.state();
    for (words, shown) in [
        (
            &["alhpa", WHEEL, "--yes"][..],
            &["uploaded here as alhpa; nothing", "there are alpha"][..],
        ),
        (&["alpha-1.1-py3-none-any.whl"], &["there are alpha-1.0-py3-none-any.whl"]),
        (&["numpy", "--yes"], &["through the API"]),
    ] {
        let refused = revoke(&index, &[words, &["--reason", "x"]].concat());
        exited(&refused, 1);
        assert_shows(&refused.stderr, shown);
    }
    for (words, shown) in [
        (&["../alpha", "--reason", "x"][..], "neither a filename nor the name"),
        (&["alpha", "--reason", " "], "the reason is empty"),
        (&["alpha"], "--reason"),
        (&["alpha", "--reason", "x"], "nobody is there to be asked"),
    ] {
        let refused = revoke(&index, words);
        exited(&refused, 2);
        assert_shows(&refused.stderr, &[shown]);
    }
    assert!(index.state() == before, "something was changed");
}

#[test]
fn a_person_is_asked_before_a_whole_project_goes() {
    let index = index();
    let question = "All of alpha (2 files) is taken back";
    for (answer, code) in [("", 1), ("y", 0)] {
        let words = ["repo", "revoke", "alpha", "--reason", "malware"];
        let command = on_terminal(WAXSEAL, words).current_dir(index.folder());
        let mut terminal = Terminal::start(command);
        terminal.answer(question, answer);
        let (status, screen) = terminal.end();
        assert_eq!(status.code(), Some(code), "{screen}");
        assert_eq!(index.status()["projects"], if code == 0 { 1 } else { 2 }, "{screen}");
    }
}

/// Killed at any moment, the command ends well when it is run again.
#[test]
fn a_command_that_was_killed_is_run_again() {
    let mut index = index();
    index.stop();
    for delay in 0..8 {
        let words = ["repo", "revoke", "alpha", "--yes", "--reason", "malware"];
        let delay = format!("0.0{delay}5");
        let timeout = waxseal_testkit::peers::CleanCommand::new("timeout");
        let timeout = timeout.args(["--signal=KILL", &delay, WAXSEAL]).args(words);
        timeout.current_dir(index.folder()).run();
        audit(&index);
    }
    revoke(&index, &["alpha", "--yes", "--reason", "malware"]).success();
    let status = index.status();
    assert_eq!((&status["journal_serial"], &status["published_serial"]), (&4.into(), &4.into()));
    assert_eq!(status["projects"], 1);
    audit(&index);
}
