//! A target file as it comes, checked on the way.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use waxseal_tuf::TargetCheck;

use crate::fetcher::{Body, Failure, Location, Pace, Source};
use crate::sources::Sources;
use crate::{Error, Located, Settings};

/// Bytes at the end of a file that are not handed out before the whole file is checked.
const WITHHELD: u64 = 64 << 10;

/// A file being fetched, a target or what a page vouches for. What it hands out is complete only if the
/// file is what metadata says: the last 64 KiB are withheld until length and digests were checked.
///
/// Bytes before that are unverified until the end, and an archive may end before the file does:
/// nothing of them may reach a program that reads archives until this has handed out the last.
///
/// A connection that breaks is made again, and the file goes on where it was, from another mirror if
/// there is one.
#[derive(Debug)]
pub struct Download {
    sources: Arc<Sources>,
    source: Arc<Source>,
    /// Whether bytes came from another source as well.
    mixed: bool,
    file: Located,
    location: Location,
    /// `None` between a body that broke and the next one.
    body: Option<Body>,
    resumes_left: usize,
    length: u64,
    state: State,
    held: VecDeque<Bytes>,
    held_bytes: u64,
}

#[derive(Debug)]
enum State {
    Checking(TargetCheck),
    Verified,
    Failed(Error),
}

impl Download {
    /// Asks for the file; `None` where no source has it.
    pub(crate) async fn open(
        sources: &Arc<Sources>,
        settings: &Settings,
        location: Location,
        file: &Located,
    ) -> Result<Option<Self>, Error> {
        let check = file.check()?;
        let length = check.missing();
        let state = State::Checking(check);
        let pace = Pace::new(settings.targets, length);
        let Some((source, body)) = sources.target(&location, 0, &pace).await? else {
            return Ok(None);
        };
        // Known before the first byte: not the file, or more than the file.
        if let Some(got) = body.announced().filter(|got| !file.may_have(*got)) {
            let (exact, name) = (file.length().is_some(), file.path().to_string());
            let error = waxseal_tuf::Error::Length { file: name, expected: length, exact, got };
            let error = file.blame(error.into(), &source.url_of(&location));
            sources.leave(&source, &error);
            return Err(error);
        }
        let resumes_left = settings.retries as usize + sources.count() - 1;
        let (sources, file) = (Arc::clone(sources), file.clone());
        let body = Some(body);
        let (held, held_bytes) = (VecDeque::new(), 0);
        Ok(Some(Self {
            sources,
            source,
            mixed: false,
            file,
            location,
            body,
            resumes_left,
            length,
            state,
            held,
            held_bytes,
        }))
    }

    /// The file's length in bytes; the most that it may have, where nothing vouches for the length.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The next bytes; `None` once all were handed out, and so were verified. After an error, the
    /// same error again.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(chunk) = self.release()? {
                return Ok(Some(chunk));
            }
            if matches!(self.state, State::Verified) {
                return Ok(None);
            }
            if let Err(error) = self.advance().await {
                let error = self.file.blame(error, &self.source.url_of(&self.location));
                // Of a mixture nobody knows who spoilt it; who sent its end was not left yet.
                if !self.mixed {
                    self.sources.leave(&self.source, &error);
                }
                self.held.clear();
                self.state = State::Failed(error);
            }
        }
    }

    /// What may be handed out by now.
    fn release(&mut self) -> Result<Option<Bytes>, Error> {
        let keep = match &self.state {
            State::Checking(_) => WITHHELD.min(self.length),
            State::Verified => 0,
            State::Failed(error) => return Err(error.clone()),
        };
        let Some(first) = self.held.front() else { return Ok(None) };
        let rest = self.held_bytes - first.len() as u64;
        if rest < keep {
            return Ok(None);
        }
        self.held_bytes = rest;
        Ok(self.held.pop_front())
    }

    async fn advance(&mut self) -> Result<(), Error> {
        let State::Checking(check) = &mut self.state else { return Ok(()) };
        let missing = check.missing();
        if missing > 0
            && let Some(body) = &mut self.body
        {
            match body.chunk().await {
                Ok(Some(chunk)) => {
                    check.update(&chunk)?;
                    self.held_bytes += chunk.len() as u64;
                    self.held.push_back(chunk);
                    return Ok(());
                }
                Ok(None) => {}
                Err(failure) => return self.resume(self.length - missing, failure).await,
            }
        }
        if let State::Checking(check) = std::mem::replace(&mut self.state, State::Verified) {
            check.finish()?;
        }
        Ok(())
    }

    /// Goes on at byte `from`: at the same source after what may pass, at the next one after what
    /// may not.
    async fn resume(&mut self, from: u64, failure: Failure) -> Result<(), Error> {
        let again = failure.again;
        let error = self.source.error(&self.location, failure.problem);
        let worth_it = self.resumes_left > 0 && (again || self.sources.count() > 1);
        let Some(body) = self.body.take().filter(|_| worth_it) else { return Err(error) };
        self.resumes_left -= 1;
        tracing::debug!(%error, from, "a file is resumed");
        if !again {
            self.sources.leave(&self.source, &error);
        }
        let next = self.sources.target(&self.location, from, &body.into_pace()).await?;
        let Some((source, body)) = next else { return Err(error) };
        self.mixed |= source.at != self.source.at;
        (self.source, self.body) = (source, Some(body));
        Ok(())
    }
}
