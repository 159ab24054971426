//! The API for other indexes: what its page in the documentation shows, and `kill -9` before the answer.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use waxseal_testkit::peers::CleanCommand;

use crate::harness::{Index, WAXSEAL, request};

const PAGE: &str = include_str!("../../../../docs/api.md");

/// A command of the page, and what it prints there.
struct Example {
    command: String,
    printed: String,
}

/// The commands of the page, in order. A command goes on while a quote is open.
fn examples() -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    for block in PAGE.split("```console\n").skip(1) {
        let (block, _) = block.split_once("```").unwrap();
        for line in block.lines() {
            let open = |example: &Example| example.command.matches('\'').count() % 2 == 1;
            match (line.strip_prefix("$ "), examples.last_mut()) {
                (None, Some(last)) if open(last) => last.command.extend(["\n", line]),
                (None, Some(last)) => last.printed.extend([line, "\n"]),
                (Some(command), _) => {
                    examples.push(Example { command: command.to_owned(), printed: String::new() });
                }
                (None, None) => panic!("a block begins with a command"),
            }
        }
    }
    examples
}

#[test]
fn every_command_of_the_page_does_what_the_page_says() {
    let index = Index::quickstart();
    let (_, program) = PAGE.split_once("```python\n").unwrap();
    let (program, _) = program.split_once("```").unwrap();
    fs::write(index.folder().join("adopt.py"), program).unwrap();

    let mut token = String::new();
    let examples = examples();
    assert!(examples.len() >= 10, "{}", examples.len());
    for Example { command, printed } in examples {
        let folder = Path::new(WAXSEAL).parent().unwrap().to_str().unwrap();
        let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
        let bash = CleanCommand::new("bash").args(["-euo", "pipefail", "-c", &command]);
        let bash = bash.current_dir(index.folder()).env("PATH", path);
        let outcome = bash.env("INDEX", &index.url).env("TOKEN", &token).run().success();
        if command.starts_with("waxseal token add") {
            outcome.stdout.trim().clone_into(&mut token);
            assert!(token.starts_with("waxseal_") && printed == "waxseal_…\n", "{printed}");
        } else {
            assert_eq!(outcome.stdout.trim_end(), printed.trim_end(), "{command}");
        }
    }
    let status = index.status();
    assert_eq!((&status["journal_serial"], &status["published_serial"]), (&4.into(), &4.into()));
}

#[test]
fn an_answer_that_kill_9_took_away_is_given_again_with_the_same_key() {
    let mut index = Index::quickstart();
    let outcome = index.operator(["token", "add", "warehouse", "--scope", "api"]).run().success();
    let authorization = format!("Bearer {}", outcome.stdout.trim());
    let address = index.url.strip_prefix("http://").unwrap().to_owned();
    let mut lost = 0;
    for round in 1..=8_u32 {
        let body = format!("{{\"remove\":[\"p/{round}\"]}}");
        let key = format!("round-{round}");
        let mut connection = TcpStream::connect(&address).unwrap();
        let head = format!(
            "POST /api/v1/targets HTTP/1.1\r\nHost: index\r\nAuthorization: {authorization}\r\n\
             Content-Type: application/json\r\nIdempotency-Key: {key}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        connection.write_all(format!("{head}{body}").as_bytes()).unwrap();
        // At some moment before, while or after it is appended; the answer is not read.
        thread::sleep(Duration::from_millis(u64::from(round) / 2));
        index.kill();
        drop(connection);
        index.start();

        let before = index.status()["journal_serial"].as_u64().unwrap();
        lost += u64::from(before == u64::from(round));
        let headers = [
            ("Authorization", authorization.as_str()),
            ("Content-Type", "application/json"),
            ("Idempotency-Key", &key),
        ];
        for again in [false, true] {
            let url = format!("{}/api/v1/targets", index.url);
            let answer = request("POST", &url, &headers, body.as_bytes()).unwrap();
            assert_eq!(answer.status, 202, "{}", answer.text());
            let said: Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(said["serial"], round);
            assert_eq!(said["repeated"], again || before == u64::from(round), "{said}");
        }
        assert_eq!(index.status()["journal_serial"], round);
    }
    eprintln!("{lost} of 8 requests were recorded and their answers lost");
}
