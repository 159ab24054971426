//! Breaking lines for pictures, which do not do that themselves.

/// A line in parts that fit, broken at blanks where there are some.
pub(crate) fn broken(line: &str, columns: usize) -> Vec<String> {
    let (mut lines, mut last) = (Vec::new(), String::new());
    for word in line.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        let begun = last.chars().count();
        if begun > 0 && begun + 1 + word.len() > columns {
            lines.push(std::mem::take(&mut last));
        } else if begun > 0 {
            last.push(' ');
        }
        while word.len() > columns {
            lines.push(word.drain(..columns).collect());
        }
        last.extend(word);
    }
    lines.push(last);
    lines
}
