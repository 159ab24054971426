//! A slow reader of JSON that is easy to be sure of: what `waxseal_tuf::json` is compared with.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

use waxseal_tuf::json::Value;

/// What is read.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Form {
    /// JSON as metadata may have it: RFC 8259, integers that fit an `i64`, unique keys.
    Json,
    /// The one canonical form of a value and nothing else.
    Canonical,
}

/// A text was read.
pub(super) struct Read {
    pub(super) value: Value,
    /// How deep arrays and objects are nested in it.
    pub(super) depth: u64,
    /// How many values are in it, itself among them.
    pub(super) values: u64,
}

/// Deeper texts are refused by this reader too, which would run out of stack otherwise.
const DEEPEST: u64 = 200;

/// Reads a text of one form, or says why it is not of that form.
pub(super) fn read(text: &[u8], form: Form) -> Result<Read, String> {
    let text = str::from_utf8(text).map_err(|error| error.to_string())?;
    let mut reader = Reader { rest: text.chars().peekable(), form, deepest: 0, values: 0 };
    let value = reader.value(0)?;
    reader.space();
    match reader.rest.next() {
        None => Ok(Read { value, depth: reader.deepest, values: reader.values }),
        Some(c) => Err(format!("{c:?} after the end")),
    }
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    form: Form,
    deepest: u64,
    values: u64,
}

impl Reader<'_> {
    fn value(&mut self, depth: u64) -> Result<Value, String> {
        self.values += 1;
        self.space();
        match self.rest.peek() {
            Some('{') => {
                let depth = self.deeper(depth)?;
                self.object(depth)
            }
            Some('[') => {
                let depth = self.deeper(depth)?;
                self.array(depth)
            }
            Some('"') => self.string().map(Value::String),
            Some('-' | '0'..='9') => self.integer(),
            Some('a'..='z') => self.word(),
            other => Err(format!("no value begins with {other:?}")),
        }
    }

    fn deeper(&mut self, depth: u64) -> Result<u64, String> {
        self.deepest = self.deepest.max(depth + 1);
        match depth < DEEPEST {
            true => Ok(depth + 1),
            false => Err("too deep".to_owned()),
        }
    }

    fn object(&mut self, depth: u64) -> Result<Value, String> {
        self.expect('{')?;
        let mut entries = BTreeMap::new();
        let mut last: Option<Vec<char>> = None;
        if self.follows('}') {
            return Ok(Value::Object(waxseal_tuf::json::Object::default()));
        }
        loop {
            self.space();
            let key = self.string()?;
            let code_points: Vec<char> = key.chars().collect();
            if self.form == Form::Canonical && last.is_some_and(|last| last >= code_points) {
                return Err(format!("{key:?} is not in its place"));
            }
            last = Some(code_points);
            self.space();
            self.expect(':')?;
            let value = self.value(depth)?;
            if entries.insert(key, value).is_some() {
                return Err("a key comes twice".to_owned());
            }
            if self.follows('}') {
                return Ok(Value::Object(entries.into_iter().collect()));
            }
            self.expect(',')?;
        }
    }

    fn array(&mut self, depth: u64) -> Result<Value, String> {
        self.expect('[')?;
        let mut values = Vec::new();
        if self.follows(']') {
            return Ok(Value::Array(values));
        }
        loop {
            values.push(self.value(depth)?);
            if self.follows(']') {
                return Ok(Value::Array(values));
            }
            self.expect(',')?;
        }
    }

    fn string(&mut self) -> Result<String, String> {
        self.expect('"')?;
        let mut text = String::new();
        loop {
            match self.next()? {
                '"' => return Ok(text),
                '\\' => text.push(self.escaped()?),
                c if c < ' ' && self.form == Form::Json => return Err(format!("a bare {c:?}")),
                c => text.push(c),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, String> {
        let escape = self.next()?;
        match (escape, self.form) {
            ('"' | '\\', _) => return Ok(escape),
            (_, Form::Canonical) => return Err(format!("{escape:?} needs no escape")),
            _ => {}
        }
        match escape {
            '/' => Ok('/'),
            'b' => Ok('\u{8}'),
            'f' => Ok('\u{c}'),
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            't' => Ok('\t'),
            'u' => self.code_point(),
            _ => Err(format!("no escape {escape:?}")),
        }
    }

    fn code_point(&mut self) -> Result<char, String> {
        let mut units = vec![self.code_unit()?];
        if (0xd800..0xdc00).contains(&units[0]) {
            self.expect('\\')?;
            self.expect('u')?;
            units.push(self.code_unit()?);
        }
        String::from_utf16(&units)
            .map_err(|error| error.to_string())?
            .chars()
            .next()
            .ok_or_else(String::new)
    }

    fn code_unit(&mut self) -> Result<u16, String> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.next()?.to_digit(16).ok_or("not a hex digit")?;
            unit = unit * 16 + digit;
        }
        u16::try_from(unit).map_err(|error| error.to_string())
    }

    fn integer(&mut self) -> Result<Value, String> {
        let mut text = String::new();
        while let Some(c) = self.rest.next_if(|c| "+-.eE0123456789".contains(*c)) {
            text.push(c);
        }
        let integer: i64 = text.parse().map_err(|_| format!("{text} is no i64"))?;
        // There is one spelling of each: no zero in front, no sign but that of a negative number.
        match integer.to_string() == text {
            true => Ok(Value::Integer(integer)),
            false => Err(format!("{text} is not how {integer} is written")),
        }
    }

    fn word(&mut self) -> Result<Value, String> {
        let mut word = String::new();
        while let Some(c) = self.rest.next_if(char::is_ascii_lowercase) {
            word.push(c);
        }
        match word.as_str() {
            "null" => Ok(Value::Null),
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err(format!("{word} is no value")),
        }
    }

    fn space(&mut self) {
        while self.form == Form::Json && self.rest.next_if(|c| " \t\r\n".contains(*c)).is_some() {}
    }

    fn follows(&mut self, wanted: char) -> bool {
        self.space();
        self.rest.next_if_eq(&wanted).is_some()
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        match self.next()? {
            c if c == wanted => Ok(()),
            c => Err(format!("{c:?} where {wanted:?} must be")),
        }
    }

    fn next(&mut self) -> Result<char, String> {
        self.rest.next().ok_or_else(|| "the end".to_owned())
    }
}
