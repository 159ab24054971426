//! What is promised is on the disk: a power cut is not `kill -9`, which keeps what the kernel has in memory.
//!
//! `strace` shows every write, rename and sync of the index in order. From that follows, at each moment,
//! what a power cut would lose.

use std::collections::BTreeMap;
use std::path::Path;

use super::strace::{Strace, Watched, signal};
use super::world::World;
use crate::harness::{Index, request};

const CALLS: &str = "write,pwrite64,fsync,fdatasync,syncfs,rename,renameat,renameat2,link,linkat,\
                     mkdir,mkdirat,writev,sendto";

/// What a power cut would lose.
#[derive(Debug, Default)]
struct Volatile {
    /// Files and folders, each with the number of its last change.
    changed: BTreeMap<String, usize>,
    /// How many calls there were.
    calls: usize,
    /// The syncs under way: what each thread makes durable, and since when.
    syncing: BTreeMap<String, (Option<String>, usize)>,
    syncs: usize,
}

/// What happened, for those who look.
#[derive(Debug, PartialEq, Eq)]
enum Event<'a> {
    /// A file that has another name by now got this one.
    Named(&'a str, &'a str),
    /// A program elsewhere was sent something.
    Sent,
}

impl Volatile {
    /// Takes in the lines of a log, and tells `look` what happened.
    fn follow(&mut self, log: &str, look: &mut dyn FnMut(&Self, &Event<'_>)) {
        for line in log.lines() {
            self.calls += 1;
            let (thread, call) = match line.split_once(' ') {
                Some((thread, call)) if thread.bytes().all(|b| b.is_ascii_digit()) => {
                    (thread, call.trim_start())
                }
                _ => ("", line),
            };
            if let Some(rest) = call.strip_prefix("<... ") {
                // The end of a call that was shown before.
                if rest.contains("sync") && is_done(rest) {
                    self.synced(thread);
                }
                continue;
            }
            let Some((name, arguments)) = call.split_once('(') else { continue };
            let ended = !arguments.contains("<unfinished");
            match name {
                "write" | "pwrite64" | "writev" | "sendto" => {
                    let Some(path) = decoded(arguments) else { continue };
                    match path.starts_with('/') {
                        true => _ = self.changed.insert(path.to_owned(), self.calls),
                        false if path.starts_with("socket") || path.starts_with("TCP") => {
                            look(self, &Event::Sent);
                        }
                        false => {}
                    }
                }
                "fsync" | "fdatasync" | "syncfs" => {
                    let path = decoded(arguments).filter(|_| name != "syncfs").map(str::to_owned);
                    self.syncing.insert(thread.to_owned(), (path, self.calls));
                    if ended {
                        assert!(is_done(arguments), "{line}");
                        self.synced(thread);
                    }
                }
                _ => self.named(arguments, look),
            }
        }
    }

    /// The sync of a thread has ended: what was changed before it began is durable.
    fn synced(&mut self, thread: &str) {
        let (path, began) = self.syncing.remove(thread).expect("a sync ends that began");
        self.syncs += 1;
        self.changed
            .retain(|changed, at| path.as_ref().is_some_and(|path| path != changed) || *at > began);
    }

    fn named(&mut self, arguments: &str, look: &mut dyn FnMut(&Self, &Event<'_>)) {
        let paths: Vec<_> = arguments.split('"').skip(1).step_by(2).collect();
        if let [from, to] = paths[..] {
            look(self, &Event::Named(from, to));
            if let Some(at) = self.changed.remove(from) {
                self.changed.insert(to.to_owned(), at);
            }
        }
        let Some(to) = paths.last() else { return };
        let folder = Path::new(to).parent().unwrap().display().to_string();
        self.changed.insert(folder, self.calls);
    }

    /// What of `part` of the index would be lost.
    fn lost(&self, part: &str) -> Vec<&String> {
        self.changed.keys().filter(|path| path.contains(part)).collect()
    }
}

/// Whether a call succeeded. `strace` puts spaces before the result, so that results stand below each other.
fn is_done(call: &str) -> bool {
    call.trim_end().ends_with(" = 0")
}

/// The path or the kind of the descriptor that is the first argument.
fn decoded(arguments: &str) -> Option<&str> {
    let (_, rest) = arguments.split_once('<')?;
    Some(rest.split_once('>')?.0)
}

#[test]
fn what_is_named_or_answered_is_on_the_disk() {
    let world = World::new();
    let mut run = world.copy();
    let server = run.serve();
    let log = run.folder().join("strace");
    let strace = Strace::attach(Watched::Program(server.process.id()), CALLS, None, &log);
    assert_eq!(run.upload(&server.url, 0), Some(200));
    assert_eq!(run.upload(&server.url, 1), Some(200));
    let log = strace.detach();

    let (mut objects, mut timestamps, mut answers) = (0, 0, 0);
    let mut volatile = Volatile::default();
    volatile.follow(log.text(), &mut |volatile, event| match event {
        Event::Named(from, to) if to.ends_with("/timestamp.json") => {
            timestamps += 1;
            assert_eq!(volatile.lost(from), Vec::<&String>::new());
            // Everything it leads to, and what says that it will be published.
            for part in ["/store/tuf/", "/store/files/", "waxseal.sqlite-wal"] {
                assert_eq!(volatile.lost(part), Vec::<&String>::new(), "timestamp {timestamps}");
            }
        }
        Event::Named(from, to) if to.contains("/store/tuf/") || to.contains("/store/files/") => {
            objects += 1;
            assert_eq!(volatile.lost(from), Vec::<&String>::new(), "{to} is named too early");
        }
        Event::Named(..) => {}
        Event::Sent => {
            answers += 1;
            for part in ["/store/tuf/", "/store/files/", "waxseal.sqlite-wal"] {
                assert_eq!(volatile.lost(part), Vec::<&String>::new(), "answer {answers}");
            }
        }
    });
    // A wheel and its metadata, each under two names; two pages, the lists of projects, bins, a snapshot.
    assert!(objects >= 16, "{objects}");
    assert_eq!((timestamps, answers >= 2), (2, true), "{answers}");
    signal("INT", server.process.id());
    server.process.end();
    run.check();
}

#[test]
fn a_batch_has_as_many_syncs_however_many_bins_it_touches() {
    let index = Index::quickstart();
    let outcome = index.operator(["token", "add", "other", "--scope", "api"]).run().success();
    let authorization = format!("Bearer {}", outcome.stdout.trim());
    let headers = [("Authorization", &*authorization), ("Content-Type", "application/json")];
    let mut syncs = Vec::new();
    for (round, targets) in [10, 10, 200, 1_000].into_iter().enumerate() {
        let line = |n| {
            format!(r#"{{"path":"p/{round}-{n}","length":1,"hashes":{{"sha256":"{n:064x}"}}}}"#)
        };
        let lines: Vec<_> = (0..targets).map(line).collect();
        let body = format!(r#"{{"add":[{}]}}"#, lines.join(","));
        let log = index.folder().join(format!("strace-{round}"));
        let strace = Strace::attach(Watched::Program(index.process().id()), CALLS, None, &log);
        let post = |path: &str, body: &[u8]| {
            let url = format!("{}{path}", index.url);
            request("POST", &url, &headers, body).unwrap()
        };
        assert_eq!(post("/api/v1/targets", body.as_bytes()).status, 202);
        assert_eq!(post("/api/v1/publish?wait", b"").status, 200);
        let mut volatile = Volatile::default();
        volatile.follow(strace.detach().text(), &mut |_, _| {});
        syncs.push(volatile.syncs);
    }
    // Some 10 bins, 10 again, about 140 and all 256.
    assert!(syncs[0] > 3, "{syncs:?}");
    assert!(syncs.iter().all(|count| *count <= syncs[1] + 1), "{syncs:?}");
}
