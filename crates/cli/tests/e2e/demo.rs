//! `waxseal demo`, with the real pip: what it says of each attack is what happens, and nothing is left.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use waxseal_testkit::peers::CleanCommand;

use crate::harness::{Person, Process, WAXSEAL, assert_shows, exited, tree, waxseal};

/// Of each attack of PEP 458, Appendix A, in its order: what plain pip does, and what the refusal names.
const ATTACKS: [(&str, &str, &[&str]); 10] = [
    (
        "Arbitrary software installation",
        "installs the attacker's code as greet 1.1",
        &["error: refused project greet: simple/greet/vnd.pypi.simple.v1", "was changed"],
    ),
    (
        "Rollback attacks",
        "installs greet 1.0, and says nothing of greet 1.1",
        &["error: timestamp went back from version 3 to version 2: a rollback"],
    ),
    (
        "Indefinite freeze attacks",
        "installs greet 1.0, and says nothing of greet 1.1",
        &["error: timestamp version 1 expired at", "the mirror is stale or frozen"],
    ),
    (
        "Endless data attacks",
        "takes # MiB, until the mirror stops",
        &["error: refused file packages/greet/greet-1.1-py3-none-any.whl", "metadata says"],
    ),
    (
        "Slow retrieval attacks",
        "still waits after # s, having got # bytes",
        &["error: http://", "timestamp.json", "sends less than 8192 bytes in a second"],
    ),
    (
        "Extraneous dependencies attacks",
        "installs oldxml 0.9 as well",
        &["error: refused file packages/greet/greet-1.1-py3-none-any.whl.metadata", "was changed"],
    ),
    (
        "Mix-and-match attacks",
        "installs greet 1.1, and with it phrases 1.0",
        &["error: refused project phrases: bin-", "has version 2, expected version 3"],
    ),
    (
        "Wrong software installation",
        "installs greet 1.1 for Windows",
        &["error: refused file packages/greet/greet-1.1-py3-none-any.whl", "was changed"],
    ),
    (
        "Malicious mirrors preventing updates",
        "told of both, fails, and installs nothing",
        &["asking http://", "from now on, since http://", "a rollback (timestamp.json)"],
    ),
    (
        "Vulnerability to key compromises",
        "installs the attacker's code as greet 1.1",
        &["error: root version 2 is signed by 1 of the keys", "2 are needed"],
    ),
];

/// Somebody who runs the demo, with a folder for temporary files.
struct Visitor {
    person: Person,
    temporary: TempDir,
}

impl Visitor {
    fn new() -> Self {
        Self { person: Person::new(), temporary: tempfile::tempdir().unwrap() }
    }

    fn demo<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> CleanCommand {
        let command = with_temporary(self.person.command("/usr/bin/env"), self.temporary.path());
        let command = command.args([WAXSEAL, "demo"]).args(args);
        // Settings that would lead pip elsewhere, or break it.
        let command = command.env("PIP_INDEX_URL", "http://127.0.0.1:1/simple/");
        let command = command.env("PIP_NO_INDEX", "1").env("WAXSEAL_INDEX", "http://127.0.0.1:1/");
        command.env("HTTP_PROXY", "http://127.0.0.1:1")
    }

    /// What the demo left among the temporary files.
    fn left(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.temporary.path()).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

/// `env`, which starts what follows with this folder for temporary files in place of the command's own.
fn with_temporary(env: CleanCommand, folder: &Path) -> CleanCommand {
    env.arg(format!("TMPDIR={}", folder.display()))
}

#[test]
fn every_attack_of_the_pep_fools_plain_pip_and_is_refused() {
    let visitor = Visitor::new();
    let outcome = visitor.demo(["--json"]).run().success();
    println!("{outcome}");
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let attacks = report["attacks"].as_array().unwrap();
    let names: Vec<_> = attacks.iter().map(|attack| attack["attack"].as_str().unwrap()).collect();
    assert_eq!(names, ATTACKS.map(|(name, ..)| name));
    for (attack, (name, plain, words)) in attacks.iter().zip(ATTACKS) {
        assert_eq!(attack["refused"], true, "{attack:#}");
        let said = attack["plain_pip"].as_str().unwrap();
        assert!(said == plain || without_numbers(said) == plain, "{attack:#}");
        let message = attack["message"].as_str().unwrap();
        assert_shows(message, words);
        let names_the_mirror = message.contains("waxseal: asked of http://127.0.0.1:");
        assert!(names_the_mirror || name == "Malicious mirrors preventing updates", "{attack:#}");
        assert_eq!(attack.as_object().unwrap().len(), 4, "{name}");
    }
    assert_eq!(outcome.stderr, "", "stdout has all of it");

    assert_eq!(visitor.left(), [] as [PathBuf; 0]);
    assert!(visitor.person.venv.installed().is_empty());
    assert_eq!(tree(&visitor.person.home()).len(), 0, "nothing of the person's is touched");
    assert_eq!(tree(&visitor.person.work()).len(), 0);
}

/// With `#` for each number: those of the clock and the network differ.
fn without_numbers(text: &str) -> String {
    let is_number = |word: &&str| word.chars().all(|c| c.is_ascii_digit());
    text.split(' ')
        .map(|word| if is_number(&word) { "#" } else { word })
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn the_page_shows_the_refusal_as_its_user_sees_it_and_ends_with_the_table() {
    let visitor = Visitor::new();
    let outcome = visitor.demo(["--attack", "rollback"]).run().success();
    println!("{outcome}");
    assert_shows(
        &outcome.stdout,
        &[
            "$ waxseal trust add http://127.0.0.1:",
            "is trusted from now on",
            "$ waxseal pip install greet Successfully installed greet-1.1 phrases-1.1",
            "1 Rollback attacks The mirror shows",
            "$ pip install greet installs greet 1.0, and says nothing of greet 1.1",
            "$ waxseal pip install greet waxseal: asked of http://127.0.0.1:",
            "error: timestamp went back from version 3 to version 2: a rollback (timestamp.json) hint: \
             the mirror serves older metadata",
            "✓ refused · exit 3 · nothing installed · trust as before · honest mirror: greet 1.1",
            "attack plain pip with Waxseal",
        ],
    );
    let (_, table) = outcome.stdout.split_once("At a glance").unwrap();
    let rows: Vec<_> = table.lines().filter(|line| line.starts_with(" R")).collect();
    assert!(
        matches!(rows.as_slice(), [row] if row.contains("refused: timestamp went back")),
        "{table}"
    );
    // It fits a terminal, and a file has no colours.
    let widest = outcome.stdout.lines().map(|line| line.chars().count()).max();
    assert!(widest.is_some_and(|widest| widest <= 100), "{widest:?}");
    assert!(!outcome.stdout.contains('\u{1b}'));
    assert!(!outcome.stdout.contains("Freeze"));
}

#[test]
fn the_folder_is_kept_where_that_is_asked_for() {
    let visitor = Visitor::new();
    let outcome = visitor.demo(["--keep", "--json", "--attack", "key compromises"]).run().success();
    let [folder] = visitor.left().try_into().unwrap();
    assert_shows(&outcome.stderr, &[&format!("kept {}", folder.display())]);
    assert!(folder.join("waxseal-data/waxseal.toml").is_file());
    // What waxseal pip was given to trust, and what plain pip installed.
    let attack = folder.join("vulnerability-to-key-compromises");
    assert!(attack.join("trust").is_dir());
    let evil = fs::read_to_string(attack.join("plain/greet.py")).unwrap();
    assert_eq!(evil, "\"\"\"the attacker's code\"\"\"\n");
    assert!(!attack.join("attacked").exists(), "nothing was installed");
    waxseal(["audit", "repo"]).arg(folder.join("waxseal-data")).run().success();
}

#[test]
fn a_demo_that_is_stopped_leaves_nothing() {
    for stop in [Process::interrupt, Process::terminate] {
        let visitor = Visitor::new();
        let process = Process::start(visitor.demo(["--attack", "slow"]));
        process.wait_for(&process.stdout, "One attack: a mirror tells");
        // In the middle of the attack, in which both commands wait.
        std::thread::sleep(std::time::Duration::from_secs(3));
        let (status, screen) = stop(process);
        assert_eq!(status.code(), Some(1), "{screen}");
        assert_shows(&screen, &["error: the demo was stopped", "hint:"]);
        assert_eq!(visitor.left(), [] as [PathBuf; 0]);
    }
}

#[test]
fn without_pip_and_with_a_wrong_name_the_demo_says_what_to_do() {
    let empty = tempfile::tempdir().unwrap();
    let env = CleanCommand::new("/usr/bin/env").env("PATH", empty.path());
    let outcome = with_temporary(env, empty.path()).args([WAXSEAL, "demo"]).run();
    exited(&outcome, 1);
    assert_shows(&outcome.stderr, &["there is no pip", "hint: install pip"]);
    assert_eq!(tree(empty.path()).len(), 0, "nothing is left");

    let outcome = waxseal(["demo", "--attack", "rolback"]).run();
    exited(&outcome, 2);
    assert_shows(&outcome.stderr, &["no attack has \"rolback\" in its name", "Rollback attacks"]);
}

#[test]
fn the_documentation_shows_what_the_demo_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let page = fs::read_to_string(root.join("docs/demo.md")).unwrap();
    let picture = fs::read_to_string(root.join("docs/demo.svg")).unwrap();
    let (_, table) = page.split_once("|---|---|---|\n").unwrap();
    let rows: Vec<_> = table.lines().take_while(|line| line.starts_with("| ")).collect();
    assert_eq!(rows.len(), ATTACKS.len(), "{rows:?}");
    for (row, (name, plain, _)) in rows.into_iter().zip(ATTACKS) {
        let said: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(said[0], name);
        assert!(said[1] == plain || without_numbers(said[1]) == plain, "{row}");
        assert!(said[2].starts_with("refused"), "{row}");
        let first = name.split(' ').next().unwrap();
        assert!(picture.contains(first), "{name} is not in the picture");
    }
}
