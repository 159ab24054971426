//! One `syncfs(2)` for all who wait for one.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::StoreError;

/// From how many batches at once they share their barriers. Fewer are quicker alone: `syncfs(2)` also
/// waits for what other programs wrote.
const MANY: usize = if cfg!(target_os = "linux") { 4 } else { usize::MAX };

/// The file system of a store, and who waits for it.
///
/// The kernel tells each open file once that a write of the file system has failed since. All who share
/// the one open file here would rely on whoever heard it. So after the first failure nobody shares any
/// more: who had begun before it fails, and who begins later makes durable what is its own.
#[derive(Debug)]
pub(super) struct Barrier {
    /// Opened before anything was written.
    volume: File,
    state: Mutex<State>,
    changed: Condvar,
    under_way: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    /// How many barriers were begun, and the last one that ended.
    begun: u64,
    ended: u64,
    running: bool,
    /// The error number of the first failure.
    failed: Option<i32>,
}

/// Counts a batch as under way while it lives.
#[derive(Debug)]
pub(super) struct UnderWay<'a>(&'a Barrier);

impl Barrier {
    pub(super) fn open(base: &Path) -> Result<Self, StoreError> {
        let volume =
            File::open(base).map_err(|source| StoreError::io("open the folder", base, source))?;
        let (state, changed) = (Mutex::default(), Condvar::new());
        Ok(Self { volume, state, changed, under_way: AtomicUsize::new(0) })
    }

    /// Takes part, before anything is written; none when nobody shares any more.
    pub(super) fn enter(&self) -> Option<UnderWay<'_>> {
        if self.lock().failed.is_some() {
            return None;
        }
        self.under_way.fetch_add(1, Ordering::Relaxed);
        Some(UnderWay(self))
    }

    /// Waits for a barrier that was begun after this call, which one of those who wait makes with
    /// `sync`.
    fn wait(&self, sync: impl Fn(&File) -> io::Result<()>) -> io::Result<()> {
        let mut state = self.lock();
        let after = state.begun;
        while state.ended <= after {
            if state.running {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.running = true;
            state.begun += 1;
            drop(state);
            let synced = sync(&self.volume);
            state = self.lock();
            state.running = false;
            state.ended = state.begun;
            if let Err(error) = synced
                && state.failed.is_none()
            {
                state.failed = Some(error.raw_os_error().unwrap_or(EIO));
            }
            self.changed.notify_all();
        }
        match state.failed {
            None => Ok(()),
            Some(error) => Err(io::Error::from_raw_os_error(error)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const EIO: i32 = rustix::io::Errno::IO.raw_os_error();

impl UnderWay<'_> {
    /// Whether so many are under way that all are quicker when they share.
    pub(super) fn is_one_of_many(&self) -> bool {
        self.0.under_way.load(Ordering::Relaxed) >= MANY
    }

    /// Makes durable whatever was written before, by anybody.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.0.wait(sync_volume)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Makes everything on the file system durable.
pub(super) fn sync_volume(volume: &File) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    return rustix::fs::syncfs(volume).map_err(io::Error::from);
    #[cfg(not(target_os = "linux"))]
    return volume.sync_all();
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// Lets one begin a barrier, and eight come meanwhile; gives how many barriers were made, and the
    /// answers, the first one's first.
    fn barriers(answer: impl Fn(usize) -> io::Result<()> + Sync) -> (usize, Vec<io::Result<()>>) {
        let barrier = Barrier::open(Path::new("/")).unwrap();
        let made = AtomicUsize::new(0);
        let (go, going) = mpsc::channel::<()>();
        let going = Mutex::new(going);
        let sync = |_: &File| {
            let number = made.fetch_add(1, Ordering::Relaxed);
            if number == 0 {
                going.lock().unwrap().recv().unwrap();
            }
            answer(number)
        };
        let answers = thread::scope(|scope| {
            let first = scope.spawn(|| barrier.wait(sync));
            while !barrier.lock().running {
                thread::yield_now();
            }
            let others: Vec<_> = (0..8).map(|_| scope.spawn(|| barrier.wait(sync))).collect();
            // Whoever comes later shares as well, or makes one more.
            thread::sleep(Duration::from_millis(100));
            go.send(()).unwrap();
            std::iter::once(first).chain(others).map(|one| one.join().unwrap()).collect()
        });
        (made.into_inner(), answers)
    }

    #[test]
    fn those_who_wait_share_the_next_barrier_and_not_the_one_that_runs() {
        let (made, answers) = barriers(|_| Ok(()));
        assert!((2..9).contains(&made), "{made}");
        assert!(answers.iter().all(Result::is_ok));
    }

    #[test]
    fn a_failure_is_everybodys_who_waits() {
        let (made, answers) = barriers(|number| match number {
            0 => Ok(()),
            _ => Err(io::Error::from_raw_os_error(EIO)),
        });
        assert!(made >= 2, "{made}");
        assert!(answers[1..].iter().all(Result::is_err), "{answers:?}");
    }

    #[test]
    fn who_began_before_a_failure_fails_even_if_its_own_barrier_is_fine() {
        // The kernel tells of a failed write once: to the first barrier, whatever the others wrote.
        let (_, answers) = barriers(|number| match number {
            0 => Err(io::Error::from_raw_os_error(EIO)),
            _ => Ok(()),
        });
        assert!(answers.iter().all(Result::is_err), "{answers:?}");
    }

    #[test]
    fn after_a_failure_nobody_shares() {
        let barrier = Barrier::open(Path::new("/")).unwrap();
        let before = barrier.enter().unwrap();
        barrier.wait(|_| Err(io::Error::from_raw_os_error(EIO))).unwrap_err();
        assert!(barrier.enter().is_none());
        assert!(before.sync().is_err());
    }

    #[test]
    fn many_are_those_who_are_under_way() {
        let barrier = Barrier::open(Path::new("/")).unwrap();
        let mut batches: Vec<_> = (0..MANY).map(|_| barrier.enter().unwrap()).collect();
        assert!(batches[0].is_one_of_many());
        batches.pop();
        assert!(!batches[0].is_one_of_many());
    }
}
