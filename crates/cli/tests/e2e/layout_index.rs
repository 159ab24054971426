//! An index of layout `index`: its pages are the targets, and vouch for the files on them.

use std::fs;

use waxseal_testkit::mirror::{Change, Mirror, PathPattern, Position, Tamper};
use waxseal_testkit::peers;

use crate::harness::{Index, Person, Tool, assert_shows, exited, request};

const NAME: &str = "blinker-1.9.0-py3-none-any.whl";
const TARGET: &str = "packages/blinker/blinker-1.9.0-py3-none-any.whl";
const PAGE: &str = "simple/blinker/vnd.pypi.simple.v1.json";

/// With the packages whose files begin so.
fn index(starts: &[&str]) -> Index {
    let mut index = Index::quickstart();
    index.configure("layout", "\"index\"");
    let files: Vec<_> = starts.iter().map(|start| peers::package(start)).collect();
    index.upload(&files);
    index
}

#[test]
fn pip_and_uv_install_and_download_saves() {
    let index = index(&[
        "flask-",
        "werkzeug-",
        "jinja2-",
        "markupsafe-",
        "itsdangerous-",
        "click-",
        "blinker-",
    ]);
    let wheel = fs::read(peers::package("blinker-")).unwrap();
    for tool in Tool::BOTH {
        let person = Person::trusting(&index);
        person.install(tool, ["flask"]).run().success();
        person.python("import flask");
        let outcome = person.waxseal(["download", TARGET]).run().success();
        assert_eq!(fs::read(person.work().join(NAME)).unwrap(), wheel);
        assert_shows(&outcome.stderr, &["bytes verified", &format!("as {PAGE} lists them")]);
        let metadata = format!("{TARGET}.metadata");
        let metadata = person.waxseal(["download", &metadata, "-o", "-"]).run().success();
        assert!(metadata.stdout.contains("Name: blinker"), "{metadata}");
        let page = person.waxseal(["download", PAGE, "-o", "-"]).run().success();
        assert!(page.stdout.contains(NAME), "{page}");
    }
    // Plain tools have the files by their names, with ranges and tags as ever.
    let url = format!("{}/files/{TARGET}", index.url);
    let part = request("GET", &url, &[("Range", "bytes=0-9")], b"").unwrap();
    assert_eq!((part.status, &part.body[..]), (206, &wheel[..10]));
    // And no bin lists them: python-tuf finds the page, and not the file.
    let bins = fs::read_dir(index.data().join("store/tuf/metadata")).unwrap();
    for file in bins.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()) {
        assert!(!file.contains("packages/"), "{file}");
    }
}

#[test]
fn a_changed_file_is_refused_with_the_page_that_promised_it() {
    let index = index(&["blinker-"]);
    let mirror = Mirror::start(&index.url.parse().unwrap());
    let person = Person::new();
    person.trust(&index, mirror.url().as_str());
    let change = Change::FlipByte { at: Position::FromEnd(1) };
    mirror.set(Tamper { matches: PathPattern::suffix(NAME), change });
    let outcome = person.waxseal(["download", TARGET]).run();
    exited(&outcome, 3);
    let promised = format!("promised by the page {PAGE}");
    assert_shows(&outcome.stderr, &["was changed: sha256 is", &promised, "hint:"]);
    assert_eq!(fs::read_dir(person.work()).unwrap().count(), 0);
    for tool in Tool::BOTH {
        let outcome = person.install(tool, ["blinker"]).run().failure();
        assert_shows(&outcome.screen(), &["waxseal refuses file", TARGET, "(changed)", &promised]);
        assert_eq!(person.venv.installed(), Vec::<String>::new());
    }
    mirror.honest();
    person.install(Tool::Pip, ["blinker"]).run().success();
}

#[test]
fn the_layout_can_become_index_and_not_files_again() {
    let mut index = Index::with(&["blinker-"]);
    let person = Person::trusting(&index);
    index.configure("layout", "\"index\"");
    // What was there stays a target; what comes is listed.
    index.upload(&[peers::package("click-")]);
    for tool in Tool::BOTH {
        person.install(tool, ["blinker", "click"]).run().success();
    }
    index.stop();
    index.write_config("layout", "\"files\"");
    let outcome = index.operator(["serve", "--listen", "127.0.0.1:0"]).run();
    exited(&outcome, 1);
    assert_shows(
        &outcome.stderr,
        &["error: this index has the layout `index`", "say `index` again"],
    );
    index.write_config("layout", "\"other\"");
    let outcome = index.operator(["serve", "--listen", "127.0.0.1:0"]).run();
    assert_shows(&outcome.stderr, &["waxseal.toml", "`files` or `index`"]);
    index.write_config("layout", "\"index\"");
    index.start();
    person.install(Tool::Pip, ["--force-reinstall", "blinker", "click"]).run().success();
}
