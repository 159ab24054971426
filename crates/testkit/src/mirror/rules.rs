//! What a mirror can be told to do.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_RANGE, HeaderName, HeaderValue, LOCATION};
use http::{Method, StatusCode};
use url::Url;

use super::bombs::Bomb;
use super::delivery::{Delivery, Flood};
use super::wire::{Answer, RequestHead};

/// A rule: which requests, and what becomes of their answers.
#[derive(Clone, Debug)]
pub struct Tamper {
    /// The requests.
    pub matches: PathPattern,
    /// What is done to each answer.
    pub change: Change,
}

/// Which request paths a rule is for. The path is as sent, percent-encoding included, without the
/// query; it begins with `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPattern {
    /// Every path.
    Any,
    /// This path.
    Exact(String),
    /// Paths that begin so.
    Prefix(String),
    /// Paths that end so.
    Suffix(String),
    /// Paths with this somewhere in them.
    Contains(String),
}

/// What a rule does to an answer.
///
/// Changes of the body leave headers such as `ETag` as the index sent them, and leave errors of the
/// index and answers to `HEAD` alone.
#[derive(Clone)]
pub enum Change {
    /// Inverts the lowest bit of one byte of the file. In an answer to a `Range` the byte is still
    /// the file's, and an answer without it is as the index sent it.
    FlipByte {
        /// Which byte.
        at: Position,
    },
    /// Serves this body, with status 200.
    ReplaceBody(Vec<u8>),
    /// Serves the body that this makes of the index's.
    Edit(Arc<dyn Fn(Vec<u8>) -> Vec<u8> + Send + Sync>),
    /// Serves what was recorded for the path; a path that was not recorded is answered as ever.
    Replay(Recording),
    /// Answers with this status and a short text.
    Status(StatusCode),
    /// Answers as the index does, with this status.
    Relabel(StatusCode),
    /// Adds this header, in the place of any that the index sent of that name.
    Header(HeaderName, HeaderValue),
    /// Sends the first so many bytes as if they were the whole.
    Truncate(usize),
    /// Never ends: the body, then more of nothing.
    Endless,
    /// Sends the true body slowly.
    Trickle {
        /// So many bytes at a time.
        bytes: usize,
        /// With this pause after each.
        every: Duration,
    },
    /// Sends the status line and the headers byte by byte, with this pause after each, then the
    /// true body.
    TrickleHead {
        /// How long after each byte.
        every: Duration,
    },
    /// Sends not even a status line, and keeps the connection open.
    Silence,
    /// Sends the headers, then nothing more, and keeps the connection open.
    Stall,
    /// Sends the headers and this part of the body, then nothing more, and keeps the connection
    /// open.
    StallAt {
        /// How much of the body is sent before, of 100.
        percent: u8,
    },
    /// Never ends, in another way than [`Change::Endless`].
    Flood(Flood),
    /// Serves a body that decodes to far more than is sent.
    Bomb {
        /// The body.
        bomb: Bomb,
        /// The `Content-Encoding` that it is said to have.
        label: String,
    },
    /// Sends the client elsewhere.
    Redirect(Url),
    /// Sends the client elsewhere, with this `Location`, whatever it is.
    Location(String),
    /// Announces this length, sends the true body as far as it goes, then closes the connection.
    LieAboutLength(u64),
    /// Sends these `Content-Length` lines as they are, then the true body, then closes the
    /// connection.
    Framing {
        /// What stands in the lines, one after another.
        lengths: Vec<String>,
        /// Whether the body is sent in chunks, and said to be.
        chunked: bool,
    },
    /// Does this to the next so many answers, and nothing to those after.
    Times(Arc<AtomicU32>, Box<Change>),
    /// Does nothing to the next so many answers, and this to those after.
    After(Arc<AtomicU32>, Box<Change>),
    /// Closes the connection without an answer.
    DropConnection,
}

/// A byte of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Counted from the first, which is 0.
    FromStart(u64),
    /// Counted from the last, which is 1.
    FromEnd(u64),
}

/// Answers of the index at an earlier time, by path.
#[derive(Clone, Debug)]
pub struct Recording(pub(super) Arc<HashMap<String, Answer>>);

impl PathPattern {
    /// This path.
    pub fn exact(path: impl Into<String>) -> Self {
        Self::Exact(path.into())
    }

    /// Paths that begin so.
    pub fn prefix(start: impl Into<String>) -> Self {
        Self::Prefix(start.into())
    }

    /// Paths that end so.
    pub fn suffix(end: impl Into<String>) -> Self {
        Self::Suffix(end.into())
    }

    /// Paths with this somewhere in them.
    pub fn contains(part: impl Into<String>) -> Self {
        Self::Contains(part.into())
    }

    pub(super) fn matches(&self, path: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => path == exact,
            Self::Prefix(start) => path.starts_with(start.as_str()),
            Self::Suffix(end) => path.ends_with(end.as_str()),
            Self::Contains(part) => path.contains(part.as_str()),
        }
    }
}

impl Change {
    /// Serves the body that `edit` makes of the index's.
    pub fn edit(edit: impl Fn(Vec<u8>) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::Edit(Arc::new(edit))
    }

    /// Does this to the next so many answers, and nothing to those after.
    pub fn times(times: u32, change: Self) -> Self {
        Self::Times(Arc::new(AtomicU32::new(times)), Box::new(change))
    }

    /// Does nothing to the next so many answers, and this to those after.
    pub fn after(times: u32, change: Self) -> Self {
        Self::After(Arc::new(AtomicU32::new(times)), Box::new(change))
    }

    /// Serves a body that decodes to far more than is sent, labelled so.
    pub fn bomb(bomb: Bomb, label: &str) -> Self {
        Self::Bomb { bomb, label: label.to_owned() }
    }

    pub(super) fn apply(&self, path: &str, answer: &mut Answer, delivery: &mut Delivery) {
        match self {
            Self::ReplaceBody(body) => {
                answer.status = StatusCode::OK;
                answer.body.clone_from(body);
            }
            Self::Replay(recording) => {
                if let Some(recorded) = recording.answer(path) {
                    *answer = recorded.clone();
                }
            }
            Self::Status(status) => {
                *answer = Answer::text(*status, "the mirror says so");
                // Of these a client takes the body for the next answer.
                if matches!(*status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
                    answer.body.clear();
                }
            }
            Self::Relabel(status) => answer.status = *status,
            Self::Header(name, value) => {
                answer.headers.insert(name, value.clone());
            }
            Self::Bomb { bomb, label } => {
                (answer.status, answer.body) = (StatusCode::OK, bomb.bytes());
                label_as(answer, label);
            }
            Self::Redirect(url) => redirect(answer, url.as_str()),
            Self::Location(location) => redirect(answer, location),
            Self::Times(left, change) if counted_down(left) => {
                change.apply(path, answer, delivery);
            }
            Self::After(left, change) if !counted_down(left) => {
                change.apply(path, answer, delivery);
            }
            Self::FlipByte { at } if answer.has_file() => flip(*at, answer),
            Self::Edit(edit) if answer.has_file() => {
                answer.body = edit(std::mem::take(&mut answer.body));
            }
            Self::Truncate(length) if answer.has_file() => answer.body.truncate(*length),
            // There is nothing to change, or not now.
            Self::FlipByte { .. }
            | Self::Edit(_)
            | Self::Truncate(_)
            | Self::Times(..)
            | Self::After(..) => {}
            Self::Endless => *delivery = Delivery::Endless,
            Self::Trickle { bytes, every } => {
                *delivery = Delivery::Trickle { bytes: (*bytes).max(1), every: *every };
            }
            Self::TrickleHead { every } => *delivery = Delivery::TrickleHead { every: *every },
            Self::Silence => *delivery = Delivery::Silence,
            Self::Stall => *delivery = Delivery::Stall { percent: 0 },
            Self::StallAt { percent } => *delivery = Delivery::Stall { percent: *percent },
            Self::Flood(flood) => {
                if let Some(coding) = flood.coding() {
                    label_as(answer, coding);
                }
                *delivery = Delivery::Flood(*flood);
            }
            Self::Framing { lengths, chunked } => {
                *delivery = Delivery::Framed { lengths: lengths.clone(), chunked: *chunked };
            }
            Self::LieAboutLength(claimed) => *delivery = Delivery::Claiming(*claimed),
            Self::DropConnection => *delivery = Delivery::Drop,
        }
    }

    /// Whether the change is of the whole file, so that a part of it is no use.
    fn needs_whole_file(&self) -> bool {
        match self {
            Self::ReplaceBody(_) | Self::Edit(_) | Self::Replay(_) | Self::Truncate(_) => true,
            Self::Times(_, change) | Self::After(_, change) => change.needs_whole_file(),
            _ => false,
        }
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FlipByte { at } => f.debug_struct("FlipByte").field("at", at).finish(),
            Self::ReplaceBody(body) => write!(f, "ReplaceBody({} bytes)", body.len()),
            Self::Edit(_) => f.write_str("Edit(..)"),
            Self::Replay(recording) => write!(f, "Replay({:?})", recording.0.keys()),
            Self::Status(status) => write!(f, "Status({status})"),
            Self::Relabel(status) => write!(f, "Relabel({status})"),
            Self::Header(name, value) => write!(f, "Header({name}: {value:?})"),
            Self::Truncate(length) => write!(f, "Truncate({length})"),
            Self::Endless => f.write_str("Endless"),
            Self::Flood(flood) => write!(f, "Flood({flood:?})"),
            Self::Bomb { bomb, label } => write!(f, "Bomb({bomb:?} as {label:?})"),
            Self::Trickle { bytes, every } => write!(f, "Trickle({bytes} bytes every {every:?})"),
            Self::TrickleHead { every } => write!(f, "TrickleHead(a byte every {every:?})"),
            Self::Silence => f.write_str("Silence"),
            Self::Stall => f.write_str("Stall"),
            Self::StallAt { percent } => write!(f, "StallAt({percent} %)"),
            Self::Redirect(url) => write!(f, "Redirect({url})"),
            Self::Location(location) => write!(f, "Location({} bytes)", location.len()),
            Self::LieAboutLength(claimed) => write!(f, "LieAboutLength({claimed})"),
            Self::Framing { lengths, chunked } => {
                write!(f, "Framing({lengths:?}, chunked: {chunked})")
            }
            Self::Times(left, change) => write!(f, "Times({left:?}, {change:?})"),
            Self::After(left, change) => write!(f, "After({left:?}, {change:?})"),
            Self::DropConnection => f.write_str("DropConnection"),
        }
    }
}

impl Recording {
    /// What was recorded for a path.
    pub fn answer(&self, path: &str) -> Option<&Answer> {
        self.0.get(path)
    }

    /// The same, with what was recorded for one path served at another: an old version under the
    /// name of a new one.
    ///
    /// # Panics
    /// If nothing was recorded for the path.
    #[must_use]
    pub fn moved(&self, path: &str, to: &str) -> Self {
        let mut answers = HashMap::clone(&self.0);
        let answer = answers.remove(path);
        let answer = answer.unwrap_or_else(|| panic!("{path} is not in {:?}", self.0.keys()));
        answers.insert(to.to_owned(), answer);
        Self(Arc::new(answers))
    }
}

impl RequestHead {
    /// The request as the mirror asks the index, so that the answer holds what the rules change: a
    /// "not modified" holds nothing.
    pub(super) fn for_tampering(&self, rules: &[Tamper]) -> Self {
        use http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE};
        let mut request = self.clone();
        if !rules.is_empty() {
            for condition in [IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE] {
                request.headers.remove(condition);
            }
        }
        let is_get = request.method == Method::GET;
        if is_get && rules.iter().any(|rule| rule.change.needs_whole_file()) {
            request.headers.remove(RANGE);
        }
        request
    }
}

/// Whether something was left, of which there is one less now.
fn counted_down(left: &AtomicU32) -> bool {
    let one_less = |left: u32| left.checked_sub(1);
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok()
}

fn redirect(answer: &mut Answer, to: &str) {
    match HeaderValue::from_str(to) {
        Ok(location) => {
            *answer = Answer::text(StatusCode::FOUND, "elsewhere");
            answer.headers.insert(LOCATION, location);
        }
        Err(_) => answer.misfit(&format!("{to:?} does not fit into a header")),
    }
}

fn label_as(answer: &mut Answer, coding: &str) {
    match HeaderValue::from_str(coding) {
        Ok(coding) => {
            answer.headers.insert(CONTENT_ENCODING, coding);
        }
        Err(_) => answer.misfit(&format!("{coding:?} does not fit into a header")),
    }
}

fn flip(at: Position, answer: &mut Answer) {
    let window = match answer.headers.get(CONTENT_RANGE) {
        None => Some((0, answer.body.len() as u64)),
        Some(range) => range.to_str().ok().and_then(parse_content_range),
    };
    let Some((start, whole)) = window else {
        return answer.misfit("the index's Content-Range cannot be read");
    };
    let position = match at {
        Position::FromStart(position) => Some(position).filter(|position| *position < whole),
        Position::FromEnd(back) => whole.checked_sub(back).filter(|position| *position < whole),
    };
    let Some(position) = position else {
        return answer.misfit(&format!("there is no byte {at:?} in {whole} bytes"));
    };
    let here = position.checked_sub(start).and_then(|here| usize::try_from(here).ok());
    if let Some(byte) = here.and_then(|here| answer.body.get_mut(here)) {
        *byte ^= 1;
    }
}

/// The first byte's position and the whole file's length, of `bytes 5-9/20`.
fn parse_content_range(value: &str) -> Option<(u64, u64)> {
    let (range, whole) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.parse().ok()?, whole.parse().ok()?))
}
