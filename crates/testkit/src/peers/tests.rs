#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::io::{Read as _, Write as _};
use std::time::Duration;

use super::*;

#[test]
fn a_clean_command_knows_nothing_of_this_machine() {
    let seen = CleanCommand::new("env").run().success().stdout;
    let mut names: Vec<&str> =
        seen.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    names.sort_unstable();
    assert_eq!(names, ["HOME", "LANG", "PATH", "TMPDIR"], "{seen}");

    let home =
        CleanCommand::new("sh").args(["-c", "ls -A \"$HOME\" \"$TMPDIR\"; echo $HOME"]).run();
    let home = home.success().stdout;
    let home = home.lines().last().unwrap();
    assert!(home != std::env::var("HOME").unwrap() && !Path::new(home).exists(), "{home}");
}

#[test]
fn commands_may_share_a_home() {
    let home = tempfile::tempdir().unwrap();
    let shell = |script| CleanCommand::new("sh").args(["-c", script]).home(home.path()).run();
    shell("echo kept > ~/note").success();
    assert_eq!(shell("cat ~/note").success().stdout, "kept\n");
}

#[test]
fn a_command_that_talks_reads_what_it_is_told() {
    let mut cat = CleanCommand::new("cat").talking().spawn();
    cat.child.stdin.take().unwrap().write_all(b"told").unwrap();
    let mut said = String::new();
    cat.child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "told");
    assert_eq!(CleanCommand::new("cat").run().success().stdout, "");
}

#[test]
fn an_outcome_tells_success_from_failure() {
    let outcome = CleanCommand::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]).run();
    let outcome = outcome.failure();
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("out\n", "err\n"));
    assert_eq!(outcome.status.code(), Some(3));
    let panic = std::panic::catch_unwind(|| outcome.success()).unwrap_err();
    assert!(
        panic.downcast_ref::<String>().unwrap().contains("err\n"),
        "the panic shows the screen"
    );
}

#[test]
#[should_panic(expected = "still running after")]
fn a_command_that_hangs_fails_its_test() {
    CleanCommand::new("sleep").arg("600").deadline(Duration::from_millis(100)).run();
}

#[test]
#[should_panic(expected = "run `cargo xtask peers`")]
fn a_missing_peer_says_how_to_install_it() {
    present("no-such-peer");
}

#[test]
fn the_peers_are_the_pinned_ones() {
    for tool in [pip(), uv(), twine(), poetry(), pdm(), pipx()] {
        let name = tool.file_name().unwrap().to_str().unwrap().to_owned();
        let version = pinned(&name);
        let seen = CleanCommand::new(tool).arg("--version").run().success().stdout;
        assert!(seen.contains(version), "{name} {version}: {seen}");
    }
    let imports = "import tuf.ngclient, securesystemslib.signer, cryptography";
    CleanCommand::new(python()).args(["-c", imports]).run().success();
}

#[test]
fn the_packages_hold_every_kind_that_an_upload_can_be() {
    let packages = packages();
    let named = |name: &str| packages.iter().any(|path| path.ends_with(name));
    assert!(named("backports.tarfile-1.2.0-py3-none-any.whl"), "not by its normalized name");
    assert!(named("tomli_w-1.2.0.tar.gz"), "an sdist");
    assert!(package("numpy-").metadata().unwrap().len() > 5_000_000, "a large wheel");
    for start in ["flask-", "werkzeug-", "requests-", "urllib3-", "flit_core-"] {
        package(start);
    }
}

#[test]
fn a_virtual_environment_holds_the_pinned_pip_alone() {
    let folder = tempfile::tempdir().unwrap();
    let venv = venv(&folder.path().join("venv"));
    assert!(venv.installed().is_empty());

    let wheel = package("backports.tarfile-");
    let install = ["-m", "pip", "install", "--no-index", "--no-deps"];
    venv.command("python").args(install).arg(wheel).run().success();
    assert_eq!(venv.installed(), ["backports.tarfile-1.2.0"]);

    let version = CleanCommand::new(venv.pip()).arg("--version").run().success().stdout;
    let pip = format!("pip {} ", pinned("pip"));
    let root = venv.root().canonicalize().unwrap();
    assert!(version.starts_with(&pip) && version.contains(root.to_str().unwrap()), "{version}");
}

fn pinned(name: &str) -> &'static str {
    let pins =
        [include_str!("../../../../xtask/peers.txt"), include_str!("../../../../xtask/tools.txt")];
    let pins = pins.into_iter().flat_map(str::lines);
    pins.filter_map(|line| line.split_once("==")).find(|(pinned, _)| *pinned == name).unwrap().1
}
