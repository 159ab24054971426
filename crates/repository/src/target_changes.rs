//! What a request of the API asks for: targets to add and paths to remove, read strictly.
//!
//! Reading collects what is wrong rather than stop at the first mistake: whoever sends thousands of
//! targets wants to know all of it at once.

use std::collections::HashMap;
use std::fmt::Write;

use waxseal_tuf::hash::Sha256;
use waxseal_tuf::json::{Object, Value};
use waxseal_tuf::metadata::TargetFile;
use waxseal_tuf::{Limits, TargetPath};

use crate::database::{AddTarget, TargetsEntry};
use crate::hash_algorithms::HashAlgorithms;

/// Most targets and paths in one request.
pub const MAX_CHANGES: usize = 10_000;

/// Most mistakes that one answer names.
pub const MAX_MISTAKES: usize = 100;

/// Longest `custom` of one target, in bytes of canonical JSON. Every client that asks for a target in
/// the same bin downloads it.
pub const MAX_CUSTOM: usize = 4096;

/// The largest integer that every JSON reader takes for what it is: 2⁵³ - 1 (RFC 8259, 6).
pub const MAX_INTEGER: i64 = (1 << 53) - 1;

/// How many bytes of its entry in a bin each JSON value of a target takes at least: then no bin that is
/// short enough for clients ([`Limits::TARGETS`]) has more values than they read
/// ([`Limits::JSON_VALUES`]). What is around the entries has 12 values in more than 300 bytes, an entry of
/// an upload 4 in more than 100, and the mark of a layout 2 in 37.
const BYTES_A_VALUE: u64 = Limits::TARGETS / Limits::JSON_VALUES;

/// Arrays and objects inside one another in a request.
const MAX_DEPTH: u64 = 32;

/// Values in a request: some fifty for each change.
const MAX_VALUES: u64 = 1 << 19;

/// Targets to add and paths to remove: each path once, everything checked but what the repository has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetChanges {
    pub(crate) add: Vec<AddTarget>,
    /// For each target to add: whether it may replace another content.
    pub(crate) replace: Vec<bool>,
    pub(crate) remove: Vec<TargetPath>,
    pub(crate) digest: Sha256,
}

/// Why a request is not one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidChanges {
    /// It is no JSON, or none that means one thing; where and why.
    Json(String),
    /// It has more than [`MAX_CHANGES`].
    TooMany {
        /// How many it has.
        count: usize,
    },
    /// It does not say what it has to; [`MAX_MISTAKES`] at most.
    Mistakes(Vec<Mistake>),
}

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where, as a JSON pointer (RFC 6901).
    pub pointer: String,
    /// What is wrong there.
    pub problem: String,
}

impl TargetChanges {
    /// Reads the JSON of a request to an index that lists SHA-256 alone.
    pub fn parse(body: &[u8]) -> Result<Self, InvalidChanges> {
        Self::parse_for(body, HashAlgorithms::Sha256)
    }

    /// Reads the JSON of a request to an index that lists these digests. SHA-256 is asked for in any case: by
    /// it requests are compared with what is there.
    pub fn parse_for(body: &[u8], algorithms: HashAlgorithms) -> Result<Self, InvalidChanges> {
        let limits = Limits { json_depth: MAX_DEPTH, json_values: MAX_VALUES, ..Limits::default() };
        let value = Value::parse_within(body, &limits).map_err(InvalidChanges::Json)?;
        // Two spellings of one request are one request.
        let digest = Sha256::of(&value.to_canonical());
        let mut reader = Reader { algorithms, ..Reader::default() };
        let mut changes = Self { add: Vec::new(), replace: Vec::new(), remove: Vec::new(), digest };
        if let Some(count) = count(&value).filter(|count| *count > MAX_CHANGES) {
            return Err(InvalidChanges::TooMany { count });
        }
        reader.request(value, &mut changes);
        match reader.mistakes.is_empty() {
            true => Ok(changes),
            false => Err(InvalidChanges::Mistakes(reader.mistakes)),
        }
    }

    /// How many targets to add, and how many paths to remove.
    pub fn counts(&self) -> (usize, usize) {
        (self.add.len(), self.remove.len())
    }

    /// The journal entry that they make. `by` is the name of the token they came with.
    pub fn into_entry(self, by: String) -> TargetsEntry {
        TargetsEntry { add: self.add, remove: self.remove, by }
    }

    /// The digest of what the request says, however it was spelled.
    pub fn digest(&self) -> Sha256 {
        self.digest
    }
}

fn count(request: &Value) -> Option<usize> {
    let Value::Object(request) = request else { return None };
    let length = |field| match request.get(field) {
        Some(Value::Array(changes)) => changes.len(),
        _ => 0,
    };
    Some(length("add") + length("remove"))
}

#[derive(Default)]
struct Reader {
    algorithms: HashAlgorithms,
    mistakes: Vec<Mistake>,
    /// Where each path stands.
    seen: HashMap<TargetPath, String>,
}

impl Reader {
    fn request(&mut self, request: Value, changes: &mut TargetChanges) {
        let allowed = ["add", "remove", "replace"];
        let Some(mut request) = self.object("", request, &allowed) else { return };
        let replace = self.flag("/replace", request.remove("replace")).unwrap_or(false);
        let (add, remove) = (request.remove("add"), request.remove("remove"));
        if add.is_none() && remove.is_none() {
            return self.mistake("", "has neither `add` nor `remove`");
        }
        for (number, target) in self.array("/add", add).into_iter().enumerate() {
            if let Some((target, own)) = self.target(&format!("/add/{number}"), target) {
                changes.add.push(target);
                changes.replace.push(own.unwrap_or(replace));
            }
        }
        for (number, path) in self.array("/remove", remove).into_iter().enumerate() {
            if let Some(path) = self.path(&format!("/remove/{number}"), Some(path)) {
                changes.remove.push(path);
            }
        }
        if self.seen.is_empty() && self.mistakes.is_empty() {
            self.mistake("", "asks for no change: `add` and `remove` are empty");
        }
    }

    fn target(&mut self, at: &str, target: Value) -> Option<(AddTarget, Option<bool>)> {
        let allowed = ["custom", "hashes", "length", "path", "replace"];
        let mut target = self.object(at, target, &allowed)?;
        let path = self.path(&format!("{at}/path"), target.remove("path"));
        let replace = self.flag(&format!("{at}/replace"), target.remove("replace"));
        if let Some(problem) = length_problem(target.get("length")) {
            self.mistake(&format!("{at}/length"), problem);
        }
        self.hashes(&format!("{at}/hashes"), target.get("hashes"));
        if let Some(problem) = target.get("custom").and_then(custom_problem) {
            self.mistake(&format!("{at}/custom"), &problem);
        }
        let path = path?;
        if !self.mistakes.is_empty() {
            return None;
        }
        // What is left is what a bin has.
        let file = TargetFile::from_json(&Value::from(target).to_json());
        let file = file.map_err(|problem| problem.to_string()).and_then(|file| {
            let problem = values_problem(&path, &file);
            problem.map_or(Ok(file), Err)
        });
        match file {
            Ok(file) => Some((AddTarget { path, file }, replace)),
            Err(problem) => self.refuse(at, &problem),
        }
    }

    fn path(&mut self, at: &str, path: Option<Value>) -> Option<TargetPath> {
        let path = match path {
            Some(Value::String(path)) => path,
            Some(_) => return self.refuse(at, "is not a string"),
            None => return self.refuse(at, "is missing"),
        };
        let path = match TargetPath::new(path) {
            Ok(path) => path,
            Err(invalid) => {
                return self.refuse(at, &format!("is no target path: it {}", invalid.problem));
            }
        };
        if let Some(first) = self.seen.get(&path) {
            let problem = format!("is the same path as {first}; name each path once");
            return self.refuse(at, &problem);
        }
        self.seen.insert(path.clone(), at.to_owned());
        Some(path)
    }

    fn hashes(&mut self, at: &str, hashes: Option<&Value>) {
        let Some(Value::Object(hashes)) = hashes else {
            let problem = if hashes.is_none() { "is missing" } else { "is not an object" };
            return self.mistake(at, problem);
        };
        if hashes.get("sha256").is_none() {
            self.mistake(&format!("{at}/sha256"), "is missing");
        }
        if self.algorithms.has_sha512() && hashes.get("sha512").is_none() {
            self.mistake(&format!("{at}/sha512"), "is missing, and this index lists it");
        }
        for (algorithm, digest) in hashes.iter() {
            let at = format!("{at}/{}", escaped(algorithm));
            if !is_algorithm(algorithm) {
                self.mistake(
                    &at,
                    "is no name of an algorithm: those have up to 32 lower-case letters, digits, \
                     `-` and `_`",
                );
            }
            let Value::String(digest) = digest else {
                self.mistake(&at, "is not a string");
                continue;
            };
            let digits = match algorithm {
                "sha256" => Some(64),
                "sha512" => Some(128),
                _ => None,
            };
            if let Some(problem) = digest_problem(digest, digits) {
                self.mistake(&at, &problem);
            }
        }
    }

    fn object(&mut self, at: &str, value: Value, allowed: &[&str]) -> Option<Object> {
        let Value::Object(object) = value else { return self.refuse(at, "is not an object") };
        for (field, _) in object.iter().filter(|(field, _)| !allowed.contains(field)) {
            let known = allowed.join(", ");
            let problem = format!("is not a field that is known here; there are {known}");
            self.mistake(&format!("{at}/{}", escaped(field)), &problem);
        }
        Some(object)
    }

    fn array(&mut self, at: &str, value: Option<Value>) -> Vec<Value> {
        match value {
            Some(Value::Array(values)) => values,
            Some(_) => self.refuse(at, "is not an array").unwrap_or_default(),
            None => Vec::new(),
        }
    }

    fn flag(&mut self, at: &str, value: Option<Value>) -> Option<bool> {
        match value? {
            Value::Bool(flag) => Some(flag),
            _ => self.refuse(at, "is not true or false"),
        }
    }

    fn refuse<T>(&mut self, at: &str, problem: &str) -> Option<T> {
        self.mistake(at, problem);
        None
    }

    fn mistake(&mut self, at: &str, problem: &str) {
        if self.mistakes.len() < MAX_MISTAKES {
            self.mistakes.push(Mistake { pointer: at.to_owned(), problem: problem.to_owned() });
        }
    }
}

fn is_algorithm(name: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    (1..=32).contains(&name.len()) && name.bytes().all(allowed)
}

fn digest_problem(digest: &str, digits: Option<usize>) -> Option<String> {
    let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    match digits {
        _ if !digest.bytes().all(hex) => Some("is not lower-case hex".to_owned()),
        Some(digits) if digest.len() != digits => {
            Some(format!("has {} hex digits, not {digits}", digest.len()))
        }
        None if digest.is_empty() || digest.len() > 256 || digest.len() % 2 == 1 => {
            Some(format!("has {} hex digits, not an even number up to 256", digest.len()))
        }
        _ => None,
    }
}

/// What is wrong with a target's `length`, in a request as in the file of an import.
pub(crate) fn length_problem(length: Option<&Value>) -> Option<&'static str> {
    match length {
        Some(Value::Integer(0..=MAX_INTEGER)) => None,
        Some(_) => Some("is not an integer from 0 to 9007199254740991"),
        None => Some("is missing"),
    }
}

/// What is wrong with a target's `custom`, in a request as in the file of an import.
pub(crate) fn custom_problem(custom: &Value) -> Option<String> {
    if !matches!(custom, Value::Object(_)) {
        return Some("is not an object".to_owned());
    }
    let length = custom.to_canonical().len();
    match length > MAX_CUSTOM {
        true => Some(format!("has {length} bytes, more than {MAX_CUSTOM}")),
        false => unportable(custom).map(str::to_owned),
    }
}

/// Whether a target has more values than its share of those that clients read in a bin, in a request as
/// in the file of an import.
pub(crate) fn values_problem(path: &TargetPath, file: &TargetFile) -> Option<String> {
    // Quotes, colon and comma.
    let length = path.as_str().len() + 4 + file.to_canonical().len();
    // Itself, its length and its hashes.
    let has = 3 + file.hashes.iter().count() as u64 + file.custom.as_ref().map_or(0, values);
    let may = length as u64 / BYTES_A_VALUE;
    (has > may).then(|| {
        format!(
            "has {has} JSON values in {length} bytes, more than the {may} that clients read in so many \
             bytes of a bin: say `custom` in fewer values, such as one text"
        )
    })
}

/// How many values this is, with those inside it.
fn values(value: &Value) -> u64 {
    1 + match value {
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::String(_) => 0,
        Value::Array(inside) => inside.iter().map(values).sum(),
        Value::Object(inside) => inside.iter().map(|(_, value)| values(value)).sum::<u64>(),
    }
}

/// What clients may read otherwise than it is signed: canonical JSON does not escape control
/// characters, and many JSON readers have no integers beyond 2⁵³.
fn unportable(value: &Value) -> Option<&'static str> {
    const TEXT: &str = "has a control character, which metadata cannot have";
    let text = |text: &str| text.chars().any(char::is_control).then_some(TEXT);
    match value {
        Value::Null | Value::Bool(_) => None,
        Value::Integer(number) if number.unsigned_abs() <= MAX_INTEGER.unsigned_abs() => None,
        Value::Integer(_) => Some("has an integer beyond 9007199254740991"),
        Value::String(string) => text(string),
        Value::Array(values) => values.iter().find_map(unportable),
        Value::Object(object) => {
            object.iter().find_map(|(key, value)| text(key).or_else(|| unportable(value)))
        }
    }
}

/// A field's name as a part of a JSON pointer, cut after 100 characters.
fn escaped(name: &str) -> String {
    let mut escaped = String::new();
    for character in name.chars().take(100) {
        match character {
            '~' => escaped.push_str("~0"),
            '/' => escaped.push_str("~1"),
            control if control.is_control() => {
                let _ = write!(escaped, "{}", control.escape_unicode());
            }
            other => escaped.push(other),
        }
    }
    escaped
}
