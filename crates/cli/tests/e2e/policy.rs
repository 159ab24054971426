//! What a person may let in, and hold back.

use std::fs;

use crate::harness::{Index, Person, Rogue, Tool, Wheel, assert_shows, exited};

#[test]
fn an_allowed_index_is_used_and_named_as_unverified() {
    let (index, rogue) = (Index::filled(), Rogue::start());
    for tool in Tool::BOTH {
        let person = Person::trusting(&index);
        let simple = rogue.simple();
        let command = match tool {
            Tool::Pip => person.waxseal(["pip", "--allow", &rogue.base(), "install", "flask"]),
            Tool::Uv => person
                .waxseal(["run", "--allow", &rogue.base(), "--"])
                .arg(waxseal_testkit::peers::uv())
                .args(["pip", "install", "flask"]),
        };
        let variables = command.env("PIP_EXTRA_INDEX_URL", &simple).env("UV_INDEX", &simple);
        let outcome = variables.run().success();
        assert_shows(&outcome.stderr, &["is allowed, and nothing of it is verified"]);
        assert!(!outcome.stderr.contains("switched off"), "{outcome}");
        assert_eq!(person.venv.installed(), ["flask-99.0"], "{tool:?}");
        rogue.assert_asked();
    }
}

#[test]
fn verification_can_be_turned_off_for_one_command_and_nobody_misses_it() {
    let (index, rogue) = (Index::filled(), Rogue::start());
    let person = Person::trusting(&index);
    // An index whose signatures have become useless: its timestamp is gone.
    fs::remove_file(index.data().join("store/tuf/metadata/timestamp.json")).unwrap();
    let install = |options: &[&str]| {
        let command = person.waxseal(["pip"]).args(options).args(["install", "flask"]);
        command.env("PIP_EXTRA_INDEX_URL", rogue.simple()).run()
    };
    install(&[]).failure();
    let outcome = install(&["--unsafely-disable-package-verification"]).success();
    let alarms = outcome.stderr.matches("WARNING: nothing of").count();
    assert_eq!(alarms, 2, "{outcome}");
    // Other sources stay off.
    assert!(person.venv.installed().contains(&"flask-3.1.3".to_owned()));
    rogue.assert_not_asked();
    // For that one command.
    install(&[]).failure();
}

#[test]
fn young_files_are_held_back_and_exceptions_are_let_in() {
    let index = Index::quickstart();
    index.upload_new(Wheel::new("alpha", "1.0"));
    index.upload_new(Wheel::new("beta", "1.0"));
    for tool in Tool::BOTH {
        let person = Person::trusting(&index);
        let install = |options: &[&str], what: &str| {
            let command = match tool {
                Tool::Pip => person.waxseal(["pip"]).args(options).args(["install", what]),
                Tool::Uv => person
                    .waxseal(["run"])
                    .args(options)
                    .arg("--")
                    .arg(waxseal_testkit::peers::uv())
                    .args(["pip", "install", what]),
            };
            command.run()
        };
        let outcome = install(&["--min-age", "7d"], "alpha").failure();
        assert_shows(
            &outcome.stderr,
            &["refused project alpha", "none of its files is 7 days old"],
        );
        assert!(person.venv.installed().is_empty());
        let excepted = ["--min-age", "7d", "--min-age-except", "alpha==1.0"];
        let outcome = install(&excepted, "beta").failure();
        assert_shows(&outcome.stderr, &["refused project beta"]);
        install(&excepted, "alpha").success();
        assert_eq!(person.venv.installed(), ["alpha-1.0"]);
        install(&["--min-age", "0d"], "beta").success();
    }
    let person = Person::trusting(&index);
    let config = person.home().join(".config/waxseal");
    fs::create_dir_all(&config).unwrap();
    let text = "[min-age]\nevery = \"7d\"\nexcept = [\"beta\"]\nprojects = { alpha = \"1d\" }\n";
    fs::write(config.join("config.toml"), text).unwrap();
    let outcome = person.install(Tool::Pip, ["alpha"]).run().failure();
    assert_shows(&outcome.stderr, &["none of its files is 24 hours old"]);
    person.install(Tool::Pip, ["beta"]).run().success();
    fs::write(config.join("config.toml"), "min-ages = 1\n").unwrap();
    let outcome = person.install(Tool::Pip, ["beta"]).run().failure();
    assert_shows(&outcome.stderr, &["config.toml is wrong", "min-ages"]);
    let outcome = person.waxseal(["pip", "--min-age", "soon", "install", "beta"]).run().failure();
    exited(&outcome, 2);
}
