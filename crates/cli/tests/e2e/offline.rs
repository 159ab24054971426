//! What was verified once is had again: with two small requests, and without a network.

use waxseal_testkit::mirror::Mirror;

use crate::harness::{Index, Person, Tool, assert_shows, clock_shifted, exited};

#[test]
fn a_second_install_asks_for_two_small_files() {
    let index = Index::filled();
    let mirror = Mirror::start(&index.url.parse().unwrap());
    for tool in Tool::BOTH {
        let person = Person::new();
        person.trust(&index, mirror.url().as_str());
        let none = if tool == Tool::Pip { "--no-cache-dir" } else { "--no-cache" };
        let again = if tool == Tool::Pip { "--force-reinstall" } else { "--reinstall" };
        person.install(tool, [none, "flask", "numpy"]).run().success();
        mirror.forget_requests();
        // The tool's own cache is off: what answers is ours.
        // pip would look for a newer pip as well.
        let second = person.install(tool, [none, again, "flask", "numpy"]);
        second.env("PIP_DISABLE_PIP_VERSION_CHECK", "1").run().success();
        let asked: Vec<_> = mirror.requests().into_iter().map(|request| request.path).collect();
        assert_eq!(
            asked,
            ["/tuf/metadata/2.root.json", "/tuf/metadata/timestamp.json"],
            "{tool:?}"
        );
    }
}

#[test]
fn offline_what_is_known_is_installed_and_nothing_else() {
    let mut index = Index::filled();
    let person = Person::trusting(&index);
    person.install(Tool::Pip, ["flask"]).run().success();
    index.kill();
    for tool in Tool::BOTH {
        let again = if tool == Tool::Pip { "--force-reinstall" } else { "--reinstall" };
        let installed = person.install(tool, [again, "flask"]).env("WAXSEAL_OFFLINE", "1");
        let outcome = installed.run().success();
        assert_shows(&outcome.stderr, &["offline: ", "as it was at", "is valid until"]);
        let other = person.install(tool, ["numpy"]).env("WAXSEAL_OFFLINE", "1").run().failure();
        assert_shows(&other.stderr, &["offline:", "without --offline"]);
    }
    // Not beyond the validity of what is known.
    let later = clock_shifted(person.install(Tool::Pip, ["flask"]), "+2 days");
    let outcome = later.env("WAXSEAL_OFFLINE", "1").run().failure();
    exited(&outcome, 1);
    assert_shows(&outcome.stderr, &["offline: what is known of the index has expired"]);
    // Without the network, and not told so, it says that.
    let outcome = person.install(Tool::Pip, ["flask"]).run().failure();
    assert_shows(&outcome.stderr, &["cannot be reached"]);
}

#[test]
fn a_changed_file_of_the_cache_is_fetched_again() {
    let index = Index::with(&["blinker-"]);
    let person = Person::trusting(&index);
    person.install(Tool::Pip, ["blinker"]).run().success();
    let files = person.home().join(".cache/waxseal/files");
    let mut changed = 0;
    for folder in std::fs::read_dir(&files).unwrap().flatten() {
        for file in std::fs::read_dir(folder.path()).into_iter().flatten().flatten() {
            let mut bytes = std::fs::read(file.path()).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            std::fs::write(file.path(), bytes).unwrap();
            changed += 1;
        }
    }
    assert!(changed > 2, "page, metadata and wheel");
    let again = ["--no-cache-dir", "--force-reinstall", "blinker"];
    let outcome = person.install(Tool::Pip, again).run().success();
    assert_shows(&outcome.stderr, &["which was changed"]);
    let outcome = person.install(Tool::Pip, again).run().success();
    assert!(!outcome.stderr.contains("which was changed"), "{outcome}");
}
