//! An index that asks who one is.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use waxseal_testkit::peers::CleanCommand;

use crate::harness::{Front, Index, Person, Rogue, Tool, assert_shows};

const SECRET: &str = "s3cr3t-of-the-index";

/// Installs with what `command` adds, and asserts that the password shows nowhere.
fn installs(person: &Person, add: impl Fn(CleanCommand) -> CleanCommand) {
    for tool in Tool::BOTH {
        let again = if tool == Tool::Pip { "--force-reinstall" } else { "--reinstall" };
        let outcome = add(person.install(tool, [again, "blinker"]).env("RUST_LOG", "trace"));
        let outcome = outcome.run().success();
        assert!(!outcome.screen().contains(SECRET), "{outcome}");
    }
    let environment = add(person.waxseal(["-v", "run", "--", "env"])).run().success();
    let named = environment.stdout.lines().filter(|line| line.contains(SECRET));
    // What the user's own environment holds is the user's to give; nothing of ours is added to it.
    assert!(named.clone().all(|line| line.starts_with("MY_")), "{environment}");
}

#[test]
fn credentials_come_from_the_url_netrc_or_a_keyring_and_go_to_the_index_alone() {
    let index = Index::with(&["blinker-"]);
    let front = Front::start(&index, &["--password", &format!("me:{SECRET}")]);
    let person = Person::new();
    let root = index.data().join("store/tuf/metadata/1.root.json");
    let url = front.url();
    person.waxseal(["trust", "add", &url, "--root"]).arg(root).run().success();

    let refused = person.install(Tool::Pip, ["blinker"]).run().failure();
    assert_shows(&refused.stderr, &["status 401", "check the credentials"]);

    let with_password = url.replace("http://", &format!("http://me:{SECRET}@"));
    installs(&person, |command| command.env("WAXSEAL_INDEX", &with_password));

    let netrc = person.home().join(".netrc");
    fs::write(&netrc, format!("machine 127.0.0.1 login me password {SECRET}\n")).unwrap();
    installs(&person, |command| command);
    fs::remove_file(netrc).unwrap();

    // A program called `keyring`, as pip and uv ask it.
    let keyring = person.venv.root().join("bin/keyring");
    let script = format!(
        "#!/bin/sh\n[ \"$1 $2 $3\" = 'get {url}/simple/ me' ] && echo '{SECRET}' && exit\n\
         [ \"$1 $2 $3 $4\" = '--mode creds get 127.0.0.1' ] && echo me && echo '{SECRET}' && exit\nexit 1\n"
    );
    fs::write(&keyring, script).unwrap();
    fs::set_permissions(&keyring, fs::Permissions::from_mode(0o755)).unwrap();
    let asked = |command: CleanCommand| command.env("UV_KEYRING_PROVIDER", "subprocess");
    installs(&person, asked);
    let user = url.replace("http://", "http://me@");
    installs(&person, |command| asked(command).env("WAXSEAL_INDEX", &user));

    // Every request of ours had them, and no other server is asked at all.
    let answered = front.requests();
    assert!(answered.iter().any(|request| request["headers"].get("authorization").is_some()));
    let rogue = Rogue::start();
    let get = format!("curl -s -o /dev/null {}", rogue.base());
    let command = person.waxseal(["run", "--index", &with_password, "--", "sh", "-c", &get]);
    command.run();
    rogue.assert_not_asked();
}

#[test]
fn a_mirror_and_what_is_allowed_get_no_credentials() {
    let index = Index::with(&["blinker-"]);
    let (front, mirror) =
        (Front::start(&index, &["--password", &format!("me:{SECRET}")]), Front::start(&index, &[]));
    let person = Person::new();
    let url = front.url().replace("http://", &format!("http://me:{SECRET}@"));
    let root = index.data().join("store/tuf/metadata/1.root.json");
    person.waxseal(["trust", "add", &url, "--root"]).arg(root).run().success();
    // With the wrong password the mirror is asked.
    let wrong = url.replace(SECRET, "wrong");
    let mirror_url = mirror.url();
    let options = ["pip", "--index", &wrong, "--mirror", &mirror_url, "--allow", &mirror_url];
    let command = person.waxseal(options).args(["install", "blinker"]);
    command.run().success();
    assert!(!mirror.requests().is_empty());
    for request in mirror.requests() {
        assert_eq!(request["headers"].get("authorization"), None, "{request}");
    }
}
