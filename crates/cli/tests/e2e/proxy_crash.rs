//! A proxy that is killed in the middle of a file, and disks that are full.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use waxseal_testkit::mirror::{Change, Mirror, PathPattern, Tamper};
use waxseal_testkit::peers::{self, CleanCommand};

use crate::harness::{Index, Person, Process, Tool, WAXSEAL, assert_shows, tree};

/// So many bytes of numpy's wheel have passed when the proxy is killed.
const PASSED: u64 = 3_000_000;

/// The command with a folder for temporary files that outlives it.
fn with_temporary_files(person: &Person, folder: &Path, program: impl AsRef<Path>) -> CleanCommand {
    let variable = format!("TMPDIR={}", folder.display());
    person.command("env").arg(variable).arg(program.as_ref())
}

fn start_proxy(person: &Person, temporary: &Path) -> (Process, String) {
    let command = with_temporary_files(person, temporary, WAXSEAL);
    let process = Process::start(command.args(["proxy", "--listen", "127.0.0.1:0"]));
    process.wait_for(&process.stderr, "/simple/\n");
    let url = process.stderr.text().split_whitespace().last().unwrap().to_owned();
    (process, url)
}

/// Files below these folders that are or begin with the whole wheel.
fn complete_copies(folders: &[&Path], wheel: &[u8]) -> Vec<PathBuf> {
    let mut files: Vec<_> = folders.iter().flat_map(|folder| tree(folder)).collect();
    files.retain(|(_, bytes)| bytes.starts_with(wheel));
    files.into_iter().map(|(path, _)| path).collect()
}

#[test]
fn a_proxy_killed_in_mid_file_leaves_nothing_complete_and_the_next_one_goes_on() {
    let index = Index::with(&["numpy-"]);
    let mirror = Mirror::start(&index.url.parse().unwrap());
    let person = Person::new();
    person.trust(&index, mirror.url().as_str());
    let wheel = fs::read(peers::package("numpy-")).unwrap();
    let temporary = tempfile::tempdir().unwrap();
    let (proxy, url) = start_proxy(&person, temporary.path());
    let change = Change::Trickle { bytes: 100_000, every: Duration::from_millis(50) };
    mirror.set(Tamper { matches: PathPattern::suffix(".whl"), change });
    let pip = |url: &str| {
        let command = with_temporary_files(&person, temporary.path(), person.venv.pip());
        command.args(["install", "--retries", "0", "--index-url", url, "numpy"])
    };
    let installing = Process::start(pip(&url));
    let until = Instant::now() + Duration::from_mins(1);
    let passed = || mirror.requests().iter().any(|r| r.path.contains(".whl") && r.sent > PASSED);
    while !passed() {
        assert!(Instant::now() < until, "{}", installing.screen());
        std::thread::sleep(Duration::from_millis(20));
    }
    proxy.kill();
    let (status, screen) = installing.end();
    assert!(!status.success(), "{screen}");
    assert!(person.venv.installed().is_empty(), "{screen}");
    let (home, work) = (person.home(), person.work());
    let folders = [home.as_path(), &work, temporary.path()];
    assert_eq!(complete_copies(&folders, &wheel), Vec::<PathBuf>::new());

    // With what the killed one left, its cache among it.
    mirror.honest();
    let (_proxy, url) = start_proxy(&person, temporary.path());
    pip(&url).run().success();
    person.python("import numpy; numpy.arange(4)");
    assert!(!complete_copies(&[&home], &wheel).is_empty(), "it is kept now; the test would see it");
}

/// A shell command in a mount namespace of its own, where a folder is a disk of 1 MiB.
fn with_tiny_disk(person: &Person, folder: &Path, script: &str) -> CleanCommand {
    let mount = format!("mount -t tmpfs -o size=1m tiny '{}' && {script}", folder.display());
    person.command("unshare").args(["--map-root-user", "--mount", "sh", "-c", &mount])
}

fn install_with(person: &Person, disk: &Path, before: &str) -> CleanCommand {
    let script = format!("{before} exec '{WAXSEAL}' pip install --target there numpy");
    with_tiny_disk(person, disk, &script)
}

#[test]
fn a_full_disk_under_the_cache_stops_nobody() {
    let index = Index::with(&["numpy-", "blinker-"]);
    let person = Person::trusting(&index);
    let disk = tempfile::tempdir().unwrap();
    let cache = format!("export WAXSEAL_CACHE_DIR='{}';", disk.path().display());
    // One that is too small for the wheel, and one that is full to the last byte.
    let fill = format!("cat /dev/zero > '{}/zeros' 2> /dev/null;", disk.path().display());
    for before in [cache.clone(), format!("{fill} {cache}")] {
        install_with(&person, disk.path(), &before).run().success();
        person.python("import sys; sys.path.insert(0, 'there'); import numpy; numpy.arange(4)");
        fs::remove_dir_all(person.work().join("there")).unwrap();
    }
}

#[test]
fn where_cache_and_temporary_files_have_no_space_the_error_says_so() {
    let index = Index::with(&["numpy-"]);
    let person = Person::trusting(&index);
    let disk = tempfile::tempdir().unwrap();
    let path = disk.path().display();
    let both = format!("export WAXSEAL_CACHE_DIR='{path}' TMPDIR='{path}';");
    let fill = format!("cat /dev/zero > '{path}/zeros' 2> /dev/null;");
    for before in [both.clone(), format!("{fill} {both}")] {
        let outcome = install_with(&person, disk.path(), &before).run().failure();
        println!("{outcome}\n");
        assert_shows(&outcome.stderr, &["No space left on device", &path.to_string()]);
        assert!(!person.work().join("there/numpy").exists(), "{outcome}");
    }
    // With space again, the same command works.
    person.install(Tool::Pip, ["numpy"]).run().success();
}
