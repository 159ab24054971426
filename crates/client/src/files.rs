//! The files of an index as they come: for those who look at all of them, such as an audit.

use std::sync::Arc;

use waxseal_tuf::MetadataFile;

use crate::fetcher::{Location, Pace};
use crate::sources::Sources;
use crate::{Error, IndexUrl, Settings};

/// An index's files, fetched within the deadlines and limits of a [`Client`](crate::Client) and verified
/// by nobody.
#[derive(Debug)]
pub struct Files {
    sources: Sources,
    settings: Arc<Settings>,
}

impl Files {
    /// The files of an index. Nothing is fetched yet.
    pub fn new(index: &IndexUrl, settings: Settings) -> Result<Self, Error> {
        let settings = Arc::new(settings);
        let sources = Sources::new(&index.into(), &settings)?;
        Ok(Self { sources, settings })
    }

    /// A metadata file; `None` where there is none.
    pub async fn metadata(&self, file: &MetadataFile) -> Result<Option<Vec<u8>>, Error> {
        self.metadata_with(file, Ok).await
    }

    /// What `check` makes of a metadata file; `None` where there is none. While it refuses what comes, as
    /// when a source fails, the next source is asked.
    pub async fn metadata_with<T>(
        &self,
        file: &MetadataFile,
        mut check: impl FnMut(Vec<u8>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let mut attempts = self.sources.attempts();
        loop {
            let fetched = attempts.source().metadata(file).await;
            match fetched.and_then(|bytes| bytes.map(&mut check).transpose()) {
                Err(error) if attempts.go_on_after(&error) => {}
                result => return result,
            }
        }
    }

    /// Hands the bytes of a target file to `take`, as they come, and answers how many there were; `None`
    /// where there is none. Of a file that goes on after `length` bytes it takes no more than one piece
    /// beyond those.
    pub async fn target(
        &self,
        location: &str,
        length: u64,
        mut take: impl FnMut(&[u8]),
    ) -> Result<Option<u64>, Error> {
        let location = Location::Target(location.to_owned());
        let (mut pace, mut got, mut tries) = (Pace::new(self.settings.targets, length), 0, 0);
        loop {
            let Some((source, mut body)) = self.sources.target(&location, got, &pace).await? else {
                return Ok(None);
            };
            let failure = loop {
                match body.chunk().await {
                    Ok(Some(bytes)) => {
                        got += bytes.len() as u64;
                        take(&bytes);
                        if got > length {
                            return Ok(Some(got));
                        }
                    }
                    Ok(None) => return Ok(Some(got)),
                    Err(failure) => break failure,
                }
            };
            pace = body.into_pace();
            if !failure.again || tries >= self.settings.retries {
                return Err(source.error(&location, failure.problem));
            }
            tries += 1;
        }
    }
}
