//! Faults while the server takes uploads and publishes them, and while it starts after a crash.
//!
//! Each sweep is of certain threads: of the one that publishes, of those that take uploads, and of a whole
//! start. At a start, the Nth call of the thread that opens the index comes before that of the one that
//! publishes, and meets the fault while it makes so many.

use std::thread;
use std::time::{Duration, Instant};

use waxseal_testkit::peers::CleanCommand;

use super::faults::{Fault, Runs, Sweep, all_calls};
use super::strace::{Counts, Log, Strace, Watched, child_of, options, signal, threads};
use super::summary::{Outcome, Summaries};
use super::world::{Run, Server, World};
use crate::harness::{Process, WAXSEAL, request};

/// Which threads are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum At {
    /// The one that publishes.
    Publishing,
    /// Those that take uploads.
    Uploading,
    /// A start that finds a batch which is only reserved.
    Starting,
    /// A start that finds a batch which is decided, and publishes it.
    Resuming,
}

impl At {
    /// Whether it is the whole life of a process that is watched.
    fn is_start(self) -> bool {
        matches!(self, Self::Starting | Self::Resuming)
    }
}

#[test]
fn a_fault_at_any_system_call_leaves_an_index_that_is_whole() {
    let world = World::new();
    let summaries =
        Summaries::of("sweep-server.txt", runs(&world), |sweep, n| inject(&world, sweep, n));
    assert_enough(&summaries);
}

/// Asserts that the faults were met: a sweep that reaches nothing proves nothing.
fn assert_enough(summaries: &Summaries<At>) {
    for (at, kills, errors) in [
        (At::Publishing, 40, 30),
        (At::Uploading, 8, 8),
        (At::Starting, 8, 6),
        (At::Resuming, 6, 4),
    ] {
        assert!(summaries.injected(at, Fault::Kill) >= kills, "{at:?}");
        assert!(summaries.injected(at, Fault::Full) >= errors, "{at:?}");
        assert!(summaries.injected(at, Fault::Broken) >= errors, "{at:?}");
    }
    assert!(summaries.injected(At::Publishing, Fault::StaysFull) > 0);
    assert!(summaries.injected(At::Uploading, Fault::StaysFull) > 0);
}

/// Every run: what an undisturbed one calls is counted first.
fn runs(world: &World) -> Runs<At> {
    let mut runs = Runs::new();
    for at in [At::Publishing, At::Uploading, At::Starting, At::Resuming] {
        let counts = count(world, at);
        // The loader opens files before the program begins.
        runs.each_call(at, &counts, if at.is_start() { 3 } else { 1 });
        if !at.is_start() {
            runs.stays_full(at, &counts);
        }
    }
    runs
}

/// The calls of a run without a fault.
fn count(world: &World, at: At) -> Counts {
    let mut run = world.copy();
    let log = run.folder().join("strace");
    if at.is_start() {
        crash(&run, at);
        let server = start_under_strace(&run, &all_calls(), None).unwrap();
        signal("INT", child_of(server.process.id()).unwrap());
        server.process.end();
        return Log::read(&log).counts(None);
    }
    let server = run.serve();
    let watched = watched(&server, at);
    let publishing = publishing(&server);
    let strace = Strace::attach(watched, &all_calls(), None, &log);
    assert_eq!(run.upload(&server.url, 0), Some(200));
    if at == At::Publishing {
        assert_eq!(run.upload(&server.url, 1), Some(200));
        signal("INT", server.process.id());
        server.process.end();
        return strace.detach().counts(None);
    }
    strace.detach().counts(Some(publishing))
}

/// The thread that publishes, which gives itself its name a moment after its start.
fn publishing(server: &Server) -> u32 {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let mut threads = threads(server.process.id()).into_iter();
        if let Some((id, _)) = threads.find(|(_, publishes)| *publishes) {
            return id;
        }
        assert!(Instant::now() < until, "no thread publishes: {}", server.process.screen());
        thread::sleep(Duration::from_millis(1));
    }
}

/// What a sweep watches. An upload's calls come before those that publish it, so that a fault at the Nth
/// call of any thread is one of the upload's, as long as an upload makes so many.
pub(super) fn watched(server: &Server, at: At) -> Watched {
    // A thread for what waits for the disk comes with the first request.
    request("GET", &format!("{}/simple/", server.url), &[], &[]).unwrap();
    match at {
        At::Publishing => Watched::Thread(publishing(server)),
        At::Uploading | At::Starting | At::Resuming => Watched::Program(server.process.id()),
    }
}

/// Leaves what a crash in the middle of publishing leaves: with the first object that gets its name, or
/// with `timestamp.json`.
fn crash(run: &Run<'_>, at: At) {
    let server = run.serve();
    let log = run.folder().join("crash");
    let inject = Fault::Kill.inject(1);
    let (calls, word) = match at {
        At::Resuming => ("rename,renameat,renameat2", "batch decided"),
        _ => ("syncfs", "batch reserved"),
    };
    let timestamp = run.store().join("tuf/metadata/timestamp.json");
    let path = (at == At::Resuming).then_some(&*timestamp);
    let watched = watched(&server, At::Publishing);
    let strace = Strace::attach_at_path(watched, calls, Some(&inject), path, &log);
    let _ = run.form(0).post(&server.url);
    server.process.end();
    strace.detach();
    let left = run.left_behind();
    assert!(left.contains(&word), "{left:?}");
}

fn start_under_strace(run: &Run<'_>, calls: &str, inject: Option<&str>) -> Result<Server, String> {
    let log = run.folder().join("strace");
    let command = CleanCommand::new("strace").arg("--follow-forks");
    let command = command.args(options(calls, inject, &log)).arg(WAXSEAL).args(run.serve_words());
    Server::of(Process::start(command.env("TOKIO_WORKER_THREADS", "1")))
}

/// One run: a fault, what it leaves, and whether all is well afterwards.
fn inject(world: &World, sweep: Sweep<At>, n: usize) -> Outcome {
    let mut run = world.copy();
    let mut outcome = match sweep.watched {
        At::Starting | At::Resuming => inject_at_start(&mut run, sweep, n),
        _ if sweep.fault == Fault::Kill => inject_kill(&mut run, sweep, n),
        _ => inject_error(&mut run, sweep, n),
    };
    if sweep.fault == Fault::Kill && outcome.injected {
        run.look();
        outcome.left = run.left_behind();
        if n.is_multiple_of(4) {
            kill_again(&run, n);
            run.look();
        }
    }
    let mut server = run.serve();
    run.wait_until_published();
    run.check();
    // And it goes on.
    upload_in_time(&mut run, &server, 2);
    run.wait_until_published();
    run.check();
    if n.is_multiple_of(16) {
        run.download_all(&server.url);
    }
    assert!(!server.process.has_ended());
    server.process.kill();
    outcome
}

fn inject_kill(run: &mut Run<'_>, sweep: Sweep<At>, n: usize) -> Outcome {
    let server = run.serve();
    let log = run.folder().join("strace");
    let (pid, inject) = (server.process.id(), sweep.fault.inject(n));
    let strace = Strace::attach(watched(&server, sweep.watched), sweep.calls, Some(&inject), &log);
    let answers = (0..2).map(|number| run.upload(&server.url, number)).collect();
    // Its end is watched as well.
    signal("INT", pid);
    let (status, screen) = server.process.end();
    strace.detach();
    let injected = status.code().is_none();
    assert!(injected || status.success(), "{status}: {screen}");
    Outcome { injected, left: Vec::new(), answers }
}

fn inject_error(run: &mut Run<'_>, sweep: Sweep<At>, n: usize) -> Outcome {
    let server = run.serve();
    let log = run.folder().join("strace");
    let (pid, inject) = (server.process.id(), sweep.fault.inject(n));
    let strace = Strace::attach(watched(&server, sweep.watched), sweep.calls, Some(&inject), &log);
    let answers: Vec<_> = (0..2).map(|number| run.upload(&server.url, number)).collect();
    let log = strace.detach();
    if log.failed_off_disk() {
        // A pipe or a socket: no disk makes that fail.
        server.process.kill();
        return Outcome::default();
    }
    for answer in &answers {
        let expected = match sweep.fault {
            // Whatever it was that found no space, it is known for that.
            Fault::StaysFull => matches!(answer, Some(200 | 507)),
            _ => matches!(answer, Some(200 | 500 | 503 | 507)),
        };
        assert!(expected, "answered {answer:?}: {}", server.process.screen());
    }
    // The fault is over: it recovers by itself, and what failed can be done again.
    for number in 0..2 {
        upload_in_time(run, &server, number);
    }
    run.wait_until_published();
    run.check();
    signal("INT", pid);
    let (status, screen) = server.process.end();
    assert!(status.success(), "{status}: {screen}");
    Outcome { injected: log.failed(), left: Vec::new(), answers }
}

/// After a full disk, uploads are refused until the index has found that there is space again.
fn upload_in_time(run: &mut Run<'_>, server: &Server, number: usize) {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = run.upload(&server.url, number);
        if answer == Some(200) {
            return;
        }
        let full = answer == Some(507) && Instant::now() < until;
        assert!(full, "{answer:?}: {}", server.process.screen());
        thread::sleep(Duration::from_millis(20));
    }
}

fn inject_at_start(run: &mut Run<'_>, sweep: Sweep<At>, n: usize) -> Outcome {
    crash(run, sweep.watched);
    run.look();
    let inject = sweep.fault.inject(n);
    let started = start_under_strace(run, sweep.calls, Some(&inject));
    let mut answers = Vec::new();
    let ended = started.is_err();
    let log = run.folder().join("strace");
    if let Ok(server) = started {
        // It may go on: what failed was no more than a warning, or comes with the first upload.
        answers.push(run.upload(&server.url, 1));
        if let Some(pid) = child_of(server.process.id()) {
            // Asked to end it would write to pipes as well, and those never fail.
            signal(if sweep.fault == Fault::Kill { "INT" } else { "KILL" }, pid);
        }
        server.process.end();
    }
    let log = Log::read(&log);
    if log.failed_off_disk() {
        return Outcome::default();
    }
    let killed = sweep.fault == Fault::Kill && ended;
    Outcome { injected: killed || log.failed(), left: Vec::new(), answers }
}

/// A second crash, while it resumes from the first.
fn kill_again(run: &Run<'_>, n: usize) {
    let calls = ["fsync", "pwrite64", "link,linkat", "rename,renameat,renameat2", "unlink"];
    let calls = calls[n / 4 % calls.len()];
    let started = start_under_strace(run, calls, Some(&Fault::Kill.inject(1 + n / 8)));
    if let Ok(server) = started {
        if let Some(pid) = child_of(server.process.id()) {
            signal("KILL", pid);
        }
        server.process.end();
    }
}
