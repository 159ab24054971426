//! The other commands: `download`, `repo`, `token`, `completions`, and every `--help`.

use std::fs;

use serde_json::Value;
use waxseal_testkit::mirror::{Change, Mirror, PathPattern, Position, Tamper};
use waxseal_testkit::peers::{self, CleanCommand};

use crate::harness::{Index, Person, assert_shows, exited, waxseal};

const TARGET: &str = "packages/blinker/blinker-1.9.0-py3-none-any.whl";
const NAME: &str = "blinker-1.9.0-py3-none-any.whl";

#[test]
fn download_writes_a_verified_target() {
    let index = Index::with(&["blinker-"]);
    let person = Person::trusting(&index);
    let wheel = fs::read(peers::package("blinker-")).unwrap();

    let outcome = person.waxseal(["download", TARGET]).run().success();
    assert_eq!(fs::read(person.work().join(NAME)).unwrap(), wheel);
    assert_eq!(outcome.stdout, "");
    person.waxseal(["download", TARGET, "-o", "other.whl"]).run().success();
    assert_eq!(fs::read(person.work().join("other.whl")).unwrap(), wheel);

    let page = "simple/blinker/vnd.pypi.simple.v1.json";
    let outcome = person.waxseal(["download", page, "-o", "-"]).run().success();
    let page: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(page["files"][0]["filename"], NAME);
}

#[test]
fn download_of_what_is_not_there_or_not_right_writes_nothing() {
    let index = Index::with(&["blinker-"]);
    let mirror = Mirror::start(&index.url.parse().unwrap());
    let person = Person::new();
    person.trust(&index, mirror.url().as_str());
    let nothing_was_written = || fs::read_dir(person.work()).unwrap().count() == 0;

    let outcome = person.waxseal(["download", "packages/absent/absent-1.0.tar.gz"]).run();
    exited(&outcome, 1);
    assert_shows(&outcome.stderr, &["the index has no target", "hint:"]);
    assert!(nothing_was_written(), "{outcome}");
    for target in ["../x", "/etc/passwd", "packages/../../x", ""] {
        let outcome = person.waxseal(["download", target]).run();
        exited(&outcome, 2);
        assert!(nothing_was_written(), "{outcome}");
    }

    let change = Change::FlipByte { at: Position::FromEnd(1) };
    mirror.set(Tamper { matches: PathPattern::suffix(NAME), change });
    for output in ["x.whl", "-"] {
        let outcome = person.waxseal(["download", TARGET, "-o", output]).run();
        exited(&outcome, 3);
        assert_shows(&outcome.stderr, &[TARGET, "was changed", "hint:"]);
        assert_eq!(outcome.stdout, "", "not a byte of it goes out");
        assert!(nothing_was_written(), "{outcome}");
    }
    mirror.honest();
    person.waxseal(["download", TARGET]).run().success();
}

#[test]
fn a_mirror_is_asked_when_the_index_fails() {
    let index = Index::with(&["blinker-"]);
    let first = Mirror::start(&index.url.parse().unwrap());
    let person = Person::new();
    person.trust(&index, first.url().as_str());
    first.set(Tamper { matches: PathPattern::Any, change: Change::DropConnection });
    exited(&person.waxseal(["download", TARGET]).run(), 1);

    let mirror = ["--mirror", &index.url];
    let outcome = person.waxseal(["download", TARGET]).args(mirror).run().success();
    let (asked, failed) = (format!("asking {}", index.url), first.url());
    assert_shows(&outcome.stderr, &[&asked, failed.as_str(), "failed"]);
    person.waxseal(["download", TARGET]).env("WAXSEAL_MIRRORS", &index.url).run().success();
    exited(&person.waxseal(["download", TARGET, "--mirror", "ftp://host/"]).run(), 2);
}

#[test]
fn no_command_makes_a_database_where_the_index_lost_its_own() {
    let mut index = Index::with(&[]);
    index.stop();
    let (file, away) = (index.data().join("waxseal.sqlite"), index.data().join("away"));
    fs::rename(&file, &away).unwrap();
    for command in [["repo", "status"].as_slice(), &["token", "add", "ci"], &["serve"]] {
        let outcome = index.operator(command.iter().copied()).run();
        exited(&outcome, 1);
        assert_shows(&outcome.stderr, &["waxseal.sqlite is missing", "hint: put it back"]);
        assert!(!file.exists(), "{outcome}");
    }
    fs::rename(&away, &file).unwrap();
    index.operator(["repo", "status"]).run().success();
}

#[test]
fn repo_status_shows_what_is_published() {
    let mut index = Index::with(&["blinker-", "click-"]);
    let status = index.status();
    assert_eq!((&status["journal_serial"], &status["published_serial"]), (&2.into(), &2.into()));
    assert_eq!(status["projects"], 2);
    let roles: Vec<_> = status["roles"].as_array().unwrap().clone();
    for role in ["root", "timestamp", "snapshot", "targets", "bins"] {
        let role = roles.iter().find(|found| found["role"] == role).unwrap();
        assert_eq!(role["expired"], false, "{status}");
    }
    let outcome = index.operator(["repo", "status"]).run().success();
    assert_shows(
        &outcome.stdout,
        &["layout files", "up to serial 2", "timestamp", "364 days", "(first of 256 bins)"],
    );
    let bin = roles.iter().find(|found| found["count"] == 256).unwrap();
    let name = bin["role"].as_str().unwrap();
    // It is the one that the line names, and a file has its name.
    let file = format!("{}.{name}.json", bin["version"]);
    assert!(index.data().join("store/tuf/metadata").join(&file).is_file(), "{status}");
    assert_shows(&outcome.stdout, &[&format!("{name} (first of 256 bins)")]);
    let snapshot = roles.iter().find(|found| found["role"] == "snapshot").unwrap();
    assert_eq!((&status["snapshot"], &status["layout"]), (&snapshot["version"], &"files".into()));
    assert_shows(&outcome.stdout, &[&format!("snapshot {}, up to serial 2", status["snapshot"])]);
    // Also of an index that does not run.
    index.stop();
    index.operator(["repo", "status"]).run().success();

    let folder = tempfile::tempdir().unwrap();
    let outcome = waxseal(["repo", "status"]).current_dir(folder.path()).run();
    exited(&outcome, 2);
    assert_shows(&outcome.stderr, &["there is no index in waxseal-data", "hint:", "--data"]);
    assert_eq!(outcome.stdout, "");
}

#[test]
fn tokens_are_made_listed_and_revoked_beside_the_server() {
    let mut index = Index::quickstart();
    let outcome = index.operator(["token", "add", "ci"]).run().success();
    // The secret alone is on stdout, for a program to take.
    let secret = outcome.stdout.strip_suffix('\n').unwrap().to_owned();
    assert!(secret.starts_with("waxseal_") && !secret.contains(char::is_whitespace), "{outcome}");
    assert!(!outcome.stderr.contains(&secret), "{outcome}");

    index.token.clone_from(&secret);
    index.twine(&[peers::package("blinker-")]).run().success();
    let list = |index: &Index| -> Vec<Value> {
        let outcome = index.operator(["token", "list", "--json"]).run().success();
        assert!(!outcome.stdout.contains(&secret), "{outcome}");
        serde_json::from_str(&outcome.stdout).unwrap()
    };
    let named = |tokens: &[Value], name: &str| {
        tokens.iter().find(|token| token["name"] == name).unwrap().clone()
    };
    let tokens = list(&index);
    assert_eq!(tokens.len(), 2);
    assert!(named(&tokens, "ci")["last_used"].is_string(), "{tokens:?}");
    assert!(named(&tokens, "quickstart")["last_used"].is_null(), "{tokens:?}");
    let outcome = index.operator(["token", "list"]).run().success();
    assert_shows(&outcome.stdout, &["quickstart", "ci", "scope", "upload", "last used"]);
    index.operator(["token", "add", "warehouse", "--scope", "api"]).run().success();
    let scopes =
        ["ci", "quickstart", "warehouse"].map(|name| named(&list(&index), name)["scope"].clone());
    assert_eq!(scopes, ["upload", "upload", "api"]);

    let outcome = index.operator(["token", "add", "ci"]).run();
    exited(&outcome, 1);
    index.operator(["token", "revoke", "ci"]).run().success();
    assert!(named(&list(&index), "ci")["revoked"].is_string());
    index.twine(&[peers::package("click-")]).run().failure();
    let outcome = index.operator(["token", "revoke", "ci"]).run();
    exited(&outcome, 1);
    assert_shows(&outcome.stderr, &["there is no token \"ci\"", "hint:"]);
}

#[test]
fn completions_are_a_script_that_bash_reads() {
    let script = waxseal(["completions", "bash"]).run().success().stdout;
    assert!(script.contains("_waxseal()"), "{script}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("waxseal.bash");
    fs::write(&file, script).unwrap();
    let complete = ". \"$0\"; COMP_WORDS=(waxseal tr); COMP_CWORD=1; _waxseal waxseal tr waxseal; \
                    echo \"${COMPREPLY[@]}\"";
    let outcome = CleanCommand::new("bash").args(["-c", complete]).arg(&file).run().success();
    assert_eq!(outcome.stdout, "trust\n", "{outcome}");
    for shell in ["zsh", "fish"] {
        waxseal(["completions", shell]).run().success();
    }
}

#[test]
fn wrong_use_ends_with_2_and_an_empty_stdout() {
    for line in [
        "",
        "no-such-command",
        "trust",
        "trust add http://127.0.0.1:1",
        "trust add http://127.0.0.1:1 --fingerprint 12",
        "trust add ftp://host --fingerprint 12",
        "quickstart --bins 3",
        "quickstart --listen nowhere",
        "pip",
        "run",
        "completions no-such-shell",
        "token add",
        "token add ci --scope root",
        "audit keys",
        "audit keys nothing --head 1",
        "audit keys nothing",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let outcome = waxseal(line.split_whitespace()).current_dir(folder.path()).run();
        exited(&outcome, 2);
        assert_eq!(outcome.stdout, "", "{outcome}");
        // A group of commands shows its help.
        let help = ["", "trust"].contains(&line);
        assert!(outcome.stderr.contains(if help { "Usage:" } else { "error:" }), "{outcome}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{outcome}");
    }
}

#[test]
fn the_help_is_one_that_a_person_can_use() {
    for command in [
        "",
        "quickstart",
        "serve",
        "trust",
        "trust add",
        "trust list",
        "trust bundle",
        "trust replace",
        "trust remove",
        "pip",
        "run",
        "proxy",
        "shell-env",
        "download",
        "why",
        "mirror",
        "mirror import",
        "mirror verify",
        "mirror status",
        "repo",
        "repo init",
        "repo import",
        "repo gc",
        "repo revoke",
        "repo publish-root",
        "repo status",
        "audit",
        "audit repo",
        "audit compare",
        "audit keys",
        "audit archive",
        "audit check",
        "restore",
        "restore plan",
        "restore apply",
        "token",
        "token add",
        "token list",
        "token revoke",
        "key",
        "key generate",
        "key inspect",
        "key list",
        "key passphrase",
        "ceremony",
        "ceremony plan",
        "ceremony rehearse",
        "ceremony perform",
        "ceremony export",
        "sign",
        "sign show",
        "sign combine",
        "sign pin",
        "demo",
        "completions",
    ] {
        let words = command.split_whitespace().chain(["--help"]);
        let help = waxseal(words).run().success().stdout;
        let name = format!("waxseal {command}").trim().replace(' ', "-");
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, help);
        });
    }
}
