//! The lines of an import file.
//!
//! ```json
//! {"path": "packages/flask/flask-3.0-py3-none-any.whl", "length": 101760, "hashes": {"sha256": "…"}}
//! ```
//!
//! `path`, `length` and `hashes` as in TUF metadata, `hashes` with a digest of each algorithm that the index
//! lists; `custom` may be there.
//! Lengths and `custom` are bounded as in requests of the API. The file may be packed by gzip or
//! Zstandard.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use aws_lc_rs::digest::{Context, SHA256};
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::json::Value;
use waxseal_tuf::{TargetFile, TargetPath};

use super::partitions::{Partitions, Shares};
use super::{ImportError, ImportProgress, Source, file_error, open};
use crate::bins::Bins;
use crate::hash_algorithms::HashAlgorithms;
use crate::layout::Layout;
use crate::target_changes::{custom_problem, length_problem, values_problem};

/// How many bytes of lines a worker takes at a time.
const CHUNK: usize = 1 << 20;

/// Longest line in bytes: a path and its `custom`.
const LONGEST: usize = 1 << 20;

/// How the index takes targets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Takes {
    pub(super) bins: Bins,
    pub(super) layout: Layout,
    pub(super) algorithms: HashAlgorithms,
}

impl Takes {
    /// Whether a line with a SHA-256 alone says all that is listed.
    fn takes_usual(self, path: &str) -> bool {
        self.algorithms == HashAlgorithms::Sha256 && !self.layout.marks(path)
    }
}

/// Whole lines, and the number of the first.
struct Chunk {
    first: u64,
    text: Vec<u8>,
}

/// Reads the file into `partitions`; the digest of its bytes.
pub(super) fn read(
    path: &Path,
    into: Takes,
    partitions: &Partitions,
    progress: &(dyn Fn(ImportProgress) + Sync),
) -> Result<Source, ImportError> {
    let (file, total) = open(path)?;
    let counted = Counted::new(file);
    let bytes = Arc::clone(&counted.bytes);
    let digest = Arc::clone(&counted.digest);
    let mut reader =
        unpacked(BufReader::with_capacity(CHUNK, counted)).map_err(file_error(path))?;

    let workers = thread::available_parallelism().map_or(1, usize::from);
    let (sender, receiver) = sync_channel(2 * workers);
    let receiver = Mutex::new(receiver);
    let failure = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| work(&receiver, into, partitions, &failure));
        }
        let report = || {
            let bytes = bytes.load(Ordering::Relaxed);
            progress(ImportProgress::Reading { bytes, total, targets: partitions.targets() });
        };
        let sent = send(&mut reader, &sender, report, || has(&failure));
        // Ends the workers.
        drop(sender);
        sent.map_err(|failed| match failed {
            Unsent::File(source) => file_error(path)(source),
            Unsent::Line(line) => {
                ImportError::Line { line, problem: "is longer than 1 MiB".to_owned() }
            }
        })
    })?;
    if let Some(failure) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(failure);
    }
    drop(reader);
    let digest = digest.lock().unwrap_or_else(PoisonError::into_inner).clone().finish();
    let mut source = [0; 32];
    source.copy_from_slice(digest.as_ref());
    Ok(Sha256(source))
}

/// The first two lines that say different things of a target. It reads the file once more, which only a
/// failed import does; `None` also where that does not succeed.
pub(super) fn different(path: &Path, target: &str, into: Takes) -> Option<(u64, u64)> {
    // A pipe gives its bytes once.
    if !path.is_file() {
        return None;
    }
    let (file, _) = open(path).ok()?;
    let reader = unpacked(BufReader::with_capacity(CHUNK, file)).ok()?;
    let mut known: Option<(u64, Vec<u8>)> = None;
    for (number, line) in (1..).zip(BufReader::with_capacity(CHUNK, reader).split(b'\n')) {
        let line = line.ok()?;
        // Paths may be escaped in JSON; those that cannot be are found without reading all of it.
        let plain = memchr::memmem::find(&line, target.as_bytes()).is_some();
        if !plain && !line.contains(&b'\\') {
            continue;
        }
        let Ok((path, said)) = unusual(line.trim_ascii(), into.layout, into.algorithms) else {
            continue;
        };
        match &known {
            _ if path.as_str() != target => {}
            None => known = Some((number, said)),
            Some((first, before)) if *before != said => return Some((*first, number)),
            Some(_) => {}
        }
    }
    None
}

/// Why lines could not be given to the workers.
enum Unsent {
    File(io::Error),
    /// The line of this number is too long.
    Line(u64),
}

fn has(failure: &Mutex<Option<ImportError>>) -> bool {
    failure.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

/// Gives whole lines to the workers, until the end or until one of them has failed.
fn send(
    reader: &mut dyn Read,
    sender: &SyncSender<Chunk>,
    report: impl Fn(),
    failed: impl Fn() -> bool,
) -> Result<(), Unsent> {
    let mut first = 1;
    let mut rest = Vec::new();
    loop {
        let mut text = std::mem::take(&mut rest);
        let had = text.len();
        text.resize(had + CHUNK, 0);
        let read = fill(reader, &mut text[had..]).map_err(Unsent::File)?;
        text.truncate(had + read);
        let end = read < CHUNK;
        let lines = match end {
            true => text.len(),
            false => memchr::memrchr(b'\n', &text).map_or(0, |at| at + 1),
        };
        rest = text.split_off(lines);
        let count = memchr::memchr_iter(b'\n', &text).count() as u64;
        if rest.len() > LONGEST {
            return Err(Unsent::Line(first + count));
        }
        if failed() || sender.send(Chunk { first, text }).is_err() {
            return Ok(());
        }
        first += count;
        report();
        if end {
            return Ok(());
        }
    }
}

fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn work(
    chunks: &Mutex<Receiver<Chunk>>,
    into: Takes,
    partitions: &Partitions,
    failure: &Mutex<Option<ImportError>>,
) {
    let mut shares = Shares::new(partitions);
    loop {
        let chunk = chunks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(chunk) = chunk else { return };
        if let Err(problem) = take(&chunk, into, &mut shares) {
            let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
            // Of two bad lines the first is named, as far as both were met.
            let earlier = match (&*failure, &problem) {
                (Some(ImportError::Line { line: known, .. }), ImportError::Line { line, .. }) => {
                    line < known
                }
                (known, _) => known.is_none(),
            };
            if earlier {
                *failure = Some(problem);
            }
            // Goes on receiving, so that the reader is not held up.
        }
    }
}

fn take(chunk: &Chunk, into: Takes, shares: &mut Shares<'_>) -> Result<(), ImportError> {
    let ends = memchr::memchr_iter(b'\n', &chunk.text).chain([chunk.text.len()]);
    let mut begin = 0;
    for (number, end) in (chunk.first..).zip(ends) {
        let line = chunk.text[begin..end].trim_ascii();
        begin = end + 1;
        if line.is_empty() {
            continue;
        }
        let bad = |problem| ImportError::Line { line: number, problem };
        match usual(line).filter(|(path, ..)| into.takes_usual(path)) {
            Some((path, length, sha256)) => {
                TargetPath::check(path).map_err(|error| bad(error.to_string()))?;
                shares.push_usual(into.bins.bin_of_str(path), path, length, sha256);
            }
            None => {
                let (path, file) = unusual(line, into.layout, into.algorithms).map_err(bad)?;
                shares.push(into.bins.bin_of(&path), path.as_str(), &file);
            }
        }
    }
    shares.deliver()
}

/// Path, length and SHA-256 of a line as most are: these fields in this order, a blank after `:` and
/// `,` or none.
fn usual(line: &[u8]) -> Option<(&str, &str, &str)> {
    let text = std::str::from_utf8(line).ok()?;
    let rest = after(text, "{", "\"path\":")?;
    let rest = rest.trim_start_matches(' ').strip_prefix('"')?;
    let (path, rest) = rest.split_at(memchr::memchr2(b'"', b'\\', rest.as_bytes())?);
    let rest = after(rest, "\",", "\"length\":")?.trim_start_matches(' ');
    let (length, rest) = rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count());
    // Numbers of metadata fit 53 bits; and a zero at the beginning is no JSON.
    if length.is_empty() || length.len() > 15 || (length.len() > 1 && length.starts_with('0')) {
        return None;
    }
    let rest = after(rest, ",", "\"hashes\":")?;
    let rest = after(rest.trim_start_matches(' '), "{", "\"sha256\":")?;
    let (sha256, rest) = rest.trim_start_matches(' ').strip_prefix('"')?.split_at_checked(64)?;
    let is_hex = sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (is_hex && matches!(rest, "\"}}")).then_some((path, length, sha256))
}

/// What stands after two tokens, blanks between them or none.
fn after<'a>(text: &'a str, first: &str, second: &str) -> Option<&'a str> {
    text.strip_prefix(first)?.trim_start_matches(' ').strip_prefix(second)
}

/// Any line that is right.
fn unusual(
    line: &[u8],
    layout: Layout,
    algorithms: HashAlgorithms,
) -> Result<(TargetPath, Vec<u8>), String> {
    let value = Value::parse(line).map_err(|problem| column_alone(&problem))?;
    let Value::Object(mut object) = value else {
        return Err("is not a JSON object".to_owned());
    };
    let path = match object.remove("path") {
        Some(Value::String(path)) => TargetPath::new(path).map_err(|error| error.to_string())?,
        Some(_) => return Err("`path` is not a string".to_owned()),
        None => return Err("has no `path`".to_owned()),
    };
    if let Some((name, _)) =
        object.iter().find(|(name, _)| !matches!(*name, "length" | "hashes" | "custom"))
    {
        return Err(format!("has a field {name:?}, which is none of an import file"));
    }
    if let Some(problem) = length_problem(object.get("length")) {
        return Err(format!("`length` {problem}"));
    }
    if let Some(problem) = object.get("custom").and_then(custom_problem) {
        return Err(format!("`custom` {problem}"));
    }
    let file = TargetFile::from_json(&Value::Object(object).to_json());
    let mut file = file.map_err(|error| error.to_string())?;
    if let Some(missing) = algorithms.missing_in(&file.hashes) {
        return Err(match missing {
            "sha256" => "`hashes` has no SHA-256 of 64 lower-case hex digits".to_owned(),
            _ => "`hashes` has no SHA-512 of 128 lower-case hex digits, which hash-algorithms of \
                  waxseal.toml asks for"
                .to_owned(),
        });
    }
    algorithms.adopt(&mut file);
    if let Some(problem) = values_problem(&path, &file) {
        return Err(problem);
    }
    layout.mark(&path, &mut file);
    let canonical = file.to_canonical();
    match canonical.iter().any(u8::is_ascii_control) {
        true => Err("has a control character, which metadata cannot have".to_owned()),
        false => Ok((path, canonical)),
    }
}

/// A problem in a line that is a whole text to the parser: its number there is always 1.
fn column_alone(problem: &str) -> String {
    problem.replace(" at line 1 column ", " at column ")
}

/// The bytes of a file, counted and hashed on the way.
struct Counted<R> {
    inner: R,
    bytes: Arc<AtomicU64>,
    digest: Arc<Mutex<Context>>,
}

impl<R> Counted<R> {
    fn new(inner: R) -> Self {
        Self { inner, bytes: Arc::default(), digest: Arc::new(Mutex::new(Context::new(&SHA256))) }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bytes.fetch_add(count as u64, Ordering::Relaxed);
        self.digest.lock().unwrap_or_else(PoisonError::into_inner).update(&buffer[..count]);
        Ok(count)
    }
}

/// Unpacks gzip and Zstandard, which their first bytes tell.
fn unpacked<'a>(
    mut file: BufReader<impl Read + Send + 'a>,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    Ok(match file.fill_buf()? {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::with_buffer(file)?),
        _ => Box::new(file),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    const DIGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    /// Lines that the quick look takes are read as the slow one reads them.
    #[test]
    fn the_quick_look_and_the_slow_one_agree() {
        let line = |text: &str| text.replace("HASH", DIGEST).into_bytes();
        for text in [
            r#"{"path":"a/b.whl","length":12,"hashes":{"sha256":"HASH"}}"#,
            r#"{"path": "a/b é.whl", "length": 0, "hashes": {"sha256": "HASH"}}"#,
        ] {
            let line = line(text);
            let (path, length, sha256) = usual(&line).unwrap();
            let (slow_path, slow) = unusual(&line, Layout::Files, HashAlgorithms::Sha256).unwrap();
            assert_eq!(path, slow_path.as_str());
            let file = format!("{{\"hashes\":{{\"sha256\":\"{sha256}\"}},\"length\":{length}}}");
            assert_eq!(file.as_bytes(), slow);
        }
        for text in [
            r#"{"length":12,"path":"a/b.whl","hashes":{"sha256":"HASH"}}"#,
            r#"{"path":"a\u002fb","length":12,"hashes":{"sha256":"HASH","md5":"00"}}"#,
            r#"{"path":"a","length":12,"hashes":{"sha256":"HASH"},"custom":{"a":"\"}"}}"#,
        ] {
            assert_eq!(usual(&line(text)), None);
            unusual(&line(text), Layout::Files, HashAlgorithms::Sha256).unwrap();
        }
        let long = format!(
            r#"{{"path":"a","length":1,"hashes":{{"sha256":"HASH"}},"custom":{{"a":"{}"}}}}"#,
            "x".repeat(4089)
        );
        for (text, problem) in [
            (r#"{"path":"a","length":012,"hashes":{"sha256":"HASH"}}"#, "JSON"),
            (r#"{"path":"a","length":-1,"hashes":{"sha256":"HASH"}}"#, "length"),
            (r#"{"path":"a","length":1,"hashes":{"sha256":"HASH"},"extra":1}"#, "extra"),
            (r#"{"path":"a","length":1,"hashes":{"sha512":"00"}}"#, "SHA-256"),
            (r#"{"path":"a","length":1,"hashes":{"sha256":"00"}}"#, "SHA-256"),
            (
                r#"{"path":"a","length":1,"hashes":{"sha256":"HASH"},"custom":{"a":"\n"}}"#,
                "control",
            ),
            (r#"{"path":"a","length":1,"hashes":{"sha256":"HASH"},"custom":[]}"#, "not an object"),
            (
                r#"{"path":"a","length":1,"hashes":{"sha256":"HASH"},"custom":{"a":[-9007199254740992]}}"#,
                "`custom` has an integer beyond 9007199254740991",
            ),
            (
                r#"{"path":"a","length":9007199254740992,"hashes":{"sha256":"HASH"}}"#,
                "`length` is not an integer from 0 to 9007199254740991",
            ),
            (r#"{"path":"a","hashes":{"sha256":"HASH"}}"#, "`length` is missing"),
            (long.as_str(), "`custom` has 4097 bytes, more than 4096"),
            (r#"{"path":"../a","length":1,"hashes":{"sha256":"HASH"}}"#, "`..`"),
            (r#"{"path":"a","path":"b","length":1,"hashes":{"sha256":"HASH"}}"#, "twice"),
            ("[]", "object"),
            ("{", ""),
        ] {
            let line = line(text);
            let found = usual(&line).map(|(path, ..)| TargetPath::check(path));
            assert!(!matches!(found, Some(Ok(()))), "{text}");
            let error = unusual(&line, Layout::Files, HashAlgorithms::Sha256).unwrap_err();
            assert!(problem == "JSON" || error.contains(problem), "{text}: {error}");
        }
    }
}
