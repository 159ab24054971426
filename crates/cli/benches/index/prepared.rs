//! Indexes that were made from an import file by the real commands, one for each size, kept for the
//! other rows and the next run.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use waxseal_testkit::import_file;
use waxseal_testkit::peers::CleanCommand;
use waxseal_testkit::stopwatch::{Taken, peak_memory, processor_of};

use crate::child::Run;
use crate::published::Published;
use crate::scale::Scale;

/// What the import files follow from.
const SEED: u64 = 1;

/// An index of a data folder.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    pub(crate) data: PathBuf,
    pub(crate) import: Import,
}

/// What `waxseal repo import` took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Import {
    pub(crate) run: Run,
    /// The most memory that it had, in KiB.
    pub(crate) peak_kib: u64,
    /// How many bytes the import file has.
    pub(crate) file_bytes: u64,
}

/// The folder of everything that benchmarks make; on a disk, as indexes are. A test has its own.
pub(crate) fn folder() -> PathBuf {
    let name = if crate::IN_TEST { "bench-test" } else { "bench" };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target").join(name);
    fs::create_dir_all(&folder).unwrap();
    folder.canonicalize().unwrap()
}

fn place(targets: u64, scale: &Scale) -> PathBuf {
    folder().join(format!("{targets}-in-{}-{}", scale.bins, scale.scheme))
}

/// A new folder for what is of no use later. It stays until the end: see [`rest`].
pub(crate) fn scrap() -> PathBuf {
    let all = scraps();
    fs::create_dir_all(&all).unwrap();
    tempfile::tempdir_in(all).unwrap().keep()
}

/// Deletes all of that.
pub(crate) fn forget_scrap() {
    if scraps().exists() {
        fs::remove_dir_all(scraps()).unwrap();
        rest();
    }
}

fn scraps() -> PathBuf {
    folder().join("scrap")
}

/// Waits after files were deleted, so that what is measured next does not pay for it: ext4 without a
/// journal gives no inode again for a minute after its file was deleted, and looks at each such inode
/// whenever a file is made.
pub(crate) fn rest() {
    if crate::IN_TEST {
        return;
    }
    rustix::fs::syncfs(fs::File::open(folder()).unwrap()).unwrap();
    eprintln!("resting for a minute …");
    thread::sleep(Duration::from_secs(61));
}

impl Prepared {
    /// The index with so many targets; imported now where it is not there.
    pub(crate) fn get(targets: u64, scale: &Scale) -> Self {
        let place = place(targets, scale);
        let (data, record) = (place.join("data"), place.join("import.json"));
        if let Ok(text) = fs::read(&record) {
            return Self { data, import: serde_json::from_slice(&text).unwrap() };
        }
        Self::remove_if_there(targets, scale);
        fs::create_dir_all(&place).unwrap();
        let file = import_file(targets);
        let import = import(&data, &file, scale);
        fs::remove_file(file).unwrap();
        // Last, so that what was made half-way is made again.
        fs::write(record, serde_json::to_string(&import).unwrap()).unwrap();
        Self { data, import }
    }

    /// Forgets an index that has changed, or is to be imported again.
    pub(crate) fn remove_if_there(targets: u64, scale: &Scale) {
        let place = place(targets, scale);
        if place.exists() {
            fs::remove_dir_all(place).unwrap();
            rest();
        }
    }

    /// Deletes what is superseded in an index, where there is one.
    pub(crate) fn tidy(targets: u64, scale: &Scale) {
        let data = place(targets, scale).join("data");
        if data.exists() && Published::read(&data).delete_older() {
            rest();
        }
    }
}

/// Writes the import file of so many targets.
pub(crate) fn import_file(targets: u64) -> PathBuf {
    eprintln!("writing an import file of {targets} targets …");
    let file = folder().join(format!("{targets}.jsonl"));
    import_file::write(&file, SEED, targets).unwrap();
    file
}

/// `waxseal repo init`, then `waxseal repo import`, which is measured.
pub(crate) fn import(data: &Path, file: &Path, scale: &Scale) -> Import {
    eprintln!("importing {} …", file.display());
    init(data, scale);
    let command = waxseal(["repo", "import", "--data"]).arg(data).arg(file);
    let (taken, peak_kib) = watched(command);
    let file_bytes = fs::metadata(file).unwrap().len();
    Import { run: taken.into(), peak_kib, file_bytes }
}

/// `waxseal repo init`: an index without a package, its keys on this disk.
pub(crate) fn init(data: &Path, scale: &Scale) {
    let command = waxseal(["repo", "init", "--development", "--bins", &scale.bins.to_string()]);
    let command = command.arg("--online-key").arg(scale.scheme.name());
    command.arg("--data").arg(data).run().success();
}

/// The real binary.
pub(crate) fn waxseal<'a>(args: impl IntoIterator<Item = &'a str>) -> CleanCommand {
    CleanCommand::new(env!("CARGO_BIN_EXE_waxseal")).args(args).deadline(Duration::from_hours(1))
}

/// Runs a command to its end, and looks at it all the while: how long it took, and how much memory.
fn watched(command: CleanCommand) -> (Taken, u64) {
    let start = Instant::now();
    let mut running = command.spawn();
    let id = running.child.id();
    drain(running.child.stdout.take().unwrap());
    let screen = drain(running.child.stderr.take().unwrap());
    let mut peak = 0;
    while let Some(kib) = peak_memory(id) {
        peak = kib;
        thread::sleep(Duration::from_millis(2));
    }
    let taken = Taken { wall: start.elapsed(), cpu: processor_of(id) };
    let status = running.child.wait().unwrap();
    assert!(status.success(), "{status}: {}", screen.join().unwrap());
    (taken, peak)
}

/// Reads what a program prints, which would block it in a full pipe.
pub(crate) fn drain(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut printed = String::new();
        let _ = pipe.read_to_string(&mut printed);
        printed
    })
}
