//! A copy of some projects: what it has verifies, and what it has not comes from elsewhere.

use super::{World, with};
use crate::harness::{Nginx, Person, Tool, Wheel, assert_shows, exited, request};

#[test]
fn a_filtered_mirror_verifies_and_its_list_names_what_it_has() {
    let world = World::new();
    let run = world.mirror(&["--project", "Alpha", "--json"]).run().success();
    assert!(run.stdout.contains("\"targets\": 6"), "{run}");
    assert_shows(&world.verify("m").success().stdout, &["is complete: only alpha", "66 verified"]);
    let shown = world.shown();
    assert_eq!(with(&shown, "beta"), Vec::<String>::new());
    let nginx = Nginx::serving(&world.folder());
    for accept in ["text/html", "application/vnd.pypi.simple.v1+json"] {
        let list = request("GET", &format!("{}/simple/", nginx.url), &[("Accept", accept)], b"");
        let list = list.unwrap().text();
        assert!(list.contains("alpha") && !list.contains("beta"), "{list}");
    }
    let page = request("GET", &format!("{}/simple/beta/", nginx.url), &[], b"").unwrap();
    assert_eq!(page.status, 404);

    // The same projects the next time, without being named again.
    world.index.upload_new(Wheel::new("alpha", "2.0"));
    world.index.upload_new(Wheel::new("beta", "2.0"));
    world.asked();
    world.mirror(&[]).run().success();
    assert!(world.asked().iter().all(|path| !path.contains("/beta/")));
    world.verify("m").success();
    assert_eq!(with(&world.shown(), "files/packages/").len(), 4);

    // Other projects from now on.
    world.mirror(&["--exclude", "alpha", "--keep", "1", "--grace", "0s"]).run().success();
    let shown = world.shown();
    assert_eq!((with(&shown, "alpha").len(), with(&shown, "files/packages/beta/").len()), (0, 4));
    assert_shows(&world.verify("m").success().stdout, &["all but alpha"]);
    world.mirror(&["--all-projects"]).run().success();
    world.mirror_to("fresh", &[]).run().success();
    assert!(world.shown() == super::shown(&world.operator.work().join("fresh")));
    world.verify("m").success();

    let file = world.operator.work().join("names");
    std::fs::write(&file, "# ours\nbeta  # and no other\n").unwrap();
    world.mirror_to("named", &["--projects-from", "names"]).run().success();
    assert_shows(&world.verify("named").success().stdout, &["only beta"]);
    let wrong = world.mirror_to("named", &["--project", "no name"]).run();
    exited(&wrong, 2);
}

#[test]
fn what_the_first_mirror_lacks_comes_from_the_next() {
    let world = World::new();
    world.mirror_to("some", &["--project", "alpha"]).run().success();
    world.mirror(&[]).run().success();
    let some = Nginx::serving(&world.operator.work().join("some"));
    let all = Nginx::serving(&world.folder());
    let World { mut index, .. } = world;
    index.stop();
    for tool in Tool::BOTH {
        let person = Person::new();
        person.trust(&index, &some.url);
        person.install(tool, ["alpha"]).run().success();
        let missing = person.install(tool, ["beta"]).run().failure();
        assert_shows(&missing.screen(), &["(missing)"]);
        // The mirror that lacks it is asked first, and is not blamed.
        let install = person.install(tool, ["beta"]).env("WAXSEAL_MIRRORS", &all.url);
        let outcome = install.run().success();
        assert!(!outcome.stderr.contains("asking"), "{outcome}");
        person.python("import alpha, beta");
    }
}
