//! A target file as it comes, checked on the way.

use std::collections::VecDeque;

use bytes::Bytes;
use waxseal_tuf::{TargetCheck, TargetFile, TargetPath};

use crate::Error;
use crate::fetcher::Body;

/// Bytes at the end of a file that are not handed out before the whole file is checked.
const WITHHELD: u64 = 64 << 10;

/// A target file being fetched. What it hands out is complete only if the file is what metadata says:
/// the last 64 KiB are withheld until length and digests were checked.
///
/// Bytes before that are unverified until the end, and an archive may end before the file does:
/// nothing of them may reach a program that reads archives until this has handed out the last.
#[derive(Debug)]
pub struct Download {
    body: Body,
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
    pub(crate) fn new(body: Body, path: &TargetPath, file: &TargetFile) -> Result<Self, Error> {
        // Known before the first byte: not the file, or more than the file.
        if let Some(got) = body.announced().filter(|length| *length != file.length) {
            let (file, expected) = (path.to_string(), file.length);
            return Err(waxseal_tuf::Error::Length { file, expected, exact: true, got }.into());
        }
        let state = State::Checking(TargetCheck::new(path.clone(), file)?);
        Ok(Self { body, length: file.length, state, held: VecDeque::new(), held_bytes: 0 })
    }

    /// The file's length in bytes.
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
        if check.missing() > 0
            && let Some(chunk) = self.body.chunk().await?
        {
            check.update(&chunk)?;
            self.held_bytes += chunk.len() as u64;
            self.held.push_back(chunk);
            return Ok(());
        }
        if let State::Checking(check) = std::mem::replace(&mut self.state, State::Verified) {
            check.finish()?;
        }
        Ok(())
    }
}
