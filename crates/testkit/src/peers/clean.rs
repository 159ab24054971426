//! Programs started as on a machine where nothing is set up.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Longer than any honest run takes on a busy machine; what runs longer hangs.
const DEADLINE: Duration = Duration::from_mins(5);

/// A command that knows nothing of this machine's settings.
///
/// Machines set `PIP_FIND_LINKS`, `UV_INDEX`, `TWINE_PASSWORD`, proxies and configuration files of
/// their own; any of them could hide a failure. The environment holds `PATH`, `LANG`, and an empty
/// `HOME` and `TMPDIR`, which are gone when the command has run.
#[derive(Debug)]
pub struct CleanCommand {
    command: Command,
    home: Option<PathBuf>,
    deadline: Duration,
    terminal: Option<File>,
}

/// What a command that ended left behind.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The command line, for a test's message.
    pub line: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output; bytes that are not UTF-8 are replaced.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
}

/// A command that still runs; killed when dropped.
#[derive(Debug)]
pub struct Running {
    /// The process, with its standard output and error as pipes.
    pub child: Child,
    _scratch: TempDir,
}

impl CleanCommand {
    /// A command for a program, by path or by name on the `PATH`.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.env_clear().env("LANG", "C.UTF-8").stdin(Stdio::null());
        if let Some(path) = env::var_os("PATH") {
            command.env("PATH", path);
        }
        Self { command, home: None, deadline: DEADLINE, terminal: None }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable, for a test of what the program makes of it.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets the working folder.
    #[must_use]
    pub fn current_dir(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Uses this folder as the home, so that several commands share what they keep there.
    #[must_use]
    pub fn home(mut self, folder: impl Into<PathBuf>) -> Self {
        self.home = Some(folder.into());
        self
    }

    /// Runs the command on a terminal of its own: this one, the other end of which the test holds. The
    /// command must lead a session, as `setsid --ctty` starts it.
    #[must_use]
    pub fn terminal(mut self, terminal: File) -> Self {
        self.terminal = Some(terminal);
        self
    }

    /// Leaves standard input open, for [`Running::child`] to write to; it is empty otherwise.
    #[must_use]
    pub fn talking(mut self) -> Self {
        self.command.stdin(Stdio::piped());
        self
    }

    /// Fails the test when the command takes longer; five minutes unless set.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs the command to its end.
    ///
    /// # Panics
    /// If it cannot be started, or outlives its deadline.
    pub fn run(self) -> Outcome {
        let (line, deadline) = (self.line(), self.deadline);
        let until = Instant::now() + deadline;
        let mut running = self.spawn();
        let stdout = collect(running.child.stdout.take());
        let stderr = collect(running.child.stderr.take());

        let mut printed = Vec::new();
        for output in [stdout, stderr] {
            // The pipe ends when the program, and whatever it started, has ended.
            let left = until.saturating_duration_since(Instant::now());
            match output.recv_timeout(left) {
                Ok(text) => printed.push(text),
                Err(_) => {
                    running.kill();
                    let screen = output.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
                    panic!(
                        "still running after {deadline:?}:\n  {line}\n{}{screen}",
                        printed.concat()
                    );
                }
            }
        }
        let status = running.child.wait();
        let status = status.unwrap_or_else(|error| panic!("cannot wait for {line}: {error}"));
        let stderr = printed.pop().unwrap_or_default();
        let stdout = printed.pop().unwrap_or_default();
        Outcome { line, status, stdout, stderr }
    }

    /// Starts the command and goes on.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn spawn(mut self) -> Running {
        let scratch = tempfile::tempdir()
            .unwrap_or_else(|error| panic!("cannot make a temporary folder: {error}"));
        let home = scratch.path().join("home");
        let tmp = scratch.path().join("tmp");
        for folder in [&home, &tmp] {
            std::fs::create_dir(folder)
                .unwrap_or_else(|error| panic!("cannot make {}: {error}", folder.display()));
        }
        self.command.env("HOME", self.home.as_ref().unwrap_or(&home)).env("TMPDIR", tmp);
        match &self.terminal {
            Some(terminal) => {
                let end = || {
                    let end = terminal.try_clone();
                    end.unwrap_or_else(|error| panic!("cannot share a terminal: {error}"))
                };
                self.command.stdin(end()).stdout(end()).stderr(end());
            }
            None => {
                self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
            }
        }
        let child = self
            .command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", self.line()));
        Running { child, _scratch: scratch }
    }

    fn line(&self) -> String {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
    }
}

impl Outcome {
    /// All that a person would have seen.
    pub fn screen(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// The outcome, of a command that had to succeed.
    ///
    /// # Panics
    /// If it failed.
    #[expect(clippy::return_self_not_must_use, reason = "most callers want only the panic")]
    pub fn success(self) -> Self {
        assert!(self.status.success(), "this was to succeed:\n{self}");
        self
    }

    /// The outcome, of a command that had to fail by its own exit code.
    ///
    /// # Panics
    /// If it succeeded, or died of a signal.
    #[expect(clippy::return_self_not_must_use, reason = "most callers want only the panic")]
    pub fn failure(self) -> Self {
        assert!(self.status.code().is_some_and(|code| code != 0), "this was to fail:\n{self}");
        self
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "$ {}\n{}{}[{}]", self.line, self.stdout, self.stderr, self.status)
    }
}

impl Running {
    /// Kills the program and waits until it is gone.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Reads a pipe to its end on a thread: a full pipe would block the program.
fn collect(pipe: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What came before an error is still worth showing.
            let _ = pipe.read_to_end(&mut bytes);
        }
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}
