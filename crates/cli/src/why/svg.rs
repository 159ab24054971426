//! The chain of trust as a picture: above root and what it says of the moment, below it the way from targets
//! to the file.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::explanation::{Explanation, Item, Role};
use super::words;
use crate::broken_lines::broken;
use crate::output::printable;

/// Sizes in pixels. A character of the text is at most 7.4 wide on average, of digests 7.9.
const MARGIN: usize = 40;
const CARD: usize = 290;
const GAP: usize = 56;
const LINE: usize = 18;
const COLUMNS: usize = 36;
const TOP: usize = 136;
/// Of the keys of a role and the files of a project, so many are shown.
const MOST_KEYS: usize = 5;
const MOST_FILES: usize = 24;

/// Readable on light and dark pages: it has its own ground, which follows what the reader prefers.
const STYLE: &str = "\
text { font-family: system-ui, -apple-system, \"Segoe UI\", \"DejaVu Sans\", sans-serif; fill: #22303c; font-size: 13px; }
.ground { fill: #fbfaf6; stroke: #d8d3c4; }
.h { font-size: 20px; font-weight: 600; }
.t { font-size: 16px; font-weight: 600; }
.l { fill: #5b6b79; }
.m { font-family: ui-monospace, \"DejaVu Sans Mono\", monospace; }
.good { fill: #2c6b3d; font-weight: 600; }
.bad { fill: #b23a2e; font-weight: 600; }
.card { stroke-width: 1.6; }
.root { fill: #fbe6e2; stroke: #b23a2e; }
.offline { fill: #fdf1d3; stroke: #a9791a; }
.online { fill: #e2eef9; stroke: #2f6ea5; }
.file { fill: #e3f3e6; stroke: #3d8350; }
.a { fill: none; stroke: #22303c; stroke-width: 1.8; }
.b { fill: none; stroke: #5b6b79; stroke-width: 1.6; stroke-dasharray: 5 4; }
.ah { fill: #22303c; }
.bh { fill: #5b6b79; }
@media (prefers-color-scheme: dark) {
text { fill: #e6e9ec; }
.ground { fill: #161b20; stroke: #39434c; }
.l { fill: #a4b1bc; }
.good { fill: #8fd3a2; }
.bad { fill: #f09a8f; }
.root { fill: #43211d; stroke: #e0796c; }
.offline { fill: #3d3116; stroke: #d3a343; }
.online { fill: #1a3044; stroke: #6aa9de; }
.file { fill: #1c3623; stroke: #6fb884; }
.a { stroke: #d5dbe0; }
.b { stroke: #a4b1bc; }
.ah { fill: #d5dbe0; }
.bh { fill: #a4b1bc; }
}";

/// The picture as a file.
pub(crate) fn svg(explanation: &Explanation, now: Timestamp) -> String {
    let Some((root, others)) = explanation.roles.split_first() else { return String::new() };
    let (moment, targets) = others.split_at(others.len().min(2));
    let columns = targets.len().max(3);
    let width = 2 * MARGIN + columns * CARD + (columns - 1) * GAP;
    let mut picture = Picture { width, body: String::new() };
    picture.title(explanation);

    let of_role = |role: &Role| lines_of(role, now);
    let above: Vec<_> =
        [root].into_iter().chain(moment).map(|role| (role, of_role(role))).collect();
    let below: Vec<_> = targets.iter().map(|role| (role, of_role(role))).collect();
    let (high, low) = (height(&above), height(&below));
    let second = TOP + high + 92;
    for (column, (role, lines)) in above.iter().enumerate() {
        picture.card(column, TOP, high, if column == 0 { "root" } else { kind(role) }, role, lines);
    }
    for (column, (role, lines)) in below.iter().enumerate() {
        picture.card(column, second, low, kind(role), role, lines);
    }
    picture.arrows(above.len(), below.len(), high, second, low);
    let end = picture.items(explanation, below.len(), second + low);
    let end = picture.legend(end);
    picture.finish(explanation, end)
}

fn kind(role: &Role) -> &'static str {
    if role.online { "online" } else { "offline" }
}

/// What is said of a role, and in which class.
fn lines_of(role: &Role, now: Timestamp) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("", format!("version {}", role.version)),
        ("", format!("expires {}", words::expires(role, now))),
        ("", words::signed(role)),
    ];
    for key in role.keys.iter().take(MOST_KEYS) {
        let (class, mark) = if key.signed { ("good", "✓") } else { ("l", "·") };
        lines.push((class, format!("{mark} {}", words::key(key))));
    }
    if let Some(more @ 1..) = role.keys.len().checked_sub(MOST_KEYS) {
        lines.push(("l", format!("and {more} more")));
    }
    lines.extend(role.covers.as_ref().map(|part| ("l", words::covers(part))));
    lines.extend(words::listed(role).map(|listed| ("l", listed)));
    let broken = |(class, line): (&'static str, String)| {
        // A digest stays with its name.
        broken(&line.replace("SHA-256 ", "SHA-256\u{a0}"), COLUMNS)
            .into_iter()
            .map(move |part| (class, part))
    };
    lines.into_iter().flat_map(broken).collect()
}

fn height(cards: &[(&Role, Vec<(&'static str, String)>)]) -> usize {
    let lines = cards.iter().map(|(_, lines)| lines.len()).max().unwrap_or_default();
    50 + lines * LINE
}

fn left(column: usize) -> usize {
    MARGIN + column * (CARD + GAP)
}

fn middle(column: usize) -> usize {
    left(column) + CARD / 2
}

struct Picture {
    width: usize,
    body: String,
}

impl Picture {
    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        // A string takes whatever is written to it.
        let _ = writeln!(self.body, "{element}");
    }

    fn text(&mut self, x: usize, y: usize, class: &str, text: &str) {
        self.add(format_args!(r#"<text x="{x}" y="{y}" class="{class}">{}</text>"#, escaped(text)));
    }

    fn title(&mut self, explanation: &Explanation) {
        let room = (self.width - 2 * MARGIN) / 12;
        let path = &explanation.item().path;
        let name = path.rsplit('/').next().unwrap_or(path);
        let title = match &explanation.files {
            Some(_) => format!("Why {} is trusted", path.split('/').nth(1).unwrap_or(path)),
            None => format!("Why {name} is trusted"),
        };
        self.text(MARGIN, 48, "h", &shortened(&title, room));
        let (url, time) = (&explanation.index, words::time(explanation.checked));
        let said = format!("as {url} signs it, checked at {time}");
        self.text(MARGIN, 72, "l", &shortened(&said, room * 3 / 2));
    }

    fn card(
        &mut self,
        column: usize,
        y: usize,
        height: usize,
        kind: &str,
        role: &Role,
        lines: &[(&'static str, String)],
    ) {
        let x = left(column);
        self.add(format_args!(
            r#"<rect x="{x}" y="{y}" width="{CARD}" height="{height}" rx="9" class="card {kind}"/>"#
        ));
        self.text(x + 16, y + 28, "t", &shortened(&printable(&role.name), 28));
        for (number, (class, line)) in lines.iter().enumerate() {
            self.text(x + 16, y + 50 + number * LINE, class, line);
        }
    }

    fn arrow(&mut self, class: &str, path: &str) {
        let head = if class == "a" { "head-a" } else { "head-b" };
        self.add(format_args!(r#"<path d="{path}" class="{class}" marker-end="url(#{head})"/>"#));
    }

    /// Who delegates to whom, and from which lists the versions come.
    fn arrows(&mut self, above: usize, below: usize, high: usize, second: usize, low: usize) {
        let across = TOP + high / 2;
        for column in 1..above {
            let from = left(column) - GAP;
            // Root names the keys of timestamp, and timestamp the snapshot.
            let class = if column == 1 { "a" } else { "b" };
            self.arrow(class, &format!("M{from} {across} H{}", left(column) - 4));
        }
        let (start, end, over) = (middle(0), middle(above.saturating_sub(1)), TOP - 34);
        self.arrow("a", &format!("M{start} {TOP} C{start} {over} {end} {over} {end} {}", TOP - 4));
        let under = TOP + high;
        self.arrow("a", &format!("M{start} {under} V{}", second - 4));
        self.text(start + 12, under + 66, "l", "delegates");
        let bus = under + 34;
        self.text(end + 12, bus - 10, "l", "versions");
        let down = second - 4;
        for column in 0..below {
            let x = middle(column) + if column == 0 { 90 } else { 0 };
            self.arrow("b", &format!("M{end} {under} V{bus} H{x} V{down}"));
        }
        let across = second + low / 2;
        for column in 1..below {
            let from = left(column) - GAP;
            self.arrow("a", &format!("M{from} {across} H{}", left(column) - 4));
        }
    }

    /// The target and what it lists, below the role that lists it; gives where they end.
    fn items(&mut self, explanation: &Explanation, below: usize, mut y: usize) -> usize {
        let x = middle(below.saturating_sub(1));
        let about = |item: &Item| {
            let mut lines = vec![("", words::length(item.length))];
            let digests = words::digests(item).into_iter();
            lines.extend(digests.map(|(name, digest)| ("m", format!("{name} {digest}"))));
            lines
        };
        let mut items = vec![(&explanation.target, about(&explanation.target))];
        if let Some(files) = &explanation.files {
            let older = files.len().saturating_sub(MOST_FILES);
            let lines = &mut items[0].1;
            let noun = if files.len() == 1 { "file" } else { "files" };
            lines.push(("l", format!("lists {} {noun}:", files.len())));
            if older > 0 {
                lines.push(("l", format!("… {older} older ones")));
            }
            for file in &files[older..] {
                let digest = file.hashes.get("sha256").map_or("no SHA-256", String::as_str);
                lines.push(("", printable(&file.filename)));
                lines.push(("m l", printable(digest)));
            }
        }
        if let Some(file) = &explanation.file {
            items.push((file, about(file)));
        }
        for (item, lines) in items {
            self.arrow("a", &format!("M{x} {y} V{}", y + 40));
            y = self.item(item, &lines, y + 44);
        }
        if let Some(local) = &explanation.local {
            let path = local.path.display();
            let (class, text) = match &local.problem {
                None => ("good", format!("✓ {path} is what the index signs")),
                Some(problem) => {
                    ("bad", format!("✗ {path} is not what the index signs: {problem}"))
                }
            };
            for line in broken(&printable(&text), (self.width - 2 * MARGIN) / 8) {
                y += 28;
                self.text(MARGIN, y, class, &line);
            }
        }
        y
    }

    fn item(&mut self, item: &Item, lines: &[(&str, String)], y: usize) -> usize {
        let (x, width) = (MARGIN, self.width - 2 * MARGIN);
        let room = (width - 32) / 8;
        let name = broken(&printable(&item.path), (width - 32) / 10);
        let lines: Vec<_> = lines
            .iter()
            .flat_map(|(class, line)| {
                broken(line, room).into_iter().map(move |line| (*class, line))
            })
            .collect();
        let height = 24 + name.len() * 20 + lines.len() * LINE;
        self.add(format_args!(
            r#"<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="9" class="card file"/>"#
        ));
        let mut at = y + 8;
        for line in name {
            at += 20;
            self.text(x + 16, at, "t", &line);
        }
        for (class, line) in lines {
            at += LINE;
            self.text(x + 16, at + 2, class, &line);
        }
        y + height
    }

    /// Two lines: what the colours mean, and what the arrows do.
    fn legend(&mut self, end: usize) -> usize {
        let y = end + 40;
        let mut x = MARGIN;
        for (kind, text) in [
            ("root", "root"),
            ("offline", "signed with keys of its own"),
            ("online", "signed with timestamp's keys, online"),
            ("file", "target"),
        ] {
            let top = y - 13;
            self.add(format_args!(
                r#"<rect x="{x}" y="{top}" width="18" height="16" rx="4" class="{kind}"/>"#
            ));
            self.text(x + 26, y, "l", text);
            x += 56 + text.chars().count() * 7;
        }
        let (y, mut x) = (y + 26, MARGIN);
        for (class, text) in
            [("a", "says whose keys to trust"), ("b", "says which version is the one")]
        {
            let (middle, to) = (y - 5, x + 34);
            self.arrow(class, &format!("M{x} {middle} H{to}"));
            self.text(x + 42, y, "l", text);
            x += 72 + text.chars().count() * 7;
        }
        y + 32
    }

    fn finish(self, explanation: &Explanation, height: usize) -> String {
        let Self { width, body } = self;
        let (ground_width, ground_height) = (width - 2, height - 2);
        let path = escaped(&explanation.item().path);
        let names: Vec<_> = explanation.roles.iter().map(|role| escaped(&role.name)).collect();
        let roles = names.join(", ");
        let marker = |id: &str, class: &str| {
            format!(
                "<marker id=\"{id}\" viewBox=\"0 0 10 10\" refX=\"8.5\" refY=\"5\" markerWidth=\"7\" \
                 markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0 L10 5 L0 10 z\" class=\"{class}\"/></marker>"
            )
        };
        let markers = [marker("head-a", "ah"), marker("head-b", "bh")].concat();
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"title desc\">\n\
             <title id=\"title\">Why {path} is trusted</title>\n\
             <desc id=\"desc\">The roles that vouch for it: {roles}.</desc>\n\
             <style>\n{STYLE}\n</style>\n<defs>{markers}</defs>\n\
             <rect x=\"1\" y=\"1\" width=\"{ground_width}\" height=\"{ground_height}\" rx=\"16\" class=\"ground\"/>\n\
             {body}</svg>\n"
        )
    }
}

fn shortened(text: &str, columns: usize) -> String {
    match text.chars().count() > columns {
        true => text.chars().take(columns - 1).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

fn escaped(text: &str) -> String {
    let text = printable(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_is_text() {
        let mut picture = Picture { width: 100, body: String::new() };
        picture.text(1, 2, "t", "</text><script>\"&\u{1b}");
        let expected = "<text x=\"1\" y=\"2\" class=\"t\">&lt;/text&gt;&lt;script&gt;&quot;&amp;\u{fffd}</text>\n";
        assert_eq!(picture.body, expected);
    }

    #[test]
    fn long_lines_are_broken_and_long_names_cut() {
        assert_eq!(broken("listed by snapshot 25", 10), ["listed by", "snapshot", "25"]);
        assert_eq!(broken("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!((shortened("abcdef", 4), shortened("abcd", 4)), ("abc…".into(), "abcd".into()));
    }
}
