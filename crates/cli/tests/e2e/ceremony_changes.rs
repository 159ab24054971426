//! Ceremonies after the first, while the index is served, uploads go on, and pip and python-tuf follow.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use waxseal_testkit::peers::Outcome;

use crate::ceremony_people::{AT_HAND, plan_of_files};
use crate::harness::{
    Form, Index, Offline, Person, Tool, Wheel, assert_shows, exited, killed_at_writes, make_wheels,
};
use crate::python_tuf::script;

const SOURCE: &str = "?passphrase-source=file:pass";
/// Enough to see an order among the changes.
const WHEELS: usize = 16;

/// An index that is served, the machine where its ceremonies are held, and those who read.
struct Life {
    index: Index,
    offline: Offline,
    /// Was there from the beginning.
    pip: Person,
    /// The trust of a python-tuf that was.
    python_tuf: TempDir,
    wheels: Vec<PathBuf>,
    uploaded: Cell<usize>,
    /// The root that `pip` was told of last.
    told: Cell<u64>,
    _wheels: TempDir,
}

impl Life {
    fn new(bins: &str) -> Self {
        let (offline, held) = (Offline::new(), Offline::new());
        plan_of_files(&held);
        let plan = held.path("plan.toml");
        let text = fs::read_to_string(&plan).unwrap();
        fs::write(&plan, text.replacen("\nbins = 256", &format!("\nbins = {bins}"), 1)).unwrap();
        held.perform("plan.toml --output out", &AT_HAND);
        for name in ["ada", "grace", "barbara"] {
            fs::copy(held.path(&format!("{name}.pem")), offline.path(&format!("{name}.pem")))
                .unwrap();
        }
        fs::copy(held.path("out/metadata/1.root.json"), offline.path("first.json")).unwrap();
        let uri = held.path("online.pem").display().to_string();
        let words = format!("--bundle out/server-bundle.tar --online-key-uri file:{uri}{SOURCE}");
        let index = Index::of_ceremony(held, &words);
        let folder = tempfile::tempdir().unwrap();
        let names: Vec<_> = (0..WHEELS).map(|n| format!("life{n}")).collect();
        let wheels: Vec<_> = names.iter().map(|name| Wheel::new(name, "1.0")).collect();
        let wheels = make_wheels(folder.path(), &wheels);
        let pip = Person::trusting(&index);
        let python_tuf = tempfile::tempdir().unwrap();
        let this = Self {
            index,
            offline,
            pip,
            python_tuf,
            wheels,
            uploaded: Cell::new(0),
            told: Cell::new(1),
            _wheels: folder,
        };
        this.upload();
        this.read(1);
        this
    }

    fn upload(&self) {
        let next = self.uploaded.get();
        self.index.upload(&self.wheels[next..=next]);
        self.uploaded.set(next + 1);
    }

    /// Holds a ceremony from what is published; each holder has the key in `NAME.pem`, or signs later.
    fn hold(&self, out: &str, words: &str, changes: &[(&str, &str)], later: &[&str]) -> String {
        let to = self.offline.path(&format!("{out}.tar")).display().to_string();
        let export = || self.index.operator(["ceremony", "export", "--output", &to]).run();
        export().success();
        let again = export();
        exited(&again, 2);
        assert_shows(&again.stderr, &["exists already", "it was left as it is"]);
        self.offline.plan(&format!("--from {out}.tar"), &format!("{out}.toml"), changes);
        let check = format!("ceremony plan --check {out}.toml --from {out}.tar");
        self.offline.run(&check).success();
        let rehearse = format!("ceremony rehearse {out}.toml --from {out}.tar {words}");
        self.offline.run(&rehearse).success();
        let line = format!("{out}.toml --from {out}.tar --output {out} {words}");
        let mut terminal = self.offline.sitting(
            &format!("ceremony perform {line}"),
            &[("to some minutes?", "yes"), ("ceremony before?", "yes"), ("agreed on?", "yes")],
        );
        let plan = fs::read_to_string(self.offline.path(&format!("{out}.toml"))).unwrap();
        let plan: Vec<_> = plan.lines().filter(|line| !line.starts_with('#')).collect();
        let value = |line: &str, key: &str| {
            let text = line.strip_prefix(key)?.strip_prefix(" = \"")?;
            text.strip_suffix('"').map(str::to_lowercase)
        };
        for (number, line) in
            plan.iter().enumerate().filter(|(_, line)| **line == "[[root.holder]]")
        {
            assert!(!line.is_empty());
            let name = value(plan[number + 1], "name").unwrap();
            match value(plan[number + 2], "key").unwrap().as_str() {
                "present" if later.contains(&name.as_str()) => {
                    terminal.answer("where is your key", "");
                }
                "present" => {
                    terminal.answer("where is your key", &format!("file:{name}.pem{SOURCE}"));
                }
                key if key.starts_with("public:") => {}
                _ => terminal.answer("Are you there?", "yes"),
            }
            terminal.answer("all others see the same?", "yes");
        }
        let online = plan.iter().skip_while(|line| **line != "[online]");
        let online = online.clone().find_map(|line| value(line, "key")).unwrap();
        if online == "new" {
            terminal.answer("PIN there?", "yes");
            terminal.answer("New passphrase for the online key", Offline::PASSPHRASE);
            terminal.answer("The same again", Offline::PASSPHRASE);
        }
        terminal.answer("Do all see the same?", "yes");
        terminal.answer("Sign?", "yes");
        let (status, screen) = terminal.end();
        assert!(status.success() && !screen.contains("giddily"), "{screen}");
        screen
    }

    fn publish(&self, out: &str, roots: &[&str]) -> Outcome {
        let bundle = self.offline.path(&format!("{out}/server-bundle.tar")).display().to_string();
        let roots = roots.iter().map(|root| self.offline.path(root).display().to_string());
        let roots: Vec<_> = roots.collect();
        let words = ["repo", "publish-root", "--bundle", &bundle];
        self.index.operator(words.into_iter().chain(roots.iter().map(String::as_str))).run()
    }

    /// Publishes, while another one uploads without a break.
    fn publish_busily(&self, out: &str, roots: &[&str]) -> Outcome {
        let next = self.uploaded.get();
        let (token, url) = (self.index.token.clone(), self.index.url.clone());
        let wheels = self.wheels[next..next + 2].to_vec();
        let uploads = std::thread::spawn(move || {
            for wheel in wheels {
                let answer = Form::file(&token, &wheel).post(&url).unwrap();
                assert!([200, 202].contains(&answer.status), "{} {}", answer.status, answer.reason);
            }
        });
        let outcome = self.publish(out, roots);
        uploads.join().unwrap();
        self.uploaded.set(next + 2);
        outcome
    }

    /// Names the new online key in the configuration, as `publish-root` says.
    fn name_key(&self, told: &Outcome) {
        assert_shows(&told.stderr, &["recorded, and not published yet", "has a new online key"]);
        let name = told.stderr.split("file:keys/").nth(1).unwrap().split('?').next().unwrap();
        assert!(self.index.data().join("keys").join(name).is_file(), "{told}");
        let pass = self.offline.path("pass").display().to_string();
        let uri = format!("\"file:keys/{name}?passphrase-source=file:{pass}\"");
        self.index.write_config("online-key", uri);
    }

    /// The same, and starts the server again.
    fn change_key(&mut self, out: &str, told: &Outcome) {
        exited(told, 1);
        self.index.stop();
        self.name_key(told);
        self.index.start();
        // Run again, it says how that ended.
        let until = std::time::Instant::now() + std::time::Duration::from_mins(2);
        while !self.publish(out, &[]).status.success() {
            assert!(std::time::Instant::now() < until, "{}", self.index.process().screen());
        }
    }

    fn is_quiet(&self) -> bool {
        let status = self.index.status();
        status["journal_serial"] == status["published_serial"]
    }

    /// Everybody finds everything, under this version of root, and hears once of a new one. Gives what pip
    /// showed.
    fn read(&self, root: u64) -> String {
        self.wait_for_uploads();
        let new = tempfile::tempdir().unwrap();
        for folder in [self.python_tuf.path(), new.path()] {
            assert_eq!(self.follow(folder), root.to_string());
        }
        let last = format!("life{}", self.uploaded.get() - 1);
        let shown = self.pip.install(Tool::Pip, [last.as_str()]).run().success().stderr;
        let told = self.told.replace(root);
        let news = format!("/ went from version {told} to {root} (");
        assert_eq!(shown.matches(&news).count(), usize::from(told != root), "{shown}");
        assert_eq!(shown.matches(" went from version ").count(), usize::from(told != root));
        let someone = self.index.operator(["audit", "repo", "waxseal-data"]).run().success();
        assert_shows(&someone.screen(), &["is valid"]);
        shown
    }

    fn wait_for_uploads(&self) {
        let until = std::time::Instant::now() + std::time::Duration::from_mins(1);
        while !self.is_quiet() {
            assert!(std::time::Instant::now() < until, "{}", self.index.process().screen());
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// With python-tuf from the first root on; the version that it trusts then.
    fn follow(&self, folder: &Path) -> String {
        let command = script("python_tuf_paths.py").arg(&self.index.url);
        let command = command.arg(self.offline.path("first.json")).arg(folder);
        let names = self.wheels[..self.uploaded.get()].iter().zip(0..).map(|(wheel, n)| {
            format!("packages/life{n}/{}", wheel.file_name().unwrap().to_str().unwrap())
        });
        command.args(names).run().success().stdout.trim().to_owned()
    }
}

/// A renewal, other holders, a new online key, other bins, a compromise: each from the plan to clients.
#[test]
fn an_index_lives_through_every_change() {
    let mut life = Life::new("256");

    // The yearly renewal; Barbara signs later, against the root that she trusts.
    let longer = [("valid-hours = 24", "valid-hours = 48")];
    let screen = life.hold("renewal", "", &longer, &["barbara", "grace"]);
    assert_shows(
        &screen,
        &["2.root.json: 1 more of", "3.root.json: 1 more of", "signed/*.root.json"],
    );
    let refused = life.publish("renewal", &[]);
    exited(&refused, 1);
    assert_shows(
        &refused.stderr,
        &["2 are needed (2.root.json)", "hint: `waxseal sign show` says"],
    );
    let first = fs::read(life.offline.path("first.json")).unwrap();
    let fingerprint = waxseal_tuf::hash::Sha256::of(&first);
    let unpinned = life.offline.run("sign show renewal/metadata");
    exited(&unpinned, 2);
    assert_shows(&unpinned.stderr, &["there is no root that you trust", "waxseal sign pin"]);
    // Nothing is written that cannot be compared.
    let unpinned = life.offline.run("sign combine renewal/metadata --output signed");
    exited(&unpinned, 2);
    assert_shows(&unpinned.stderr, &["there is no root that you trust", "--root"]);
    assert!(!life.offline.path("signed").exists());
    life.offline.run(&format!("sign pin first.json --fingerprint {fingerprint}")).success();
    let shown = life.offline.run("sign show renewal/metadata --json").success();
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!((&shown["trusted"], &shown["complete"]), (&1.into(), &false.into()));
    fs::create_dir(life.offline.path("barbara")).unwrap();
    for name in ["2.root.json", "3.root.json"] {
        let from = life.offline.path(&format!("renewal/metadata/{name}"));
        fs::copy(from, life.offline.path(&format!("barbara/{name}"))).unwrap();
    }
    let signed = life.offline.run(&format!("sign --yes --key file:barbara.pem{SOURCE} barbara"));
    assert_shows(&signed.success().stdout, &["All signatures are there."]);
    life.offline.run("sign combine barbara renewal/metadata --output signed").success();
    let roots = ["signed/2.root.json", "signed/3.root.json"];
    let published = life.publish_busily("renewal", &roots).success();
    assert_shows(&published.stdout, &["root version 3 is published; it expires on"]);
    // What the online key signs is to be valid for longer: it says where, until that is done.
    let told =
        "write `online-lifetime-hours = 48` into waxseal-data/waxseal.toml, and restart the server";
    for outcome in [&published, &life.publish("renewal", &roots).success()] {
        assert_shows(&outcome.stderr, &["online.valid-hours = 48, and the server 24:", told]);
    }
    life.index.configure("online-lifetime-hours", 48);
    let silent = life.publish("renewal", &roots).success();
    assert!(!silent.stderr.contains("lifetime"), "{silent}");
    let renewed = life.read(3);
    assert_shows(&renewed, &["enough holders of the one before it): its keys are the same"]);
    life.read(3);
    life.offline.run("sign pin signed").success();

    // Grace's key is lost: Lin comes in her place, and Edsger; three of four sign. Root alone.
    life.offline.key("lin");
    life.offline.key("edsger");
    let lin = "name = \"Lin\"\nkey = \"public:lin.pub\"\n\n[[root.holder]]\nname = \"Edsger\"\n\
               key = \"file:edsger.pem?passphrase-source=file:pass\"";
    let changes = [
        ("name = \"Grace\"\nkey = \"present\"", lin),
        ("\nrenew = true", "\nrenew = false"),
        ("\nthreshold = 2", "\nthreshold = 3"),
    ];
    let screen = life.hold("holders", "", &changes, &["barbara"]);
    assert_shows(&screen, &["4.root.json: 1 more of"]);
    exited(&life.publish("holders", &[]), 1);
    let sign = format!("sign --yes --key file:lin.pem{SOURCE} holders/metadata");
    let signed = life.offline.run(&sign).success();
    assert_shows(&signed.stdout, &["comes Lin", "goes Grace", "3 must sign (before: 2)"]);
    assert_shows(&signed.stdout, &["Still to come: 4.root.json: 1 more of"]);
    life.offline.run(&sign.replace("lin.pem", "barbara.pem")).success();
    life.publish_busily("holders", &["holders/metadata/4.root.json"]).success();
    let told = life.read(4);
    assert_shows(&told, &["(signed by 2 of 3 holders of version 3): keys in: ", "Lin ("]);
    assert_shows(&told, &["; out: Grace (", "3 of 4 must sign from now on; it expires on"]);
    // What was made from an older state.
    let stale = life.publish("renewal", &roots);
    exited(&stale, 2);
    assert_shows(&stale.stderr, &["there is no root newer than the published one, version 4"]);

    // A new online key: it waits until waxseal.toml names it, and uploads go on.
    let present = ("\nkey = \"present\"\n# How a new one", "\nkey = \"new\"\n# How a new one");
    life.hold("online", "", &[present], &[]);
    let told = life.publish_busily("online", &[]);
    life.upload();
    life.read(5);
    life.change_key("online", &told);
    life.read(6);

    // Other bins.
    let classic = ("\nstyle = \"succinct\"", "\nstyle = \"classic\"");
    life.hold("classic", "", &[classic], &[]);
    life.publish_busily("classic", &[]).success();
    life.read(8);
    let many = ("\nbins = 256\n", "\nbins = 16384\n");
    let export = life.offline.path("many-check.tar").display().to_string();
    life.index.operator(["ceremony", "export", "--output", &export]).run().success();
    life.offline.plan("--from many-check.tar", "many-check.toml", &[many]);
    let refused = life.offline.run("ceremony plan --check many-check.toml --from many-check.tar");
    exited(&refused, 2);
    assert_shows(&refused.stderr, &["16384 bins in place of 256", "under [online]"]);
    let succinct = ("\nstyle = \"classic\"", "\nstyle = \"succinct\"");
    life.hold("many", "", &[many, succinct, present], &[]);
    let told = life.publish_busily("many", &[]);
    life.change_key("many", &told);
    let metadata = fs::read_dir(life.index.data().join("store/tuf/metadata")).unwrap();
    let mut names = metadata.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.any(|name| name.ends_with(".bin-3fff.json")));
    life.read(10);
    life.upload();

    // The server was taken over.
    let few = ("\nbins = 16384\n", "\nbins = 256\n");
    life.hold("compromise", "--compromise", &[present, few], &[]);
    let told = life.publish("compromise", &[]);
    life.change_key("compromise", &told);
    life.read(11);
    let new = Person::trusting(&life.index);
    new.install(Tool::Pip, ["life0", "life5"]).run().success();
    life.index.stop();
    life.index.start();
    life.upload();
    life.read(11);
}

/// Without a server, given up, from an older state.
#[test]
fn a_change_is_published_without_a_server_and_can_be_given_up() {
    let mut life = Life::new("4");
    life.hold("one", "", &[], &[]);
    life.hold("two", "", &[], &[]);
    let present = ("\nkey = \"present\"\n# How a new one", "\nkey = \"new\"\n# How a new one");
    life.hold("key", "", &[present], &[]);
    life.index.stop();
    exited(&life.publish("key", &[]), 1);
    let other = life.publish("one", &[]);
    assert!(!other.status.success(), "{other}");
    let withdrawn = life.index.operator(["repo", "publish-root", "--withdraw"]).run().success();
    assert_shows(&withdrawn.stdout, &["what waited is given up"]);
    exited(&life.index.operator(["repo", "publish-root", "--withdraw"]).run(), 1);
    // The first root of the one that was given up is published and stays: what was made beside it is late.
    let stale = life.publish("one", &[]);
    exited(&stale, 2);
    assert_shows(&stale.stderr, &["is not the published one", "hold the ceremony again"]);
    life.hold("three", "", &[], &[]);
    life.publish("three", &[]).success();
    life.index.start();
    life.read(4);

    // Holders are named where one asks why a file is trusted.
    let why = life.pip.waxseal(["why", "life0"]).run().success();
    assert_shows(&why.stdout, &["root version 4, expires", "Ada (", "Grace (", "Barbara ("]);
    // A trust bundle has the root that the index is known by, and not the newest.
    let make = ["trust", "bundle", "--all", "--output", "bundle.json"];
    life.pip.waxseal(make).run().success();
    let bundle = fs::read(life.pip.work().join("bundle.json")).unwrap();
    let bundle: Value = serde_json::from_slice(&bundle).unwrap();
    let first = fs::read_to_string(life.offline.path("first.json")).unwrap();
    assert_eq!(bundle["indexes"][0]["root"], first);
    assert_eq!(bundle["indexes"][0]["fingerprint"], life.index.fingerprint);
}

/// Killed at a write, and run again: a renewal, and a new online key.
#[test]
fn publishing_that_is_killed_is_finished_by_the_next_run() {
    let mut life = Life::new("2");
    life.hold("renewal", "", &[], &[]);
    life.index.stop();
    life.publish_through_kills("renewal");
    life.index.start();
    life.upload();
    life.read(3);

    let present = ("\nkey = \"present\"\n# How a new one", "\nkey = \"new\"\n# How a new one");
    life.hold("online", "", &[present], &[]);
    life.index.stop();
    let told = life.publish("online", &[]);
    exited(&told, 1);
    life.name_key(&told);
    life.publish_through_kills("online");
    life.index.start();
    life.upload();
    life.read(5);
}

impl Life {
    /// Publishes, killed at a write, and then without.
    fn publish_through_kills(&self, out: &str) {
        let bundle = self.offline.path(&format!("{out}/server-bundle.tar")).display().to_string();
        killed_at_writes(&self.index, &["repo", "publish-root", "--bundle", &bundle], || {
            self.publish(out, &[]).success();
            let audit = self.index.operator(["audit", "repo", "waxseal-data"]).run().success();
            assert_shows(&audit.screen(), &["is valid"]);
        });
    }
}
