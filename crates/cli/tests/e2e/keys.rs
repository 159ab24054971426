//! `waxseal key`, on a terminal, in files and on a token, and indexes that sign with such keys.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;
use waxseal_testkit::peers::{self, CleanCommand, SoftHsm};

use crate::harness::{
    Index, Person, Process, Terminal, Tool, WAXSEAL, assert_shows, exited, on_terminal, waxseal,
};
use crate::python_tuf;

const PASSPHRASE: &str = "unpaved giddily reenter slum ladybug";
const OTHER: &str = "crayon hatchback tripod wisdom gargle";

/// A command at a terminal, in a folder.
fn at_terminal<'a>(folder: &Path, args: impl IntoIterator<Item = &'a str>) -> Terminal {
    Terminal::start(on_terminal(WAXSEAL, args).current_dir(folder))
}

/// A command without one.
fn alone<'a>(folder: &Path, args: impl IntoIterator<Item = &'a str>) -> CleanCommand {
    waxseal(args).current_dir(folder)
}

fn json(command: CleanCommand) -> Value {
    serde_json::from_str(&command.run().success().stdout).unwrap()
}

#[test]
fn a_key_is_made_at_a_terminal_and_its_passphrase_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let make = ["key", "generate", "file:k.pem", "--public", "k.pub"];
    let mut terminal = at_terminal(folder.path(), make);
    terminal.answer("New passphrase for k.pem: ", "sesame");
    terminal.expect("too weak: it has fewer than 12 characters");
    terminal.answer("New passphrase for k.pem: ", PASSPHRASE);
    terminal.answer("The same again: ", OTHER);
    terminal.expect("not the same");
    // Keys that correct: a letter too many taken back, and a line begun anew.
    terminal.answer("New passphrase for k.pem: ", &format!("wrong\u{15}{PASSPHRASE}\u{e4}\u{7f}"));
    terminal.answer("The same again: ", PASSPHRASE);
    let (status, screen) = terminal.end();
    assert!(status.success(), "{screen}");
    for secret in [PASSPHRASE, OTHER, "sesame", "giddily", "wrong"] {
        assert!(!screen.contains(secret), "{secret:?} is on the screen:\n{screen}");
    }
    assert_shows(&screen, &["key file:k.pem", "scheme ed25519", "AES-256-CBC, scrypt N=16384"]);

    // The holder and whoever has the public key see the same words.
    let public = alone(folder.path(), ["key", "inspect", "k.pub"]).run().success().stdout;
    let words = |text: &str| {
        let block = text.replace('\r', "");
        let (_, block) = block.split_once("spoken").unwrap();
        block.lines().take(4).map(|line| line.trim().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(words(&screen), words(&public));
    let shown = json(alone(folder.path(), ["key", "inspect", "k.pem", "--json"]));
    assert_eq!((&shown["protection"], &shown["keyid"]), (&"passphrase".into(), &Value::Null));
    let mode = fs::metadata(folder.path().join("k.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);

    let mut terminal = at_terminal(folder.path(), ["key", "inspect", "k.pem", "--unlock"]);
    terminal.answer("Passphrase of k.pem: ", "wrong");
    terminal.expect("does not open it");
    terminal.answer("Passphrase of k.pem: ", PASSPHRASE);
    let (status, screen) = terminal.end();
    assert!(status.success() && !screen.contains("giddily"), "{screen}");
    assert_eq!(words(&screen), words(&public));

    let again = alone(folder.path(), ["key", "generate", "file:k.pem"]).run();
    exited(&again, 2);
    assert_shows(&again.stderr, &["k.pem exists already"]);
}

#[test]
fn ctrl_c_at_a_question_makes_nothing_and_leaves_the_terminal_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!("{WAXSEAL} key generate file:k.pem; echo code=$?; stty -a");
    let mut terminal =
        Terminal::start(on_terminal("sh", ["-c", &script]).current_dir(folder.path()));
    terminal.expect("New passphrase");
    terminal.send("half a pass\u{3}");
    terminal.expect("no passphrase or PIN was typed: Ctrl-C");
    terminal.expect("code=1");
    let (_, screen) = terminal.end();
    for mode in ["echo", "icanon", "isig"] {
        assert!(screen.split_whitespace().any(|word| word == mode), "{mode} is off:\n{screen}");
    }
    assert!(!screen.contains("half a pass"), "{screen}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_passphrase_is_changed_at_a_terminal_and_by_a_program() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| alone(folder.path(), args.iter().copied());
    run(&["key", "generate", "file:k.pem", "--development"]).run().success();
    let keyid = json(run(&["key", "inspect", "file:k.pem?development", "--json"]))["keyid"].clone();

    let mut terminal = at_terminal(folder.path(), ["key", "passphrase", "k.pem"]);
    terminal.answer("New passphrase", PASSPHRASE);
    terminal.answer("The same again", PASSPHRASE);
    let (status, screen) = terminal.end();
    assert!(status.success() && !screen.contains("giddily"), "{screen}");
    assert_shows(&screen, &["encrypted with the new passphrase"]);

    for (name, secret) in [("old", PASSPHRASE), ("new", OTHER)] {
        fs::write(folder.path().join(name), format!("{secret}\n")).unwrap();
        fs::set_permissions(folder.path().join(name), Permissions::from_mode(0o600)).unwrap();
    }
    let key = "file:k.pem?passphrase-source=file:old";
    run(&["key", "passphrase", key, "--new-source", "file:new"]).run().success();
    let failed = run(&["key", "inspect", key]).run();
    exited(&failed, 1);
    assert_shows(&failed.stderr, &["the passphrase in file:old does not open k.pem"]);
    let shown = json(run(&["key", "inspect", "file:k.pem?passphrase-source=file:new", "--json"]));
    assert_eq!(shown["keyid"], keyid);
    let listed = json(run(&["key", "list", ".", "--json"]));
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
}

#[test]
fn what_cannot_be_a_key_uri_is_refused_and_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let secret = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3vVpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g";
    for args in [
        &["key", "generate", secret][..],
        &["key", "inspect", secret],
        &["key", "inspect", "pkcs11:token=a?pin-value=MC4CAQAw"],
        &["key", "generate", "env:KEY"],
        &["key", "generate", "pkcs11:token=a;object=b", "--development"],
    ] {
        let outcome = alone(folder.path(), args.iter().copied()).run();
        exited(&outcome, 2);
        assert!(!outcome.screen().contains("MC4CAQAw"), "{outcome}");
        assert_eq!(outcome.stdout, "");
    }
}

#[test]
fn a_key_in_a_variable_is_used_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| alone(folder.path(), args.iter().copied());
    run(&["key", "generate", "file:plain.pem", "--development"]).run().success();
    let pass = "?passphrase-source=env:PASS";
    let make = ["key", "generate", &format!("file:k.pem{pass}")];
    run(&make).env("PASS", PASSPHRASE).run().success();
    for (file, attributes) in [("plain.pem", "?development"), ("k.pem", pass)] {
        let pem = fs::read_to_string(folder.path().join(file)).unwrap();
        let inspect = |uri: &str| {
            run(&["key", "inspect", uri, "--json"]).env("KEY", &pem).env("PASS", PASSPHRASE)
        };
        let (there, here) = (format!("file:{file}{attributes}"), format!("env:KEY{attributes}"));
        let keyid = json(inspect(&there))["keyid"].clone();
        assert!(keyid.is_string());
        assert_eq!(json(inspect(&here))["keyid"], keyid);
    }
    for (content, problem) in
        [("sesame", "the variable KEY is not a key in PEM"), ("", "the variable KEY is not a key")]
    {
        let outcome = run(&["key", "inspect", "env:KEY"]).env("KEY", content).run();
        exited(&outcome, 1);
        assert_shows(&outcome.stderr, &[problem]);
        assert!(!outcome.screen().contains("sesame"), "{outcome}");
    }
    assert_shows(&run(&["key", "inspect", "env:KEY"]).run().stderr, &["env:KEY is not set"]);
}

#[test]
fn keys_on_a_token_are_made_listed_and_inspected() {
    let token = SoftHsm::new("office");
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| token.set_up(alone(folder.path(), args.iter().copied()));
    for (name, scheme) in [("root", "ed25519"), ("online", "ecdsa-sha2-nistp256")] {
        let uri = format!("pkcs11:token=office;object={name}");
        let make = ["key", "generate", &uri, "--scheme", scheme];
        let command = token.set_up(on_terminal(WAXSEAL, make).current_dir(folder.path()));
        let mut terminal = Terminal::start(command);
        terminal.answer("PIN of the token office: ", SoftHsm::PIN);
        let (status, screen) = terminal.end();
        assert!(status.success() && !screen.contains(SoftHsm::PIN), "{screen}");
        assert_shows(&screen, &[&format!("object={name}"), scheme, "kept by token office"]);
        let shown = json(run(&["key", "inspect", &uri, "--json"]));
        assert_eq!((&shown["scheme"], &shown["protection"]), (&scheme.into(), &"token".into()));
        assert_eq!(shown["problem"], Value::Null);
    }
    let listed = json(run(&["key", "list", "--json"]));
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
    let table = run(&["key", "list"]).run().success();
    assert_shows(&table.stdout, &["object=root", "object=online", "ed25519"]);

    let mut terminal = Terminal::start(
        token.set_up(on_terminal(WAXSEAL, ["key", "generate", "pkcs11:token=office;object=third"])),
    );
    terminal.answer("PIN of the token office: ", "0000");
    let (status, screen) = terminal.end();
    assert_eq!(status.code(), Some(1), "{screen}");
    assert_shows(
        &screen,
        &["the PIN that was typed is wrong", "Wrong PINs count", "not tried again"],
    );
    assert_eq!(screen.matches("PIN of the token").count(), 1, "asked again:\n{screen}");
}

/// From the ceremony to pip, uv and python-tuf, and on when the token was out.
fn serves_with_a_key_on_a_token(scheme: &str) {
    let token = SoftHsm::new("office");
    let key = "pkcs11:token=office;object=online?pin-source=env:ONLINE_PIN";
    let set_up = |command: CleanCommand| token.set_up(command).env("ONLINE_PIN", SoftHsm::PIN);
    set_up(waxseal(["key", "generate", key, "--scheme", scheme])).run().success();
    let mut index =
        Index::quickstart_with(|command| set_up(command.args(["--online-key-uri", key])));
    assert!(!index.data().join("keys/online.pem").exists());
    let root = fs::read_to_string(index.data().join("store/tuf/metadata/1.root.json")).unwrap();
    assert!(root.contains(&format!("\"scheme\":\"{scheme}\"")), "{root}");
    index.upload(&[peers::package("blinker-"), peers::package("click-")]);
    let folder = tempfile::tempdir().unwrap();
    let seen = python_tuf::python_tuf(&index, folder.path()).success().stdout;
    assert!(seen.contains("packages/blinker/blinker-1.9.0-py3-none-any.whl\n"), "{seen}");
    for tool in Tool::BOTH {
        Person::trusting(&index).install(tool, ["blinker", "click"]).run().success();
    }

    // Accepted while the token is out, and published when it is back, by the same process.
    token.take_out();
    index.upload(&[peers::package("idna-")]);
    let process = index.process();
    process.wait_for(&process.stderr, "could not sign");
    assert_eq!(index.status()["published_serial"], 2);
    token.put_back();
    let until = std::time::Instant::now() + std::time::Duration::from_mins(1);
    while index.status()["published_serial"] != 3 {
        assert!(std::time::Instant::now() < until, "{}", index.process().screen());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    Person::trusting(&index).install(Tool::Uv, ["idna"]).run().success();
    let (status, screen) = index.stop();
    assert!(status.success() && !screen.contains(SoftHsm::PIN), "{screen}");
}

#[test]
fn an_index_signs_with_an_ed25519_key_on_a_token() {
    serves_with_a_key_on_a_token("ed25519");
}

#[test]
fn an_index_signs_with_an_ecdsa_key_on_a_token() {
    serves_with_a_key_on_a_token("ecdsa-sha2-nistp256");
}

#[test]
fn a_server_without_a_terminal_says_which_line_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    alone(folder.path(), ["repo", "init", "--development"]).run().success();
    let config = folder.path().join("waxseal-data/waxseal.toml");
    let made = fs::read_to_string(&config).unwrap();
    let development = "online-key = \"file:keys/online.pem?development\"\n";
    assert!(made.contains(development), "{made}");
    let with = |line: &str| fs::write(&config, made.replace(development, line)).unwrap();
    let serve = || alone(folder.path(), ["-v", "serve", "--listen", "127.0.0.1:0"]);
    let says = |line: &str| {
        let outcome = serve().run();
        exited(&outcome, 1);
        assert_shows(&outcome.stderr, &["cannot open the online key", "waxseal.toml:", line]);
    };

    with("online-key = \"file:keys/online.pem\"\n");
    says(development.trim_end());
    let key = "file:waxseal-data/keys/online.pem";
    alone(folder.path(), ["key", "passphrase", key, "--new-source", "env:PASS"])
        .env("PASS", PASSPHRASE)
        .run()
        .success();
    let line = "online-key = \"file:keys/online.pem?passphrase-source=file:/run/credentials/\
                waxseal.service/online-passphrase\"";
    says(line);

    // A path that is relative to the data folder, and at a terminal a question.
    let secret = folder.path().join("waxseal-data/secret");
    fs::write(&secret, format!("{PASSPHRASE}\n")).unwrap();
    fs::set_permissions(&secret, Permissions::from_mode(0o400)).unwrap();
    with("online-key = \"file:keys/online.pem?passphrase-source=file:secret\"\n");
    let process = Process::start(serve());
    process.wait_for(&process.stderr, "serving waxseal-data");
    let (status, screen) = process.interrupt();
    assert!(status.success() && !screen.contains(PASSPHRASE), "{screen}");
    with("online-key = \"file:keys/online.pem\"\n");
    let mut terminal = at_terminal(folder.path(), ["serve", "--listen", "127.0.0.1:0"]);
    terminal.answer("online.pem: ", PASSPHRASE);
    terminal.expect("serving waxseal-data");
    assert!(!terminal.text().contains(PASSPHRASE), "{}", terminal.text());
}

/// SoftHSM is full when its folder takes no more bytes.
#[test]
fn a_token_that_is_full_says_so() {
    let token = SoftHsm::new("office");
    let folder = tempfile::tempdir().unwrap();
    let pin = folder.path().join("pin");
    fs::write(&pin, SoftHsm::PIN).unwrap();
    fs::set_permissions(&pin, Permissions::from_mode(0o600)).unwrap();
    let uri = format!("pkcs11:token=office;object=third?pin-source=file:{}", pin.display());
    let full = "trap '' XFSZ; ulimit -f 0; exec \"$@\"";
    let command = token.set_up(CleanCommand::new("bash")).current_dir(folder.path());
    let outcome = command.args(["-c", full, "bash", WAXSEAL, "key", "generate", &uri]).run();
    exited(&outcome, 1);
    assert_shows(&outcome.stderr, &["the token office failed to make a key", "it may be full"]);
    assert!(!outcome.screen().contains(SoftHsm::PIN), "{outcome}");
}
