//! poetry, pdm and pipx against the index, set up by `waxseal run` alone.

use std::fs;

use waxseal_testkit::mirror::{Change, Mirror, PathPattern, Position, Request, Tamper};
use waxseal_testkit::peers::{self, CleanCommand, Outcome};

use crate::harness::{Index, Person, assert_shows};

/// A project of poetry's or pdm's that needs flask, and names the index as `source` says.
fn project(source: &str) -> String {
    format!(
        "[project]\nname = \"work\"\nversion = \"1\"\nrequires-python = \">=3.11,<4\"\n\
         dependencies = [\"flask\"]\n\n{source}"
    )
}

fn of_poetry(url: &str) -> String {
    project(&format!(
        "[tool.poetry]\npackage-mode = false\n\n[[tool.poetry.source]]\nname = \"corp\"\n\
         url = \"{url}/simple/\"\npriority = \"primary\"\n"
    ))
}

fn of_pdm(url: &str) -> String {
    project(&format!(
        "[tool.pdm]\ndistribution = false\n\n[[tool.pdm.source]]\nname = \"pypi\"\n\
         url = \"{url}/simple/\"\n"
    ))
}

fn poetry(command: CleanCommand, words: &[&str]) -> CleanCommand {
    let command = command.env("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring");
    command.arg("--no-interaction").args(words)
}

/// pdm asks the world for its own newer versions, unless told not to.
fn pdm(command: CleanCommand, words: &[&str]) -> CleanCommand {
    command.env("PDM_CHECK_UPDATE", "false").args(words)
}

fn verified(person: &Person, tool: &std::path::Path) -> CleanCommand {
    person.waxseal(["run", "--"]).arg(tool)
}

/// The wheel has a byte changed on its way.
fn changed(mirror: &Mirror) {
    let change = Change::FlipByte { at: Position::FromStart(100) };
    mirror.set(Tamper { matches: PathPattern::suffix("flask-3.1.3-py3-none-any.whl"), change });
}

/// A person who knows the index by the mirror's URL.
fn behind(index: &Index, mirror: &Mirror) -> (Person, String) {
    let person = Person::new();
    let url = mirror.url().as_str().trim_end_matches('/').to_owned();
    person.trust(index, &url);
    (person, url)
}

/// A changed flask is refused, and the same command installs the honest one.
#[track_caller]
fn refused_and_then_installed(person: &Person, mirror: &Mirror, install: impl Fn() -> Outcome) {
    let outcome = install().failure();
    assert_shows(&outcome.screen(), &["refused", "flask-3.1.3", "was changed", "hint:"]);
    let installed = person.venv.installed();
    assert!(!installed.contains(&"flask-3.1.3".to_owned()), "{installed:?}");
    mirror.honest();
    install().success();
    person.python("import flask");
}

#[test]
fn poetry_locks_and_installs_the_same_with_and_without_waxseal() {
    let index = Index::filled();
    let lock = |is_verified: bool| {
        let person = Person::trusting(&index);
        fs::write(person.work().join("pyproject.toml"), of_poetry(&index.url)).unwrap();
        let command = || match is_verified {
            true => verified(&person, &peers::poetry()),
            false => person.command(peers::poetry()),
        };
        poetry(command(), &["lock"]).run().success();
        poetry(command(), &["install"]).run().success();
        person.python("import flask; flask.Flask('x')");
        fs::read_to_string(person.work().join("poetry.lock")).unwrap()
    };
    let (with, without) = (lock(true), lock(false));
    assert_eq!(with, without);
    assert!(with.contains(&format!("url = \"{}/simple\"", index.url)), "{with}");
}

#[test]
fn a_changed_wheel_is_refused_to_poetry_and_installed_when_it_is_right_again() {
    let index = Index::filled();
    let mirror = Mirror::start(&index.url.parse().unwrap());
    let (person, url) = behind(&index, &mirror);
    fs::write(person.work().join("pyproject.toml"), of_poetry(&url)).unwrap();
    poetry(verified(&person, &peers::poetry()), &["lock"]).run().success();
    changed(&mirror);
    let install = || poetry(verified(&person, &peers::poetry()), &["install"]).run();
    refused_and_then_installed(&person, &mirror, install);
}

#[test]
fn pdm_locks_and_installs_the_same_with_and_without_waxseal() {
    let index = Index::filled();
    let lock = |is_verified: bool| {
        let person = Person::trusting(&index);
        fs::write(person.work().join("pyproject.toml"), of_pdm(&index.url)).unwrap();
        let command = || match is_verified {
            true => verified(&person, &peers::pdm()),
            false => person.command(peers::pdm()),
        };
        pdm(command(), &["lock", "--static-urls"]).run().success();
        pdm(command(), &["install", "--no-self"]).run().success();
        person.python("import flask; flask.Flask('x')");
        fs::read_to_string(person.work().join("pdm.lock")).unwrap()
    };
    let (with, without) = (lock(true), lock(false));
    assert_eq!(with, without);
    assert!(with.contains(&format!("{}/files/packages/flask/", index.url)), "{with}");
}

#[test]
fn a_project_that_names_no_source_has_the_index_from_pdm_and_nothing_from_poetry() {
    let index = Index::filled();
    let person = Person::trusting(&index);
    fs::write(person.work().join("pyproject.toml"), project("[tool.pdm]\ndistribution = false\n"))
        .unwrap();
    let install = ["run", "--"];
    person.waxseal(install).arg(peers::pdm()).arg("install").run().success();
    person.python("import flask");
    // Poetry asks PyPI, unless the project says otherwise.
    let outcome = poetry(verified(&person, &peers::poetry()), &["lock"]).run().failure();
    assert_shows(&outcome.stderr, &["refused https://pypi.org", "it is not the trusted index"]);
}

#[test]
fn a_changed_wheel_is_refused_to_pdm_and_installed_when_it_is_right_again() {
    let index = Index::filled();
    let mirror = Mirror::start(&index.url.parse().unwrap());
    let (person, url) = behind(&index, &mirror);
    fs::write(person.work().join("pyproject.toml"), of_pdm(&url)).unwrap();
    pdm(verified(&person, &peers::pdm()), &["lock"]).run().success();
    changed(&mirror);
    let install = || pdm(verified(&person, &peers::pdm()), &["install", "--no-self"]).run();
    refused_and_then_installed(&person, &mirror, install);
}

/// pipx makes an environment for each program, with pip, which the index is set up for. It brings its own
/// pip up to date first, so the index has to have one.
#[test]
fn pipx_installs_a_program_from_the_index_alone() {
    let index = Index::filled();
    index.upload(&[peers::pip_wheel()]);
    let mirror = Mirror::start(&index.url.parse().unwrap());
    let (person, _) = behind(&index, &mirror);
    let install = || {
        let command = verified(&person, &peers::pipx());
        command.args(["install", "--backend", "pip", "flask"])
    };
    changed(&mirror);
    let outcome = install().run().failure();
    assert_shows(&outcome.screen(), &["refused", "flask-3.1.3", "was changed", "hint:"]);
    let program = person.home().join(".local/bin/flask");
    assert!(!program.exists());
    mirror.honest();
    install().run().success();
    let version = person.command(&program).arg("--version").run().success();
    assert_shows(&version.stdout, &["Flask 3.1.3"]);
    let pip = |request: &Request| request.path.contains("/packages/pip/");
    assert!(mirror.requests().iter().any(pip), "its own pip is of the index too");
}
