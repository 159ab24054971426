//! What `waxseal pip` adds to pip: the same install from the same index, turn by turn, in one run.
//!
//! `cargo bench -p waxseal --bench overhead`; docs/performance.md has figures. It needs `cargo xtask peers`.

#![allow(clippy::unwrap_used, reason = "a benchmark stops at the first surprise")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::time::{Duration, Instant};

use waxseal_testkit::peers::{self, CleanCommand, Venv};

const WAXSEAL: &str = env!("CARGO_BIN_EXE_waxseal");

/// Installs of each kind.
const ROUNDS: usize = 15;

/// An index that serves, and where it is.
struct Index {
    url: String,
    fingerprint: String,
    _running: peers::Running,
}

impl Index {
    fn start(folder: &Path) -> Self {
        let command = CleanCommand::new(WAXSEAL).current_dir(folder);
        let mut running = command.args(["quickstart", "--listen", "127.0.0.1:0"]).spawn();
        let mut lines = BufReader::new(running.child.stdout.take().unwrap()).lines();
        let mut after = |before: &str| {
            let line = lines.find_map(|line| line.ok().filter(|line| line.contains(before)));
            let line = line.unwrap_or_else(|| panic!("quickstart prints no {before:?}"));
            let (_, rest) = line.split_once(before).unwrap();
            rest.split_whitespace().next().unwrap().to_owned()
        };
        let fingerprint = after("fingerprint ");
        let token = after("TWINE_PASSWORD=");
        let url = after("trust add ");
        // Whatever it prints later is read, so that it never waits for a reader.
        std::thread::spawn(move || lines.count());
        let upload = CleanCommand::new(peers::twine())
            .args(["upload", "--non-interactive", "--repository-url"])
            .arg(format!("{url}/legacy/"))
            .args(peers::packages())
            .env("TWINE_USERNAME", "__token__")
            .env("TWINE_PASSWORD", token);
        upload.run().success();
        Self { url, fingerprint, _running: running }
    }
}

/// Where pip runs, and what it keeps.
struct Machine<'a> {
    index: &'a Index,
    venv: Venv,
    home: &'a Path,
}

impl Machine<'_> {
    /// The time of one install into an empty folder.
    fn install(&self, verified: bool, cold: bool, what: &[&str]) -> Duration {
        let target = self.home.join("target");
        if target.exists() {
            fs::remove_dir_all(&target).unwrap();
        }
        let command = match verified {
            true => self.venv.command(WAXSEAL).arg("pip"),
            false => self.venv.command(self.venv.pip()),
        };
        let command = if verified && cold { command.args(["--cache-size", "0"]) } else { command };
        let mut command =
            command.args(["install", "--quiet", "--no-compile", "--target"]).arg(&target);
        if cold {
            command = command.arg("--no-cache-dir");
        }
        if !verified {
            command = command.args(["--index-url", &format!("{}/simple/", self.index.url)]);
        }
        let host = self.index.url.trim_start_matches("http://");
        // As pip's own cache wants it for an index over http: without, plain pip would have no cache.
        let command = command
            .env("PIP_TRUSTED_HOST", host)
            .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
            .home(self.home)
            .args(what);
        let start = Instant::now();
        command.run().success();
        start.elapsed()
    }

    fn compare(&self, name: &str, cold: bool, what: &[&str]) {
        let mut times = [Vec::new(), Vec::new()];
        // The first of each fills the caches, and does not count.
        for round in 0..=ROUNDS {
            for (verified, times) in [false, true].into_iter().zip(&mut times) {
                let time = self.install(verified, cold, what);
                if round > 0 {
                    times.push(time);
                }
            }
        }
        let [plain, verified] = times.map(median);
        let ratio = verified.as_secs_f64() / plain.as_secs_f64();
        let [plain, verified] = [plain, verified].map(|time| time.as_secs_f64());
        println!("{name:<28} pip {plain:.3} s   waxseal pip {verified:.3} s   ratio {ratio:.3}");
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    let index = Index::start(folder.path());
    let venv = peers::venv(&folder.path().join("venv"));
    let machine = Machine { index: &index, venv, home: &home };
    let trust = ["trust", "add", &index.url, "--fingerprint", &index.fingerprint];
    CleanCommand::new(WAXSEAL).args(trust).home(&home).run().success();
    for (name, what) in
        [("flask, 7 wheels", &["flask"][..]), ("numpy, 1 wheel of 17 MB", &["numpy"])]
    {
        machine.compare(&format!("{name}, warm"), false, what);
        machine.compare(&format!("{name}, cold"), true, what);
    }
}
