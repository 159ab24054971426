//! The links of an HTML page: as much of HTML as a Simple page needs (PEP 503).

/// What a page says that matters.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) anchors: Vec<Anchor>,
    /// `href` of the first `<base>` that has one.
    pub(super) base: Option<String>,
    /// `pypi:repository-version` (PEP 629).
    pub(super) api_version: Option<String>,
}

/// An `<a>` with its attributes; of attributes with one name the first counts, as HTML has it.
#[derive(Debug)]
pub(super) struct Anchor(Vec<(String, String)>);

impl Anchor {
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Reads a page. What is no tag is passed over, whatever it is.
pub(super) fn read(html: &str) -> Page {
    let mut page = Page::default();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = after(comment, "-->");
            continue;
        }
        let length = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let name = rest[..length].to_ascii_lowercase();
        // An end tag, a doctype, a `<` that is text.
        if name.is_empty() {
            continue;
        }
        let tag;
        (tag, rest) = attributes(&rest[length..]);
        match name.as_str() {
            "a" => page.anchors.push(tag),
            "base" if page.base.is_none() => {
                page.base = tag.attribute("href").map(|href| href.trim().to_owned());
            }
            "meta" if tag.attribute("name") == Some("pypi:repository-version") => {
                page.api_version = tag.attribute("content").map(str::to_owned);
            }
            // What is in them is text.
            "script" | "style" | "title" | "textarea" => {
                rest = after_end_tag(rest, &name);
            }
            _ => {}
        }
    }
    page
}

fn after<'a>(text: &'a str, end: &str) -> &'a str {
    text.find(end).map_or("", |at| &text[at + end.len()..])
}

/// After `</name`, whatever the case.
fn after_end_tag<'a>(text: &'a str, name: &str) -> &'a str {
    let mut rest = text;
    while let Some(at) = rest.find("</") {
        rest = &rest[at + 2..];
        let found = rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        if found {
            return &rest[name.len()..];
        }
    }
    ""
}

/// The attributes up to the end of the tag, and what follows that.
fn attributes(text: &str) -> (Anchor, &str) {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if rest.is_empty() || rest.starts_with('>') {
            return (Anchor(found), rest.strip_prefix('>').unwrap_or_default());
        }
        let ends = |c: char| c.is_ascii_whitespace() || matches!(c, '=' | '>' | '/');
        // A name may begin with `=`, and so the loop goes on in any case.
        let first = rest.chars().next().map_or(0, char::len_utf8);
        let length = rest[first..].find(ends).map_or(rest.len(), |at| first + at);
        let name = rest[..length].to_ascii_lowercase();
        rest = rest[length..].trim_start_matches(|c: char| c.is_ascii_whitespace());
        let mut value = "";
        if let Some(after_equals) = rest.strip_prefix('=') {
            rest = after_equals.trim_start_matches(|c: char| c.is_ascii_whitespace());
            (value, rest) = quoted(rest);
        }
        found.push((name, unescaped(value)));
    }
}

/// An attribute's value, and what follows it.
fn quoted(text: &str) -> (&str, &str) {
    for quote in ['"', '\''] {
        if let Some(inside) = text.strip_prefix(quote) {
            return inside.split_once(quote).unwrap_or((inside, ""));
        }
    }
    let end = text.find(|c: char| c.is_ascii_whitespace() || c == '>').unwrap_or(text.len());
    text.split_at(end)
}

/// Undoes character references: those by number, and the five that writers of pages escape with.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        // No reference that is known is longer.
        let end = rest.bytes().take(12).position(|byte| byte == b';');
        match end.and_then(|end| Some((reference(&rest[..end])?, end))) {
            Some((character, end)) => {
                out.push(character);
                rest = &rest[end + 1..];
            }
            None => out.push('&'),
        }
    }
    out.push_str(rest);
    out
}

fn reference(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)?
        }
    })
}
