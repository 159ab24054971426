//! Installing from an index that is trusted.

use waxseal_testkit::peers;

use crate::harness::{Index, Person, Tool, assert_shows};

#[test]
fn pip_installs_flask_and_what_it_needs() {
    let index = Index::filled();
    let person = Person::trusting(&index);
    person.install(Tool::Pip, ["flask"]).run().success();
    let seen = person.python("import flask; print(flask.Flask('x').name)");
    assert_eq!(seen, "x\n");
    assert_eq!(person.venv.installed().len(), 7, "{:?}", person.venv.installed());
}

#[test]
fn uv_installs_requests_and_what_it_needs() {
    let index = Index::filled();
    let person = Person::trusting(&index);
    let run = person.waxseal(["run", "--"]).arg(peers::uv()).args(["pip", "install", "requests"]);
    run.run().success();
    person.python("import requests; requests.Session()");
    assert_eq!(person.venv.installed().len(), 5, "{:?}", person.venv.installed());
}

#[test]
fn a_large_wheel_and_an_sdist_install_with_both_tools() {
    let index = Index::filled();
    for tool in Tool::BOTH {
        let person = Person::trusting(&index);
        // An sdist's build backend comes through the proxy too.
        person.install(tool, ["numpy", "tomli_w"]).run().success();
        let code = "import numpy, tomli_w; print(tomli_w.dumps({'a': int(numpy.arange(4).sum())}))";
        assert_eq!(person.python(code).trim(), "a = 6", "{tool:?}");
    }
}

#[test]
fn names_are_normalized() {
    let index = Index::with(&["backports.tarfile-"]);
    for (tool, name) in [(Tool::Pip, "Backports_Tarfile"), (Tool::Uv, "BACKPORTS--TARFILE")] {
        let person = Person::trusting(&index);
        person.install(tool, [name]).run().success();
        assert_eq!(person.venv.installed(), ["backports.tarfile-1.2.0"], "{name} {tool:?}");
    }
}

#[test]
fn plain_pip_still_works() {
    let index = Index::filled();
    let person = Person::new();
    let simple = format!("{}/simple/", index.url);
    person.plain_pip(["install", "--index-url", &simple, "flask"]).run().success();
    person.python("import flask");
}

#[test]
fn a_project_that_is_not_there_is_an_ordinary_failure() {
    let index = Index::with(&["blinker-"]);
    let person = Person::trusting(&index);
    for tool in Tool::BOTH {
        let outcome = person.install(tool, ["no-such-project"]).run().failure();
        assert_shows(&outcome.screen(), &["no-such-project"]);
        assert!(!outcome.screen().contains("refused"), "{outcome}");
    }
}

#[test]
fn the_exit_code_is_that_of_the_tool() {
    let index = Index::quickstart();
    let person = Person::trusting(&index);
    for code in [0, 1, 7, 255] {
        let exit = format!("exit {code}");
        let outcome = person.waxseal(["run", "--", "sh", "-c", &exit]).run();
        assert_eq!(outcome.status.code(), Some(code), "{outcome}");
    }
    let outcome = person.waxseal(["run", "--", "sh", "-c", "kill -9 $$"]).run();
    assert_eq!(outcome.status.code(), Some(128 + 9), "{outcome}");
    let outcome = person.waxseal(["run", "--", "no-such-tool"]).run();
    assert_eq!(outcome.status.code(), Some(1), "{outcome}");
    assert_shows(&outcome.stderr, &["cannot run no-such-tool", "hint:"]);
}
