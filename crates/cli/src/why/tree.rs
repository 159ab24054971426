//! The chain of trust as a tree on the terminal: who trusts whom, down to the file.

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;

use super::explanation::{Explanation, Item, Role};
use super::words;
use crate::output::{self, printable};

const NAME: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const SOON: Style = AnsiColor::Yellow.on_default();

/// A name with lines about it, and what it leads to.
struct Node {
    lines: Vec<String>,
    children: Vec<Node>,
}

/// Shows it on stdout, and a table of a project's files.
pub(crate) fn show(explanation: &Explanation, now: Timestamp) {
    let title = printable(title(explanation));
    output::line(&format!("{NAME}{title}{NAME:#}"));
    let (url, checked) = (&explanation.index, words::time(explanation.checked));
    output::line(&format!("as {url} signs it, checked at {checked}"));
    output::line("");
    let mut lines = Vec::new();
    if let Some(root) = tree(explanation, now) {
        draw(&root, "", "", &mut lines);
    }
    output::lines(&lines);
    if let Some(files) = &explanation.files {
        output::heading("Its files, as that page lists them");
        let rows = files.iter().map(|file| {
            let digest = file.hashes.get("sha256").map_or("none", String::as_str);
            let yanked = file.yanked.as_ref().map(|why| format!("yanked {}", printable(why)));
            let length = file.length.map(|length| length.to_string()).unwrap_or_default();
            let name = printable(&file.filename);
            vec![name, length, printable(digest), yanked.unwrap_or_default()]
        });
        output::table(&["file", "bytes", "sha256", ""], rows);
    }
    if let Some(local) = &explanation.local {
        let path = local.path.display();
        output::line("");
        output::line(&match &local.problem {
            None => format!("{GOOD}✓{GOOD:#} {path} is what the index signs"),
            Some(problem) => format!("{BAD}✗ {path} is not what the index signs{BAD:#}: {problem}"),
        });
    }
}

/// The file, or the project's page.
fn title(explanation: &Explanation) -> &str {
    match &explanation.file {
        Some(file) => &file.path,
        None => &explanation.target.path,
    }
}

fn tree(explanation: &Explanation, now: Timestamp) -> Option<Node> {
    let [root, timestamp, snapshot, targets @ ..] = &explanation.roles[..] else { return None };
    let mut below = Vec::new();
    if let Some(file) = &explanation.file {
        below.push(Node { lines: item(file, "listed by that page"), children: Vec::new() });
    }
    let last = explanation.targets().last().map(|role| printable(&role.name)).unwrap_or_default();
    let lines = item(&explanation.target, &format!("listed by {last}"));
    let mut node = Node { lines, children: below };
    for role in targets.iter().rev() {
        node = Node { lines: of_role(role, now), children: vec![node] };
    }
    let leaf = |role| Node { lines: of_role(role, now), children: Vec::new() };
    let children = vec![leaf(timestamp), leaf(snapshot), node];
    Some(Node { lines: of_role(root, now), children })
}

fn of_role(role: &Role, now: Timestamp) -> Vec<String> {
    let (name, version) = (printable(&role.name), role.version);
    let days = role.expires.duration_since(now).as_hours() / 24;
    let late = if !role.online && days < 30 { SOON } else { Style::new() };
    let expires = words::expires(role, now);
    let mut lines = vec![
        format!("{NAME}{name}{NAME:#}  version {version}, expires {late}{expires}{late:#}"),
        words::signed(role),
    ];
    for keys in role.keys.chunks(4) {
        let keys = keys.iter().map(|key| match key.signed {
            true => format!("{GOOD}✓{GOOD:#} {}", words::key(key)),
            false => format!("{DIM}· {}{DIM:#}", words::key(key)),
        });
        lines.push(keys.collect::<Vec<_>>().join("  "));
    }
    lines.extend(role.covers.as_ref().map(words::covers));
    lines.extend(words::listed(role));
    lines
}

fn item(item: &Item, by: &str) -> Vec<String> {
    let mut lines = vec![
        format!("{NAME}{}{NAME:#}", printable(&item.path)),
        format!("{by}, {}", words::length(item.length)),
    ];
    let digests = words::digests(item).into_iter();
    lines.extend(digests.map(|(name, digest)| format!("{DIM}{name}{DIM:#} {digest}")));
    lines
}

/// Each line of a node with the lines of the tree before it: `first` before its name, `rest` before the
/// others.
fn draw(node: &Node, first: &str, rest: &str, lines: &mut Vec<String>) {
    let down = if node.children.is_empty() { " " } else { "│" };
    for (number, line) in node.lines.iter().enumerate() {
        lines.push(match number {
            0 => format!("{first}{line}"),
            _ => format!("{rest}{down}    {line}"),
        });
    }
    let last = node.children.len().saturating_sub(1);
    for (number, child) in node.children.iter().enumerate() {
        let (branch, below) =
            if number == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        draw(child, &format!("{rest}{branch}"), &format!("{rest}{below}"), lines);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_are_joined_and_the_last_one_ends_its_line() {
        let node = |name: &str, children| Node {
            lines: vec![name.to_owned(), format!("of {name}")],
            children,
        };
        let tree = node("a", vec![node("b", vec![node("c", Vec::new())]), node("d", Vec::new())]);
        let mut lines = Vec::new();
        draw(&tree, "", "", &mut lines);
        let expected = [
            "a",
            "│    of a",
            "├─ b",
            "│  │    of b",
            "│  └─ c",
            "│          of c",
            "└─ d",
            "        of d",
        ];
        assert_eq!(lines, expected);
    }
}
