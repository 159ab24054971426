//! What a person sees: colours and tables on a terminal, plain text elsewhere.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use waxseal_tuf::spoken;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
const GREEN: Style = AnsiColor::Green.on_default().bold();
const CYAN: Style = AnsiColor::Cyan.on_default();

/// `error: …` on stderr.
pub(crate) fn error(text: &str) {
    anstream::eprintln!("{RED}error:{RED:#} {text}");
}

/// `hint: …` on stderr.
pub(crate) fn hint(text: &str) {
    anstream::eprintln!("{CYAN}hint:{CYAN:#} {text}");
}

/// `warning: …` on stderr.
pub(crate) fn warning(text: &str) {
    anstream::eprintln!("{YELLOW}warning:{YELLOW:#} {text}");
}

/// A warning on stderr that cannot be missed.
pub(crate) fn alarm(text: &str) {
    let rule = "!".repeat(72);
    anstream::eprintln!("{RED}{rule}\nWARNING: {text}\n{rule}{RED:#}");
}

/// A remark on stderr, which stdout's reader does not see.
pub(crate) fn note(text: &str) {
    anstream::eprintln!("{DIM}waxseal:{DIM:#} {text}");
}

/// A line on stdout.
pub(crate) fn line(text: &str) {
    to_stdout(format_args!("{text}"));
}

/// Lines on stdout.
pub(crate) fn lines(lines: &[String]) {
    for text in lines {
        line(text);
    }
}

/// A heading on stdout.
pub(crate) fn heading(text: &str) {
    to_stdout(format_args!("\n{BOLD}{text}{BOLD:#}"));
}

/// A command to paste, on stdout, on a line of its own.
pub(crate) fn command(text: &str) {
    to_stdout(format_args!("  {GREEN}{text}{GREEN:#}"));
}

/// A name and its value on stdout.
pub(crate) fn field(name: &str, value: &str) {
    to_stdout(format_args!("  {DIM}{name:<12}{DIM:#}{value}"));
}

/// A hash in hex, on stdout, in a form that two people can compare aloud: groups of hex, each with its word.
pub(crate) fn compare(hex: &str) {
    let Some(words) = spoken::of_hex(hex) else { return };
    let groups = spoken::groups(hex);
    let groups: Vec<&str> = groups.split(' ').collect();
    let lines = groups.chunks(4).map(|line| line.join(" ")).zip(words.lines());
    for (number, (hex, words)) in lines.enumerate() {
        field(if number == 0 { "spoken" } else { "" }, &format!("{hex}   {words}"));
    }
}

/// A number of bytes for people.
#[allow(clippy::cast_precision_loss, reason = "shown with one digit after the point")]
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..1_000_000 => format!("{} KB", bytes / 1000),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// The progress of so many bytes, on stderr where that is a terminal.
pub(crate) fn progress(bytes: u64) -> ProgressBar {
    let bar = ProgressBar::new(bytes);
    let style = "{bar:40} {bytes}/{total_bytes} {bytes_per_sec}";
    match ProgressStyle::with_template(style) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// A bar of a part of the whole, on stderr where that is a terminal.
pub(crate) fn steps() -> ProgressBar {
    ProgressBar::new(0).with_style(style(PART))
}

/// How a bar looks whose end is known.
const PART: &str = "{bar:40} {percent:>3}% {msg} {elapsed}";

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// How often a line says how far something is, where no bar does.
const EVERY: Duration = Duration::from_secs(10);

/// The progress of something in steps, on stderr: a bar on a terminal, and lines for a log.
pub(crate) struct Steps {
    bar: ProgressBar,
    lines: Option<Mutex<Lines>>,
}

/// When a line is due.
struct Lines {
    /// Whether each step begins with one.
    at_beginnings: bool,
    every: Duration,
    /// Of which step the last one was, and when.
    last: Option<(&'static str, Instant)>,
}

impl Steps {
    /// Steps that each begin with a line.
    pub(crate) fn new() -> Self {
        Self::with(Lines { at_beginnings: true, every: EVERY, last: None })
    }

    /// Of something that is often over before anybody asks how far it is.
    pub(crate) fn after_a_while() -> Self {
        let last = Some(("", Instant::now()));
        Self::with(Lines { at_beginnings: false, every: EVERY, last })
    }

    fn with(lines: Lines) -> Self {
        let has_lines = !io::stderr().is_terminal() || tracing::enabled!(tracing::Level::INFO);
        Self { bar: ProgressBar::new(0), lines: has_lines.then(|| Mutex::new(lines)) }
    }

    /// Says how far a step is: in words, and where its end is known as a part of the whole.
    pub(crate) fn show(&self, step: &'static str, far: &str, part: Option<(u64, u64)>) {
        let template = if part.is_some() { PART } else { "{spinner} {msg} {elapsed}" };
        self.bar.set_style(style(template));
        if let Some((done, total)) = part {
            self.bar.set_length(total);
            self.bar.set_position(done);
        }
        let message = format!("{step}, {far}");
        let is_due = self.lines.as_ref().is_some_and(|lines| {
            lines.lock().unwrap_or_else(PoisonError::into_inner).is_due(step, Instant::now())
        });
        if is_due {
            self.bar.suspend(|| note(&message));
        }
        self.bar.set_message(message);
        self.bar.tick();
    }

    /// Takes the bar away.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Lines {
    fn is_due(&mut self, step: &'static str, now: Instant) -> bool {
        let due = self.last.is_none_or(|(last, at)| {
            (self.at_beginnings && last != step) || now.duration_since(at) >= self.every
        });
        if due {
            self.last = Some((step, now));
        }
        due
    }
}

/// A table on stdout.
pub(crate) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    for row in rows {
        table.add_row(row);
    }
    line(&table.trim_fmt());
}

/// One JSON document on stdout.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(&serde_json::to_string_pretty(value)?);
    Ok(())
}

/// A reader of stdout that went away, such as `head`, has what it wanted.
fn to_stdout(text: fmt::Arguments<'_>) {
    let _ = writeln!(anstream::stdout(), "{text}");
}

/// How this program is called from a shell: `waxseal` where that is the one on the `PATH`, else its
/// path, quoted where it must be.
pub(crate) fn own_command() -> String {
    let Ok(own) = std::env::current_exe() else { return "waxseal".to_owned() };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path).map(|folder| folder.join("waxseal"));
    let found = found.find_map(|candidate| candidate.canonicalize().ok());
    match found == own.canonicalize().ok() && found.is_some() {
        true => "waxseal".to_owned(),
        false => quoted(&own.display().to_string()),
    }
}

/// A text out of metadata, without what would control a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// A path as a shell reads it.
pub(crate) fn quoted_path(path: &Path) -> String {
    quoted(&path.display().to_string())
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:@%,".contains(c);
    match word.chars().all(plain) && !word.is_empty() {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        assert_eq!(size(999), "999 bytes");
        assert_eq!(size(1_540_000), "1.5 MB");
    }

    #[test]
    fn a_line_comes_at_intervals_and_where_that_is_wanted_with_each_step() {
        let begun = Instant::now();
        let second = Duration::from_secs(1);
        let due = |at_beginnings| {
            let every = second * 10;
            let mut lines = Lines { at_beginnings, every, last: Some(("", begun)) };
            let mut due = |step, seconds| lines.is_due(step, begun + second * seconds);
            [due("a", 1), due("a", 2), due("b", 9), due("b", 12), due("b", 13), due("b", 25)]
        };
        assert_eq!(due(true), [true, false, true, false, false, true]);
        assert_eq!(due(false), [false, false, false, true, false, true]);
    }
}
