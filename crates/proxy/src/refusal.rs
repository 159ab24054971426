//! What the user is told instead of getting unverified bytes.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use hyper::ext::ReasonPhrase;
use waxseal_client::Error;

/// Longest reason phrase, in bytes: it shares one line with the status, and pip prints it whole.
const MAX_REASON: usize = 300;

/// Refusals kept for the end of the run, and synthetic files known at once.
const MAX_KEPT: usize = 1000;

/// Something the proxy did not pass on, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What was asked for: `project flask` or `file packages/flask/flask-3.1.0.tar.gz`.
    pub what: String,
    /// Why it is refused.
    pub reason: String,
    /// What to do next.
    pub hint: String,
    /// One lower-case word for programs: `rollback`, `changed`, `unreachable`, …
    pub slug: String,
    /// The index or mirror that was asked.
    pub mirror: String,
}

impl Refusal {
    /// The slug of what was asked of another server than the index.
    pub const ELSEWHERE: &'static str = "elsewhere";

    /// The slug of what is younger than the user wants.
    pub const TOO_YOUNG: &'static str = "too-young";

    pub(crate) fn new(what: String, error: &Error, mirror: &str) -> Self {
        let (reason, hint) = (error.to_string(), error.hint().to_owned());
        // The file is named once: a status line has little room.
        let named = what.strip_prefix("file ").and_then(|file| reason.strip_prefix(file));
        let reason = named.map(|rest| format!("it{rest}")).unwrap_or(reason);
        Self { what, reason, hint, slug: error.slug().to_owned(), mirror: mirror.to_owned() }
    }

    /// Status 409 with the reason in the status line, where pip and uv read it, and everything in the
    /// body.
    pub(crate) fn response(&self) -> Response {
        let mut response = Response::new(Body::from(format!("{self}\n")));
        *response.status_mut() = StatusCode::CONFLICT;
        let phrase = ReasonPhrase::try_from(self.phrase().into_bytes());
        if let Ok(phrase) = phrase {
            response.extensions_mut().insert(phrase);
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// One line of printable ASCII.
    fn phrase(&self) -> String {
        let text = format!("waxseal refuses {} ({}): {}", self.what, self.slug, self.reason);
        let printable = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
        let mut phrase: String = text.chars().map(printable).take(MAX_REASON).collect();
        if text.chars().nth(MAX_REASON).is_some() {
            phrase.truncate(MAX_REASON - 3);
            phrase.push_str("...");
        }
        phrase
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, reason, hint, slug, mirror } = self;
        write!(f, "waxseal refuses {what} ({slug}): {reason}\nfrom: {mirror}\nhint: {hint}")
    }
}

/// The refusals of a proxy's life.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    recorded: Mutex<VecDeque<Refusal>>,
    /// By target path of the file on the page that stands for a refused one.
    synthetic: Mutex<HashMap<String, Refusal>>,
}

impl Refusals {
    /// Keeps it for the end of the run, and logs it; each once.
    pub(crate) fn record(&self, refusal: &Refusal) {
        let mut recorded = locked(&self.recorded);
        if recorded.contains(refusal) {
            return;
        }
        let Refusal { what, reason, slug, mirror, .. } = refusal;
        tracing::warn!(what, slug, mirror, "refused: {reason}");
        if recorded.len() >= MAX_KEPT {
            recorded.pop_front();
        }
        recorded.push_back(refusal.clone());
    }

    pub(crate) fn recorded(&self) -> Vec<Refusal> {
        locked(&self.recorded).iter().cloned().collect()
    }

    /// Lets the file on a synthetic page be refused with the page's reason.
    pub(crate) fn announce(&self, path: String, refusal: Refusal) {
        let mut synthetic = locked(&self.synthetic);
        if synthetic.len() >= MAX_KEPT {
            synthetic.clear();
        }
        synthetic.insert(path, refusal);
    }

    pub(crate) fn announced(&self, path: &str) -> Option<Refusal> {
        locked(&self.synthetic).get(path).cloned()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    fn refusal(what: &str, file: &str) -> Refusal {
        let (file, expected) = (file.to_owned(), 5);
        let error = waxseal_tuf::Error::Length { file, expected, exact: true, got: 6 };
        Refusal::new(what.to_owned(), &error.into(), "https://host/")
    }

    #[test]
    fn a_file_is_named_once() {
        let text = refusal("file packages/a/a.whl", "packages/a/a.whl").to_string();
        assert_eq!(
            text.lines().next(),
            Some(
                "waxseal refuses file packages/a/a.whl (changed): it was changed: it is 6 bytes \
                 long, metadata says 5"
            )
        );
    }

    #[test]
    fn a_phrase_is_one_short_line_whatever_the_names() {
        for name in ["a\r\nSet-Cookie: b\u{1b}[31m", "\u{2028}é\0", &"x".repeat(5000), ""] {
            let refusal = refusal(name, name);
            let phrase = refusal.phrase();
            assert!(phrase.len() <= MAX_REASON, "{phrase}");
            assert!(phrase.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{phrase:?}");
            let response = refusal.response();
            let sent = response.extensions().get::<ReasonPhrase>().unwrap();
            assert_eq!(sent.as_bytes(), phrase.as_bytes());
        }
    }

    #[test]
    fn refusals_are_kept_once_and_not_without_end() {
        let refusals = Refusals::default();
        for i in 0..MAX_KEPT + 5 {
            let refusal = refusal(&format!("project {i}"), "x");
            refusals.record(&refusal);
            refusals.record(&refusal);
            refusals.announce(i.to_string(), refusal);
        }
        let recorded = refusals.recorded();
        assert_eq!(recorded.len(), MAX_KEPT);
        assert_eq!(recorded.last().unwrap().what, format!("project {}", MAX_KEPT + 4));
        assert!(locked(&refusals.synthetic).len() <= MAX_KEPT);
    }
}
