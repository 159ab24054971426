//! The person at the terminal, who is asked for passphrases and PINs without showing them.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Read as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use waxseal_signing::{Passphrases, Question, Secret};
use zeroize::Zeroizing;

/// The most bytes of an answer.
const MAX_LENGTH: usize = 1 << 10;

/// Whoever sits at the terminal of this process; nobody where it has none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal;

impl Passphrases for Terminal {
    fn ask(&self, question: &Question<'_>) -> io::Result<Option<Secret>> {
        // A program in a pipeline may have a terminal; one of a service manager has none.
        if !io::stdin().is_terminal() && !io::stderr().is_terminal() {
            return Ok(None);
        }
        let Ok(mut tty) = OpenOptions::new().read(true).write(true).open("/dev/tty") else {
            return Ok(None);
        };
        // Before the question is there: what is typed ahead is not shown either.
        let hidden = Hidden::on(tty.try_clone()?)?;
        if let Some(remark) = &question.remark {
            writeln!(tty, "{remark}")?;
        }
        write!(tty, "{question}")?;
        let answer = read_line(&mut tty);
        drop(hidden);
        writeln!(tty)?;
        answer.map(Some)
    }
}

/// A terminal that shows nothing of what is typed and leaves every key to us, until this is dropped.
struct Hidden {
    tty: File,
    before: Termios,
}

impl Hidden {
    fn on(tty: File) -> io::Result<Self> {
        let before = tcgetattr(&tty)?;
        let mut hidden = before.clone();
        // Without signals by keys: Ctrl-C would end the program with the terminal left as it is then.
        hidden.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(&tty, OptionalActions::Flush, &hidden)?;
        Ok(Self { tty, before })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(&self.tty, OptionalActions::Flush, &self.before);
    }
}

/// Reads up to the end of a line, with what a person expects of the keys that correct one.
fn read_line(tty: &mut File) -> io::Result<Secret> {
    // With room for all of it, so that no copy is left behind by growing.
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_LENGTH));
    loop {
        let mut byte = Zeroizing::new([0]);
        if tty.read(byte.as_mut_slice())? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the terminal was closed"));
        }
        match byte[0] {
            b'\n' | b'\r' => break,
            // Ctrl-C, Ctrl-\ and, on an empty line, Ctrl-D.
            0x03 | 0x1c => return Err(io::Error::other("Ctrl-C was")),
            0x04 if line.is_empty() => return Err(io::Error::other("Ctrl-D was")),
            // Backspace takes a character, of one or more bytes.
            0x08 | 0x7f => while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            // Ctrl-U takes all.
            0x15 => line.clear(),
            byte if line.len() < MAX_LENGTH => line.push(byte),
            _ => return Err(io::Error::other("the line was too long")),
        }
    }
    match str::from_utf8(&line) {
        Ok(text) => Ok(Secret::new(text.to_owned())),
        Err(_) => Err(io::Error::other("it was not UTF-8")),
    }
}
