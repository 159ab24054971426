//! The sheet to print: digests and fingerprints of all that a ceremony made, in a form that two people can
//! compare aloud (PEP 458: "Printing and saving cryptographic hashes of new TUF metadata").

use std::fmt::Write as _;

use jiff::Timestamp;
use waxseal_tuf::spoken;

use crate::broken_lines::broken;

/// How many lines are on a page.
const LINES: usize = 63;
/// How many characters are on a line: the widest monospaced fonts have 0.61 of their size, so that 85 of
/// them are 176 mm, and the page has 185.
const COLUMNS: usize = 85;
/// The same of the title.
const TITLE_COLUMNS: usize = 68;

/// A sheet, of one or more pages.
#[derive(Debug)]
pub(crate) struct Sheet {
    title: String,
    blocks: Vec<Block>,
}

/// Lines that stay on one page.
#[derive(Debug)]
struct Block(Vec<String>);

impl Sheet {
    pub(crate) fn new(title: &str, made: Timestamp) -> Self {
        let made = made.strftime("%Y-%m-%d %H:%M UTC");
        Self { title: format!("{title} - key ceremony of {made}"), blocks: Vec::new() }
    }

    /// Begins a part.
    pub(crate) fn heading(&mut self, text: &str) {
        let lines = broken(&text.to_uppercase(), COLUMNS);
        self.blocks.push(Block([vec![String::new()], lines].concat()));
    }

    /// Lines of text.
    pub(crate) fn text(&mut self, text: &str) {
        self.blocks.push(Block(text.lines().flat_map(|line| broken(line, COLUMNS)).collect()));
    }

    /// A hash in hex, beside the words that are said for it, four groups and four words on a line.
    pub(crate) fn hash(&mut self, label: &str, hex: &str) {
        let mut lines = vec![String::new()];
        lines.extend(broken(label, COLUMNS));
        lines.extend(both_forms(hex));
        self.blocks.push(Block(lines));
    }

    fn pages(&self) -> Vec<Vec<&str>> {
        let mut pages: Vec<Vec<&str>> = vec![Vec::new()];
        for Block(lines) in &self.blocks {
            if pages.last().is_some_and(|page| page.len() + lines.len() > LINES) {
                pages.push(Vec::new());
            }
            if let Some(page) = pages.last_mut() {
                page.extend(lines.iter().map(String::as_str));
            }
        }
        pages
    }

    /// As text.
    pub(crate) fn to_text(&self) -> String {
        let lines = self.blocks.iter().flat_map(|Block(lines)| lines);
        let mut text = format!("{}\n", self.title);
        for line in lines {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// As pages for a printer, in A4, which also fits on letter paper.
    pub(crate) fn to_svg(&self) -> Vec<String> {
        let pages = self.pages();
        let count = pages.len();
        let page = |(number, lines): (usize, &Vec<&str>)| {
            let mut svg = String::from(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"210mm\" height=\"297mm\" \
                 viewBox=\"0 0 210 297\">\n<rect width=\"210\" height=\"297\" fill=\"white\"/>\n\
                 <g font-family=\"monospace\" font-size=\"3.4\" fill=\"black\" xml:space=\"preserve\">\n",
            );
            let mut text = |y: f64, style: &str, line: &str| {
                // A string takes whatever is written to it.
                let _ =
                    writeln!(svg, "<text x=\"15\" y=\"{y:.1}\"{style}>{}</text>", escaped(line));
            };
            let mut y = 16.0;
            for line in broken(&self.title, TITLE_COLUMNS) {
                text(y, " font-size=\"4.2\" font-weight=\"bold\"", &line);
                y += 5.0;
            }
            for line in lines {
                text(y, "", line);
                y += 4.1;
            }
            text(
                288.0,
                "",
                &format!("Page {number} of {count}    Compared by: ______________________"),
            );
            svg.push_str("</g>\n</svg>\n");
            svg
        };
        (1..).zip(&pages).map(page).collect()
    }
}

/// The lines of a hash: groups of hex, and the words for them.
pub(crate) fn both_forms(hex: &str) -> Vec<String> {
    let groups = spoken::groups(hex);
    let groups: Vec<&str> = groups.split(' ').collect();
    let words = spoken::of_hex(hex).unwrap_or_default();
    let words: Vec<&str> = words.lines().collect();
    let line = |(groups, words): (&[&str], &&str)| format!("  {:<22}{words}", groups.join(" "));
    groups.chunks(4).zip(&words).map(line).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use super::*;

    #[test]
    fn a_hash_is_shown_in_both_forms_and_stays_on_one_page() {
        let mut sheet = Sheet::new("a <b> & c", "2030-01-01T00:00:00Z".parse().unwrap());
        for number in 0..30 {
            sheet.hash(&format!("hash {number}"), &"7f000001".repeat(8));
        }
        let text = sheet.to_text();
        assert!(text.contains("  7f00 0001 7f00 0001   lusab babad lusab babad\n"), "{text}");
        let pages = sheet.to_svg();
        assert_eq!(pages.len(), 3);
        assert!(pages[0].contains("a &lt;b&gt; &amp; c - key ceremony of 2030-01-01 00:00 UTC"));
        assert!(pages[2].contains("Page 3 of 3"));
        for page in pages {
            let whole = page.matches("hash ").count() * 4;
            assert_eq!(page.matches("lusab babad lusab babad").count(), whole);
        }
    }
}
