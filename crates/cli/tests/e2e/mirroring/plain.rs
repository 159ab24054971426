//! nginx in front of the folder: plain pip and uv, and clients that verify.

use std::fs;
use std::path::Path;

use waxseal_testkit::peers::{self, CleanCommand};

use super::World;
use crate::harness::{Index, Nginx, Person, Process, Tool, assert_shows, request};

const JSON: &str = "application/vnd.pypi.simple.v1+json";

#[test]
fn plain_pip_and_uv_and_those_who_verify_install_from_nginx() {
    let mut world = World::of(Index::with(&["blinker-", "click-", "backports"]));
    world.mirror(&[]).run().success();
    let nginx = Nginx::serving(&world.folder());
    let simple = format!("{}/simple/", nginx.url);
    world.index.stop();
    let person = Person::new();
    let plain = ["install", "--index-url", &simple, "blinker", "click", "backports.tarfile"];
    person.plain_pip(plain).run().success();
    assert_eq!(person.venv.installed().len(), 3);
    let person = Person::new();
    let uv = person.command(peers::uv()).args([
        "pip",
        "install",
        "--no-cache",
        "--default-index",
        &simple,
    ]);
    uv.args(["blinker", "click"]).run().success();
    // The index is down: its mirror answers, and is verified.
    for tool in Tool::BOTH {
        let person = Person::new();
        let root = world.folder().join("tuf/metadata/1.root.json").display().to_string();
        person.waxseal(["trust", "add", &world.index.url, "--root", &root]).run().success();
        let install = person.install(tool, ["click"]);
        let outcome = install.env("WAXSEAL_MIRRORS", &nginx.url).run().success();
        assert_shows(&outcome.stderr, &["asking", "from now on"]);
        person.python("import click");
    }
}

#[test]
fn what_nginx_sends_is_typed_cached_and_the_mirrors_own_records_are_not_sent() {
    let world = World::new();
    world.mirror(&[]).run().success();
    let nginx = Nginx::serving(&world.folder());
    let get = |path: &str, accept: &str| {
        request("GET", &format!("{}{path}", nginx.url), &[("Accept", accept)], b"").unwrap()
    };
    for (path, accept, kind) in [
        ("/simple/", JSON, JSON),
        ("/simple/", "text/html", "text/html"),
        ("/simple/alpha/", &format!("{JSON}, text/html;q=0.1"), JSON),
        ("/simple/alpha/", "*/*", "text/html"),
        ("/files/packages/alpha/alpha-1.0-py3-none-any.whl", "*/*", "application/octet-stream"),
        ("/files/packages/alpha/alpha-1.0-py3-none-any.whl.metadata", "*/*", "text/plain"),
        ("/tuf/metadata/timestamp.json", "*/*", "application/json"),
        ("/tuf/metadata/1.root.json", "*/*", "application/json"),
    ] {
        let answer = get(path, accept);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)), "{path}");
        let may_change = path.starts_with("/simple/") || path.ends_with("timestamp.json");
        let cache = answer.header("cache-control").unwrap();
        assert_eq!(cache.contains("immutable"), !may_change, "{path}");
    }
    let page = get("/simple/alpha/", JSON);
    assert_eq!(page.header("vary"), Some("Accept"));
    assert_eq!(page.body, fs::read(world.folder().join("simple/alpha/index.v1_json")).unwrap());
    let moved = get("/simple/alpha", "*/*");
    assert_eq!((moved.status, moved.header("location")), (301, Some("/simple/alpha/")));
    assert!(world.folder().join(".waxseal-mirror/state.json").exists());
    for hidden in ["/.waxseal-mirror/state.json", "/.waxseal-mirror/", "/simple/gamma/"] {
        assert_eq!(get(hidden, "*/*").status, 404, "{hidden}");
    }
}

/// What a bucket that is a web site does: files under their names, and `index.html` for a folder.
#[test]
fn a_copy_behind_a_server_that_only_sends_files_will_do() {
    let mut world = World::of(Index::with(&["blinker-", "click-"]));
    world.mirror(&[]).run().success();
    world.index.stop();
    // As docs/mirror.md copies it.
    let bucket = world.operator.work().join("bucket");
    for (path, bytes) in world.shown() {
        let to = bucket.join(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, bytes).unwrap();
    }
    let words = ["-u", "-m", "http.server", "--bind", "127.0.0.1", "0", "--directory"];
    let server = CleanCommand::new(peers::python()).args(words).arg(&bucket);
    let server = Process::start(server);
    server.wait_for(&server.stdout, "http://");
    let printed = server.stdout.text();
    let (_, url) = printed.split_once('(').unwrap();
    let (url, _) = url.split_once("/)").unwrap();
    let person = Person::new();
    let simple = format!("{url}/simple/");
    person.plain_pip(["install", "--index-url", &simple, "blinker", "click"]).run().success();
    assert_eq!(person.venv.installed().len(), 2);
    for tool in Tool::BOTH {
        let person = Person::new();
        person.trust(&world.index, url);
        person.install(tool, ["blinker", "click"]).run().success();
        assert_eq!(person.venv.installed().len(), 2, "{tool:?}");
    }
}

#[test]
fn a_mirror_of_a_mirror_is_the_same() {
    let world = World::new();
    world.mirror(&[]).run().success();
    let nginx = Nginx::serving(&world.folder());
    world.operator.trust(&world.index, &nginx.url);
    world.operator.waxseal(["mirror", &nginx.url, "second"]).run().success();
    world.verify("second").success();
    assert!(super::shown(&world.operator.work().join("second")) == world.shown());
}

#[test]
fn bandersnatch_reads_the_pages_and_copies_what_they_list() {
    let world = World::of(Index::with(&["blinker-", "click-", "backports"]));
    world.mirror(&[]).run().success();
    let nginx = Nginx::serving(&world.folder());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/data/bandersnatch_reads.py");
    let person = Person::new();
    let copy = person.command(peers::python()).arg(script).args([&nginx.url, "copy"]);
    let copied = copy.run().success().stdout;
    assert_eq!(copied.lines().count(), 3, "{copied}");
    for path in copied.lines() {
        let there = fs::read(person.work().join(format!("copy/web{path}"))).unwrap();
        assert_eq!(there, fs::read(world.folder().join(format!("files{path}"))).unwrap(), "{path}");
    }
    // Its command needs serials of Warehouse in the list, and copies nothing.
    let config = format!(
        "[mirror]\ndirectory = {}\nmaster = {}\nallow-non-https = true\napi-method = simple\n\
         timeout = 10\nworkers = 1\njson = false\nstop-on-error = false\n",
        person.work().join("command").display(),
        nginx.url
    );
    fs::write(person.work().join("bandersnatch.conf"), config).unwrap();
    let words = ["-c", "from bandersnatch.main import main; main()"];
    let command = person.command(peers::python()).args(words);
    let outcome = command.args(["--config", "bandersnatch.conf", "mirror"]).run();
    assert_shows(&outcome.screen(), &["Skipping malformed project entry", "0 packages to sync"]);
    let copied = fs::read_dir(person.work().join("command/web/packages")).unwrap();
    assert_eq!(copied.count(), 0, "{outcome}");
}
