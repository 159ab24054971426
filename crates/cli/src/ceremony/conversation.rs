//! The talk between the program and the people at a ceremony: one thing is asked at a time, every answer
//! but the last can be taken back, and all of it is in the transcript.

use std::io::{self, BufRead as _, Write as _};

use jiff::Timestamp;

use crate::failure::{Exit, Failure};

/// An answer, or the wish to go back to the question before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer<T> {
    Given(T),
    Back,
}

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// A person at the terminal.
    Person,
    /// Nobody: each question answers itself, for a rehearsal.
    Nobody,
}

/// What was said.
#[derive(Debug)]
pub(crate) struct Conversation {
    who: Who,
    /// Whether it is not shown.
    silent: bool,
    transcript: Vec<String>,
}

impl Conversation {
    pub(crate) fn new(who: Who) -> Self {
        Self { who, silent: false, transcript: Vec::new() }
    }

    /// The same without a word on the screen, for a program that reads the result.
    pub(crate) fn silent(self) -> Self {
        Self { silent: true, ..self }
    }

    pub(crate) fn who(&self) -> Who {
        self.who
    }

    /// What was said so far, a line each. Nothing that was typed unseen is in it.
    pub(crate) fn transcript(&self) -> String {
        let mut text = self.transcript.join("\n");
        text.push('\n');
        text
    }

    /// Says something.
    pub(crate) fn say(&mut self, text: &str) {
        for line in text.lines() {
            self.show(line);
            self.transcript.push(line.trim_end().to_owned());
        }
        if text.is_empty() {
            self.show("");
            self.transcript.push(String::new());
        }
    }

    /// Says several lines.
    pub(crate) fn say_all(&mut self, lines: &[String]) {
        for line in lines {
            self.say(line);
        }
    }

    fn show(&self, line: &str) {
        if !self.silent {
            anstream::println!("{line}");
        }
    }

    /// Says what is only for the record.
    pub(crate) fn record(&mut self, text: &str) {
        self.transcript.extend(text.lines().map(str::to_owned));
    }

    /// Begins a part.
    pub(crate) fn heading(&mut self, text: &str) {
        self.say("");
        self.say(&format!("== {text}"));
    }

    /// Asks for `yes`. Who says `no` ends the ceremony; who says `back` goes to the question before.
    pub(crate) fn confirm(&mut self, question: &str) -> anyhow::Result<Answer<()>> {
        loop {
            match self.ask(&format!("{question} [yes, back or no]"), "yes")?.as_str() {
                "yes" | "y" => return Ok(Answer::Given(())),
                "back" | "b" => return Ok(Answer::Back),
                "no" | "n" => return Err(said_no().into()),
                _ => self.say("Please answer yes, back or no."),
            }
        }
    }

    /// Asks a question; `alone` is the answer where nobody is there.
    pub(crate) fn ask(&mut self, question: &str, alone: &str) -> anyhow::Result<String> {
        let answer = match self.who {
            Who::Nobody => {
                self.show(&format!("{question} {alone} (nobody is at the keyboard)"));
                format!("{alone} (nobody at the keyboard)")
            }
            Who::Person => {
                anstream::print!("{question} ");
                io::stdout().flush()?;
                read_line()?
            }
        };
        self.transcript.push(format!("{question} {answer}"));
        Ok(match self.who {
            Who::Nobody => alone.to_owned(),
            Who::Person => answer,
        })
    }

    /// Puts the time into the record.
    pub(crate) fn stamp(&mut self, now: Timestamp) {
        self.record(&format!("-- {}", now.strftime("%Y-%m-%d %H:%M:%S UTC")));
    }
}

/// How it ends when somebody does not agree.
pub(crate) fn said_no() -> Failure {
    Failure::new(
        Exit::Failed,
        "it was ended: somebody said no",
        "nothing was signed, and what was made is removed; begin again when all agree",
    )
}

fn read_line() -> anyhow::Result<String> {
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line)? == 0 {
        return Err(Failure::new(
            Exit::Failed,
            "it was ended: the terminal was closed",
            "nothing was signed, and what was made is removed",
        )
        .into());
    }
    Ok(line.trim().to_owned())
}
