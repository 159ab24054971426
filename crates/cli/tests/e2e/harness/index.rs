//! An index, started as its operator starts it.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use serde_json::Value;
use tempfile::TempDir;
use waxseal_testkit::mirror::{Mirror, Recording};
use waxseal_testkit::peers::{self, CleanCommand, Outcome};

use super::form::Form;
use super::offline::Offline;
use super::process::Process;
use super::wheels::{Wheel, make_wheels};
use super::{WAXSEAL, tree, waxseal};

/// What comes last of what `quickstart` prints.
const LAST: &str = "Ctrl-C stops the index";

/// A running index in a temporary folder.
pub(crate) struct Index {
    folder: TempDir,
    process: Option<Process>,
    /// The index's URL, without a slash at its end; the same for its whole life.
    pub(crate) url: String,
    pub(crate) token: String,
    pub(crate) fingerprint: String,
    /// What `quickstart` printed when it made the index.
    pub(crate) printed: String,
}

impl Index {
    /// A new index without a package.
    pub(crate) fn quickstart() -> Self {
        Self::quickstart_with(|command| command)
    }

    /// A new index that is started a little otherwise.
    pub(crate) fn quickstart_with(change: impl FnOnce(CleanCommand) -> CleanCommand) -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), None, change)
    }

    /// A new index without a package that `repo init` made, told these options.
    pub(crate) fn init<'a>(options: impl IntoIterator<Item = &'a str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let command = waxseal(["repo", "init", "--development"]).args(options);
        command.current_dir(folder.path()).run().success();
        let token = waxseal(["token", "add", "tests"]).current_dir(folder.path()).run().success();
        Self::in_folder(folder, Some(token.stdout.trim_end()), |command| command)
    }

    /// A new index that begins with what a ceremony made, in the folder where it was held.
    pub(crate) fn of_ceremony(offline: Offline, words: &str) -> Self {
        offline.run(&format!("repo init {words}")).success();
        let token = offline.run("token add tests").success();
        Self::in_folder(offline.into_folder(), Some(token.stdout.trim_end()), |command| command)
    }

    /// With the token that was made for it, or the one that its quickstart prints.
    fn in_folder(
        folder: TempDir,
        token: Option<&str>,
        change: impl FnOnce(CleanCommand) -> CleanCommand,
    ) -> Self {
        let command = CleanCommand::new(WAXSEAL).current_dir(folder.path());
        let command = command.args(["-v", "quickstart", "--listen", "127.0.0.1:0"]);
        let process = Process::start(change(command));
        process.wait_for(&process.stdout, LAST);
        let printed = process.stdout.text();
        let word = |before: &str| {
            let (_, after) = printed.split_once(before).unwrap_or_else(|| panic!("{printed}"));
            after.split_whitespace().next().unwrap().to_owned()
        };
        let url = word("trust add ");
        let token = token.map_or_else(|| word("TWINE_PASSWORD="), ToOwned::to_owned);
        let fingerprint = word("fingerprint ");
        Self { folder, process: Some(process), url, token, fingerprint, printed }
    }

    /// A new index with the packages whose files begin so.
    pub(crate) fn with(starts: &[&str]) -> Self {
        let index = Self::quickstart();
        let files: Vec<_> = starts.iter().map(|start| peers::package(start)).collect();
        index.upload(&files);
        index
    }

    /// A new index with every package of the peers.
    pub(crate) fn filled() -> Self {
        let index = Self::quickstart();
        index.upload(&peers::packages());
        index
    }

    /// Uploads files, which must succeed.
    pub(crate) fn upload(&self, files: &[PathBuf]) {
        for file in files {
            let answer = Form::file(&self.token, file).post(&self.url).unwrap();
            assert_eq!(answer.status, 200, "{}: {}", file.display(), answer.reason);
        }
    }

    /// Makes a wheel of one module, and uploads it.
    pub(crate) fn upload_new(&self, wheel: Wheel<'_>) {
        let folder = tempfile::tempdir().unwrap();
        self.upload(&make_wheels(folder.path(), &[wheel]));
    }

    pub(crate) fn uv_publish(&self, files: &[PathBuf]) -> CleanCommand {
        let command = CleanCommand::new(peers::uv()).env("UV_PUBLISH_TOKEN", &self.token);
        command.args(["publish", "--publish-url", &format!("{}/legacy/", self.url)]).args(files)
    }

    pub(crate) fn twine(&self, files: &[PathBuf]) -> CleanCommand {
        let command = CleanCommand::new(peers::twine()).env("TWINE_USERNAME", "__token__");
        let command = command.env("TWINE_PASSWORD", &self.token).env("COLUMNS", "300");
        let url = format!("{}/legacy/", self.url);
        command.args(["upload", "--non-interactive", "--repository-url", &url]).args(files)
    }

    /// A command of the operator's, in the folder that holds the data folder.
    pub(crate) fn operator<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> CleanCommand {
        waxseal(args).current_dir(self.folder.path())
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("waxseal-data")
    }

    pub(crate) fn process(&self) -> &Process {
        self.process.as_ref().unwrap()
    }

    /// What `repo status --json` shows.
    pub(crate) fn status(&self) -> Value {
        let outcome = self.operator(["repo", "status", "--json"]).run().success();
        serde_json::from_str(&outcome.stdout).unwrap()
    }

    /// Everything that an upload could change: the journal's serials and the store's files.
    pub(crate) fn state(&self) -> (Value, BTreeMap<PathBuf, Vec<u8>>) {
        let mut status = self.status();
        let serials =
            ["journal_serial", "published_serial", "projects"].map(|key| status[key].take());
        (serials.to_vec().into(), tree(&self.data().join("store")))
    }

    /// Ctrl-C.
    pub(crate) fn stop(&mut self) -> (ExitStatus, String) {
        self.process.take().unwrap().interrupt()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process.take().unwrap().kill();
    }

    /// Starts it again, on the address that it had.
    pub(crate) fn start(&mut self) {
        let address = self.url.strip_prefix("http://").unwrap();
        let command = self.operator(["-v", "quickstart", "--listen", address]);
        let process = Process::start(command);
        process.wait_for(&process.stdout, LAST);
        self.process = Some(process);
    }

    /// Stops it, changes a line of its configuration, and starts it again.
    pub(crate) fn configure(&mut self, key: &str, value: impl Display) {
        self.stop();
        self.write_config(key, value);
        self.start();
    }

    /// Changes a line of its configuration, as it is in TOML.
    pub(crate) fn write_config(&self, key: &str, value: impl Display) {
        let file = self.data().join("waxseal.toml");
        let text = fs::read_to_string(&file).unwrap();
        let old = text.lines().find(|line| line.starts_with(key)).unwrap();
        fs::write(&file, text.replace(old, &format!("{key} = {value}"))).unwrap();
    }
}

/// An index with the packages whose files begin so, and a mirror of it that knows it as it was three days
/// ago, when it signed for a day. Today it signs again.
pub(crate) fn remembered_for_three_days(starts: &[&str]) -> (Index, Mirror, Recording) {
    let mut index = Index::quickstart_with(|command| clock_shifted(command, "-3d"));
    let files: Vec<_> = starts.iter().map(|start| peers::package(start)).collect();
    index.upload(&files);
    let mirror = Mirror::start(&index.url.parse().unwrap());
    let frozen = mirror.record(["/tuf/metadata/timestamp.json"]);
    index.stop();
    index.start();
    (index, mirror, frozen)
}

/// The command, with a clock that is wrong by so much, such as `-3d`.
pub(crate) fn clock_shifted(command: CleanCommand, by: &str) -> CleanCommand {
    let library = fs::read_dir("/usr/lib").unwrap().find_map(|folder| {
        let path = folder.unwrap().path().join("faketime/libfaketimeMT.so.1");
        path.is_file().then_some(path)
    });
    let library = library.expect("libfaketime is missing: run `cargo xtask peers`");
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME", by)
        // Deadlines are measured on the clock that cannot be set.
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1")
}

/// A copy of a package's file, under its name, that installs just as well and has other bytes.
pub(crate) fn other_contents(folder: &Path, start: &str) -> PathBuf {
    let file = peers::package(start);
    let copy = folder.join(file.file_name().unwrap());
    fs::copy(file, &copy).unwrap();
    let add = "import sys, zipfile; zipfile.ZipFile(sys.argv[1], 'a').writestr('extra.py', '')";
    CleanCommand::new(peers::python()).args(["-c", add]).arg(&copy).run().success();
    copy
}

/// Whether a command ended with this exit code.
#[track_caller]
pub(crate) fn exited(outcome: &Outcome, code: i32) {
    assert_eq!(outcome.status.code(), Some(code), "{outcome}");
}
