//! Faults while `repo import` and `repo gc` run: whatever is left is whole, and the same command again comes
//! to the right end.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;
use waxseal_testkit::peers::{CleanCommand, Outcome as Ended};
use waxseal_tuf::TargetPath;
use waxseal_tuf::hash::Sha256;

use super::faults::{Fault, Runs, Sweep, all_calls};
use super::strace::{Log, options};
use super::summary::{Outcome, Summaries};
use super::world::{Objects, Run, World};
use crate::harness::{Index, WAXSEAL, Wheel, make_wheels, waxseal};

/// Which command meets the fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Command {
    /// An import into an index where nothing is published.
    ImportAtFirst,
    /// An import onto uploads and targets, some of which it replaces.
    ImportOnto,
    /// A collection of what later snapshots and pages superseded.
    Gc,
}

const COMMANDS: [Command; 3] = [Command::ImportAtFirst, Command::ImportOnto, Command::Gc];

/// How the system or the database calls a disk that is full or broken.
const REASONS: &[&str] = &[
    "No space left on device",
    "Input/output error",
    "database or disk is full",
    "disk I/O error",
    // A file beside it cannot be made or opened.
    "readonly database",
    "unable to open database file",
];

/// How an error says what is to be done.
const ADVICE: &[&str] = &["repeat", "import again", "check that "];

/// What a command begins with, and what it has to come to.
struct Before {
    world: World,
    /// The file that is imported.
    targets: PathBuf,
    /// What is listed in the end.
    imported: Vec<(TargetPath, String)>,
    /// What a collection has to keep, and no more.
    kept: Objects,
}

#[test]
fn a_fault_at_any_system_call_of_an_import_or_a_collection_leaves_an_index_that_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let before = COMMANDS.map(|command| (command, Before::of(command, &folder)));
    let before = BTreeMap::from(before);
    let mut runs = Runs::new();
    for (command, before) in &before {
        let run = before.copy();
        let log = run.folder().join("strace");
        let strace = CleanCommand::new("strace").arg("--follow-forks");
        let strace = strace.args(options(&all_calls(), None, &log)).arg(WAXSEAL);
        strace.args(before.words(*command, &run)).run().success();
        let counts = Log::read(&log).counts(None);
        runs.each_call(*command, &counts, 2);
        runs.stays_full(*command, &counts);
    }
    let summaries = Summaries::of("sweep-commands.txt", runs, |sweep, n| {
        inject(&before[&sweep.watched], sweep, n)
    });
    for (command, kills, errors) in
        [(Command::ImportAtFirst, 12, 8), (Command::ImportOnto, 12, 8), (Command::Gc, 4, 2)]
    {
        assert!(summaries.injected(command, Fault::Kill) >= kills, "{command:?}");
        assert!(summaries.injected(command, Fault::Broken) >= errors, "{command:?}");
        let full = [Fault::Full, Fault::StaysFull].map(|fault| summaries.injected(command, fault));
        assert!(full.iter().sum::<usize>() >= errors, "{command:?}");
    }
}

impl Before {
    fn of(command: Command, folder: &TempDir) -> Self {
        let targets = folder.path().join(format!("{command:?}"));
        let imported = match command {
            Command::ImportAtFirst => listed(0..60, "x"),
            Command::ImportOnto => [listed(0..20, "old"), listed(20..60, "new")].concat(),
            // The last of its imports.
            Command::Gc => listed(0..60, "5"),
        };
        fs::write(&targets, lines(&imported)).unwrap();
        let world = match command {
            Command::ImportAtFirst => {
                let data = folder.path().join("data");
                let path = data.display().to_string();
                let init = ["repo", "init", "--development", "--bins", "16", "--data", &path];
                waxseal(init).run().success();
                World::of(&data)
            }
            Command::ImportOnto => world(folder, &[lines(&listed(0..40, "old"))]),
            Command::Gc => {
                let generations = (1..=5).map(|n| lines(&listed(0..60, &n.to_string())));
                world(folder, &generations.collect::<Vec<_>>())
            }
        };
        let mut this = Self { world, targets, imported, kept: Objects::new() };
        if command == Command::Gc {
            let run = this.copy();
            let all = run.objects();
            waxseal(this.words(command, &run).iter().map(String::as_str)).run().success();
            let kept = run.objects();
            let removed = all.keys().filter(|path| !kept.contains_key(*path)).count();
            assert!(removed > 30, "{removed} of {}", all.len());
            drop(run);
            this.kept = kept;
        }
        this
    }

    fn copy(&self) -> Run<'_> {
        let mut run = self.world.copy();
        for number in 0..self.world.wheels.len() {
            run.accepted(number);
        }
        run
    }

    /// The words after the program's name.
    fn words(&self, command: Command, run: &Run<'_>) -> Vec<String> {
        let (data, targets) = (run.data.display().to_string(), self.targets.display().to_string());
        let words: &[&str] = match command {
            Command::ImportAtFirst => &["repo", "import", "--data", &data, &targets],
            Command::ImportOnto => &["repo", "import", "--replace", "--data", &data, &targets],
            Command::Gc => &["repo", "gc", "--grace", "0", "--data", &data],
        };
        words.iter().map(|word| (*word).to_owned()).collect()
    }
}

/// An index with uploads, two of one project, and what was imported after them, one file after the other.
fn world(folder: &TempDir, imports: &[String]) -> World {
    let mut index = Index::quickstart_with(|command| command.args(["--bins", "16"]));
    let wheels = [("before", "1.0"), ("before", "2.0"), ("also", "1.0")];
    let wheels = wheels.map(|(name, version)| Wheel::new(name, version));
    let wheels = make_wheels(&TempDir::with_prefix_in("wheels", folder).unwrap().keep(), &wheels);
    for wheel in &wheels {
        index.upload(std::slice::from_ref(wheel));
    }
    index.configure("reserve-mebibytes", 1);
    index.stop();
    for import in imports {
        fs::write(index.folder().join("targets"), import).unwrap();
        index.operator(["repo", "import", "--replace", "targets"]).run().success();
    }
    let mut world = World::of(&index.data());
    world.wheels = wheels;
    world
}

/// Targets, each with its content.
fn listed(numbers: std::ops::Range<usize>, content: &str) -> Vec<(TargetPath, String)> {
    let path = |n| TargetPath::new(format!("packages/p{}/p-{n}.whl", n % 7)).unwrap();
    numbers.map(|n| (path(n), format!("{content} {n}"))).collect()
}

/// The import file of these targets.
fn lines(listed: &[(TargetPath, String)]) -> String {
    let line = |(path, content): &(TargetPath, String)| {
        let (length, digest) = (content.len(), Sha256::of(content.as_bytes()));
        format!(r#"{{"path":"{path}","length":{length},"hashes":{{"sha256":"{digest}"}}}}"#) + "\n"
    };
    listed.iter().map(line).collect()
}

/// One run: a fault, what it leaves, and the same command again.
fn inject(before: &Before, sweep: Sweep<Command>, n: usize) -> Outcome {
    let mut run = before.copy();
    let all = run.objects();
    let log = run.folder().join("strace");
    let words = before.words(sweep.watched, &run);
    let strace = CleanCommand::new("strace").arg("--follow-forks");
    let inject = options(sweep.calls, Some(&sweep.fault.inject(n)), &log);
    let ended = strace.args(inject).arg(WAXSEAL).args(&words).run();
    let log = Log::read(&log);
    if log.failed_off_disk() || log.failed_outside(run.folder()) {
        return Outcome::default();
    }
    let killed = ended.status.code().is_none();
    let mut left = Vec::new();
    if !killed {
        left.push(said(&ended, log.failed()));
    }
    // As it is left.
    run.look();
    assert_audited(&run);
    if run.is_anything_published() {
        run.come_back();
    }
    if sweep.watched == Command::Gc {
        assert_removed_in_part(&all, &run.objects(), &before.kept);
    } else if killed {
        left.extend(run.left_behind());
    }
    // And again.
    waxseal(words.iter().map(String::as_str)).run().success();
    run.imported.clone_from(&before.imported);
    run.check();
    match sweep.watched {
        Command::Gc => assert_eq!(run.objects(), before.kept),
        // The list of projects in two forms; three wheels with metadata, and their pages in two forms.
        Command::ImportAtFirst => assert_eq!(run.audit().targets, 60 + 2),
        Command::ImportOnto => assert_eq!(run.audit().targets, 60 + 2 + 3 * 2 + 2 * 2),
    }
    Outcome { injected: killed || log.failed(), left, answers: Vec::new() }
}

/// How a command ended that was not killed: well, or with an error that says what failed.
fn said(ended: &Ended, failed: bool) -> &'static str {
    if ended.status.success() {
        return "ended well";
    }
    assert!(failed, "it failed without a fault: {ended}");
    assert_eq!(ended.status.code(), Some(1), "{ended}");
    assert!(!ended.stderr.contains("panicked"), "{ended}");
    let begins = ended.stderr.lines().position(|line| line.starts_with("error: "));
    let begins = begins.unwrap_or_else(|| panic!("it says no error: {ended}"));
    let error = ended.stderr.lines().skip(begins).collect::<Vec<_>>().join(" ");
    for said in [REASONS, ADVICE] {
        assert!(said.iter().any(|part| error.contains(part)), "{ended}");
    }
    "failed and said so"
}

/// The shipped audit finds nothing, or that nothing is published yet.
fn assert_audited(run: &Run<'_>) {
    let data = run.data.display().to_string();
    let audit = waxseal(["audit", "repo", "--deep", &data]).run();
    if run.is_anything_published() {
        audit.success();
        return;
    }
    assert_eq!(audit.status.code(), Some(1), "{audit}");
    assert!(audit.stderr.contains("nothing is published yet"), "{audit}");
}

/// Nothing is gone or changed but what had to go.
fn assert_removed_in_part(all: &Objects, left: &Objects, kept: &Objects) {
    for (path, digest) in kept {
        assert_eq!(left.get(path), Some(digest), "{}", path.display());
    }
    for (path, digest) in left {
        assert_eq!(all.get(path), Some(digest), "{}", path.display());
    }
}
