//! One `syncfs(2)` for all who wait for one.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tracing::error;

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
    /// The folder that it is known by.
    base: PathBuf,
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
        let (base, under_way) = (base.to_owned(), AtomicUsize::new(0));
        Ok(Self { base, volume, state, changed, under_way })
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
        self.wait_for_one_after(self.last_begun(), sync)
    }

    /// The barrier that was begun last. What is written by now may have missed it.
    fn last_begun(&self) -> u64 {
        self.lock().begun
    }

    fn wait_for_one_after(
        &self,
        begun: u64,
        sync: impl Fn(&File) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut state = self.lock();
        while state.ended <= begun {
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
                error!(
                    "cannot make the file system of {} durable: {error}; all that is being written \
                     fails and is written again, and from now on each change is made durable by \
                     itself, until the next start: check the disk",
                    self.base.display()
                );
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

    use std::fmt;
    use std::sync::{Arc, mpsc};
    use std::thread;

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Level, Metadata, Subscriber};

    use super::*;

    /// Lets one barrier run while eight come who need a later one; gives how many barriers were made, and
    /// the answers, the first one's first.
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
            // They have come by now, whenever they go on from here.
            let come: Vec<_> = (0..8).map(|_| barrier.last_begun()).collect();
            go.send(()).unwrap();
            let others = come.into_iter();
            let others = others.map(|begun| {
                let barrier = &barrier;
                scope.spawn(move || barrier.wait_for_one_after(begun, sync))
            });
            let others: Vec<_> = others.collect();
            std::iter::once(first).chain(others).map(|one| one.join().unwrap()).collect()
        });
        (made.into_inner(), answers)
    }

    #[test]
    fn those_who_wait_share_the_next_barrier_and_not_the_one_that_runs() {
        let (made, answers) = barriers(|_| Ok(()));
        assert_eq!(made, 2);
        assert!(answers.len() == 9 && answers.iter().all(Result::is_ok), "{answers:?}");
    }

    #[test]
    fn a_failure_is_everybodys_who_waits() {
        let (made, answers) = barriers(|number| match number {
            0 => Ok(()),
            _ => Err(io::Error::from_raw_os_error(EIO)),
        });
        assert_eq!(made, 2);
        assert!(answers[1..].iter().all(Result::is_err), "{answers:?}");
    }

    #[test]
    fn who_began_before_a_failure_fails_even_if_its_own_barrier_is_fine() {
        // The kernel tells of a failed write once: to the first barrier, whatever the others wrote.
        let (made, answers) = barriers(|number| match number {
            0 => Err(io::Error::from_raw_os_error(EIO)),
            _ => Ok(()),
        });
        assert_eq!(made, 2);
        assert!(answers.iter().all(Result::is_err), "{answers:?}");
    }

    /// Collects what is logged at a level.
    #[derive(Clone)]
    struct Logged(Level, Arc<Mutex<Vec<String>>>);

    impl Subscriber for Logged {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() == self.0
        }

        fn event(&self, event: &Event<'_>) {
            event.record(&mut self.clone());
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    impl Visit for Logged {
        fn record_debug(&mut self, _: &Field, value: &dyn fmt::Debug) {
            self.1.lock().unwrap().push(format!("{value:?}"));
        }
    }

    #[test]
    fn the_first_failure_is_logged_and_no_later_one() {
        let logged = Logged(Level::ERROR, Arc::default());
        let barrier = Barrier::open(Path::new("/")).unwrap();
        tracing::subscriber::with_default(logged.clone(), || {
            barrier.wait(|_| Ok(())).unwrap();
            for _ in 0..3 {
                barrier.wait(|_| Err(io::Error::from_raw_os_error(EIO))).unwrap_err();
            }
        });
        let logged = logged.1.lock().unwrap();
        let [text] = &**logged else { panic!("{logged:?}") };
        for part in ["the file system of / durable", "os error 5", "made durable by itself"] {
            assert!(text.contains(part), "{text}");
        }
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
