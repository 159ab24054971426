//! What tools write down names the index, and never the proxy that answered for it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use waxseal_testkit::peers::{self, CleanCommand};

use crate::harness::{Front, Index, Person, Tool, assert_shows, tree};

const PROJECT: &str = "[project]\nname = \"work\"\nversion = \"1\"\nrequires-python = \">=3.11\"\n\
                       dependencies = [\"flask\"]\n";

fn uv(person: &Person, words: &str) -> CleanCommand {
    person.command(peers::uv()).args(words.split_whitespace())
}

fn uv_verified(person: &Person, words: &str) -> CleanCommand {
    person.waxseal(["run", "--"]).arg(peers::uv()).args(words.split_whitespace())
}

/// The files below the home that hold `text`.
fn holding(person: &Person, text: &str) -> Vec<PathBuf> {
    let mut files: BTreeMap<PathBuf, Vec<u8>> = tree(&person.home());
    files.retain(|_, bytes| bytes.windows(text.len()).any(|part| part == text.as_bytes()));
    files.into_keys().collect()
}

#[test]
fn uv_locks_and_syncs_the_same_with_and_without_waxseal() {
    let index = Index::filled();
    // The index as a configuration names it, in a spelling of its own; and as a variable does.
    let in_file = format!(
        "{PROJECT}[[tool.uv.index]]\nname = \"corp\"\nurl = \"{}/simple\"\ndefault = true\n",
        index.url
    );
    for (project, variable) in [(PROJECT, Some(format!("{}/simple/", index.url))), (&in_file, None)]
    {
        let lock = |verified: bool| {
            let person = Person::trusting(&index);
            fs::write(person.work().join("pyproject.toml"), project).unwrap();
            let with_index = |command: CleanCommand| match &variable {
                Some(url) => command.env("UV_DEFAULT_INDEX", url),
                None => command,
            };
            let run = |words| {
                let command =
                    if verified { uv_verified(&person, words) } else { uv(&person, words) };
                with_index(command).run().success()
            };
            run("lock");
            let outcome = run("sync");
            assert!(!outcome.stderr.contains("switched off"), "{outcome}");
            fs::read_to_string(person.work().join("uv.lock")).unwrap()
        };
        let (with, without) = (lock(true), lock(false));
        assert_eq!(with, without);
        assert!(with.contains(&format!("{}/files/packages/flask/", index.url)), "{with}");
    }
}

#[test]
fn a_lock_file_of_a_plain_uv_is_synced_verified() {
    let index = Index::filled();
    let person = Person::trusting(&index);
    fs::write(person.work().join("pyproject.toml"), PROJECT).unwrap();
    let simple = format!("{}/simple/", index.url);
    uv(&person, "lock").args(["--default-index", &simple]).run().success();
    let before = fs::read(person.work().join("uv.lock")).unwrap();
    uv_verified(&person, "sync --frozen").run().success();
    uv_verified(&person, "sync --locked").run().success();
    assert_eq!(fs::read(person.work().join("uv.lock")).unwrap(), before);
}

/// An index that is reached through a company's proxy alone, so that nothing of it is on loopback.
#[test]
fn caches_and_freezes_name_the_index_and_no_loopback_address() {
    let index = Index::filled();
    let company = Front::start(&index, &["--proxy-password", "me:secret"]);
    let proxy = company.url().replace("http://", "http://me:secret@");
    let person = Person::new();
    let url = "http://packages.test/";
    let through_company = |command: CleanCommand| command.env("HTTP_PROXY", &proxy);
    let trust = ["trust", "add", url, "--fingerprint", &index.fingerprint];
    through_company(person.waxseal(trust)).run().success();
    let mut proxies = Vec::new();
    // An sdist too, of which pip keeps the wheel that it builds.
    for tool in ["pip".to_owned(), format!("{} pip", peers::uv().display())] {
        let script = format!("echo $HTTP_PROXY && {tool} install flask tomli_w 1>&2");
        let run = person.waxseal(["run", "--", "sh", "-c", &script]);
        let outcome = through_company(run).run().success();
        let (_, proxy) = outcome.stdout.trim().rsplit_once('@').unwrap();
        assert!(!outcome.stderr.contains(proxy), "{outcome}");
        proxies.push(proxy.to_owned());
    }
    let wheel = format!("{url}files/packages/click/click-8.5.1-py3-none-any.whl");
    let direct =
        through_company(person.install(Tool::Pip, ["--force-reinstall", "--no-deps", &wheel]));
    direct.run().success();
    let freeze = person.plain_pip(["freeze"]).run().success().stdout;
    assert_shows(&freeze, &[&format!("click @ {wheel}"), "Flask==3.1.3"]);

    assert!(!holding(&person, "packages.test").is_empty());
    for proxy in proxies {
        assert_eq!(holding(&person, &proxy), Vec::<PathBuf>::new());
    }
    // The company's password went to its proxy, and the child has another proxy.
    assert!(company.requests().iter().all(|r| r["path"].as_str().unwrap().starts_with(url)));
    let environment = person.waxseal(["run", "--", "env"]);
    let environment = through_company(environment).run().success().stdout;
    assert!(!environment.contains("me:secret"), "{environment}");
}

#[test]
fn an_index_over_tls_is_answered_for_and_the_users_authorities_are_honoured() {
    let index = Index::filled();
    let front = Front::with_tls(&index);
    let person = Person::new();
    let url = front.secure_url();
    let trust = ["trust", "add", &url, "--fingerprint", &index.fingerprint];
    // Nobody told this machine to trust the company's authority.
    let refused = person.waxseal(trust).run().failure();
    assert_shows(&refused.stderr, &["cannot be reached", "certificate"]);
    let company = |command: CleanCommand| command.env("SSL_CERT_FILE", front.certificate());
    company(person.waxseal(trust)).run().success();
    for tool in Tool::BOTH {
        company(person.install(tool, ["flask"])).run().success();
        assert!(person.venv.installed().contains(&"flask-3.1.3".to_owned()));
        company(person.install(tool, ["numpy"])).run().success();
    }
    fs::write(person.work().join("pyproject.toml"), PROJECT).unwrap();
    company(uv_verified(&person, "lock")).run().success();
    let lock = fs::read_to_string(person.work().join("uv.lock")).unwrap();
    assert!(lock.contains(&format!("{url}/files/packages/flask/")), "{lock}");

    // The child trusts the authority of its run, and has no key of it.
    let script = "cat $SSL_CERT_FILE; test \"$PIP_CERT\" = \"$SSL_CERT_FILE\"";
    let authority = company(person.waxseal(["run", "--", "sh", "-c", script])).run().success();
    assert_eq!(authority.stdout.matches("BEGIN CERTIFICATE").count(), 1, "{authority}");
    assert!(!authority.stdout.contains("PRIVATE"), "{authority}");
}

#[test]
fn nobody_else_gets_anything_through_the_childs_proxy() {
    let index = Index::with(&["blinker-"]);
    let person = Person::trusting(&index);
    let script = format!(
        "curl -s -o /dev/null -w '%{{http_code}} ' {0}/simple/blinker/; \
         http_proxy=http://${{HTTP_PROXY#*@}} curl -s -o /dev/null -w '%{{http_code}} ' {0}/simple/blinker/; \
         curl -s -o /dev/null -w '%{{http_code}}' --noproxy '*' http://${{HTTP_PROXY#*@}}/simple/blinker/",
        index.url
    );
    let outcome = person.waxseal(["run", "--", "sh", "-c", &script]).run().success();
    assert_eq!(outcome.stdout, "200 407 407", "{outcome}");
}

#[test]
fn what_an_unverified_run_left_in_a_cache_is_not_installed() {
    let index = Index::with(&["blinker-"]);
    let rogue = Index::quickstart();
    rogue.upload_new(crate::harness::Wheel {
        module: "EVIL = 1",
        ..crate::harness::Wheel::new("blinker", "1.9.0")
    });
    // An attacker answers for the index, while plain tools use it.
    let attacker = Front::start(&rogue, &[]);
    let person = Person::trusting(&index);
    let simple = format!("{}/simple/", index.url);
    for tool in Tool::BOTH {
        let plain = match tool {
            Tool::Pip => person.plain_pip(["install", "--index-url", &simple, "blinker"]),
            Tool::Uv => uv(&person, "pip install blinker").args(["--default-index", &simple]),
        };
        let plain = plain.env("HTTP_PROXY", attacker.url()).env("http_proxy", attacker.url());
        plain.env("PIP_TRUSTED_HOST", index.url.trim_start_matches("http://")).run().success();
        person.python("import blinker; assert blinker.EVIL");
        let again = match tool {
            Tool::Pip => ["--force-reinstall", "blinker"],
            Tool::Uv => ["--reinstall", "blinker"],
        };
        person.install(tool, again).run().success();
        person.python("import blinker; assert not hasattr(blinker, 'EVIL')");
        person.plain_pip(["uninstall", "-y", "blinker"]).run().success();
    }
}
