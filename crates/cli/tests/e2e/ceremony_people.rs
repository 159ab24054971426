//! The first key ceremony of an index, as people hold it: at the keyboard, apart, with tokens, and what
//! goes wrong meanwhile.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use waxseal_testkit::peers::{self, CleanCommand, SoftHsm};
use waxseal_tuf::hash::Sha256;

use crate::harness::{Index, Offline, Person, Tool, assert_shows, exited};
use crate::python_tuf;

const P: &str = Offline::PASSPHRASE;
/// All keys are there, and are opened without a question.
pub(crate) const AT_HAND: [(&str, &str); 11] = [
    ("to some minutes?", "yes"),
    ("agreed on?", "yes"),
    ("Are you there?", "yes"),
    ("all others see the same?", "yes"),
    ("Are you there?", "yes"),
    ("all others see the same?", "yes"),
    ("Are you there?", "yes"),
    ("all others see the same?", "yes"),
    ("PIN there?", "yes"),
    ("Do all see the same?", "yes"),
    ("Sign?", "yes"),
];

/// A plan of three keys in files and an online key that is there as well.
pub(crate) fn plan_of_files(offline: &Offline) {
    let keys = ["ada", "grace", "barbara", "online"].map(|name| offline.key(name));
    let changes: Vec<_> = keys.iter().map(|uri| ("\"new\"", format!("{uri:?}"))).collect();
    // The comments name `"new"` before the holders do.
    offline.plan("", "plan.toml", &[]);
    let mut text = fs::read_to_string(offline.path("plan.toml")).unwrap();
    for (old, new) in changes {
        let old = format!("\nkey = {old}");
        assert!(text.contains(&old));
        text = text.replacen(&old, &format!("\nkey = {new}"), 1);
    }
    fs::write(offline.path("plan.toml"), text).unwrap();
}

/// Every part of a new key, typed.
fn new_key(whose: &str) -> [(&str, &str); 2] {
    [(whose, P), ("The same again: ", P)]
}

fn hex_lines(digest: &str) -> Vec<String> {
    let groups: Vec<_> = (0..16).map(|n| &digest[n * 4..n * 4 + 4]).collect();
    groups.chunks(4).map(|line| line.join(" ")).collect()
}

/// From an empty folder to pip, with everything typed, and every answer taken back once.
#[test]
fn a_ceremony_is_planned_rehearsed_held_and_served() {
    let offline = Offline::new();
    offline.run("ceremony plan --output plan.toml").success();
    exited(&offline.run("ceremony plan --output plan.toml"), 2);
    let checked = offline.run("ceremony plan --check plan.toml").success();
    assert_shows(&checked.stdout, &["2 of 3 holders sign", "Ada: new", "256 bins, succinct"]);
    let report = offline.run("ceremony rehearse plan.toml --json").success();
    let report: Value = serde_json::from_str(&report.stdout).unwrap();
    assert_eq!((&report["ready"], &report["warnings"]), (&true.into(), &Value::Array(vec![])));
    let names: Vec<_> = report["files"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["1.root.json", "1.targets.json", "1.bins.json"]);
    // Small enough for a QR code.
    assert!(report["files"].as_array().unwrap().iter().all(|it| it["bytes"].as_u64() < Some(2953)));
    let text = offline.run("ceremony rehearse plan.toml").success();
    assert_shows(&text.stdout, &["nobody is at the keyboard", "kept nothing", "can be held"]);
    exited(&offline.run("ceremony perform plan.toml --output out"), 2);

    let ada = new_key("New passphrase for the root key of Ada: ");
    let grace = new_key("New passphrase for the root key of Grace: ");
    let barbara = new_key("New passphrase for the root key of Barbara: ");
    let online = new_key("New passphrase for the online key: ");
    let same = "all others see the same?";
    let there = ("Are you there?", "yes");
    let answers = [
        &[("to some minutes?", "back"), ("This is the first step.", "maybe")][..],
        &[("Please answer yes", "yes"), ("agreed on?", "back"), ("to some minutes?", "yes")],
        &[("agreed on?", "yes"), ("Are you there?", "back"), ("agreed on?", "yes"), there],
        &ada,
        &[(same, "back"), ("Removed root-ada.pem", ""), ("Please answer", "yes")],
        &ada,
        &[(same, "yes"), there],
        &[("New passphrase for the root key of Grace: ", "sesame")],
        &grace,
        // Her key alone is taken back, and then Ada's as well.
        &[(same, "back"), ("Are you there?", "back"), ("Removed root-ada.pem", "")],
        &[("Please answer", "yes")],
        &ada,
        &[(same, "yes"), there],
        &grace,
        &[(same, "yes"), there],
        &barbara,
        &[(same, "yes"), ("PIN there?", "yes")],
        &online,
        &[("Do all see the same?", "back"), ("PIN there?", "yes")],
        &online,
        &[("Do all see the same?", "yes"), ("Sign?", "back"), ("PIN there?", "yes")],
        &online,
        &[("Do all see the same?", "yes"), ("Sign?", "yes")],
    ]
    .concat();
    // A rehearsal asks the same, and keeps nothing.
    let (status, screen) = offline.typed("ceremony rehearse plan.toml", &answers);
    assert!(status.success() && !screen.contains("giddily"), "{screen}");
    assert_shows(&screen, &["kept nothing", "The ceremony can be held as it is planned."]);
    let screen = offline.perform("plan.toml --output out", &answers);
    assert!(!screen.contains("giddily") && !screen.contains("sesame"), "{screen}");
    assert_shows(&screen, &["Root has all the signatures it needs.", "repo init --bundle"]);
    check_papers(&offline.path("out"));

    let refused = offline.run("repo init --bundle out/everything-bundle.tar");
    exited(&refused, 2);
    assert_shows(&refused.stderr, &["this bundle is for the safe"]);
    let refused = offline.run("repo init --bundle out/server-bundle.tar");
    exited(&refused, 2);
    assert_shows(&refused.stderr, &["no terminal to ask", "hint: say with --passphrase-source"]);
    fs::write(offline.path("other"), "crayon hatchback tripod").unwrap();
    fs::set_permissions(offline.path("other"), fs::Permissions::from_mode(0o600)).unwrap();
    let init = "repo init --bundle out/server-bundle.tar --passphrase-source";
    let refused = offline.run(&format!("{init} file:other"));
    exited(&refused, 1);
    assert_shows(&refused.stderr, &["other does not open the online key in the bundle"]);
    let mut bytes = fs::read(offline.path("out/server-bundle.tar")).unwrap();
    let at = bytes.windows(9).rposition(|part| part == b"signature").unwrap();
    bytes[at] ^= 1;
    fs::write(offline.path("bad.tar"), bytes).unwrap();
    let refused = offline.run("repo init --bundle bad.tar --passphrase-source file:pass");
    exited(&refused, 2);
    assert_shows(&refused.stderr, &["in it is damaged"]);
    assert!(!offline.path("waxseal-data").exists(), "something was made");

    let index =
        Index::of_ceremony(offline, "--bundle out/server-bundle.tar --passphrase-source file:pass");
    index.twine(&[peers::package("blinker-")]).run().success();
    Person::trusting(&index).install(Tool::Pip, ["blinker"]).run().success();
    let folder = tempfile::tempdir().unwrap();
    let seen = python_tuf::python_tuf(&index, folder.path()).success().stdout;
    assert!(seen.contains("packages/blinker/blinker-1.9.0-py3-none-any.whl\n"), "{seen}");
}

/// What is printed, and what goes into the safe and to the server.
fn check_papers(out: &Path) {
    let read = |name: &str| fs::read_to_string(out.join(name)).unwrap();
    let mode = |name: &str| fs::metadata(out.join(name)).unwrap().permissions().mode() & 0o777;
    let sheet = read("sheet.txt");
    let pages = read("sheet-1.svg") + &read("sheet-2.svg");
    for name in ["1.root.json", "1.targets.json", "1.bins.json"] {
        let path = out.join("metadata").join(name);
        let bytes = fs::read(&path).unwrap();
        let parsed: Value = serde_json::from_slice(&bytes).unwrap();
        let signed = Sha256::of(&serde_json::to_vec(&parsed["signed"]).unwrap()).to_string();
        for line in [Sha256::of(&bytes).to_string(), signed].iter().flat_map(|it| hex_lines(it)) {
            assert!(sheet.contains(&line) && pages.contains(&line), "{name}: {line}\n{sheet}");
        }
        assert_eq!(mode(&format!("metadata/{name}")), 0o644);
    }
    for key in ["root-ada", "root-grace", "root-barbara", "online"] {
        assert_eq!(mode(&format!("{key}.pem")), 0o600);
        assert!(read(&format!("{key}.pem")).contains("ENCRYPTED"), "{key}");
    }
    let transcript = read("transcript.txt");
    assert_shows(&transcript, &["Removed root-ada.pem", "Sign? [yes, back or no] yes", "Signed."]);
    assert!(!transcript.contains("giddily") && !transcript.contains("PRIVATE"), "{transcript}");
    // Valid XML, and all of it on the paper, in the widest of monospaced fonts.
    let check = "import sys, xml.dom.minidom as m\n\
                 for page in sys.argv[1:]:\n\
                 \x20 for t in m.parse(page).getElementsByTagName('text'):\n\
                 \x20  size = float(t.getAttribute('font-size') or 3.4)\n\
                 \x20  n = len(t.firstChild.data) if t.firstChild else 0\n\
                 \x20  assert float(t.getAttribute('x')) + n * size * 0.61 < 200, t.toxml()\n\
                 \x20  assert float(t.getAttribute('y')) < 290, t.toxml()\n";
    let pages = ["sheet-1.svg", "sheet-2.svg"].map(|name| out.join(name));
    CleanCommand::new(peers::python()).args(["-c", check]).args(pages).run().success();

    let list = |name: &str| {
        assert_eq!(mode(name), 0o600);
        let list = CleanCommand::new("tar").arg("-tf").arg(out.join(name)).run().success().stdout;
        list.lines().map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let server = [
        "waxseal-bundle.json",
        "keys/online.pem",
        "metadata/1.bins.json",
        "metadata/1.root.json",
        "metadata/1.targets.json",
        "plan.toml",
    ];
    assert_eq!(list("server-bundle.tar"), server);
    let everything = list("everything-bundle.tar");
    for name in server.iter().chain(&["keys/root-ada.pem", "transcript.txt", "sheet-2.svg"]) {
        assert!(everything.iter().any(|it| it == name), "{name}: {everything:?}");
    }
}

/// However it ends before all is signed, nothing is kept that could be used, and the next one begins anew.
#[test]
fn a_ceremony_that_is_ended_leaves_nothing() {
    let offline = Offline::new();
    offline.run("ceremony plan --output plan.toml").success();
    let left = || -> Vec<PathBuf> {
        let names = fs::read_dir(offline.path("")).unwrap().map(|entry| entry.unwrap().path());
        let is_left = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with(".waxseal-unfinished-") || name == "out"
        };
        names.filter(is_left).collect()
    };
    let perform = "ceremony perform plan.toml --output out";
    let first = [("to some minutes?", "yes"), ("agreed on?", "yes"), ("Are you there?", "yes")];
    let ada = new_key("New passphrase for the root key of Ada: ");
    let until_ada = [&first[..], &ada].concat();
    let (status, screen) =
        offline.typed(perform, &[&until_ada[..], &[("see the same?", "no")]].concat());
    assert_eq!(status.code(), Some(1), "{screen}");
    assert_shows(&screen, &["it was ended: somebody said no", "what was made is removed"]);
    assert_eq!(left(), Vec::<PathBuf>::new());
    // Ctrl-C at a hidden question, and at another one; `kill -9`.
    let ctrl_c = [&first[..], &[("New passphrase", "half\u{3}")]].concat();
    let (status, screen) = offline.typed(perform, &ctrl_c);
    assert_eq!(status.code(), Some(1), "{screen}");
    assert_eq!(left(), Vec::<PathBuf>::new(), "{screen}");
    for kill in [false, true] {
        let mut terminal = offline.sitting(perform, &until_ada);
        terminal.expect("see the same?");
        if kill {
            drop(terminal);
        } else {
            terminal.send("\u{3}");
            assert!(!terminal.end().0.success());
        }
        assert_eq!(left().len(), 1);
        let key = fs::read_to_string(left()[0].join("root-ada.pem")).unwrap();
        assert!(key.contains("ENCRYPTED PRIVATE KEY"), "{key}");
        let (_, screen) = offline.typed(perform, &[("to some minutes?", "no")]);
        assert_shows(&screen, &["which an interrupted ceremony left; nothing was signed in it"]);
        assert_eq!(left(), Vec::<PathBuf>::new());
    }
}

/// Two of the three holders sign on machines of their own, in any order.
#[test]
fn holders_who_sign_apart_need_nothing_but_the_files() {
    let offline = Offline::new();
    plan_of_files(&offline);
    offline.key("thief");
    let text = fs::read_to_string(offline.path("plan.toml")).unwrap();
    let text = text
        .replace("file:grace.pem?passphrase-source=file:pass", "public:grace.pub")
        .replace("file:barbara.pem?passphrase-source=file:pass", "public:barbara.pub");
    fs::write(offline.path("plan.toml"), &text).unwrap();
    let apart: Vec<_> = AT_HAND[..4]
        .iter()
        .chain([&("all others see the same?", "yes"), &("all others see the same?", "yes")])
        .chain(&AT_HAND[8..])
        .copied()
        .collect();
    let screen = offline.perform("plan.toml --output out", &apart);
    assert_shows(&screen, &["1.root.json: 1 more of", "sign --first", "--root signed/1.root.json"]);
    let init = "--bundle out/server-bundle.tar --online-key-uri file:online.pem?passphrase-source=file:pass";
    let refused = offline.run(&format!("repo init {init}"));
    exited(&refused, 1);
    assert_shows(&refused.stderr, &["signatures of root are missing", "--root"]);

    let sign = |name: &str, words: &str| {
        fs::create_dir_all(offline.path(name)).unwrap();
        fs::copy(
            offline.path("out/metadata/1.root.json"),
            offline.path(&format!("{name}/1.root.json")),
        )
        .unwrap();
        offline.run(&format!(
            "sign {words} --key file:{name}.pem?passphrase-source=file:pass {name}/1.root.json"
        ))
    };
    let shown = offline.run("sign show out/metadata/1.root.json").success();
    assert_shows(&shown.stdout, &["There is no root that you trust yet", "comes Ada", "1 missing"]);
    let refused = sign("grace", "--yes");
    exited(&refused, 2);
    assert_shows(&refused.stderr, &["there is no root that you trust", "say --first"]);
    let refused = sign("grace", "--first");
    exited(&refused, 2);
    assert_shows(&refused.stderr, &["nobody is there to be asked"]);
    let refused = sign("thief", "--first --yes");
    exited(&refused, 2);
    assert_shows(&refused.stderr, &["none of these roots asks for a signature of the key"]);
    let nothing_new = offline.run("sign combine out/metadata --output signed");
    exited(&nothing_new, 4);
    assert_shows(&nothing_new.stderr, &["still to come: 1.root.json: 1 more of"]);
    for name in ["grace", "barbara"] {
        sign(name, "--first --yes").success();
    }
    // A file that says something else is no copy of it.
    let forged = fs::read_to_string(offline.path("grace/1.root.json")).unwrap();
    let forged = forged.replacen("\"threshold\":2", "\"threshold\":1", 1);
    fs::create_dir(offline.path("forged")).unwrap();
    fs::write(offline.path("forged/1.root.json"), forged).unwrap();
    let refused = offline.run("sign combine grace forged --output signed");
    assert!(!refused.status.success());
    assert_shows(
        &refused.stderr,
        &["say different things", "one of them is not from this ceremony"],
    );
    for (order, folder) in [("grace barbara", "signed"), ("barbara out/metadata grace", "again")] {
        offline.run(&format!("sign combine {order} --output {folder}")).success();
    }
    let bytes = |folder: &str| fs::read(offline.path(&format!("{folder}/1.root.json"))).unwrap();
    assert_eq!(bytes("signed"), bytes("again"));

    // Pinned by the fingerprint alone.
    let refused = offline.run("sign pin signed");
    exited(&refused, 2);
    assert_shows(&refused.screen(), &["The fingerprint of the first of these roots is", "hint:"]);
    let fingerprint = Sha256::of(&bytes("signed"));
    offline.run(&format!("sign pin signed --fingerprint {fingerprint}")).success();
    let refused = offline.run("sign show forged");
    assert!(!refused.status.success());
    assert_shows(&refused.stderr, &["not of this index, or a forgery"]);

    offline.run(&format!("repo init {init} --root signed/1.root.json")).success();
}

/// Root keys and the online key on a token: what it cannot do is said before the first question, and a wrong
/// PIN or a token that is out costs nothing but another try.
#[test]
fn a_ceremony_with_a_token_survives_a_wrong_pin_and_a_token_that_is_out() {
    let offline = Offline::with_token(SoftHsm::new("office"));
    for name in ["ada", "grace", "online"] {
        let uri = format!("pkcs11:token=office;object={name}?pin-source=env:PIN");
        offline.run(&format!("key generate {uri}")).success();
    }
    offline.key("barbara");
    let on_token = |name: &str| format!("\nkey = \"pkcs11:token=office;object={name}\"");
    let (ada, grace, online) = (on_token("ada"), on_token("grace"), on_token("online"));
    let barbara = "\nkey = \"file:barbara.pem?passphrase-source=file:pass\"";
    let new = "\nkey = \"new\"";
    let changes = [(new, ada.as_str()), (new, &grace), (new, barbara), (new, &online)];
    offline.plan("", "plan.toml", &changes);
    let perform = "ceremony perform plan.toml --output out";
    offline.token().take_out();
    let rehearsed = offline.run("ceremony rehearse plan.toml");
    exited(&rehearsed, 4);
    assert_shows(&rehearsed.screen(), &["Ada:", "Grace:", "the online key:"]);
    let (status, screen) = offline.typed(perform, &[]);
    assert_eq!(status.code(), Some(1), "{screen}");
    assert_shows(&screen, &["the ceremony cannot begin: Ada:", "nothing was made"]);
    offline.token().put_back();
    fs::rename(offline.path("barbara.pem"), offline.path("away.pem")).unwrap();
    let (_, screen) = offline.typed(perform, &[]);
    assert_shows(&screen, &["the ceremony cannot begin: Barbara: cannot read"]);
    fs::rename(offline.path("away.pem"), offline.path("barbara.pem")).unwrap();
    offline.run("ceremony rehearse plan.toml").success();

    let pin = ("PIN of the token office: ", SoftHsm::PIN);
    let mut terminal = offline.sitting(
        perform,
        &[
            AT_HAND[0],
            AT_HAND[1],
            AT_HAND[2],
            ("PIN of the token office: ", "0000"),
            ("Nothing is lost. Try it again?", "yes"),
            pin,
            AT_HAND[3],
        ],
    );
    // Out while Grace's key is to be opened, and again when all is to be signed.
    terminal.expect("Are you there?");
    offline.token().take_out();
    terminal.send("yes");
    terminal.expect("That did not work");
    terminal.expect("Try it again?");
    offline.token().put_back();
    terminal.send("yes");
    // A token that is back is not asked for its PIN again.
    for (question, answer) in &AT_HAND[5..10] {
        terminal.answer(question, answer);
    }
    terminal.expect("Sign?");
    offline.token().take_out();
    terminal.send("yes");
    terminal.expect("Nothing was signed");
    terminal.expect("Sign?");
    offline.token().put_back();
    terminal.send("yes");
    let (status, screen) = terminal.end();
    assert!(status.success() && !screen.contains(SoftHsm::PIN), "{screen}");
    assert_shows(&screen, &["Root has all the signatures it needs."]);
    let init = "repo init --bundle out/server-bundle.tar --online-key-uri";
    offline.run(&format!("{init} pkcs11:token=office;object=online?pin-source=env:PIN")).success();

    // Grace's key goes, and root is signed by the tokens and files that are there.
    offline.key("lin");
    offline.run("ceremony export --output export.tar").success();
    let grace = "name = \"Grace\"\nkey = \"present\"";
    let lin = "name = \"Lin\"\nkey = \"file:lin.pem?passphrase-source=file:pass\"";
    let changes = [(grace, lin), ("\nrenew = true", "\nrenew = false")];
    offline.plan("--from export.tar", "plan-2.toml", &changes);
    let rehearsed = offline.run("ceremony rehearse plan-2.toml --from export.tar").success();
    assert_shows(&rehearsed.stdout, &["clients of the published root follow to version 2"]);
    let mut terminal = offline.sitting(
        "ceremony perform plan-2.toml --from export.tar --output out-2",
        &[("to some minutes?", "yes"), ("ceremony before?", "yes"), ("agreed on?", "yes")],
    );
    let plan = fs::read_to_string(offline.path("plan-2.toml")).unwrap();
    let names = plan.lines().filter_map(|line| line.strip_prefix("name = ")).skip(1);
    for name in names {
        match name {
            "\"Ada\"" => {
                terminal.answer("where is your key", "pkcs11:token=office;object=ada");
                terminal.answer(pin.0, pin.1);
            }
            "\"Barbara\"" => {
                // Another one's key first.
                let lin = "file:lin.pem?passphrase-source=file:pass";
                terminal.answer("where is your key", lin);
                terminal.answer("is not the one that the published root has of Barbara", "yes");
                terminal.answer("where is your key", &lin.replace("lin", "barbara"));
            }
            _ => terminal.answer("Are you there?", "yes"),
        }
        terminal.answer("all others see the same?", "yes");
    }
    terminal.answer("Do all see the same?", "yes");
    terminal.answer("Sign?", "yes");
    let (status, screen) = terminal.end();
    assert!(status.success() && !screen.contains("one-time keys are gone"), "{screen}");
    let published = offline.run("repo publish-root --bundle out-2/server-bundle.tar").success();
    assert_shows(&published.stdout, &["root version 2 is published"]);
    let again = offline.run("repo publish-root --bundle out-2/server-bundle.tar").success();
    assert_shows(&again.stdout, &["root version 2 is published already"]);
}
