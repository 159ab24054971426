//! Waiting for a lock that another process holds, within a bound.
//!
//! The operating system takes a lock back when its process ends, however it ends. A process that is
//! stopped keeps what it has, so nobody waits for ever: who gives up says for what, for how long, and who
//! holds it.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{major, minor};
use tracing::warn;

/// How long another process is waited for. Nobody here holds a lock while it waits for the network, or for
/// more than a few writes of the disk.
pub const LOCK_PATIENCE: Duration = Duration::from_secs(30);

/// After how long a wait is worth a word in the log.
const WORTH_A_WORD: Duration = Duration::from_secs(1);

/// The shortest wait, also for who has waited elsewhere before.
const LEAST: Duration = Duration::from_millis(100);

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_millis(25);

/// Another process has held a lock for so long that it was given up. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockHeld {
    /// What was to be done, as in "to replace timestamp.json".
    pub doing: &'static str,
    /// The file that is locked.
    pub path: PathBuf,
    /// For how long the lock was waited for.
    pub waited: Duration,
    /// Who holds it, where the operating system says so.
    pub holder: Option<Holder>,
}

/// A process that holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// The name of its program.
    pub name: String,
    /// Whether it is stopped, as by SIGSTOP or a debugger.
    pub is_stopped: bool,
}

impl std::error::Error for LockHeld {}

impl fmt::Display for LockHeld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { doing, path, waited, holder } = self;
        let seconds = waited.as_secs_f64();
        let who = who_text(path, holder.as_ref());
        write!(f, "waited {seconds:.1} s to {doing}: {who}; nothing was changed: ")?;
        match holder {
            Some(Holder { pid, is_stopped: true, .. }) => {
                write!(f, "let it go on (`kill -CONT {pid}`) or end it (`kill -KILL {pid}`)")?;
            }
            Some(Holder { pid, .. }) => {
                write!(f, "look at what it does, end it (`kill {pid}`) if it hangs")?;
            }
            None => {
                let path = path.display();
                write!(
                    f,
                    "`lslocks` or `fuser {path}` names it, end it if it is stopped or hangs"
                )?;
            }
        }
        f.write_str(", then repeat the operation")
    }
}

/// What to call a process.
pub(crate) fn process_text(holder: Option<&Holder>) -> String {
    match holder {
        Some(Holder { pid, name, .. }) => format!("process {pid} ({name})"),
        None => "another process".to_owned(),
    }
}

fn who_text(path: &Path, holder: Option<&Holder>) -> String {
    let stopped = match holder {
        Some(Holder { is_stopped: true, .. }) => " and is stopped",
        _ => "",
    };
    format!("{} has locked {}{stopped}", process_text(holder), path.display())
}

/// Why a lock on a file was not to be had.
#[derive(Debug)]
pub(crate) enum LockError {
    Held(LockHeld),
    Failed { path: PathBuf, source: io::Error },
}

/// Who else may hold a lock at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Shared,
    Exclusive,
}

/// Opens the file `path`, made when it is not there, and locks it for as long as what is returned lives.
pub(crate) fn lock_file(
    path: &Path,
    access: Access,
    doing: &'static str,
    patience: Duration,
) -> Result<File, LockError> {
    let failed = |source| LockError::Failed { path: path.to_owned(), source };
    let file = File::options().create(true).truncate(false).write(true).open(path);
    let file = file.map_err(failed)?;
    let mut wait = Wait::new(doing, path, vec![path.to_owned()], patience);
    loop {
        let locked = match access {
            Access::Shared => file.try_lock_shared(),
            Access::Exclusive => file.try_lock(),
        };
        match locked {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
            Err(TryLockError::WouldBlock) if wait.goes_on() => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Held(wait.given_up())),
        }
    }
}

/// One wait for another process, try by try.
#[derive(Debug)]
pub(crate) struct Wait {
    doing: &'static str,
    path: PathBuf,
    /// Files of which one is what is locked.
    files: Vec<PathBuf>,
    patience: Duration,
    begun: Instant,
    until: Instant,
    pause: Duration,
    has_warned: bool,
}

impl Wait {
    /// A wait to do `doing` that begins now. `path` is what people know the lock by, and `files` are those
    /// that may be locked.
    pub(crate) fn new(
        doing: &'static str,
        path: &Path,
        files: Vec<PathBuf>,
        patience: Duration,
    ) -> Self {
        let (now, path) = (Instant::now(), path.to_owned());
        let (pause, has_warned) = (Duration::ZERO, false);
        let mut this =
            Self { doing, path, files, patience, begun: now, until: now, pause, has_warned };
        this.begin_at(now, patience);
        this
    }

    /// Begins anew, for somebody of this patience who has waited elsewhere since `begun`.
    pub(crate) fn begin_at(&mut self, begun: Instant, patience: Duration) {
        (self.begun, self.patience) = (begun, patience);
        self.until = (begun + patience).max(Instant::now() + LEAST);
        self.pause = Duration::from_millis(1);
        self.has_warned = false;
    }

    /// Waits a moment for the next try; `false` when that would be too long.
    pub(crate) fn goes_on(&mut self) -> bool {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        if !self.has_warned && self.begun.elapsed() >= WORTH_A_WORD {
            self.has_warned = true;
            self.warn();
        }
        thread::sleep(self.pause.min(left));
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        true
    }

    fn warn(&self) {
        let who = who_text(&self.path, holder_of(&self.files).as_ref());
        let patience = self.patience.as_secs_f64();
        warn!("waits to {}: {who}; gives up after {patience:.1} s", self.doing);
    }

    pub(crate) fn given_up(&self) -> LockHeld {
        LockHeld {
            doing: self.doing,
            path: self.path.clone(),
            waited: self.begun.elapsed(),
            holder: holder_of(&self.files),
        }
    }
}

/// Who has locked one of these files, as far as the operating system tells: Linux does, of processes that
/// this one can see, and on file systems that number their files as `stat(2)` does.
pub(crate) fn holder_of(files: &[PathBuf]) -> Option<Holder> {
    let locks = fs::read_to_string("/proc/locks").ok()?;
    files.iter().find_map(|file| {
        let is = fs::metadata(file).ok()?;
        let inode = format!("{:02x}:{:02x}:{}", major(is.dev()), minor(is.dev()), is.ino());
        let held = holders_in(&locks, &inode);
        let holders = held.filter_map(|(writes, pid)| Some((writes, Holder::of(pid)?)));
        // Of many who share it, one that is stopped will not let go, and this one is not news.
        let rank = |(writes, holder): &(bool, Holder)| {
            (*writes, holder.is_stopped, holder.pid != std::process::id())
        };
        holders.max_by_key(rank).map(|(_, holder)| holder)
    })
}

impl Holder {
    fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (before, after) = stat.rsplit_once(") ")?;
        let (_, name) = before.split_once('(')?;
        Some(Self { pid, name: name.to_owned(), is_stopped: after.starts_with(['T', 't']) })
    }
}

/// The processes that `/proc/locks` gives for a file, and whether each has it alone.
fn holders_in(locks: &str, inode: &str) -> impl Iterator<Item = (bool, u32)> {
    locks.lines().filter_map(move |line| {
        let mut words = line.split_whitespace().skip(1);
        // One that waits for the lock has an arrow here.
        let (kind, _) = (words.next().filter(|kind| *kind != "->")?, words.next()?);
        let (mode, pid, place) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
        // 0 stands for a process that cannot be seen from here.
        let is = place == inode && pid != 0 && kind != "LEASE";
        is.then_some((mode == "WRITE", pid))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    const LOCKS: &str = "\
        1: POSIX  ADVISORY  READ 11 fe:00:77 123 123\n\
        2: POSIX  ADVISORY  WRITE 12 fe:00:77 120 120\n\
        2: -> POSIX  ADVISORY  WRITE 13 fe:00:77 120 120\n\
        3: FLOCK  ADVISORY  READ 14 fe:00:78 0 EOF\n\
        4: FLOCK  ADVISORY  WRITE 0 fe:00:79 0 EOF\n\
        5: LEASE  ACTIVE    WRITE 15 fe:00:79 0 EOF\n\
        cut off";

    #[test]
    fn who_holds_a_lock_is_read_and_not_who_waits() {
        let holders = |inode| holders_in(LOCKS, inode).collect::<Vec<_>>();
        assert_eq!(holders("fe:00:77"), [(false, 11), (true, 12)]);
        assert_eq!(holders("fe:00:78"), [(false, 14)]);
        assert_eq!(holders("fe:00:79"), [], "neither an unseen one nor a lease");
        assert_eq!(holders("fe:01:77"), []);
    }

    #[test]
    fn the_text_says_what_to_do_about_each_holder() {
        let text = |holder| {
            let (path, waited) = ("/srv/timestamp.lock".into(), Duration::from_millis(30_040));
            LockHeld { doing: "replace timestamp.json", path, waited, holder }.to_string()
        };
        let holder = |is_stopped| Some(Holder { pid: 42, name: "waxseal".to_owned(), is_stopped });
        assert_eq!(
            text(holder(true)),
            "waited 30.0 s to replace timestamp.json: process 42 (waxseal) has locked \
             /srv/timestamp.lock and is stopped; nothing was changed: let it go on (`kill -CONT 42`) \
             or end it (`kill -KILL 42`), then repeat the operation"
        );
        assert_eq!(
            text(holder(false)),
            "waited 30.0 s to replace timestamp.json: process 42 (waxseal) has locked \
             /srv/timestamp.lock; nothing was changed: look at what it does, end it (`kill 42`) if it hangs, \
             then repeat the operation"
        );
        assert!(text(None).contains("another process has locked /srv/timestamp.lock; nothing"));
        assert!(text(None).contains("`lslocks` or `fuser /srv/timestamp.lock` names it"));
    }

    #[test]
    fn who_waited_elsewhere_before_waits_no_longer_than_others_in_all() {
        let path = Path::new("/nothing");
        let mut wait = Wait::new("test", path, Vec::new(), Duration::ZERO);
        let now = Instant::now();
        wait.begin_at(now.checked_sub(Duration::from_mins(2)).unwrap(), Duration::from_mins(1));
        while wait.goes_on() {}
        assert!(now.elapsed() >= LEAST, "{:?}", now.elapsed());
        assert!(now.elapsed() < Duration::from_secs(30), "{:?}", now.elapsed());
        assert!(wait.given_up().waited >= Duration::from_mins(2));
    }
}
