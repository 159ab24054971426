//! A tool that sends all its requests to the proxy gets the index from it, and nothing else.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use waxseal_proxy::Refusal;
use waxseal_testkit::peers;

use crate::world::{Packages, SMALL, World, settings};

/// The head of the answer to a request as a forward proxy gets it.
fn ask(world: &World, request_line: &str, host: &str) -> String {
    let mut stream = TcpStream::connect(world.address).unwrap();
    write!(stream, "{request_line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn other_servers_are_refused_with_their_name_and_without_credentials() {
    let world = World::new(settings()).await;
    let own = world.address;
    let other_port = format!("127.0.0.1:{}", own.port() ^ 1);
    for (line, host, named) in [
        ("CONNECT files.example:443", "files.example:443", "https://files.example:443"),
        ("CONNECT 127.0.0.1:443", "127.0.0.1:443", "https://127.0.0.1:443"),
        ("GET http://me:secret@rogue.example/simple/", "rogue.example", "http://rogue.example"),
        (&format!("GET http://{other_port}/simple/"), &other_port, &format!("http://{other_port}")),
        ("GET http://127.0.0.2/simple/", "127.0.0.2", "http://127.0.0.2"),
        // The request line counts, whatever the header claims.
        ("GET http://rogue.example/", &own.to_string(), "http://rogue.example"),
    ] {
        let answer = ask(&world, line, host);
        assert!(answer.starts_with("HTTP/1.1 409 waxseal refuses "), "{line}: {answer}");
        assert!(answer.contains(&format!("waxseal refuses {named} (elsewhere)")), "{answer}");
        assert!(!answer.contains("secret"), "{answer}");
    }
    assert!(world.proxy.refusals().iter().all(|refusal| refusal.slug == Refusal::ELSEWHERE));
    assert_eq!(world.mirror.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_itself_is_answered_in_the_form_that_proxies_get() {
    let world = World::new(settings()).await;
    let own = world.address.to_string();
    let answer = ask(&world, &format!("GET http://{own}/simple/foo-bar/"), &own);
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert_eq!(world.proxy.refusals(), []);
}

/// pip and uv obey the variables, for a loopback index too, and show the reason.
#[tokio::test(flavor = "multi_thread")]
async fn pip_and_uv_cannot_leave_the_proxy() {
    let mut packages = Packages::new();
    packages.add(SMALL, b"not fetched");
    let world = World::serving(packages.publish(), settings()).await;
    let folder = tempfile::tempdir().unwrap();
    let venv = peers::venv(&folder.path().join("venv"));
    let proxy = format!("http://{}", world.address);
    let index = format!("{proxy}/simple/");
    let elsewhere = "https://files.example/click-8.5.1-py3-none-any.whl";
    for command in [
        venv.command(venv.pip()).args(["install", "--retries", "0", "--index-url", &index]),
        venv.command(peers::uv()).args(["pip", "install", "--default-index", &index]),
    ] {
        let command = command.args([elsewhere]).env("HTTPS_PROXY", &proxy);
        let command = command.env("HTTP_PROXY", &proxy).env("UV_HTTP_RETRIES", "0");
        let outcome = tokio::task::spawn_blocking(|| command.run()).await.unwrap();
        let screen = outcome.failure().screen();
        assert!(screen.contains("files.example"), "{screen}");
    }
    let refusals = world.proxy.refusals();
    let refused: Vec<_> = refusals.iter().map(|refusal| refusal.what.as_str()).collect();
    assert_eq!(refused, ["https://files.example:443"]);
}
