//! A process that is stopped while it publishes, and goes on when another one has taken over.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use super::server::{At, watched};
use super::strace::{Strace, is_stopped, signal};
use super::world::{Run, Server, World};
use crate::harness::{Process, request};

/// Calls at which the first process is stopped, and how far apart.
const CALLS: [(&str, usize); 5] = [
    ("link,linkat", 3),
    ("fsync,syncfs,fdatasync", 1),
    ("rename,renameat,renameat2", 1),
    ("mkdir,mkdirat", 2),
    ("unlink,unlinkat", 5),
];

/// More than a publish makes.
const MOST: usize = 60;

#[test]
fn a_process_that_was_stopped_cannot_publish_after_another_took_over() {
    let world = World::new();
    let became: Mutex<BTreeMap<Became, usize>> = Mutex::default();
    let given_up = Mutex::default();
    thread::scope(|scope| {
        for (calls, step) in CALLS {
            let (world, became, given_up) = (&world, &became, &given_up);
            scope.spawn(move || {
                for n in (1..MOST).step_by(step) {
                    let Some(this) = stop_at(world, calls, n, given_up) else { break };
                    *became.lock().unwrap().entry(this).or_default() += 1;
                }
            });
        }
    });
    let became = became.into_inner().unwrap();
    eprintln!("of those that were stopped became: {became:?}");
    let count = |what| became.get(&what).copied().unwrap_or(0);
    assert!(count(Became::Fenced) >= 8, "{became:?}");
    let given_up = given_up.into_inner().unwrap();
    assert_eq!(given_up, BTreeSet::from([Held::Database, Held::Timestamp]));
}

/// What becomes of a process that was stopped, once it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Became {
    /// Another one had taken over: it says so and publishes nothing.
    Fenced,
    /// The same, when it had another upload to publish.
    FencedLater,
    /// It was stopped with a lock in its hands, so that no other one could start.
    Waited,
}

/// What a process that was stopped holds, so that another one waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Held {
    Database,
    Timestamp,
}

/// Asserts that a process that waits has named the one that is stopped.
fn assert_names(waiting: &Process, stopped: u32) -> Held {
    let screen = waiting.screen();
    let held = [
        (Held::Database, "use the database", "/waxseal.sqlite"),
        (Held::Timestamp, "replace timestamp.json", "/store/.store/timestamp.lock"),
    ];
    for (held, doing, file) in held {
        let begin = format!("waits to {doing}: process {stopped} (waxseal) has locked /");
        if screen.contains(&begin) && screen.contains(&format!("{file} and is stopped; gives up")) {
            return held;
        }
    }
    panic!("it does not name {stopped}: {screen}");
}

/// The second one gives up within its bound and says what to do. Once the first one is ended, as it
/// says, all that was accepted is published.
fn give_up(run: &mut Run<'_>, first: Server, second: Process, held: Held) {
    let pid = first.process.id();
    let begun = Instant::now();
    let assert_waited = || {
        let waited = begun.elapsed();
        assert!(waited > Duration::from_secs(20) && waited < Duration::from_secs(45), "{waited:?}");
    };
    let advice = [
        format!("process {pid} (waxseal) has locked /"),
        format!("let it go on (`kill -CONT {pid}`) or end it (`kill -KILL {pid}`)"),
        "waited 30.".to_owned(),
    ];
    let assert_says = |text: &str| {
        for part in &advice {
            assert!(text.contains(part), "no {part:?} in: {text}");
        }
    };
    match held {
        // It cannot even open the database.
        Held::Database => {
            let (status, screen) = second.end();
            assert_waited();
            assert_says(&screen);
            assert_eq!(status.code(), Some(1), "{screen}");
            first.process.kill();
            let again = run.serve();
            run.wait_until_published();
            run.check();
            again.process.kill();
        }
        // What is published is served meanwhile.
        Held::Timestamp => {
            let second = Server::of(second).unwrap();
            assert!(begun.elapsed() < Duration::from_secs(20), "{}", second.process.screen());
            let ready = || request("GET", &format!("{}/readyz", second.url), &[], &[]).unwrap();
            let until = Instant::now() + Duration::from_secs(50);
            while !ready().text().contains("not publishing since") {
                assert!(Instant::now() < until, "{}", ready().text());
                thread::sleep(Duration::from_millis(50));
            }
            assert_waited();
            assert_says(&ready().text());
            assert_says(&second.process.screen());
            first.process.kill();
            run.wait_until_published();
            run.check();
            assert_eq!(run.upload(&second.url, 1), Some(200));
            second.process.kill();
        }
    }
}

/// `None`: the call was not reached.
fn stop_at(
    world: &World,
    calls: &str,
    n: usize,
    given_up: &Mutex<BTreeSet<Held>>,
) -> Option<Became> {
    let mut run = world.copy();
    let first = run.serve();
    let pid = first.process.id();
    let log = run.folder().join("strace");
    let inject = format!("signal=STOP:when={n}");
    let strace = Strace::attach(watched(&first, At::Publishing), calls, Some(&inject), &log);
    let (form, url) = (run.form(0), first.url.clone());
    let upload = thread::spawn(move || form.post(&url).ok().map(|answer| answer.status));
    // A slow machine answers before it has published.
    let is_over = || upload.is_finished() && run.is_published();
    while !(is_stopped(pid) || is_over()) {
        thread::sleep(Duration::from_millis(1));
    }
    // Published, or stopped just after that.
    let reached = is_stopped(pid) || {
        thread::sleep(Duration::from_millis(50));
        is_stopped(pid)
    };
    strace.detach();
    if !reached {
        first.process.kill();
        return None;
    }
    run.look();

    // As if its lease ran out.
    fs::remove_file(run.data.join("writer.lock")).unwrap();
    let second = match run.serve_unless_it_waits() {
        Ok(second) => second,
        Err(second) => {
            // The first one holds a lock of the file system or the database for a moment: taken from it,
            // both could write. The operator ends one of the two.
            let named = assert_names(&second, pid);
            if given_up.lock().unwrap().insert(named) {
                give_up(&mut run, first, second, named);
                return Some(Became::Waited);
            }
            second.kill();
            signal("CONT", pid);
            let answer = upload.join().unwrap();
            assert!(matches!(answer, Some(200)), "{calls} {n}: {answer:?}");
            run.accepted(0);
            first.process.kill();
            let again = run.serve();
            run.wait_until_published();
            run.check();
            again.process.kill();
            return Some(Became::Waited);
        }
    };
    assert_eq!(run.upload(&second.url, 1), Some(200));
    run.wait_until_published();
    run.check();
    let timestamp = run.store().join("tuf/metadata/timestamp.json");
    let timestamp = || fs::read(&timestamp).unwrap();
    let published = timestamp();

    signal("CONT", pid);
    let fenced_within = |seconds| {
        let until = Instant::now() + Duration::from_secs(seconds);
        loop {
            let screen = first.process.screen();
            assert_eq!(timestamp(), published, "{calls} {n}: the first one published: {screen}");
            if screen.contains("another snapshot process has taken over") {
                return true;
            }
            if Instant::now() > until {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
    };
    let at_once = fenced_within(1);
    if upload.join().unwrap() == Some(200) {
        run.accepted(0);
    }
    if !at_once {
        // It had nothing left to record. Its next batch tells it.
        run.upload(&first.url, 2);
        assert!(fenced_within(20), "{calls} {n}: {}", first.process.screen());
    }
    let (status, screen) = first.process.end();
    assert_eq!(status.code(), Some(1), "{screen}");

    // What it accepted is in the journal, for the other one.
    assert_eq!(run.upload(&second.url, 2), Some(200), "{calls} {n}");
    run.wait_until_published();
    run.check();
    second.process.kill();
    Some(if at_once { Became::Fenced } else { Became::FencedLater })
}
