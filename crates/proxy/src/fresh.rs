//! When the metadata is refreshed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::time::timeout;
use url::Url;
use waxseal_client::{Client, Error, Located, TransportProblem};
use waxseal_tuf::TargetPath;

use crate::Settings;

/// The age below which metadata is not refreshed again because something was not found.
const NOT_FOUND_AGE: Duration = Duration::from_secs(3);

/// Time between two looks at whether something is signed.
const SIGNED_POLL: Duration = Duration::from_secs(1);

/// Metadata as fresh as the settings ask for.
#[derive(Debug)]
pub(crate) struct Fresh {
    client: Arc<Client>,
    settings: Settings,
    /// The last refresh, if it failed. Held while one runs: the others wait for its outcome.
    failed: Mutex<Option<(Instant, Error)>>,
}

impl Fresh {
    pub(crate) fn new(client: Arc<Client>, settings: Settings) -> Self {
        Self { client, settings, failed: Mutex::new(None) }
    }

    /// What metadata says about a file, be it a target or listed on a page. Before it is called absent,
    /// the index is asked once more, so that installing works at once after uploading.
    pub(crate) async fn locate(&self, path: &TargetPath) -> Result<Option<Located>, Error> {
        self.found(|| self.client.locate(path)).await
    }

    /// The same of a file that a page links to.
    pub(crate) async fn locate_link(&self, url: &Url) -> Result<Option<Located>, Error> {
        self.found(|| self.client.locate_link(url)).await
    }

    /// Waits for metadata to list one of `paths`, since the index hands it out at `served`, below its URL,
    /// already (PEP 458, "Producing Consistent Snapshots"). `None` where it does not do that, and an error
    /// after too long.
    pub(crate) async fn signed_soon(
        &self,
        paths: &[TargetPath],
        served: &str,
    ) -> Result<Option<Located>, Error> {
        let since = Instant::now();
        if !self.client.serves(served).await {
            return Ok(None);
        }
        tracing::warn!(
            "{served} is not signed yet: full protection is not yet available, but will be shortly; waiting"
        );
        while since.elapsed() < self.settings.wait_for_signature {
            tokio::time::sleep(SIGNED_POLL).await;
            self.refresh_if_older(SIGNED_POLL).await?;
            for path in paths {
                if let Some(found) = self.within(self.client.locate(path)).await? {
                    return Ok(Some(found));
                }
            }
        }
        Err(Error::NotYetSigned { path: served.to_owned() })
    }

    async fn found<F>(&self, locate: impl Fn() -> F) -> Result<Option<Located>, Error>
    where
        F: Future<Output = Result<Option<Located>, Error>>,
    {
        let max_age = self.settings.refresh_after.unwrap_or(Duration::MAX);
        self.refresh_if_older(max_age).await?;
        let found = self.within(locate()).await?;
        if found.is_some() || self.settings.refresh_after.is_none() {
            return Ok(found);
        }
        let snapshot = self.client.refreshed().map(|refreshed| refreshed.snapshot);
        self.refresh_if_older(NOT_FOUND_AGE).await?;
        if self.client.refreshed().map(|refreshed| refreshed.snapshot) == snapshot {
            return Ok(None);
        }
        self.within(locate()).await
    }

    pub(crate) async fn refresh_if_older(&self, max_age: Duration) -> Result<(), Error> {
        let mut failed = self.failed.lock().await;
        if let Some((at, error)) = &*failed
            && at.elapsed() < self.settings.remember_failure
        {
            return Err(error.clone());
        }
        let now = (self.settings.clock)();
        let refreshed = self.within(self.client.refresh_if_older(now, max_age)).await;
        *failed = refreshed.as_ref().err().map(|error| (Instant::now(), error.clone()));
        refreshed.map(|_| ())
    }

    /// The outcome, unless pip would give up before.
    pub(crate) async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let deadline = self.settings.answer_within;
        let too_late = |_| {
            let problem = TransportProblem::Timeout { seconds: deadline.as_secs() };
            Error::Transport { url: self.client.url().to_owned(), problem }
        };
        timeout(deadline, work).await.map_err(too_late)?
    }
}
