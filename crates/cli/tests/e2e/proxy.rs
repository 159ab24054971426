//! `waxseal proxy`: a verified view of the index for tools that are set up by hand.

use waxseal_testkit::mirror::{Change, Mirror, PathPattern, Position, Tamper};
use waxseal_testkit::peers;

use crate::harness::{Index, Person, Process, assert_shows, request};

/// A proxy on this machine, and the URL of its Simple API.
fn start(person: &Person, listen: &str) -> (Process, String) {
    let process = Process::start(person.waxseal(["proxy", "--listen", listen]));
    process.wait_for(&process.stderr, "/simple/\n");
    let text = process.stderr.text();
    let url = text.split_whitespace().last().unwrap().to_owned();
    (process, url)
}

#[test]
fn plain_pip_and_uv_install_through_it() {
    let index = Index::filled();
    let person = Person::trusting(&index);
    let (process, url) = start(&person, "127.0.0.1:0");
    person.plain_pip(["install", "--index-url", &url, "flask"]).run().success();
    person.python("import flask");
    let uv = person.command(peers::uv()).args(["pip", "install", "--default-index", &url]);
    uv.arg("requests").run().success();
    person.python("import requests");

    // The address can be fixed, and what points at it goes on after a restart.
    let (status, screen) = process.interrupt();
    assert_eq!(status.code(), Some(0), "{screen}");
    let address = url.strip_prefix("http://").unwrap().strip_suffix("/simple/").unwrap();
    let (_process, again) = start(&person, address);
    assert_eq!(again, url);
    person.plain_pip(["install", "--index-url", &url, "numpy"]).run().success();
}

#[test]
fn what_a_client_has_is_not_sent_again() {
    let index = Index::with(&["blinker-"]);
    let person = Person::trusting(&index);
    let (_process, simple) = start(&person, "127.0.0.1:0");
    let file = simple.replace("/simple/", "/files/packages/blinker/blinker-1.9.0-py3-none-any.whl");
    for url in [format!("{simple}blinker/"), simple.clone(), file] {
        let first = request("GET", &url, &[], b"").unwrap();
        assert_eq!(first.status, 200, "{url}");
        let etag = first.header("etag").unwrap();
        let second = request("GET", &url, &[("If-None-Match", etag)], b"").unwrap();
        assert_eq!((second.status, second.body.len()), (304, 0), "{url}");
        let other = request("GET", &url, &[("If-None-Match", "\"other\"")], b"").unwrap();
        assert_eq!(other.body, first.body, "{url}");
    }
}

#[test]
fn head_and_ranges_are_of_the_verified_file() {
    let index = Index::with(&["blinker-"]);
    let person = Person::trusting(&index);
    let wheel = std::fs::read(peers::package("blinker-")).unwrap();
    let (_process, simple) = start(&person, "127.0.0.1:0");
    let file = simple.replace("/simple/", "/files/packages/blinker/blinker-1.9.0-py3-none-any.whl");

    let head = request("HEAD", &file, &[], b"").unwrap();
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some(wheel.len().to_string().as_str()));
    for (range, start, end) in [
        ("bytes=0-9", 0, 10),
        ("bytes=-100", wheel.len() - 100, wheel.len()),
        ("bytes=50-", 50, wheel.len()),
    ] {
        let part = request("GET", &file, &[("Range", range)], b"").unwrap();
        assert_eq!(part.status, 206, "{range}");
        assert_eq!(part.body, wheel[start..end], "{range}");
        let said = format!("bytes {start}-{}/{}", end - 1, wheel.len());
        assert_eq!(part.header("content-range"), Some(said.as_str()));
    }
    let beyond = request("GET", &file, &[("Range", "bytes=9999999-")], b"").unwrap();
    assert_eq!(beyond.status, 416);
    for (method, url) in [("POST", file.as_str()), ("DELETE", &simple)] {
        assert_eq!(request(method, url, &[], b"").unwrap().status, 405, "{method} {url}");
    }
}

#[test]
fn no_path_leads_out_of_the_index() {
    let index = Index::with(&["blinker-"]);
    let person = Person::trusting(&index);
    let (_process, simple) = start(&person, "127.0.0.1:0");
    let base = simple.strip_suffix("/simple/").unwrap();
    for path in [
        "/files/../waxseal.toml",
        "/files/%2e%2e/%2e%2e/keys/online.pem",
        "/files//etc/passwd",
        "/simple/../../etc/passwd",
        "/simple/%2e%2e/",
        "/files/packages/blinker/..%2f..%2fx",
    ] {
        let answer = request("GET", &format!("{base}{path}"), &[], b"").unwrap();
        assert!(matches!(answer.status, 301 | 404), "{path}: {answer:?}");
    }
    // A page of a web site that resolves its own name to this machine is not to read it.
    let answer = request("GET", &simple, &[("Host", "attacker.example")], b"").unwrap();
    assert!(matches!(answer.status, 400 | 403), "{answer:?}");
}

#[test]
fn a_refusal_has_its_reason_in_status_line_and_body() {
    let index = Index::with(&["blinker-"]);
    let mirror = Mirror::start(&index.url.parse().unwrap());
    let person = Person::new();
    person.trust(&index, mirror.url().as_str());
    let (_process, simple) = start(&person, "127.0.0.1:0");
    let file = simple.replace("/simple/", "/files/packages/blinker/blinker-1.9.0-py3-none-any.whl");
    mirror.set(Tamper {
        matches: PathPattern::suffix(".whl"),
        change: Change::FlipByte { at: Position::FromStart(100) },
    });
    for range in ["bytes=0-9", "bytes=0-"] {
        let refused = request("GET", &file, &[("Range", range)], b"").unwrap();
        assert_eq!(refused.status, 409, "no part of it is passed on: {range}");
        assert_shows(&refused.reason, &["waxseal refuses", "blinker-1.9.0", "changed"]);
        assert_shows(&refused.text(), &["was changed", "hint:", mirror.url().as_str()]);
    }
    mirror.honest();
    let wheel = std::fs::read(peers::package("blinker-")).unwrap();
    assert_eq!(request("GET", &file, &[], b"").unwrap().body, wheel);
}
