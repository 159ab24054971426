//! A person at a terminal: what a program shows there, and what is typed.
//!
//! ```text
//! let mut terminal = Terminal::start(on_terminal(WAXSEAL, ["key", "generate", "file:k.pem"]));
//! terminal.answer("New passphrase", "unpaved giddily …");
//! let (status, screen) = terminal.end();
//! ```
//!
//! Each wait has a deadline, and a failure shows the whole screen.

use std::fs::File;
use std::io::Write as _;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use waxseal_testkit::peers::{CleanCommand, Running};

use super::process::Screen;

/// How long a program that closed its terminal may take to end.
const END: Duration = Duration::from_mins(1);

/// A program that runs on a terminal of its own; killed when dropped.
pub(crate) struct Terminal {
    running: Running,
    keyboard: File,
    screen: Screen,
    /// How much of the screen was waited for.
    seen: usize,
}

impl Terminal {
    /// Starts a command, made with [`on_terminal`].
    pub(crate) fn start(command: CleanCommand) -> Self {
        let main = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&main).unwrap();
        unlockpt(&main).unwrap();
        let name = ptsname(&main, Vec::new()).unwrap();
        let program_end = File::options().read(true).write(true).open(name.to_str().unwrap());
        let running = command.terminal(program_end.unwrap()).spawn();
        let keyboard = File::from(main);
        let screen = Screen::of(keyboard.try_clone().unwrap());
        Self { running, keyboard, screen, seen: 0 }
    }

    /// Waits until the screen shows this, after what was waited for before.
    #[track_caller]
    pub(crate) fn expect(&mut self, part: &str) {
        let seen = self.seen;
        let end = |text: &str| text.get(seen..)?.find(part).map(|at| seen + at + part.len());
        let shown = self.screen.wait(|text| end(text).is_some());
        assert!(shown, "waited in vain for {part:?}:\n{}", self.text());
        self.seen = end(&self.text()).unwrap();
    }

    /// Types a line.
    pub(crate) fn send(&mut self, line: &str) {
        self.keyboard.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Waits for a question, and types the answer.
    #[track_caller]
    pub(crate) fn answer(&mut self, question: &str, line: &str) {
        self.expect(question);
        self.send(line);
    }

    /// Waits for the program's end; gives the exit status and all of the screen.
    #[track_caller]
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        assert!(self.screen.ended(), "still running:\n{}", self.text());
        let until = Instant::now() + END;
        loop {
            if let Some(status) = self.running.child.try_wait().unwrap() {
                return (status, self.text());
            }
            assert!(Instant::now() < until, "still running:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What the screen shows so far.
    pub(crate) fn text(&self) -> String {
        self.screen.text()
    }
}

/// A command that is to run on a terminal: in a session that the terminal belongs to.
pub(crate) fn on_terminal<'a>(
    program: &str,
    args: impl IntoIterator<Item = &'a str>,
) -> CleanCommand {
    CleanCommand::new("setsid").args(["--ctty", "--wait", program]).args(args)
}
