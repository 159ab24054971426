//! The pages of the demo on a terminal.

use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use comfy_table::{
    Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Table, TableComponent, Width,
    presets,
};

use super::attacks::Ends;
use super::play::Played;
use super::runs::{Pip, Run};
use super::world::World;
use crate::output;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const FOOLED: Style = AnsiColor::Yellow.on_default();
const REFUSED: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// The widest that lines are, and how wide they are where there is no terminal.
const WIDEST: usize = 100;
/// Below this nothing can be read.
const NARROWEST: usize = 60;

/// From here on a time is worth telling.
const LONG: Duration = Duration::from_secs(5);

/// What pip and Waxseal do while nobody attacks.
pub(super) struct Beginning {
    folder: String,
    url: String,
    fingerprint: String,
    pip: String,
    added: Run,
    installed: Run,
}

impl Beginning {
    /// Trusts the index, and installs from it.
    pub(super) async fn play(world: &World, pip: &Pip) -> anyhow::Result<Self> {
        let (url, fingerprint) = (world.url(), world.fingerprint()?);
        let folder = world.folder().join("beginning");
        let trust = folder.join("trust");
        let added = pip.trust_add(&trust, &url, &fingerprint).await?;
        let installed = pip.verified(&trust, None, &folder.join("target")).await?;
        anyhow::ensure!(
            installed.exit == Some(0),
            "the demo cannot install from its own index: {}",
            installed.stderr
        );
        let folder = world.folder().display().to_string();
        Ok(Self { folder, url, fingerprint, pip: pip.version.clone(), added, installed })
    }

    pub(super) fn show(&self, attacks: usize) {
        output::heading("The attacks of PEP 458, Appendix A, between pip and an index");
        output::field("folder", &self.folder);
        output::field("index", &format!("{}/simple/", self.url));
        output::field("published", "greet 1.0 three days ago, greet 1.1 just now; phrases, oldxml");
        output::field("pip", &self.pip);
        output::heading("While nobody attacks");
        let fingerprint = self.fingerprint.get(..16).unwrap_or_default();
        command(&format!("waxseal trust add {} --fingerprint {fingerprint}…", self.url));
        printed(&self.added, "is trusted");
        command("waxseal pip install greet");
        printed(&self.installed, "Successfully installed");
        let attacks = if attacks == 1 { "One attack" } else { "The attacks" };
        output::heading(&format!(
            "{attacks}: a mirror tells the same lies to pip and to waxseal pip"
        ));
    }
}

/// One attack.
pub(super) fn attack(number: usize, played: &Played) {
    output::line("");
    output::line(&format!("{BOLD}{number:>2}  {}{BOLD:#}", played.attack));
    text(played.does, 4, Style::new());
    output::line("");
    let (plain, verified) = match played.ends {
        Ends::Refused => ("pip install greet", "waxseal pip install greet"),
        Ends::AskedElsewhere => (
            "pip install greet --extra-index-url GOOD/simple/",
            "waxseal pip --mirror GOOD install greet",
        ),
    };
    command(plain);
    text(&played.plain, 6, if played.fooled { FOOLED } else { BAD });
    command(verified);
    played.message.iter().for_each(|line| message(line));
    match played.verdict.is_refused() {
        true => marked('✓', &proof(played), REFUSED),
        false => {
            let problems = played.verdict.problems.join(", ");
            marked('✗', &format!("NOT REFUSED: {problems}"), BAD);
        }
    }
    if let Some(limit) = played.limit {
        text(limit, 4, DIM);
    }
}

/// A line that pip or waxseal printed.
fn message(line: &str) {
    let indent = 6;
    let word = |word: &str| line.strip_prefix(word);
    let (style, first) = match (word("error:"), word("hint:")) {
        (Some(_), _) => (AnsiColor::Red.on_default().bold(), "error:"),
        (_, Some(_)) => (AnsiColor::Cyan.on_default(), "hint:"),
        _ => return of_pip(line, indent),
    };
    for (number, part) in wrapped(line, width() - indent).iter().enumerate() {
        let rest = part.strip_prefix(first).filter(|_| number == 0);
        match rest {
            Some(rest) => output::line(&format!("{:indent$}{style}{first}{style:#}{rest}", "")),
            None => output::line(&format!("{:indent$}{part}", "")),
        }
    }
}

/// A line of pip's, or a warning: without addresses, which pip repeats up to three times.
fn of_pip(line: &str, indent: usize) {
    if !line.starts_with("ERROR:") {
        return text(line, indent, Style::new());
    }
    let line = line.split(" for url: ").next().unwrap_or(line);
    let address = |word: &str| {
        let is_address = word.trim_start_matches('(').starts_with("http://");
        if is_address { "…".to_owned() } else { word.to_owned() }
    };
    let line = line.split(' ').map(address).collect::<Vec<_>>().join(" ");
    text(&line.replace(" (from …", ""), indent, DIM);
}

/// What was seen of a refusal, besides the message.
fn proof(played: &Played) -> String {
    let mut parts = vec![
        match played.ends {
            Ends::Refused => "refused",
            Ends::AskedElsewhere => "refused, and greet 1.1 installed from the good mirror",
        }
        .to_owned(),
    ];
    if played.took >= LONG {
        parts.push(format!("after {} s", played.took.as_secs()));
    }
    parts.extend(played.exit.map(|exit| format!("exit {exit}")));
    if played.ends == Ends::Refused {
        parts.push("nothing installed".to_owned());
    }
    parts.push("trust as before".to_owned());
    if played.ends == Ends::Refused {
        parts.push("honest mirror: greet 1.1".to_owned());
    }
    parts.join(" · ")
}

/// All of them at a glance.
pub(super) fn table(played: &[Played]) {
    output::heading("At a glance");
    let bold = |name| Cell::new(name).add_attribute(Attribute::Bold);
    let mut table = Table::new();
    table
        .load_preset(presets::UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(u16::try_from(width()).unwrap_or(u16::MAX))
        .set_header(["attack", "plain pip", "with Waxseal"].map(bold));
    table.set_style(TableComponent::HeaderLines, '─');
    table.set_style(TableComponent::MiddleHeaderIntersections, '─');
    if AutoStream::choice(&std::io::stdout()) != ColorChoice::Never {
        table.enforce_styling();
    }
    for (column, percent) in table.column_iter_mut().zip([25, 29, 46]) {
        column.set_constraint(ColumnConstraint::UpperBoundary(Width::Percentage(percent)));
    }
    for played in played {
        let plain = if played.fooled { Color::DarkYellow } else { Color::DarkRed };
        let refused = if played.verdict.is_refused() { Color::DarkGreen } else { Color::DarkRed };
        table.add_row([
            Cell::new(played.attack),
            Cell::new(&played.plain).fg(plain),
            Cell::new(with_waxseal(played)).fg(refused),
        ]);
    }
    for line in table.trim_fmt().lines() {
        match line.chars().all(|c| c == '─') {
            true => output::line(&format!("{DIM}{line}{DIM:#}")),
            false => output::line(line),
        }
    }
}

/// What is said of it in a cell.
fn with_waxseal(played: &Played) -> String {
    if !played.verdict.is_refused() {
        return format!("NOT REFUSED: {}", played.verdict.problems.join(", "));
    }
    let refusal = played.message.iter().find_map(|line| line.strip_prefix("error: "));
    match played.ends {
        Ends::AskedElsewhere => "refused, and greet 1.1 installed from the good mirror".to_owned(),
        Ends::Refused => format!("refused: {}", gist(refusal.unwrap_or_default())),
    }
}

/// The beginning of a refusal, with files by their names alone.
fn gist(refusal: &str) -> String {
    let refusal = refusal.strip_prefix("refused ").unwrap_or(refusal);
    let ends = [": sha256 is", "; ", " ("];
    let end = ends.iter().filter_map(|end| refusal.find(end)).min().unwrap_or(refusal.len());
    let name = |word: &'_ str| -> String {
        let is_long = word.starts_with("http") || word.starts_with("packages/");
        let name = word.rsplit('/').next().filter(|_| is_long);
        name.unwrap_or(word).to_owned()
    };
    refusal[..end].split(' ').map(name).collect::<Vec<_>>().join(" ")
}

fn command(words: &str) {
    output::line(&format!("    {DIM}${DIM:#} {BOLD}{words}{BOLD:#}"));
}

/// The line of a command's output that says this.
fn printed(run: &Run, what: &str) {
    for line in run.stdout.lines().filter(|line| line.contains(what)) {
        text(line, 6, Style::new());
    }
}

/// A paragraph, indented and wrapped.
fn text(text: &str, indent: usize, style: Style) {
    for line in wrapped(text, width().saturating_sub(indent)) {
        output::line(&format!("{:indent$}{style}{line}{style:#}", ""));
    }
}

/// A paragraph with a mark before its first line.
fn marked(mark: char, text: &str, style: Style) {
    for (number, line) in wrapped(text, width() - 6).iter().enumerate() {
        let mark = if number == 0 { mark } else { ' ' };
        output::line(&format!("    {style}{mark} {line}{style:#}"));
    }
}

/// How wide lines are.
fn width() -> usize {
    let terminal = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    let columns = terminal.map_or(WIDEST, |size| usize::from(size.ws_col));
    columns.clamp(NARROWEST, WIDEST)
}

/// Lines of at most so many characters, broken between words; a word that is longer is cut.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        while !word.is_empty() {
            let line = lines.last_mut().map_or(0, |line| line.chars().count());
            let space = usize::from(line > 0);
            if line + space + word.len() > width && line > 0 {
                lines.push(String::new());
                continue;
            }
            let rest = word.split_off(word.len().min(width));
            if let Some(last) = lines.last_mut() {
                if space > 0 {
                    last.push(' ');
                }
                last.extend(&word);
            }
            word = rest;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_only_words_that_are_too_long_are_cut() {
        assert_eq!(wrapped("a bc def", 4), ["a bc", "def"]);
        assert_eq!(wrapped("a  b\n c", 80), ["a b c"]);
        assert_eq!(wrapped("ab cdefghij k", 4), ["ab", "cdef", "ghij", "k"]);
        assert_eq!(wrapped("", 4), [""]);
    }

    #[test]
    fn the_gist_of_a_refusal_says_what_and_why_in_one_breath() {
        for (refusal, expected) in [
            (
                "refused project greet: simple/greet/page.json was changed: sha256 is 0123, metadata \
                 says 4567",
                "project greet: simple/greet/page.json was changed",
            ),
            (
                "refused file packages/greet/greet-1.1.whl: it was changed: it is 8 bytes long, \
                 metadata says 7",
                "file greet-1.1.whl: it was changed: it is 8 bytes long, metadata says 7",
            ),
            (
                "version 1 expired at noon; it is one here: late (timestamp.json)",
                "version 1 expired at noon",
            ),
            (
                "http://127.0.0.1:1/tuf/timestamp.json: sends too little",
                "timestamp.json: sends too little",
            ),
        ] {
            assert_eq!(gist(refusal), expected);
        }
    }
}
