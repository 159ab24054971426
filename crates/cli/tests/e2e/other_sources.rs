//! Nothing but the trusted index: whatever else names a source is switched off or refused.

use std::fs;

use waxseal_testkit::peers::{self, CleanCommand};

use crate::harness::{Index, Person, Rogue, Tool, assert_shows, exited, tree};

/// The one line that names what was switched off.
#[track_caller]
fn switched_off(stderr: &str) -> &str {
    let mut lines = stderr.lines().filter(|line| line.contains("switched off"));
    let line = lines.next().unwrap_or_else(|| panic!("nothing was switched off:\n{stderr}"));
    assert_eq!(lines.next(), None, "{stderr}");
    line
}

/// Runs the command, which must install flask from the trusted index alone, and name `sources`.
#[track_caller]
fn installs_the_trusted_flask(
    person: &Person,
    rogue: &Rogue,
    command: CleanCommand,
    sources: &[&str],
) {
    let outcome = command.run().success();
    assert_shows(switched_off(&outcome.stderr), sources);
    rogue.assert_not_asked();
    let installed = person.venv.installed();
    assert!(installed.contains(&"flask-3.1.3".to_owned()), "{installed:?}\n{outcome}");
}

#[test]
fn the_rogue_index_is_one_that_plain_tools_fall_for() {
    let (index, rogue) = (Index::filled(), Rogue::start());
    let simple = format!("{}/simple/", index.url);
    let person = Person::new();
    let pip = person.plain_pip(["install", "--index-url", &simple, "flask"]);
    pip.env("PIP_EXTRA_INDEX_URL", rogue.simple()).run().success();
    assert_eq!(person.venv.installed(), ["flask-99.0"]);
    rogue.assert_asked();
    let person = Person::new();
    let pip = person.plain_pip(["install", "--index-url", &simple, "flask"]);
    pip.env("PIP_FIND_LINKS", rogue.links()).run().success();
    assert_eq!(person.venv.installed(), ["flask-99.0"]);
    rogue.assert_asked();
}

#[test]
fn variables_are_switched_off_for_pip() {
    let (index, rogue) = (Index::filled(), Rogue::start());
    let person = Person::trusting(&index);
    let command = person
        .install(Tool::Pip, ["flask"])
        .env("PIP_INDEX_URL", rogue.simple())
        .env("PIP_EXTRA_INDEX_URL", rogue.simple())
        .env("PIP_FIND_LINKS", rogue.links());
    installs_the_trusted_flask(
        &person,
        &rogue,
        command,
        &["PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"],
    );
}

#[test]
fn variables_are_switched_off_for_uv() {
    let (index, rogue) = (Index::filled(), Rogue::start());
    let person = Person::trusting(&index);
    let command = person
        .install(Tool::Uv, ["flask"])
        .env("UV_DEFAULT_INDEX", rogue.simple())
        .env("UV_INDEX", rogue.simple())
        .env("UV_EXTRA_INDEX_URL", rogue.simple())
        .env("UV_FIND_LINKS", rogue.links());
    let sources = ["UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS"];
    installs_the_trusted_flask(&person, &rogue, command, &sources);
}

#[test]
fn configuration_files_are_switched_off_for_pip() {
    let (index, rogue) = (Index::filled(), Rogue::start());
    let person = Person::trusting(&index);
    let user = person.home().join(".config/pip/pip.conf");
    fs::create_dir_all(user.parent().unwrap()).unwrap();
    // Indented, as pip takes it as well, and with a proxy that would serve anything.
    let text = format!(
        "[global]\n    index-url = {0}\n    extra-index-url =\n        {0}\n    proxy = {1}\n",
        rogue.simple(),
        rogue.base()
    );
    fs::write(&user, text).unwrap();
    let of_venv = person.venv.root().join("pip.conf");
    fs::write(&of_venv, format!("[install]\nfind-links = {}\n", rogue.links())).unwrap();
    let sources = [
        &format!("extra-index-url in {}", user.display()),
        &format!("find-links in {}", of_venv.display()),
    ];
    let command = person.install(Tool::Pip, ["flask"]);
    installs_the_trusted_flask(&person, &rogue, command, &sources.map(String::as_str));
}

#[test]
fn configuration_files_are_switched_off_for_uv() {
    let (index, rogue) = (Index::filled(), Rogue::start());
    for (name, text) in [
        ("uv.toml", format!("[[index]]\nurl = \"{}\"\n", rogue.simple())),
        ("uv.toml", format!("[pip]\nextra-index-url = [\"{}\"]\n", rogue.simple())),
        ("uv.toml", format!("find-links = [\"{}\"]\n", rogue.links())),
        ("pyproject.toml", format!("[[tool.uv.index]]\nurl = \"{}\"\n", rogue.simple())),
    ] {
        let person = Person::trusting(&index);
        let file = person.work().join(name);
        fs::write(&file, text).unwrap();
        let command = person.install(Tool::Uv, ["flask"]);
        let source = format!("in {}", file.display());
        installs_the_trusted_flask(&person, &rogue, command, &[&source]);
    }
}

#[test]
fn on_the_command_line_another_source_is_refused() {
    let (index, rogue) = (Index::filled(), Rogue::start());
    let person = Person::trusting(&index);
    for (tool, option, value) in [
        (Tool::Pip, "--extra-index-url", rogue.simple()),
        (Tool::Pip, "--index-url", rogue.simple()),
        (Tool::Pip, "-i", rogue.simple()),
        (Tool::Pip, "--find-links", rogue.links()),
        (Tool::Uv, "--extra-index-url", rogue.simple()),
        (Tool::Uv, "--index", rogue.simple()),
        (Tool::Uv, "--default-index", rogue.simple()),
        (Tool::Uv, "--find-links", rogue.links()),
    ] {
        let outcome = person.install(tool, [option, &value, "flask"]).run().failure();
        exited(&outcome, 2);
        assert_eq!(outcome.stdout, "", "{outcome}");
        assert_shows(&outcome.stderr, &["error: -", "never signed", "hint:"]);
    }
    rogue.assert_not_asked();
    assert!(person.venv.installed().is_empty());
}

#[test]
fn in_a_requirements_file_another_source_is_refused() {
    let (index, rogue) = (Index::filled(), Rogue::start());
    let person = Person::trusting(&index);
    let included = format!("# more\n--extra-index-url {}\n", rogue.simple());
    fs::write(person.work().join("included.txt"), included).unwrap();
    fs::write(person.work().join("requirements.txt"), "flask\n-r included.txt\n").unwrap();
    for tool in Tool::BOTH {
        let outcome = person.install(tool, ["-r", "requirements.txt"]).run().failure();
        exited(&outcome, 2);
        let words = ["line 2 of", "included.txt", "--extra-index-url", "never signed"];
        assert_shows(&outcome.stderr, &words);
    }
    rogue.assert_not_asked();
    assert!(person.venv.installed().is_empty());

    // Without that line the same files work.
    fs::write(person.work().join("included.txt"), "click\n").unwrap();
    person.install(Tool::Pip, ["-r", "requirements.txt"]).run().success();
}

#[test]
fn what_no_check_of_ours_sees_still_gets_nothing_from_elsewhere() {
    let (index, rogue) = (Index::filled(), Rogue::start());
    let wheel = format!("{}files/packages/flask/flask-99.0-py3-none-any.whl", rogue.base());
    for tool in Tool::BOTH {
        let person = Person::trusting(&index);
        let file = |name: &str, text: String| fs::write(person.work().join(name), text).unwrap();
        file("constraints.txt", format!("--extra-index-url {}\n", rogue.simple()));
        file("direct.txt", format!("flask @ {wheel}\n"));
        file("remote.txt", format!("-r {}requirements.txt\n", rogue.base()));
        let commands = [
            person.install(tool, ["flask"]).env("PIP_CONSTRAINT", "constraints.txt"),
            person.install(tool, ["flask"]).env("UV_CONSTRAINT", "constraints.txt"),
            person.install(tool, ["-r", "direct.txt"]),
            person.install(tool, ["-r", "remote.txt"]),
            person.install(tool, [wheel.as_str()]),
        ];
        for command in commands {
            let outcome = command.run();
            println!("{outcome}\n");
            rogue.assert_not_asked();
            let installed = person.venv.installed();
            assert!(!installed.contains(&"flask-99.0".to_owned()), "{outcome}");
        }
    }
}

/// A lock file names each file by its URL, so uv takes it from there without asking an index.
#[test]
fn a_lock_file_leads_nowhere_else() {
    let (index, rogue) = (Index::filled(), Rogue::start());
    let person = Person::trusting(&index);
    let project = "[project]\nname = \"work\"\nversion = \"1\"\nrequires-python = \">=3.9\"\n\
                   dependencies = [\"flask\"]\n";
    fs::write(person.work().join("pyproject.toml"), project).unwrap();
    let simple = rogue.simple();
    person.command(peers::uv()).args(["lock", "--default-index", &simple]).run().success();
    rogue.assert_asked();

    let sync = || person.waxseal(["run", "--"]).arg(peers::uv()).args(["sync", "--frozen"]);
    let outcome = sync().env("NO_PROXY", "*").run().failure();
    let wheel = format!("{}files/packages/flask/flask-99.0-py3-none-any.whl", rogue.base());
    assert_shows(&outcome.stderr, &[&format!("refused {wheel}: it is not the trusted index")]);
    rogue.assert_not_asked();
    let files = tree(&person.work().join(".venv"));
    assert!(!files.keys().any(|file| file.ends_with("flask/__init__.py")), "{:?}", files.keys());

    // Without waxseal the lock file is obeyed: the test would see it.
    person.command(peers::uv()).args(["sync", "--frozen"]).run().success();
    rogue.assert_asked();
}

#[test]
fn a_direct_url_is_refused_before_the_tool_starts() {
    let (index, rogue) = (Index::filled(), Rogue::start());
    let person = Person::trusting(&index);
    let url = format!("{}files/packages/flask/flask-99.0-py3-none-any.whl", rogue.base());
    for tool in Tool::BOTH {
        for argument in [&url, &format!("flask @ {url}")] {
            let outcome = person.install(tool, [argument.as_str()]).run().failure();
            exited(&outcome, 2);
            assert_shows(&outcome.stderr, &["does not come from the trusted index", "hint:"]);
        }
    }
    rogue.assert_not_asked();
}
