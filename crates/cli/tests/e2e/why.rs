//! `waxseal why`: the chain of trust of a file, for people and for programs.

use std::fs;
use std::path::Path;

use serde_json::Value;
use waxseal_testkit::mirror::{Change, Mirror, PathPattern, Position, Tamper};
use waxseal_testkit::peers::{self, CleanCommand};
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::paths::bin_of;

use crate::harness::{Index, Person, assert_shows, exited, on_terminal};
use crate::harness::{Terminal, WAXSEAL, Wheel};

const NAME: &str = "blinker-1.9.0-py3-none-any.whl";
const TARGET: &str = "packages/blinker/blinker-1.9.0-py3-none-any.whl";
const PAGE: &str = "simple/blinker/vnd.pypi.simple.v1.json";

fn json(person: &Person, subject: &str) -> Value {
    let outcome = person.waxseal(["why", subject, "--json"]).run().success();
    serde_json::from_str(&outcome.stdout).unwrap()
}

fn names(explanation: &Value) -> Vec<&str> {
    let roles = explanation["roles"].as_array().unwrap();
    roles.iter().map(|role| role["role"].as_str().unwrap()).collect()
}

fn digest(path: &Path) -> String {
    Sha256::of(&fs::read(path).unwrap()).to_string()
}

#[test]
fn of_a_file_every_role_is_shown_from_the_root_to_its_digest() {
    let index = Index::with(&["blinker-"]);
    let person = Person::trusting(&index);
    let sha256 = digest(&peers::package("blinker-"));
    let bin = format!("bin-{:02x}", bin_of(TARGET, 8));
    let snapshot = index.status()["snapshot"].as_u64().unwrap();

    for subject in [NAME, TARGET] {
        let outcome = person.waxseal(["why", subject]).run().success();
        assert_shows(
            &outcome.stdout,
            &[
                TARGET,
                &format!("as {}/ signs it, checked at 2", index.url),
                "root version 1, expires 2",
                "(in 364 days)",
                "signed by 3 of 3 keys, 2 must",
                "├─ timestamp version",
                &format!("├─ snapshot version {snapshot}"),
                "named by timestamp",
                "└─ targets version 1",
                "└─ bins version 1",
                &format!("└─ {bin} version"),
                &format!("trusted with paths whose SHA-256 begins with {}", &bin[4..]),
                &format!("listed by snapshot {snapshot}"),
                &format!("listed by {bin}, "),
                &format!("sha256 {sha256}"),
            ],
        );
        assert!(!outcome.stdout.contains('\u{1b}'), "{outcome}");
    }

    let why = json(&person, NAME);
    assert_eq!(why["waxseal-why"], 1);
    assert_eq!(why["index"], format!("{}/", index.url));
    assert_eq!(names(&why), ["root", "timestamp", "snapshot", "targets", "bins", &bin]);
    assert_eq!(why["target"]["path"], TARGET);
    assert_eq!(why["target"]["hashes"]["sha256"], sha256);
    let roles = &why["roles"];
    assert_eq!((&roles[0]["delegated_by"], &roles[0]["threshold"]), (&Value::Null, &2.into()));
    let by = |at: usize| roles[at]["delegated_by"].as_str().unwrap();
    assert_eq!([1, 2, 3, 4, 5].map(by), ["root", "root", "root", "targets", "bins"]);
    assert_eq!(roles[4]["covers"], Value::Null, "bins has every path");
    assert_eq!(roles[5]["covers"]["bin"]["number"], bin_of(TARGET, 8));
    assert_eq!(roles[5]["listed"]["in_version"], snapshot);
    let online: Vec<_> = (0..6).filter(|at| roles[*at]["online"] == true).collect();
    assert_eq!(online, [1, 2, 5]);
    // What it says of a role is what its file says.
    let file = format!("store/tuf/metadata/{}.{bin}.json", roles[5]["version"]);
    let file: Value = serde_json::from_slice(&fs::read(index.data().join(file)).unwrap()).unwrap();
    assert_eq!(file["signatures"][0]["keyid"], roles[5]["keys"][0]["keyid"]);
    let expires = |text: &Value| text.as_str().unwrap().trim_end_matches('Z')[..19].to_owned();
    assert_eq!(expires(&file["signed"]["expires"]), expires(&roles[5]["expires"]));
}

#[test]
fn of_a_project_its_page_and_then_its_files_newest_last() {
    let index = Index::quickstart();
    for version in ["1.10", "1.9", "1.2"] {
        index.upload_new(Wheel::new("things", version));
    }
    let person = Person::trusting(&index);
    let why = json(&person, "Things");
    assert_eq!(why["target"]["path"], "simple/things/vnd.pypi.simple.v1.json");
    let files = why["files"].as_array().unwrap();
    let names: Vec<_> = files.iter().map(|file| file["filename"].as_str().unwrap()).collect();
    let wheel = |version: &str| format!("things-{version}-py3-none-any.whl");
    assert_eq!(names, [wheel("1.2"), wheel("1.9"), wheel("1.10")]);
    // Each digest is the one that the file's own bin lists.
    for file in files {
        let own = json(&person, file["filename"].as_str().unwrap());
        assert_eq!(own["target"]["hashes"]["sha256"], file["hashes"]["sha256"]);
        assert_eq!(own["target"]["length"], file["length"]);
    }
    let outcome = person.waxseal(["why", "things"]).run().success();
    let digest = files[2]["hashes"]["sha256"].as_str().unwrap();
    let line = outcome.stdout.lines().last().unwrap();
    assert!(line.contains(&wheel("1.10")) && line.contains(digest), "{outcome}");
}

#[test]
fn a_file_on_this_machine_is_compared() {
    let index = Index::with(&["blinker-"]);
    let person = Person::trusting(&index);
    let here = person.work().join(NAME);
    let wheel = fs::read(peers::package("blinker-")).unwrap();
    fs::write(&here, &wheel).unwrap();
    for argument in [NAME, here.to_str().unwrap()] {
        let outcome = person.waxseal(["why", argument]).run().success();
        assert_shows(&outcome.stdout, &[&format!("✓ {argument} is what the index signs")]);
        assert_eq!(json(&person, argument)["local"]["is_signed"], true);
    }
    let mut changed = wheel.clone();
    changed[100] ^= 1;
    for (bytes, says) in [
        (changed, "was changed: sha256 is"),
        (wheel[1..].to_vec(), "bytes"),
        ([&wheel[..], b"x"].concat(), "bytes"),
    ] {
        fs::write(&here, bytes).unwrap();
        let outcome = person.waxseal(["why", NAME]).run();
        exited(&outcome, 3);
        assert_shows(&outcome.stdout, &[TARGET, &format!("✗ {NAME} is not what the index signs")]);
        assert_shows(
            &outcome.stderr,
            &["is not what the index signs", says, "hint: do not use it"],
        );
        let outcome = person.waxseal(["why", NAME, "--json"]).run();
        exited(&outcome, 3);
        let why: Value = serde_json::from_str(&outcome.stdout).unwrap();
        assert_eq!(why["local"]["is_signed"], false);
    }
}

#[test]
fn what_is_not_there_ends_with_1_and_what_is_refused_with_3() {
    let index = Index::with(&["blinker-"]);
    let mirror = Mirror::start(&index.url.parse().unwrap());
    let person = Person::new();
    person.trust(&index, mirror.url().as_str());
    for (subject, says) in [
        ("absent", "has no project absent"),
        ("blinker-9.9-py3-none-any.whl", "would list it, and does not"),
        ("packages/blinker/other.txt", "has no packages/blinker/other.txt"),
    ] {
        let outcome = person.waxseal(["why", subject]).run();
        exited(&outcome, 1);
        assert_shows(&outcome.stderr, &[says, "hint:"]);
        assert_eq!(outcome.stdout, "");
    }
    for subject in ["", "two words", "/nowhere/a-1.0.tar.gz", "../x"] {
        exited(&person.waxseal(["why", subject]).run(), 2);
    }
    exited(&person.waxseal(["why", "blinker", "--json", "--svg", "-"]).run(), 2);

    let bin = format!("bin-{:02x}.json", bin_of(TARGET, 8));
    for file in ["timestamp.json", &bin] {
        let person = Person::new();
        person.trust(&index, mirror.url().as_str());
        let change = Change::FlipByte { at: Position::FromEnd(20) };
        mirror.set(Tamper { matches: PathPattern::suffix(file), change });
        let outcome = person.waxseal(["why", NAME]).run();
        exited(&outcome, 3);
        assert_eq!(outcome.stdout, "", "{outcome}");
        mirror.honest();
    }
    person.waxseal(["why", NAME]).run().success();
}

#[test]
fn a_page_that_vouches_for_the_file_is_a_link_of_the_chain() {
    let mut index = Index::quickstart();
    index.configure("layout", "\"index\"");
    index.upload(&[peers::package("blinker-")]);
    let person = Person::trusting(&index);
    let sha256 = digest(&peers::package("blinker-"));
    let why = json(&person, NAME);
    assert_eq!((&why["target"]["path"], &why["file"]["path"]), (&PAGE.into(), &TARGET.into()));
    assert_eq!(why["file"]["hashes"]["sha256"], sha256);
    let bin = format!("bin-{:02x}", bin_of(PAGE, 8));
    assert_eq!(*names(&why).last().unwrap(), bin);
    let outcome = person.waxseal(["why", NAME]).run().success();
    assert_shows(
        &outcome.stdout,
        &[
            &format!("└─ {PAGE}"),
            &format!("listed by {bin}"),
            &format!("└─ {TARGET}"),
            "listed by that page",
            &format!("sha256 {sha256}"),
        ],
    );
    fs::write(person.work().join(NAME), "other").unwrap();
    exited(&person.waxseal(["why", NAME]).run(), 3);
}

#[test]
fn on_a_terminal_it_has_colours() {
    let index = Index::with(&["blinker-"]);
    let person = Person::trusting(&index);
    let command = on_terminal(WAXSEAL, ["why", NAME]);
    let command = command.home(person.home()).current_dir(person.work()).env("TERM", "xterm");
    let (status, screen) = Terminal::start(command).end();
    assert!(status.success(), "{screen}");
    assert!(screen.contains("\u{1b}[32m✓"), "{screen:?}");
}

#[test]
fn the_picture_is_well_formed_and_says_the_same() {
    let index = Index::with(&["blinker-"]);
    let person = Person::trusting(&index);
    let outcome = person.waxseal(["why", NAME, "--svg", "-"]).run().success();
    person.waxseal(["why", NAME, "--svg", "why.svg"]).run().success();
    let file = person.work().join("why.svg");
    let written = fs::read_to_string(&file).unwrap();
    for picture in [&outcome.stdout, &written] {
        assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"), "{picture}");
        let sha256 = digest(&peers::package("blinker-"));
        assert_shows(picture, &[NAME, &sha256, "prefers-color-scheme: dark", "2 must"]);
    }
    // As a parser of XML reads it.
    let parse = "import sys, xml.etree.ElementTree as e; \
                 print(''.join(e.parse(sys.argv[1]).getroot().itertext()))";
    let python = CleanCommand::new(peers::python()).args(["-c", parse]).arg(&file);
    let text = python.run().success();
    assert_shows(&text.stdout, &[TARGET, "timestamp", "snapshot", "targets", "bins"]);
}
