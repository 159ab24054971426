//! What a person sees: colours and tables on a terminal, plain text elsewhere.

use std::fmt;
use std::io::Write as _;
use std::path::Path;

use anstyle::{AnsiColor, Style};
use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

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

/// A remark on stderr, which stdout's reader does not see.
pub(crate) fn note(text: &str) {
    anstream::eprintln!("{DIM}waxseal:{DIM:#} {text}");
}

/// A line on stdout.
pub(crate) fn line(text: &str) {
    to_stdout(format_args!("{text}"));
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

/// The progress of so many bytes, on stderr where that is a terminal.
pub(crate) fn progress(bytes: u64) -> ProgressBar {
    let bar = ProgressBar::new(bytes);
    let style = "{bar:40} {bytes}/{total_bytes} {bytes_per_sec}";
    match ProgressStyle::with_template(style) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// The progress of something in steps, on stderr where that is a terminal.
pub(crate) fn steps() -> ProgressBar {
    let bar = ProgressBar::new(0);
    match ProgressStyle::with_template("{bar:40} {percent:>3}% {msg} {elapsed}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Something whose end is not known, on stderr where that is a terminal.
pub(crate) fn spinner() -> ProgressBar {
    ProgressBar::new_spinner()
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
