//! A terminal's text as SVG: what the escape codes of our own output mean (ECMA-48, SGR).

/// The size of a character, in pixels; its width is kept whatever the font.
const WIDTH: f32 = 8.4;
const HEIGHT: f32 = 20.0;
const MARGIN: f32 = 24.0;
const TITLE: f32 = 36.0;

/// How text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Look {
    bold: bool,
    dim: bool,
    /// 0 to 7, as terminals count colours.
    color: Option<u8>,
}

/// Colours that can be read on a dark ground: red, green, yellow, cyan.
const COLORS: [(u8, &str); 4] = [(1, "#ff7b72"), (2, "#7ee787"), (3, "#e3b341"), (6, "#76d9e6")];

/// A picture of a terminal that shows these lines.
pub(super) fn terminal(title: &str, lines: &[&str]) -> String {
    let parsed: Vec<_> = lines.iter().map(|line| runs(line)).collect();
    let columns = |line: &Vec<(Look, String)>| line.iter().map(|(_, t)| count(t)).sum::<usize>();
    let width = pixels(parsed.iter().map(columns).max().unwrap_or_default(), WIDTH) + 2.0 * MARGIN;
    let height = TITLE + pixels(lines.len(), HEIGHT) + MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         width=\"{width:.0}\" height=\"{height:.0}\" font-size=\"14\" font-family=\"ui-monospace, \
         SFMono-Regular, Menlo, 'DejaVu Sans Mono', Consolas, monospace\">\n\
         <title>{title}</title>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"10\" fill=\"#0d1117\"/>\n"
    );
    for (x, color) in [(20, "#ff5f57"), (40, "#febc2e"), (60, "#28c840")] {
        svg.extend([format!("<circle cx=\"{x}\" cy=\"18\" r=\"6\" fill=\"{color}\"/>\n")]);
    }
    let middle = width / 2.0;
    svg.extend([format!(
        "<text x=\"{middle:.0}\" y=\"23\" fill=\"#8b949e\" text-anchor=\"middle\">{title}</text>\n"
    )]);
    svg.push_str("<g fill=\"#e6edf3\" xml:space=\"preserve\">\n");
    for (row, line) in parsed.iter().enumerate() {
        let y = TITLE + pixels(row, HEIGHT) + 15.0;
        let mut column = 0;
        for (look, text) in line {
            let (x, length) = (MARGIN + pixels(column, WIDTH), count(text));
            column += length;
            if text.trim().is_empty() {
                continue;
            }
            let spaces = length - count(text.trim_start());
            let (x, text) = (x + pixels(spaces, WIDTH), text.trim());
            let long = pixels(count(text), WIDTH);
            let (look, text) = (attributes(*look), escaped(text));
            svg.extend([format!(
                "<text x=\"{x:.1}\" y=\"{y:.0}\" textLength=\"{long:.1}\"{look}>{text}</text>\n"
            )]);
        }
    }
    svg.push_str("</g>\n</svg>\n");
    svg
}

/// A line's pieces that look the same.
fn runs(line: &str) -> Vec<(Look, String)> {
    let (mut runs, mut look) = (Vec::new(), Look::default());
    for (number, piece) in line.split("\u{1b}[").enumerate() {
        let text = match piece.split_once('m') {
            Some((codes, text)) if number > 0 => {
                look = changed(look, codes);
                text
            }
            _ => piece,
        };
        if !text.is_empty() {
            runs.push((look, text.to_owned()));
        }
    }
    runs
}

fn changed(look: Look, codes: &str) -> Look {
    let codes: Vec<u8> = codes.split(';').filter_map(|code| code.parse().ok()).collect();
    match codes.as_slice() {
        [1] => Look { bold: true, ..look },
        [2] => Look { dim: true, ..look },
        [color @ 30..=37] => Look { color: Some(color - 30), ..look },
        [38, 5, color @ 0..=7] => Look { color: Some(*color), ..look },
        [39] => Look { color: None, ..look },
        _ => Look::default(),
    }
}

fn attributes(look: Look) -> String {
    let mut attributes = String::new();
    if look.bold {
        attributes.push_str(" font-weight=\"bold\"");
    }
    let color = COLORS.iter().find(|(color, _)| look.color == Some(*color)).map(|(_, hex)| *hex);
    if let Some(fill) = color.or(look.dim.then_some("#8b949e")) {
        attributes.extend([" fill=\"", fill, "\""]);
    }
    attributes
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn count(text: &str) -> usize {
    text.chars().count()
}

/// So many characters or lines, in pixels.
fn pixels(count: usize, each: f32) -> f32 {
    f32::from(u16::try_from(count).unwrap_or(u16::MAX)) * each
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_piece_of_a_line_has_its_look_and_its_place() {
        let svg = terminal("t", &["  a \u{1b}[1mb<\u{1b}[0m \u{1b}[38;5;2mc\u{1b}[39m"]);
        for part in [
            "<text x=\"40.8\" y=\"51\" textLength=\"8.4\">a</text>",
            "<text x=\"57.6\" y=\"51\" textLength=\"16.8\" font-weight=\"bold\">b&lt;</text>",
            "<text x=\"82.8\" y=\"51\" textLength=\"8.4\" fill=\"#7ee787\">c</text>",
        ] {
            assert!(svg.contains(part), "{svg}");
        }
        assert!(!svg.contains('\u{1b}'));
    }

    #[test]
    fn a_reset_ends_every_look() {
        let looks: Vec<_> =
            runs("\u{1b}[1m\u{1b}[31ma\u{1b}[0mb").into_iter().map(|r| r.0).collect();
        assert_eq!(looks, [Look { bold: true, color: Some(1), dim: false }, Look::default()]);
    }
}
