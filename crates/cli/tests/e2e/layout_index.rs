//! An index of layout `index`: its pages are the targets, and vouch for the files on them.

use std::fs;

use waxseal_testkit::mirror::{Change, Mirror, PathPattern, Position, Tamper};
use waxseal_testkit::peers;
use waxseal_testkit::served::ServedSimulator;
use waxseal_testkit::simulator::Simulator;
use waxseal_tuf::hash::Sha256;

use crate::harness::{Index, Person, Process, Tool, assert_shows, exited, request, waxseal};

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

/// A folder of wheels on a plain web server, and pages about them that were signed as they were.
#[test]
fn an_index_that_people_have_is_adopted_by_its_pages() {
    let mut files = Simulator::new();
    let mut wheels = Vec::new();
    for start in ["blinker-", "click-"] {
        let path = peers::package(start);
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let content = fs::read(&path).unwrap();
        files.target_files.insert(format!("wheels/{name}"), content.clone());
        wheels.push((name, content));
    }
    let files = ServedSimulator::start(files);
    let host = Mirror::start(&files.url());

    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let operator = |args: &[&str]| {
        let data = ["--data", data.to_str().unwrap()];
        waxseal(args.iter().copied().chain(data)).current_dir(folder.path())
    };
    operator(&["repo", "init", "--development", "--layout", "index"]).run().success();
    let mut lines = Vec::new();
    for (name, content) in &wheels {
        let project = name.split('-').next().unwrap();
        let (digest, length) = (Sha256::of(content), content.len());
        let page = format!(
            r#"{{"meta":{{"api-version":"1.1"}},"name":"{project}","versions":[],"files":[{{
            "filename":"{name}","url":"{}files/wheels/{name}","size":{length},
            "hashes":{{"sha256":"{digest}"}}}}]}}"#,
            host.url()
        );
        let (digest, length) = (Sha256::of(page.as_bytes()), page.len());
        let path = format!("simple/{project}/vnd.pypi.simple.v1.json");
        let hashes = format!(r#"{{"sha256":"{digest}"}}"#);
        lines.push(format!(r#"{{"path":"{path}","length":{length},"hashes":{hashes}}}"#));
        let stored = data.join(format!("store/tuf/targets/simple/{project}"));
        fs::create_dir_all(&stored).unwrap();
        fs::write(stored.join(format!("{digest}.vnd.pypi.simple.v1.json")), page).unwrap();
    }
    fs::write(folder.path().join("pages.jsonl"), lines.join("\n")).unwrap();
    operator(&["repo", "import", "pages.jsonl"]).run().success();
    let server = Process::start(operator(&["serve", "--listen", "127.0.0.1:0"]));
    server.wait_for(&server.stderr, " on http://127.0.0.1:");
    let text = server.stderr.text();
    let url = text.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
    let root = fs::read(data.join("store/tuf/metadata/1.root.json")).unwrap();
    let fingerprint = Sha256::of(&root).to_string();

    for tool in Tool::BOTH {
        let person = Person::new();
        person.waxseal(["trust", "add", url, "--fingerprint", &fingerprint]).run().success();
        let change = Change::FlipByte { at: Position::FromEnd(1) };
        host.set(Tamper { matches: PathPattern::suffix(NAME), change });
        let outcome = person.install(tool, ["blinker"]).run().failure();
        assert_shows(
            &outcome.screen(),
            &["waxseal refuses file", "(changed)", host.url().as_str()],
        );
        host.honest();
        person.install(tool, ["blinker", "click"]).run().success();
        assert_eq!(person.venv.installed().len(), 2);
    }
}
