//! The fuzz targets of `fuzz/`, each for some time, with what came of it in a table.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};

use crate::command::{cargo, command, line, output, run};
use crate::paths;

const VERSION: &str = "0.13.2";

/// What `cargo xtask fuzz` takes.
#[derive(Args)]
pub(crate) struct Options {
    /// Targets; all of them when none is named
    #[arg(value_enum)]
    targets: Vec<Target>,
    /// How long each target runs
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// How many targets run at once
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    jobs: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Target {
    CanonicalJson,
    Metadata,
    KeysAndSignatures,
    DelegationSearch,
    UpdateSession,
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Self::CanonicalJson => "canonical_json",
            Self::Metadata => "metadata",
            Self::KeysAndSignatures => "keys_and_signatures",
            Self::DelegationSearch => "delegation_search",
            Self::UpdateSession => "update_session",
        }
    }

    /// Longest input in bytes: a file of some size, or as many decisions as make one story.
    fn longest(self) -> u32 {
        match self {
            Self::CanonicalJson => 1024,
            Self::Metadata => 4096,
            Self::KeysAndSignatures | Self::DelegationSearch => 384,
            Self::UpdateSession => 96,
        }
    }

    fn is_json(self) -> bool {
        matches!(self, Self::CanonicalJson | Self::Metadata)
    }
}

/// Fuzzes the targets; an error where one of them found something.
pub(crate) fn fuzz(options: &Options) -> Result<()> {
    let cargo_fuzz = installed()?;
    run(&mut with_flags(&cargo_fuzz, "build"))?;
    let targets = match options.targets.as_slice() {
        [] => Target::value_variants(),
        named => named,
    };
    let waiting = Mutex::new(targets.iter().copied().collect::<VecDeque<_>>());
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(|| {
                // Not in the loop's head, which would hold the lock while the target runs.
                let next = || lock(&waiting).pop_front();
                while let Some(target) = next() {
                    let outcome = fuzz_one(&cargo_fuzz, target, options.seconds);
                    lock(&done).push((target, outcome));
                }
            });
        }
    });
    report(done.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What came of one target.
struct Outcome {
    /// Inputs that were run.
    executions: u64,
    took: Duration,
    /// The files of inputs that broke something.
    findings: Vec<PathBuf>,
    /// Where the fuzzer's own words are.
    log: PathBuf,
    /// Whether it ended as it should.
    ended_well: bool,
}

fn fuzz_one(cargo_fuzz: &Path, target: Target, seconds: u64) -> Result<Outcome> {
    let name = target.name();
    // What is new goes into a folder that git ignores; the committed corpus is only read.
    let found = fuzz_folder().join("target/corpus").join(name);
    let artifacts = fuzz_folder().join("artifacts").join(name);
    for folder in [&found, &artifacts] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let log = found.with_extension("log");
    let out = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let before = files(&artifacts)?;

    let mut fuzzer = with_flags(cargo_fuzz, "run");
    fuzzer.arg(name).arg(&found);
    for committed in ["corpus", "regressions"] {
        let folder = fuzz_folder().join(committed).join(name);
        if folder.is_dir() {
            fuzzer.arg(folder);
        }
    }
    fuzzer.arg("--").arg(format!("-max_total_time={seconds}"));
    fuzzer.arg(format!("-max_len={}", target.longest()));
    fuzzer.args(["-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1"]);
    if target.is_json() {
        fuzzer.arg(format!("-dict={}", fuzz_folder().join("json.dict").display()));
    }
    eprintln!("fuzz: {name}: {seconds} s; what it says is in {}", log.display());
    let started = Instant::now();
    fuzzer.stdout(out.try_clone()?).stderr(out);
    let line = line(&fuzzer);
    let status = fuzzer.status().with_context(|| format!("cannot start: {line}"))?;
    let took = started.elapsed();

    let mut findings = files(&artifacts)?;
    findings.retain(|file| !before.contains(file));
    let executions = executions(&fs::read_to_string(&log)?);
    Ok(Outcome { executions, took, findings, log, ended_well: status.success() })
}

/// The number that `-print_final_stats=1` prints, which is left out after a crash: then the last one
/// before it.
fn executions(log: &str) -> u64 {
    let total = log.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let last = || {
        let counted = log.lines().rev().find_map(|line| line.strip_prefix('#'));
        counted.and_then(|line| line.split_whitespace().next())
    };
    total.or_else(last).and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

fn report(outcomes: Vec<(Target, Result<Outcome>)>) -> Result<()> {
    println!(
        "{:<20} {:>8} {:>12} {:>8} {:>9}",
        "target", "seconds", "executions", "per s", "findings"
    );
    let mut problems = Vec::new();
    for (target, outcome) in outcomes {
        let name = target.name();
        let outcome = outcome.with_context(|| format!("{name} could not run"))?;
        let Outcome { executions, took, findings, log, ended_well } = &outcome;
        let per_second = executions / took.as_secs().max(1);
        let (seconds, count) = (took.as_secs(), findings.len());
        println!("{name:<20} {seconds:>8} {executions:>12} {per_second:>8} {count:>9}");
        for finding in findings {
            let finding = finding.display();
            problems.push(format!(
                "{name} found {finding}\n  why: the end of {}\n  keep it: move it to \
                 fuzz/regressions/{name}/ under a name that says what it is; `cargo test -p waxseal-tuf \
                 corpora` then runs it",
                log.display()
            ));
        }
        if findings.is_empty() && !ended_well {
            problems.push(format!("{name} did not end well; {} says why", log.display()));
        }
    }
    match problems.is_empty() {
        true => Ok(()),
        false => bail!("{}", problems.join("\n")),
    }
}

/// Optimized, with debug assertions and overflow checks, which is what cargo-fuzz does unasked. No
/// address sanitizer: there is no unsafe code to watch, and it halves the speed.
fn with_flags(cargo_fuzz: &Path, verb: &str) -> Command {
    let mut command = command(cargo_fuzz, [verb, "--sanitizer", "none"]);
    // The flags of coverage are unstable; this makes the stable compiler take them.
    command.env("RUSTC_BOOTSTRAP", "1");
    command
}

/// The program under `target/tools`, installed when it is missing or of another version.
fn installed() -> Result<PathBuf> {
    let ours = paths::tools().join("bin/cargo-fuzz");
    let version = output(&mut command(&ours, ["--version"])).unwrap_or_default();
    if version != format!("cargo-fuzz {VERSION}") {
        eprintln!(
            "Installing cargo-fuzz {VERSION} under target/tools, once; it takes some minutes."
        );
        let install = ["install", "cargo-fuzz", "--locked", "--version", VERSION, "--root"];
        run(cargo(&install).arg(paths::tools()))?;
    }
    Ok(ours)
}

fn fuzz_folder() -> PathBuf {
    paths::root().join("fuzz")
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    read.map(|entry| Ok(entry?.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executions_are_counted_with_and_without_a_crash() {
        let log = "#2\tINITED cov: 1\n#77\tNEW cov: 2\nDone 80 runs in 1 second(s)\n\
                   stat::number_of_executed_units: 80\nstat::average_exec_per_sec:     80\n";
        assert_eq!(executions(log), 80);
        assert_eq!(executions("#2\tINITED cov: 1\n#77\tNEW cov: 2\nthread panicked\n"), 77);
        assert_eq!(executions("error: no such target\n"), 0);
    }

    #[test]
    fn every_target_is_in_the_manifest_and_has_a_corpus() -> Result<()> {
        let manifest = fs::read_to_string(fuzz_folder().join("Cargo.toml"))?;
        for target in Target::value_variants() {
            let name = target.name();
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
            assert!(!files(&fuzz_folder().join("corpus").join(name))?.is_empty(), "{name}");
        }
        assert_eq!(manifest.matches("[[bin]]").count(), Target::value_variants().len());
        Ok(())
    }
}
