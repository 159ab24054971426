//! Gets bytes from an index that is trusted with nothing: not to answer, not to stop, not to stay.

use std::error::Error as StdError;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::ACCEPT_ENCODING;
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Response, StatusCode};
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use crate::{Error, IndexUrl, Settings, TransportProblem};

/// Redirects followed for one file.
const MAX_REDIRECTS: usize = 5;

/// Longest first wait before a request is tried again; each later one is twice as long.
const BACKOFF: Duration = Duration::from_millis(400);

#[derive(Debug)]
pub(crate) struct Fetcher {
    /// For metadata, compressed on the way where the index can.
    decoding: reqwest::Client,
    /// For targets, whose bytes are taken as they are: a `.tar.gz` that a server labels as encoded
    /// must not be decoded.
    identity: reqwest::Client,
    index: IndexUrl,
    settings: Settings,
}

impl Fetcher {
    pub(crate) fn new(index: &IndexUrl, settings: &Settings) -> Result<Self, Error> {
        let build = |decode: bool| {
            let mut builder = reqwest::Client::builder()
                .user_agent(concat!("waxseal/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(settings.connect)
                .redirect(Policy::custom(redirect))
                .gzip(decode)
                .zstd(decode);
            if index.is_loopback() {
                builder = builder.no_proxy();
            }
            builder.build().map_err(|error| {
                let problem = TransportProblem::Unreachable { reason: reason(&error) };
                Error::Transport { url: index.to_string(), problem }
            })
        };
        let (index, settings) = (index.clone(), settings.clone());
        Ok(Self { decoding: build(true)?, identity: build(false)?, index, settings })
    }

    /// A metadata file of at most `limit` bytes; `None` where there is none.
    pub(crate) async fn metadata(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let url = self.index.metadata(path);
        let deadline = self.settings.metadata;
        let too_late =
            |_| transport(&url, TransportProblem::Timeout { seconds: deadline.as_secs() });
        timeout(deadline, self.metadata_in_time(&url, limit)).await.map_err(too_late)?
    }

    async fn metadata_in_time(&self, url: &Url, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some(response) = self.send(&self.decoding, url).await? else { return Ok(None) };
        let endless = || transport(url, TransportProblem::Endless { limit });
        if response.content_length().is_some_and(|length| length > limit) {
            return Err(endless());
        }
        let mut body = Body::new(response, url, &self.settings);
        let mut bytes = Vec::new();
        while let Some(chunk) = body.chunk().await? {
            if (bytes.len() + chunk.len()) as u64 > limit {
                return Err(endless());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Some(bytes))
    }

    /// The body of a target file; `None` where there is none.
    pub(crate) async fn target(&self, location: &str) -> Result<Option<Body>, Error> {
        let url = self.index.target(location);
        let response = self.send(&self.identity, &url).await?;
        Ok(response.map(|response| Body::new(response, &url, &self.settings)))
    }

    /// Asks until there is an answer worth having, or no more tries.
    async fn send(&self, client: &reqwest::Client, url: &Url) -> Result<Option<Response>, Error> {
        let mut tries = 0;
        loop {
            match self.send_once(client, url).await {
                Ok(response) => return Ok(response),
                Err(Failure { again: true, problem }) if tries < self.settings.retries => {
                    tracing::debug!(%url, %problem, tries, "a request is tried again");
                    sleep(jittered(BACKOFF * 2u32.saturating_pow(tries))).await;
                    tries += 1;
                }
                Err(Failure { problem, .. }) => return Err(transport(url, problem)),
            }
        }
    }

    async fn send_once(
        &self,
        client: &reqwest::Client,
        url: &Url,
    ) -> Result<Option<Response>, Failure> {
        let mut request = client.get(url.clone());
        if std::ptr::eq(client, &raw const self.identity) {
            request = request.header(ACCEPT_ENCODING, "identity");
        }
        if let Some(credentials) = &self.settings.credentials {
            request = request.basic_auth(&credentials.username, Some(&credentials.password));
        }
        let stall = self.settings.stall;
        let response = match timeout(stall, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(Failure::of(&error, self.settings.connect)),
            Err(_) => {
                let problem = TransportProblem::Timeout { seconds: stall.as_secs() };
                return Err(Failure { again: false, problem });
            }
        };
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(Some(response));
        }
        if matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) {
            return Ok(None);
        }
        let again = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        Err(Failure { again, problem: TransportProblem::Status { status: status.as_u16() } })
    }
}

struct Failure {
    /// Whether a second try may go better. Not after a timeout: the user has waited enough.
    again: bool,
    problem: TransportProblem,
}

impl Failure {
    fn of(error: &reqwest::Error, connect: Duration) -> Self {
        if error.is_redirect() {
            let problem = TransportProblem::Redirect { reason: root_cause(error) };
            return Self { again: false, problem };
        }
        if error.is_timeout() {
            let problem = TransportProblem::Timeout { seconds: connect.as_secs() };
            return Self { again: false, problem };
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
    url: Url,
    stall: Duration,
    pace: Pace,
}

impl Body {
    fn new(response: Response, url: &Url, settings: &Settings) -> Self {
        let (minimum_rate, window) = (settings.minimum_rate, settings.rate_window);
        let pace = Pace { minimum_rate, window, waited: Duration::ZERO, bytes: 0 };
        Self { response, url: url.clone(), stall: settings.stall, pace }
    }

    /// What the answer says its length is.
    pub(crate) fn announced(&self) -> Option<u64> {
        self.response.content_length()
    }

    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let start = Instant::now();
        let chunk = match timeout(self.stall, self.response.chunk()).await {
            Ok(Ok(chunk)) => chunk,
            Ok(Err(error)) => {
                let problem = TransportProblem::Interrupted { reason: reason(&error) };
                return Err(transport(&self.url, problem));
            }
            Err(_) => {
                let problem = TransportProblem::Timeout { seconds: self.stall.as_secs() };
                return Err(transport(&self.url, problem));
            }
        };
        let length = chunk.as_ref().map_or(0, Bytes::len) as u64;
        if chunk.is_some() && self.pace.is_too_slow(start.elapsed(), length) {
            let minimum_rate = self.pace.minimum_rate;
            return Err(transport(&self.url, TransportProblem::Slow { minimum_rate }));
        }
        Ok(chunk)
    }
}

/// Bytes in a window of waiting. Only time spent waiting for the index counts, so that a consumer
/// that takes its time is not blamed on the index.
#[derive(Debug)]
struct Pace {
    minimum_rate: u64,
    window: Duration,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    fn is_too_slow(&mut self, waited: Duration, bytes: u64) -> bool {
        self.waited += waited;
        self.bytes += bytes;
        if self.waited < self.window {
            return false;
        }
        let needed = u128::from(self.minimum_rate) * self.waited.as_millis() / 1000;
        let slow = u128::from(self.bytes) < needed;
        (self.waited, self.bytes) = (Duration::ZERO, 0);
        slow
    }
}

fn transport(url: &Url, problem: TransportProblem) -> Error {
    Error::Transport { url: url.to_string(), problem }
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
        let pace =
            || Pace { minimum_rate: 10, window: 3 * second, waited: Duration::ZERO, bytes: 0 };
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
