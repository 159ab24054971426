//! Reads a JSON text as metadata has it, in one pass.

use std::borrow::Cow;

use super::document::{Document, Element, Extent, Node, Span, Spelling};
use crate::limits::Limits;

/// The deepest nesting that is ever read: the reader calls itself.
const MAX_DEPTH: u64 = 127;

impl<'a> Document<'a> {
    /// Reads a text; the error says what is wrong and at which line and column.
    pub(crate) fn parse(text: &'a [u8], limits: &Limits) -> Result<Self, String> {
        let problem = |problem, at| located(text, problem, at);
        if u32::try_from(text.len()).is_err() {
            return Err("text is longer than 4 GiB".to_owned());
        }
        let valid = std::str::from_utf8(text);
        let valid = valid.map_err(|error| problem("text is not UTF-8", error.valid_up_to()))?;
        // Metadata has about so many nodes for its bytes.
        let nodes = Vec::with_capacity(text.len() / 8);
        let document = Document { text: valid, nodes, strings: Vec::new(), members: Vec::new() };
        let mut reader = Reader {
            text: valid,
            at: 0,
            depth_left: limits.json_depth.min(MAX_DEPTH),
            values_left: limits.json_values,
            limits: *limits,
            canonical: true,
            document,
            outermost: true,
        };
        match reader.text() {
            Ok(()) => Ok(reader.document),
            Err(error) => Err(problem(&error, reader.at)),
        }
    }
}

/// Where the first quote, backslash or control character is.
fn end_of_plain(bytes: &[u8]) -> Option<usize> {
    let stops = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    // Eight bytes at a time while there is none among them.
    let clear = bytes.chunks_exact(8).take_while(|chunk| !may_stop(chunk)).count() * 8;
    bytes[clear..].iter().position(stops).map(|at| clear + at)
}

/// Whether one of eight bytes is a quote, a backslash or below 0x20.
fn may_stop(chunk: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x80 * ONES;
    let Ok(chunk) = chunk.try_into() else { return true };
    let word = u64::from_ne_bytes(chunk);
    // The top bit of a byte of the result is set if the byte is below `limit`, which is at most 0x80.
    let below = |word: u64, limit: u64| word.wrapping_sub(limit * ONES) & !word & TOPS;
    let is = |byte: u8| below(word ^ (u64::from(byte) * ONES), 1);
    below(word, 0x20) | is(b'"') | is(b'\\') != 0
}

fn located(text: &[u8], problem: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.split(|byte| *byte == b'\n').count();
    let column = 1 + before.iter().rev().take_while(|byte| **byte != b'\n').count();
    format!("{problem} at line {line} column {column}")
}

type Problem = Cow<'static, str>;

#[expect(clippy::cast_possible_truncation, reason = "no text of 4 GiB or more is read")]
fn short(number: usize) -> u32 {
    number as u32
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth_left: u64,
    values_left: u64,
    limits: Limits,
    /// Whether everything since this was last set is in canonical form.
    canonical: bool,
    document: Document<'a>,
    /// Whether the value being read is the whole text.
    outermost: bool,
}

impl<'a> Reader<'a> {
    /// The whole text.
    fn text(&mut self) -> Result<(), Problem> {
        self.value()?;
        self.white_space();
        match self.peek() {
            None => Ok(()),
            Some(_) => Err("text goes on after its value".into()),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn white_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
            self.canonical = false;
        }
    }

    /// The next byte after white space.
    fn token(&mut self) -> Result<u8, Problem> {
        self.white_space();
        self.peek().ok_or(Cow::Borrowed("text ends too early"))
    }

    fn push(&mut self, node: Node) {
        self.document.nodes.push(node);
    }

    fn value(&mut self) -> Result<(), Problem> {
        let token = self.token()?;
        if self.values_left == 0 {
            return Err(format!("more than {} values", self.limits.json_values).into());
        }
        self.values_left -= 1;
        match token {
            b'{' => self.nested(Node::Object, Self::object),
            b'[' => self.nested(Node::Array, Self::array),
            b'"' => self.string().map(|_| ()),
            b'-' | b'0'..=b'9' => self.integer(),
            b'n' => self.literal("null", Node::Null),
            b't' => self.literal("true", Node::Bool(true)),
            b'f' => self.literal("false", Node::Bool(false)),
            _ => Err("expected a value".into()),
        }
    }

    fn literal(&mut self, text: &str, node: Node) -> Result<(), Problem> {
        if !self.text.as_bytes()[self.at..].starts_with(text.as_bytes()) {
            return Err("expected a value".into());
        }
        self.at += text.len();
        self.push(node);
        Ok(())
    }

    fn integer(&mut self) -> Result<(), Problem> {
        const NONE: &str = "number is not an integer of 64 bits";
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let digits = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        let zero = self.text.as_bytes().get(digits) == Some(&b'0');
        // `-0` has no canonical form of its own, and a leading zero is not JSON.
        if self.at == digits || zero && (self.at > digits + 1 || digits > start) {
            return Err(NONE.into());
        }
        if let Some(b'.' | b'e' | b'E') = self.peek() {
            return Err(NONE.into());
        }
        let number = self.text[start..self.at].parse().map_err(|_| NONE)?;
        self.push(Node::Integer(number));
        Ok(())
    }

    fn nested(
        &mut self,
        node: fn(Extent) -> Node,
        read: fn(&mut Self) -> Result<u32, Problem>,
    ) -> Result<(), Problem> {
        if self.depth_left == 0 {
            let limit = self.limits.json_depth.min(MAX_DEPTH);
            return Err(format!("nested more than {limit} levels deep").into());
        }
        self.depth_left -= 1;
        self.at += 1;
        let start = self.document.nodes.len();
        self.push(Node::Null);
        let count = read(self)?;
        // The text is shorter than 4 GiB, and no node is shorter than a byte.
        let end = short(self.document.nodes.len());
        self.document.nodes[start] = node(Extent { count, end });
        self.depth_left += 1;
        Ok(())
    }

    fn array(&mut self) -> Result<u32, Problem> {
        self.outermost = false;
        let mut count = 0;
        if self.token()? == b']' {
            self.at += 1;
            return Ok(count);
        }
        loop {
            self.value()?;
            count += 1;
            match self.token()? {
                b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    return Ok(count);
                }
                _ => return Err("expected `,` or `]`".into()),
            }
        }
    }

    fn object(&mut self) -> Result<u32, Problem> {
        let outermost = std::mem::take(&mut self.outermost);
        let first = self.document.nodes.len();
        let (mut count, mut sorted, mut last) = (0, true, None);
        if self.token()? == b'}' {
            self.at += 1;
            return Ok(count);
        }
        loop {
            if self.token()? != b'"' {
                return Err("expected a key".into());
            }
            let key = self.string()?;
            if self.token()? != b':' {
                return Err("expected `:`".into());
            }
            self.at += 1;
            sorted &= last.is_none_or(|last| self.document.str(last) < self.document.str(key));
            last = Some(key);
            match outermost {
                true => self.member(key)?,
                false => self.value()?,
            }
            count += 1;
            match self.token()? {
                b',' => self.at += 1,
                b'}' => break,
                _ => return Err("expected `,` or `}`".into()),
            }
        }
        self.at += 1;
        if !sorted {
            self.canonical = false;
            self.check_unique(first, count)?;
        }
        Ok(count)
    }

    /// Checks that no two of the keys are the same, however they are spelled.
    fn check_unique(&self, first: usize, count: u32) -> Result<(), Problem> {
        let mut next = Element { document: &self.document, at: first };
        let mut keys = Vec::new();
        for _ in 0..count {
            keys.push(next.as_str().unwrap_or_default());
            next = next.first().next();
        }
        keys.sort_unstable();
        match keys.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(format!("object has the key {:?} twice", pair[0]).into()),
            None => Ok(()),
        }
    }

    /// A value of the outermost object.
    fn member(&mut self, key: Node) -> Result<(), Problem> {
        self.token()?;
        let start = self.at;
        self.canonical = true;
        self.value()?;
        let key = self.document.str(key).unwrap_or_default().to_owned();
        let (range, canonical) = (start..self.at, self.canonical);
        self.document.members.push(Spelling { key, range, canonical });
        Ok(())
    }

    fn string(&mut self) -> Result<Node, Problem> {
        self.at += 1;
        let start = self.at;
        let plain = self.plain()?;
        let node = match self.peek() {
            // The text is shorter than 4 GiB.
            Some(b'"') => Node::Plain(Span { start: short(start), end: short(self.at) }),
            _ => {
                let text = self.escaped(plain)?;
                self.document.strings.push(text);
                Node::Escaped(short(self.document.strings.len() - 1))
            }
        };
        self.at += 1;
        self.push(node);
        Ok(node)
    }

    /// A string whose first escape comes after `plain`.
    fn escaped(&mut self, plain: &str) -> Result<String, Problem> {
        let mut text = plain.to_owned();
        while self.peek() != Some(b'"') {
            text.push(self.escape()?);
            text.push_str(self.plain()?);
        }
        Ok(text)
    }

    /// What comes before the next quote or backslash.
    fn plain(&mut self) -> Result<&'a str, Problem> {
        let start = self.at;
        let rest = &self.text.as_bytes()[start..];
        let Some(length) = end_of_plain(rest) else {
            self.at = self.text.len();
            return Err("text ends in a string".into());
        };
        self.at += length;
        if rest[length] < 0x20 {
            return Err("control character in a string".into());
        }
        Ok(&self.text[start..self.at])
    }

    /// One escaped character.
    fn escape(&mut self) -> Result<char, Problem> {
        self.at += 1;
        let escaped = self.peek().ok_or("text ends in a string")?;
        // Canonical form escapes these two, and nothing else.
        self.canonical &= matches!(escaped, b'"' | b'\\');
        self.at += 1;
        Ok(match escaped {
            b'"' | b'\\' | b'/' => char::from(escaped),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.code_point(),
            _ => return Err("unknown escape in a string".into()),
        })
    }

    /// The character of `\uXXXX`, or of two that make a surrogate pair.
    fn code_point(&mut self) -> Result<char, Problem> {
        const LONE: &str = "half of a surrogate pair in a string";
        let first = self.four_digits()?;
        let code = match first {
            0xd800..0xdc00 => {
                if !self.text.as_bytes()[self.at..].starts_with(b"\\u") {
                    return Err(LONE.into());
                }
                self.at += 2;
                let second = self.four_digits()?;
                if !(0xdc00..0xe000).contains(&second) {
                    return Err(LONE.into());
                }
                0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            _ => first,
        };
        char::from_u32(code).ok_or(Cow::Borrowed(LONE))
    }

    fn four_digits(&mut self) -> Result<u32, Problem> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let mut code = 0;
        for digit in digits.unwrap_or_default() {
            let digit = char::from(*digit).to_digit(16).ok_or("`\\u` without four hex digits")?;
            code = code << 4 | digit;
        }
        digits.ok_or("`\\u` without four hex digits")?;
        self.at += 4;
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use super::*;
    use crate::json::Value;

    fn parse(text: &str) -> Result<Document<'_>, String> {
        Document::parse(text.as_bytes(), &Limits::default())
    }

    /// Whether the value, as the only member of an object, is said to be canonical.
    fn canonical(value: &str) -> bool {
        let text = format!("{{ \"a\" : {value} }}");
        let document = parse(&text).unwrap();
        let member = document.member("a").unwrap();
        assert_eq!(&text[member.range.clone()], value);
        member.canonical
    }

    #[test]
    fn text_in_canonical_form_is_known_as_such() {
        for value in [
            "null",
            "true",
            "0",
            "-1",
            "9223372036854775807",
            r#""""#,
            r#""a\"\\é""#,
            "[]",
            "{}",
            r#"[1,{"a":{},"b":[null],"é":""}]"#,
            "\"\u{7f}\"",
            r#"{"":0,"a":1,"a!":2,"aa":3}"#,
        ] {
            assert!(canonical(value), "{value}");
            let written = Value::parse(value.as_bytes()).unwrap().to_canonical();
            assert_eq!(written, value.as_bytes(), "{value}");
        }
        for value in [
            "[ ]",
            "[1, 2]",
            "{ }",
            "{\"a\" :1}",
            "{\"a\": 1}",
            "{\"a\":1 }",
            "[1\n]",
            r#"{"b":1,"a":2}"#,
            r#""\u0061""#,
            r#""\/""#,
            r#""\n""#,
            r#"{"\u0061":1}"#,
            r#"{"a!":1,"a":2}"#,
            r#"[[[{"b":1,"a":2}]]]"#,
        ] {
            assert!(!canonical(value), "{value}");
            let written = Value::parse(value.as_bytes()).unwrap().to_canonical();
            assert_ne!(written, value.as_bytes(), "{value}");
        }
    }

    #[test]
    fn each_member_has_a_spelling_of_its_own() {
        let text = r#"{"signatures": [ ],"signed":{"a":1},"more":"\t"}"#;
        let members = parse(text).unwrap().members;
        let shown: Vec<_> =
            members.iter().map(|m| (&*m.key, &text[m.range.clone()], m.canonical)).collect();
        let expected = [
            ("signatures", "[ ]", false),
            ("signed", r#"{"a":1}"#, true),
            ("more", r#""\t""#, false),
        ];
        assert_eq!(shown, expected);
        assert_eq!(parse(r#"[{"a":1}]"#).unwrap().members, []);
    }

    #[test]
    fn strings_are_borrowed_unless_they_have_escapes() {
        let text = r#"["plain é","\u00e9\ud83d\ude00\"\\\/\b\f\n\r\t."]"#;
        let document = parse(text).unwrap();
        let strings: Vec<_> = document.root().as_array().unwrap().collect();
        assert!(matches!(strings[0].node(), Node::Plain(_)));
        assert_eq!(strings[0].as_str(), Some("plain é"));
        assert!(matches!(strings[1].node(), Node::Escaped(0)));
        assert_eq!(strings[1].as_str(), Some("é😀\"\\/\u{8}\u{c}\n\r\t."));
    }

    #[test]
    fn a_string_ends_at_its_first_special_byte_wherever_that_is() {
        for special in [0, 0x1f, b'"', b'\\'] {
            for at in 0..40 {
                let mut bytes = vec![b' '; 40];
                // Bytes that differ from special ones in one bit, or have the top bit.
                bytes[..at]
                    .iter_mut()
                    .zip([0x20, b'#', b'\'', 0x7f, 0x80, 0xff, 0xa2, 0xdc].iter().cycle())
                    .for_each(|(to, from)| *to = *from);
                assert_eq!(end_of_plain(&bytes), None);
                bytes[at] = special;
                assert_eq!(end_of_plain(&bytes), Some(at), "{special} {at}");
            }
        }
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_place() {
        for (text, problem) in [
            ("", "text ends too early at line 1 column 1"),
            ("{\n\"a\":\n 01}", "number is not an integer of 64 bits at line 3 column 4"),
            ("[1,]", "expected a value at line 1 column 4"),
            ("[1 2]", "expected `,` or `]` at line 1 column 4"),
            ("{\"a\" 1}", "expected `:` at line 1 column 6"),
            ("{\"a\":1,}", "expected a key at line 1 column 8"),
            ("{1:1}", "expected a key at line 1 column 2"),
            ("{\"a\":1;", "expected `,` or `}` at line 1 column 7"),
            ("nul", "expected a value at line 1 column 1"),
            ("'a'", "expected a value at line 1 column 1"),
            ("\"a", "text ends in a string at line 1 column 3"),
            ("\"a\\", "text ends in a string at line 1 column 4"),
            ("\"\\x\"", "unknown escape in a string at line 1 column 4"),
            ("\"\\u12\"", "`\\u` without four hex digits at line 1 column 4"),
            ("\"\\u12é\"", "`\\u` without four hex digits at line 1 column 4"),
            ("\"\\ud800\"", "half of a surrogate pair in a string at line 1 column 8"),
            ("\"\\ud800\\u0041\"", "half of a surrogate pair in a string at line 1 column 14"),
            ("\"\\udc00\"", "half of a surrogate pair in a string at line 1 column 8"),
            ("\"\n\"", "control character in a string at line 1 column 2"),
            ("null null", "text goes on after its value at line 1 column 6"),
            ("\u{feff}null", "expected a value at line 1 column 1"),
            ("-", "number is not an integer of 64 bits at line 1 column 2"),
        ] {
            assert_eq!(parse(text).unwrap_err(), problem, "{text:?}");
        }
        let error = Document::parse(b"\"\xff\"", &Limits::default()).unwrap_err();
        assert_eq!(error, "text is not UTF-8 at line 1 column 2");
    }
}
