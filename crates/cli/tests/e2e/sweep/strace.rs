//! `strace` on chosen threads of a program: it counts their calls, and lets one of them fail.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The thread that publishes; the system keeps 15 bytes of its name.
const SNAPSHOT_PROCESS: &str = "snapshot-proces";

/// A running `strace`; it lets go of the program when dropped.
pub(super) struct Strace {
    child: Child,
    log: PathBuf,
}

/// What is watched.
#[derive(Debug, Clone, Copy)]
pub(super) enum Watched {
    /// One thread.
    Thread(u32),
    /// All threads of a program, also those to come.
    Program(u32),
}

/// The threads of a program: whether each is the one that publishes.
pub(super) fn threads(pid: u32) -> Vec<(u32, bool)> {
    let entries = fs::read_dir(format!("/proc/{pid}/task"));
    let ids = entries.into_iter().flatten();
    let ids = ids.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.map(|id: u32| {
        let name = fs::read_to_string(format!("/proc/{pid}/task/{id}/comm")).unwrap_or_default();
        (id, name.trim() == SNAPSHOT_PROCESS)
    })
    .collect()
}

impl Strace {
    /// Watches `calls` of these threads, and injects a fault, such as `signal=KILL:when=3`: each
    /// thread counts by itself.
    pub(super) fn attach(watched: Watched, calls: &str, inject: Option<&str>, log: &Path) -> Self {
        Self::attach_at_path(watched, calls, inject, None, log)
    }

    /// The same, of the calls about one file.
    pub(super) fn attach_at_path(
        watched: Watched,
        calls: &str,
        inject: Option<&str>,
        path: Option<&Path>,
        log: &Path,
    ) -> Self {
        let mut strace = Command::new("strace");
        strace.args(options(calls, inject, log));
        strace.args(path.map(|path| format!("--trace-path={}", path.display())));
        let threads = match watched {
            Watched::Thread(thread) => vec![thread],
            Watched::Program(pid) => {
                strace.arg("--follow-forks");
                threads(pid).into_iter().map(|(thread, _)| thread).collect()
            }
        };
        let (Watched::Thread(id) | Watched::Program(id)) = watched;
        strace.args(["-p", &id.to_string()]);
        let child = strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = child.spawn().expect("strace is missing: run `cargo xtask peers`");
        let mut strace = Self { child, log: log.to_owned() };
        let until = Instant::now() + Duration::from_secs(20);
        while !threads.iter().all(|thread| is_traced(*thread)) {
            let ended = strace.child.try_wait().unwrap().is_some();
            assert!(
                !ended && Instant::now() < until,
                "strace cannot attach: run as root, or set kernel.yama.ptrace_scope to 0"
            );
            sleep(Duration::from_millis(1));
        }
        // From being traced to being stopped and set going again.
        sleep(Duration::from_millis(3));
        strace
    }

    /// Lets the program go.
    pub(super) fn detach(mut self) -> Log {
        self.let_go();
        Log::read(&self.log)
    }

    fn let_go(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            signal("INT", self.child.id());
        }
        let _ = self.child.wait();
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// The options before the program, or before the threads to attach to.
pub(super) fn options(calls: &str, inject: Option<&str>, log: &Path) -> Vec<String> {
    let mut options = vec![
        "--quiet=all".to_owned(),
        "--decode-fds=path".to_owned(),
        "--string-limit=4".to_owned(),
        format!("--output={}", log.display()),
        format!("--trace={calls}"),
    ];
    options.extend(inject.map(|inject| format!("--inject={calls}:{inject}")));
    options
}

/// The calls of a run.
#[derive(Debug, Default)]
pub(super) struct Counts {
    most: BTreeMap<String, usize>,
    off_disk: BTreeSet<(String, usize)>,
}

impl Counts {
    /// How often the thread that made one of these calls most made it.
    pub(super) fn most(&self, calls: &str) -> usize {
        calls.split(',').filter_map(|call| self.most.get(call)).copied().max().unwrap_or(0)
    }

    /// Whether the Nth call of any thread was about a pipe or a socket: no disk makes that fail.
    pub(super) fn is_off_disk(&self, calls: &str, n: usize) -> bool {
        calls.split(',').any(|call| self.off_disk.contains(&(call.to_owned(), n)))
    }
}

fn is_off_disk(line: &str) -> bool {
    let off_disk = ["anon_inode", "pipe:[", "socket:[", "UNIX", "TCP", "eventfd"];
    off_disk.iter().any(|word| line.contains(word))
}

/// What `strace` saw.
pub(super) struct Log(String);

impl Log {
    pub(super) fn read(path: &Path) -> Self {
        Self(String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned())
    }

    /// Its lines.
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// What each thread but one called.
    pub(super) fn counts(&self, except: Option<u32>) -> Counts {
        let except = except.map(|thread| thread.to_string());
        let mut by_thread: BTreeMap<(String, String), usize> = BTreeMap::new();
        let mut counts = Counts::default();
        for line in self.0.lines() {
            // With one thread only, its number is left out.
            let (thread, call) = match line.split_once(' ') {
                Some((thread, rest)) if thread.bytes().all(|b| b.is_ascii_digit()) => {
                    (thread, rest)
                }
                _ => ("", line),
            };
            let Some((name, _)) = call.trim_start().split_once('(') else { continue };
            if except.as_deref() == Some(thread) {
                continue;
            }
            let nth = by_thread.entry((name.to_owned(), thread.to_owned())).or_default();
            *nth += 1;
            let most = counts.most.entry(name.to_owned()).or_default();
            *most = (*nth).max(*most);
            if is_off_disk(line) {
                counts.off_disk.insert((name.to_owned(), *nth));
            }
        }
        counts
    }

    fn injected(&self) -> impl Iterator<Item = &str> {
        self.0.lines().filter(|line| line.contains("(INJECTED)"))
    }

    /// Whether a call failed that did not ask a disk for anything.
    pub(super) fn failed_off_disk(&self) -> bool {
        self.injected().any(is_off_disk)
    }

    /// Whether a call failed that was about something outside of this folder, such as a library.
    pub(super) fn failed_outside(&self, folder: &Path) -> bool {
        let folder = folder.display().to_string();
        self.injected().any(|line| !line.contains(&folder))
    }

    pub(super) fn failed(&self) -> bool {
        self.injected().next().is_some()
    }
}

pub(super) fn signal(name: &str, pid: u32) {
    let kill = format!("kill -{name} {pid} 2>/dev/null");
    let _ = Command::new("sh").args(["-c", &kill]).status();
}

/// The one child of a process.
pub(super) fn child_of(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

fn is_traced(thread: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_some_and(|tracer| tracer.trim() != "0")
}

/// Whether a process is stopped.
pub(super) fn is_stopped(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    matches!(state, Some('T' | 't'))
}
