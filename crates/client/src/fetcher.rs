//! Gets bytes from a source that is trusted with nothing: not to answer, not to stop, not to stay.

use std::error::Error as StdError;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_RANGE, HeaderValue, LOCATION, RANGE,
};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{RequestBuilder, Response, StatusCode};
use tokio::time::{Instant, sleep, timeout};
use url::Url;
use waxseal_tuf::MetadataFile;

use crate::encoding::Decoder;
use crate::repository::Repository;
use crate::{Credentials, Error, Event, Patience, Settings, TransportProblem};

/// Redirects followed for one file.
const MAX_REDIRECTS: usize = 5;

/// Longest first wait before a request is tried again; each later one is twice as long.
const BACKOFF: Duration = Duration::from_millis(400);

/// Connections to everything that is reached the same way.
#[derive(Debug)]
pub(crate) struct Agent(reqwest::Client);

impl Agent {
    pub(crate) fn new(loopback: bool, settings: &Settings) -> Result<Self, String> {
        let mut builder = reqwest::Client::builder()
            // Where one is sent on to learns nothing of where one was.
            .referer(false)
            .user_agent(concat!("waxseal/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(settings.connect)
            .redirect(Policy::custom(redirect));
        if loopback {
            builder = builder.no_proxy();
        }
        builder.build().map(Self).map_err(|error| reason(&error))
    }
}

/// Where a file is, at whichever source it is fetched from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Location {
    /// A plain path below the URL of the targets.
    Target(String),
    /// Below the index's own URL, and so below a mirror's: percent-encoded, perhaps with a query.
    Below(String),
    /// Elsewhere, whatever the source.
    Elsewhere(Url),
}

/// One place that has the repository's files: the index itself or a mirror; or another host, which
/// has files that a page of the index links to.
#[derive(Debug)]
pub(crate) struct Source {
    /// Its place among the sources.
    pub(crate) at: usize,
    pub(crate) repository: Repository,
    pub(crate) agent: Arc<Agent>,
    /// Sent here and nowhere else.
    pub(crate) credentials: Option<Credentials>,
    pub(crate) settings: Arc<Settings>,
    /// Whether it failed before, so that it is warned of once.
    pub(crate) failed: AtomicBool,
}

impl Source {
    /// Its base URL, for people.
    pub(crate) fn url(&self) -> &str {
        self.repository.metadata_url().as_str()
    }

    /// The URL of the index or mirror that it is, for people; that of its metadata if it is none.
    pub(crate) fn base_url(&self) -> &str {
        self.repository.index().unwrap_or(self.repository.metadata_url()).as_str()
    }

    /// Whether there is an answer with something at all, asked for once.
    pub(crate) async fn answers(&self, location: &Location) -> bool {
        let request = self.request(&self.url_of(location));
        matches!(self.send(request, &self.settings.metadata, 0).await, Ok(Some(_)))
    }

    /// A metadata file of at most its greatest length; `None` where there is none.
    pub(crate) async fn metadata(&self, file: &MetadataFile) -> Result<Option<Vec<u8>>, Error> {
        self.settings.observer.tell(Event::Fetching { file, from: self.url() });
        let url = self.repository.metadata(&file.path);
        let deadline = self.settings.metadata.total(file.max_length);
        let too_late =
            |_| transport(&url, TransportProblem::Timeout { seconds: deadline.as_secs() });
        timeout(deadline, self.metadata_in_time(&url, file)).await.map_err(too_late)?
    }

    async fn metadata_in_time(
        &self,
        url: &Url,
        file: &MetadataFile,
    ) -> Result<Option<Vec<u8>>, Error> {
        let mut again = Again::new(url, self.settings.retries);
        loop {
            match self.whole_metadata(url, file).await {
                Ok(bytes) => return Ok(bytes),
                Err(failure) => again.after(failure).await?,
            }
        }
    }

    async fn whole_metadata(
        &self,
        url: &Url,
        file: &MetadataFile,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let patience = self.settings.metadata;
        let request = self.request(url).header(ACCEPT_ENCODING, Decoder::ACCEPTED);
        let Some(response) = self.send(request, &patience, 0).await? else { return Ok(None) };
        let limit = file.max_length;
        let encoding = response.headers().get(CONTENT_ENCODING).map(HeaderValue::as_bytes);
        let mut decoder = Decoder::new(encoding, limit);
        if response.content_length().is_some_and(|length| length > decoder.left()) {
            return Err(Failure::last(TransportProblem::Endless { limit }));
        }
        let mut body = Body::new(response, Pace::new(patience, limit));
        while let Some(chunk) = body.chunk().await? {
            decoder.push(&chunk).map_err(Failure::last)?;
            let received = Event::Received { role: &file.role, bytes: chunk.len() as u64 };
            self.settings.observer.tell(received);
        }
        decoder.finish().map(Some).map_err(Failure::last)
    }

    /// The URL of a file here.
    pub(crate) fn url_of(&self, location: &Location) -> Url {
        match location {
            Location::Target(path) => self.repository.target(path),
            Location::Below(link) => self.repository.below(link),
            Location::Elsewhere(url) => url.clone(),
        }
    }

    /// An error about the body of a file.
    pub(crate) fn error(&self, location: &Location, problem: TransportProblem) -> Error {
        transport(&self.url_of(location), problem)
    }

    /// The body of a file from byte `from` on; `None` where there is none.
    pub(crate) async fn target(
        &self,
        location: &Location,
        from: u64,
        pace: Pace,
    ) -> Result<Option<Body>, Error> {
        let url = self.url_of(location);
        let mut again = Again::new(&url, self.settings.retries);
        loop {
            let patience = &pace.patience;
            // As it is: a `.tar.gz` that a server labels as encoded must not be decoded.
            let mut request = self.request(&url).header(ACCEPT_ENCODING, "identity");
            if from > 0 {
                request = request.header(RANGE, format!("bytes={from}-"));
            }
            match self.send(request, patience, from).await {
                Ok(None) => return Ok(None),
                Ok(Some(response)) => {
                    return Body::new(response, pace)
                        .skipping_to(from)
                        .map(Some)
                        .map_err(|p| transport(&url, p));
                }
                Err(failure) => again.after(failure).await?,
            }
        }
    }

    fn request(&self, url: &Url) -> RequestBuilder {
        let request = self.agent.0.get(url.clone());
        match &self.credentials {
            Some(Credentials { username, password }) => {
                request.basic_auth(username, Some(password))
            }
            None => request,
        }
    }

    async fn send(
        &self,
        request: RequestBuilder,
        patience: &Patience,
        from: u64,
    ) -> Result<Option<Response>, Failure> {
        let response = match timeout(patience.stall, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(Failure::of(&error, self.settings.connect)),
            Err(_) => {
                let seconds = patience.stall.as_secs();
                return Err(Failure::last(TransportProblem::Timeout { seconds }));
            }
        };
        match response.status() {
            StatusCode::OK => Ok(Some(response)),
            StatusCode::PARTIAL_CONTENT if from > 0 => Ok(Some(response)),
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(None),
            // What could be followed was: this is no URL, or none that leads anywhere.
            status if status.is_redirection() && response.headers().contains_key(LOCATION) => {
                let reason = "to where nobody can follow".to_owned();
                Err(Failure::last(TransportProblem::Redirect { reason }))
            }
            status => {
                let again = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
                let problem = TransportProblem::Status { status: status.as_u16() };
                Err(Failure { again, problem })
            }
        }
    }
}

/// The tries that are left for one file.
struct Again<'a> {
    url: &'a Url,
    retries: u32,
    tries: u32,
}

impl<'a> Again<'a> {
    fn new(url: &'a Url, retries: u32) -> Self {
        Self { url, retries, tries: 0 }
    }

    /// Waits before the next try, or says why there is none.
    async fn after(&mut self, failure: Failure) -> Result<(), Error> {
        let Failure { again, problem } = failure;
        if !again || self.tries >= self.retries {
            return Err(transport(self.url, problem));
        }
        tracing::debug!(url = %self.url, %problem, tries = self.tries, "a request is tried again");
        sleep(jittered(BACKOFF * 2u32.saturating_pow(self.tries))).await;
        self.tries += 1;
        Ok(())
    }
}

/// Why one try gave nothing.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Whether a second try may go better. Not after a timeout: the user has waited enough.
    pub(crate) again: bool,
    pub(crate) problem: TransportProblem,
}

impl Failure {
    fn last(problem: TransportProblem) -> Self {
        Self { again: false, problem }
    }

    fn of(error: &reqwest::Error, connect: Duration) -> Self {
        if error.is_redirect() {
            return Self::last(TransportProblem::Redirect { reason: root_cause(error) });
        }
        if error.is_timeout() {
            return Self::last(TransportProblem::Timeout { seconds: connect.as_secs() });
        }
        Self { again: true, problem: TransportProblem::Unreachable { reason: reason(error) } }
    }
}

/// A mirror may move a file to another host, but not to another protocol.
fn redirect(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let first = attempt.previous().first().map(|url| url.scheme().to_owned());
    let scheme = attempt.url().scheme().to_owned();
    if attempt.previous().len() > MAX_REDIRECTS {
        attempt.error(format!("more than {MAX_REDIRECTS} times"))
    } else if first.as_deref() != Some(scheme.as_str()) {
        attempt.error(format!("from {} to {scheme}", first.unwrap_or_default()))
    } else {
        attempt.follow()
    }
}

/// The body of an answer, as it comes.
#[derive(Debug)]
pub(crate) struct Body {
    response: Response,
    pace: Pace,
    /// Bytes still to be dropped, because they were had before.
    skip: u64,
}

impl Body {
    fn new(response: Response, pace: Pace) -> Self {
        Self { response, pace, skip: 0 }
    }

    /// Sees to it that the next byte is the file's byte `from`.
    fn skipping_to(mut self, from: u64) -> Result<Self, TransportProblem> {
        if self.response.status() == StatusCode::OK {
            self.skip = from;
            return Ok(self);
        }
        let range = self.response.headers().get(CONTENT_RANGE);
        let range = range.and_then(|range| range.to_str().ok()).unwrap_or_default();
        let start = range.strip_prefix("bytes ").and_then(|range| range.split('-').next());
        if start.and_then(|start| start.parse().ok()) != Some(from) {
            let reason = format!("asked for bytes from {from}, it sends {range:?}");
            return Err(TransportProblem::Interrupted { reason });
        }
        Ok(self)
    }

    /// What the answer says the length of its body is.
    pub(crate) fn announced(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// The time that was spent on the file, for its next body.
    pub(crate) fn into_pace(self) -> Pace {
        self.pace
    }

    /// The next bytes; `None` at the end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let Some(mut chunk) = self.next_chunk().await? else { return Ok(None) };
            let had = self.skip.min(chunk.len() as u64);
            self.skip -= had;
            let chunk = chunk.split_off(usize::try_from(had).unwrap_or(usize::MAX));
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
        }
    }

    async fn next_chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        let start = Instant::now();
        let wait = self.pace.patience.stall.min(self.pace.left());
        let chunk = match timeout(wait, self.response.chunk()).await {
            Ok(Ok(chunk)) => chunk,
            Ok(Err(error)) => {
                let problem = TransportProblem::Interrupted { reason: reason(&error) };
                return Err(Failure { again: true, problem });
            }
            Err(_) => {
                let problem = TransportProblem::Timeout { seconds: wait.as_secs() };
                return Err(Failure::last(problem));
            }
        };
        let length = chunk.as_ref().map_or(0, Bytes::len) as u64;
        if chunk.is_some() && self.pace.is_too_slow(start.elapsed(), length) {
            let minimum_rate = self.pace.patience.minimum_rate;
            return Err(Failure::last(TransportProblem::Slow { minimum_rate }));
        }
        Ok(chunk)
    }
}

/// The time that one file takes. Only time spent waiting for the network counts, so that a consumer
/// that takes its time is not blamed on the source.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    patience: Patience,
    total: Duration,
    /// In all.
    waited: Duration,
    /// In this window, and the bytes that came in it.
    window: Duration,
    bytes: u64,
}

impl Pace {
    /// For a file of `length` bytes.
    pub(crate) fn new(patience: Patience, length: u64) -> Self {
        let (waited, window) = (Duration::ZERO, Duration::ZERO);
        Self { patience, total: patience.total(length), waited, window, bytes: 0 }
    }

    fn left(&self) -> Duration {
        self.total.saturating_sub(self.waited)
    }

    fn is_too_slow(&mut self, waited: Duration, bytes: u64) -> bool {
        self.waited += waited;
        self.window += waited;
        self.bytes += bytes;
        if self.window < self.patience.rate_window {
            return false;
        }
        let needed = u128::from(self.patience.minimum_rate) * self.window.as_millis() / 1000;
        let slow = u128::from(self.bytes) < needed;
        (self.window, self.bytes) = (Duration::ZERO, 0);
        slow
    }
}

pub(crate) fn transport(url: &Url, problem: TransportProblem) -> Error {
    let mut shown = url.clone();
    // Credentials are not for a screen; http(s) URLs can do without.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    Error::Transport { url: shown.to_string(), problem }
}

/// An error with its causes, without URLs: those may hold what a redirect put into them.
fn reason(error: &reqwest::Error) -> String {
    let Some(mut cause) = error.source() else { return kind_of(error).to_owned() };
    let mut texts = vec![cause.to_string()];
    while let Some(next) = cause.source() {
        cause = next;
        texts.push(cause.to_string());
    }
    texts.dedup();
    // The outer texts say "client error (Connect)"; the innermost two say what happened.
    let from = texts.len().saturating_sub(2);
    texts[from..].join(": ")
}

fn root_cause(error: &reqwest::Error) -> String {
    error.source().map_or_else(|| kind_of(error).to_owned(), ToString::to_string)
}

fn kind_of(error: &reqwest::Error) -> &'static str {
    if error.is_body() || error.is_decode() { "the body is broken" } else { "the request failed" }
}

/// Between half and all of a duration, so that many clients do not come back at one moment.
fn jittered(most: Duration) -> Duration {
    let random = u32::try_from(RandomState::new().hash_one(0) % 1000).unwrap_or_default();
    most / 2 + most / 2 * random / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trickle_is_too_slow_and_a_burst_is_not() {
        let second = Duration::from_secs(1);
        let patience = Patience {
            stall: second,
            deadline: 10 * second,
            minimum_rate: 10,
            rate_window: 3 * second,
        };
        let pace = || Pace::new(patience, 0);
        let mut trickle = pace();
        let verdicts: Vec<_> = (0..3).map(|_| trickle.is_too_slow(second, 1)).collect();
        assert_eq!(verdicts, [false, false, true]);
        let mut burst = pace();
        let verdicts: Vec<_> =
            [100, 0, 0, 1, 1, 1].into_iter().map(|n| burst.is_too_slow(second, n)).collect();
        assert_eq!(verdicts, [false, false, false, false, false, true]);
    }

    #[test]
    fn jitter_stays_between_half_and_all() {
        for _ in 0..100 {
            let wait = jittered(BACKOFF);
            assert!((BACKOFF / 2..=BACKOFF).contains(&wait), "{wait:?}");
        }
    }
}
