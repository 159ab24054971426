//! Reads JSON as metadata has it: one pass, strings borrowed where they are spelled plainly, and for
//! each member of the outermost object whether its text is in canonical form already, so that what
//! was received need not be written again to check its signature.

use std::borrow::Cow;
use std::ops::Range;

use super::{Object, Value};
use crate::limits::Limits;

/// The deepest nesting that is ever read: the reader calls itself.
const MAX_DEPTH: u64 = 127;

/// A value that borrows from the text. Objects are sorted and have each key once, as in [`Value`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    String(Cow<'a, str>),
    Array(Vec<Node<'a>>),
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

impl Node<'_> {
    /// The same value on its own.
    pub(crate) fn into_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Integer(number) => Value::Integer(number),
            Self::String(text) => Value::String(text.into_owned()),
            Self::Array(nodes) => Value::Array(nodes.into_iter().map(Self::into_value).collect()),
            Self::Object(entries) => {
                let owned =
                    |(key, node): (Cow<'_, str>, Self)| (key.into_owned(), node.into_value());
                Value::Object(Object(entries.into_iter().map(owned).collect()))
            }
        }
    }
}

/// A member of the outermost object, as it is spelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spelling {
    pub(crate) key: String,
    /// Where its value is in the text.
    pub(crate) range: Range<usize>,
    /// Whether that is the value's canonical form.
    pub(crate) canonical: bool,
}

/// A JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Document<'a> {
    pub(crate) root: Node<'a>,
    /// The members of the outermost object, if it is one.
    pub(crate) members: Vec<Spelling>,
}

impl<'a> Document<'a> {
    /// Reads a text; the error says what is wrong and at which line and column.
    pub(crate) fn parse(text: &'a [u8], limits: &Limits) -> Result<Self, String> {
        let problem = |problem, at| located(text, problem, at);
        let valid = std::str::from_utf8(text);
        let valid = valid.map_err(|error| problem("text is not UTF-8", error.valid_up_to()))?;
        let mut reader = Reader {
            text: valid,
            at: 0,
            depth_left: limits.json_depth.min(MAX_DEPTH),
            values_left: limits.json_values,
            limits: *limits,
            canonical: true,
            members: Vec::new(),
            outermost: true,
        };
        let read = |reader: &mut Reader<'a>| {
            let root = reader.value()?;
            reader.white_space();
            match reader.peek() {
                None => Ok(root),
                Some(_) => Err(Cow::Borrowed("text goes on after its value")),
            }
        };
        match read(&mut reader) {
            Ok(root) => Ok(Self { root, members: reader.members }),
            Err(error) => Err(problem(&error, reader.at)),
        }
    }
}

fn located(text: &[u8], problem: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    let column = 1 + before.iter().rev().take_while(|byte| **byte != b'\n').count();
    format!("{problem} at line {line} column {column}")
}

type Problem = Cow<'static, str>;

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth_left: u64,
    values_left: u64,
    limits: Limits,
    /// Whether everything since this was last set is in canonical form.
    canonical: bool,
    members: Vec<Spelling>,
    /// Whether the value being read is the whole text.
    outermost: bool,
}

impl<'a> Reader<'a> {
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

    fn value(&mut self) -> Result<Node<'a>, Problem> {
        let token = self.token()?;
        if self.values_left == 0 {
            return Err(format!("more than {} values", self.limits.json_values).into());
        }
        self.values_left -= 1;
        match token {
            b'{' => self.nested(Self::object),
            b'[' => self.nested(Self::array),
            b'"' => self.string().map(Node::String),
            b'-' | b'0'..=b'9' => self.integer(),
            b'n' => self.literal("null", Node::Null),
            b't' => self.literal("true", Node::Bool(true)),
            b'f' => self.literal("false", Node::Bool(false)),
            _ => Err("expected a value".into()),
        }
    }

    fn literal(&mut self, text: &str, node: Node<'a>) -> Result<Node<'a>, Problem> {
        if !self.text.as_bytes()[self.at..].starts_with(text.as_bytes()) {
            return Err("expected a value".into());
        }
        self.at += text.len();
        Ok(node)
    }

    fn integer(&mut self) -> Result<Node<'a>, Problem> {
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
            return Err("number is not an integer of 64 bits".into());
        }
        if let Some(b'.' | b'e' | b'E') = self.peek() {
            return Err("number is not an integer of 64 bits".into());
        }
        let number = self.text[start..self.at].parse();
        number.map(Node::Integer).map_err(|_| "number is not an integer of 64 bits".into())
    }

    fn nested(
        &mut self,
        read: fn(&mut Self) -> Result<Node<'a>, Problem>,
    ) -> Result<Node<'a>, Problem> {
        if self.depth_left == 0 {
            let limit = self.limits.json_depth.min(MAX_DEPTH);
            return Err(format!("nested more than {limit} levels deep").into());
        }
        self.depth_left -= 1;
        self.at += 1;
        let node = read(self);
        self.depth_left += 1;
        node
    }

    fn array(&mut self) -> Result<Node<'a>, Problem> {
        let mut nodes = Vec::new();
        self.outermost = false;
        if self.token()? == b']' {
            self.at += 1;
            return Ok(Node::Array(nodes));
        }
        loop {
            nodes.push(self.value()?);
            match self.token()? {
                b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    return Ok(Node::Array(nodes));
                }
                _ => return Err("expected `,` or `]`".into()),
            }
        }
    }

    fn object(&mut self) -> Result<Node<'a>, Problem> {
        let outermost = std::mem::take(&mut self.outermost);
        // Most objects of metadata have one to three entries.
        let mut entries: Vec<(Cow<'a, str>, Node<'a>)> = Vec::with_capacity(2);
        let mut sorted = true;
        if self.token()? == b'}' {
            self.at += 1;
            return Ok(Node::Object(entries));
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
            sorted &= entries.last().is_none_or(|(last, _)| *last < key);
            let value = match outermost {
                true => self.member(&key)?,
                false => self.value()?,
            };
            entries.push((key, value));
            match self.token()? {
                b',' => self.at += 1,
                b'}' => break,
                _ => return Err("expected `,` or `}`".into()),
            }
        }
        self.at += 1;
        if !sorted {
            self.canonical = false;
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            if let Some(pair) = entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                return Err(format!("object has the key {:?} twice", pair[0].0).into());
            }
        }
        Ok(Node::Object(entries))
    }

    /// A value of the outermost object.
    fn member(&mut self, key: &str) -> Result<Node<'a>, Problem> {
        self.token()?;
        let start = self.at;
        self.canonical = true;
        let value = self.value()?;
        let (range, canonical) = (start..self.at, self.canonical);
        self.members.push(Spelling { key: key.to_owned(), range, canonical });
        Ok(value)
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Problem> {
        self.at += 1;
        let plain = self.plain()?;
        if self.peek() == Some(b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(plain));
        }
        let mut text = plain.to_owned();
        loop {
            if self.peek() == Some(b'"') {
                self.at += 1;
                return Ok(Cow::Owned(text));
            }
            text.push(self.escape()?);
            text.push_str(self.plain()?);
        }
    }

    /// What comes before the next quote or backslash.
    fn plain(&mut self) -> Result<&'a str, Problem> {
        let start = self.at;
        let rest = &self.text.as_bytes()[start..];
        let stops = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
        let Some(length) = rest.iter().position(stops) else {
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

    fn parse(text: &str) -> Result<Document<'_>, String> {
        Document::parse(text.as_bytes(), &Limits::default())
    }

    /// Whether the value, as the only member of an object, is said to be canonical.
    fn canonical(value: &str) -> bool {
        let text = format!("{{ \"a\" : {value} }}");
        let document = parse(&text).unwrap();
        let [member] = document.members.try_into().unwrap();
        assert_eq!(&text[member.range], value);
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
        let Node::Array(nodes) =
            parse(r#"["plain é","\u00e9\ud83d\ude00\"\\\/\b\f\n\r\t."]"#).unwrap().root
        else {
            panic!("no array")
        };
        assert!(matches!(&nodes[0], Node::String(Cow::Borrowed("plain é"))));
        let expected = "é😀\"\\/\u{8}\u{c}\n\r\t.";
        assert!(matches!(&nodes[1], Node::String(Cow::Owned(text)) if text == expected));
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
