//! A program that runs beside the test, and its screen as it grows.

use std::io::Read;
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use waxseal_testkit::peers::{CleanCommand, Running};

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_mins(1);

/// A running program; killed when dropped.
pub(crate) struct Process {
    running: Running,
    pub(crate) stdout: Screen,
    pub(crate) stderr: Screen,
}

/// What a program printed so far.
#[derive(Clone)]
pub(crate) struct Screen(Arc<(Mutex<Printed>, Condvar)>);

#[derive(Default)]
struct Printed {
    bytes: Vec<u8>,
    ended: bool,
}

impl Process {
    pub(crate) fn start(command: CleanCommand) -> Self {
        let mut running = command.spawn();
        let stdout = Screen::of(running.child.stdout.take().unwrap());
        let stderr = Screen::of(running.child.stderr.take().unwrap());
        Self { running, stdout, stderr }
    }

    pub(crate) fn id(&self) -> u32 {
        self.running.child.id()
    }

    /// Waits until `screen`, which is one of this process, shows `part`.
    #[track_caller]
    pub(crate) fn wait_for(&self, screen: &Screen, part: &str) {
        let shown = screen.wait(|text| text.contains(part));
        assert!(shown, "waited in vain for {part:?}:\n{}", self.screen());
    }

    /// Whether the program has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.running.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end, which has to come within a minute.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        for screen in [&self.stdout, &self.stderr] {
            assert!(screen.ended(), "still running:\n{}", self.screen());
        }
        (self.running.child.wait().unwrap(), self.screen())
    }

    /// Ctrl-C; gives the exit status and the screen.
    pub(crate) fn interrupt(self) -> (ExitStatus, String) {
        self.end_by("INT")
    }

    /// What a service manager does; gives the exit status and the screen.
    pub(crate) fn terminate(self) -> (ExitStatus, String) {
        self.end_by("TERM")
    }

    fn end_by(mut self, signal: &str) -> (ExitStatus, String) {
        let (kill, pid) = (format!("kill -{signal} $0"), self.id().to_string());
        let sent = Command::new("sh").args(["-c", &kill, &pid]).status().unwrap();
        assert!(sent.success(), "it had ended before:\n{}", self.screen());
        // Its pipes end with it.
        for screen in [&self.stdout, &self.stderr] {
            assert!(screen.ended(), "still running after SIG{signal}:\n{}", self.screen());
        }
        (self.running.child.wait().unwrap(), self.screen())
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.running.kill();
    }

    pub(crate) fn screen(&self) -> String {
        format!("{}{}", self.stdout.text(), self.stderr.text())
    }
}

impl Screen {
    pub(crate) fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let screen = Self(Arc::default());
        let reader = screen.clone();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                let read = pipe.read(&mut buffer).unwrap_or(0);
                let mut printed = reader.0.0.lock().unwrap_or_else(PoisonError::into_inner);
                printed.bytes.extend_from_slice(&buffer[..read]);
                printed.ended = read == 0;
                reader.0.1.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
        screen
    }

    pub(crate) fn text(&self) -> String {
        let printed = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&printed.bytes).into_owned()
    }

    /// Waits until the text is as wanted; `false` if the program ended before, or took too long.
    pub(crate) fn wait(&self, wanted: impl Fn(&str) -> bool) -> bool {
        let until = Instant::now() + DEADLINE;
        let mut printed = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if wanted(&String::from_utf8_lossy(&printed.bytes)) {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if printed.ended || left.is_zero() {
                return false;
            }
            let woken = self.0.1.wait_timeout(printed, left);
            printed = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until the program has ended.
    pub(crate) fn ended(&self) -> bool {
        self.wait(|_| false);
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).ended
    }
}
