//! What every handler has at hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use waxseal_repository::Repository;

use crate::error::Error;
use crate::freshness;

/// Most bytes of bodies of the API that are in memory at a time, counted in units of so many.
const BODIES: usize = 64 << 20;
pub(crate) const BODIES_UNIT: u64 = 1 << 10;

/// How long a request of the API waits for its turn to be read.
pub(crate) const BODIES_WAIT: Duration = Duration::from_secs(10);

/// How the web side behaves. The defaults suit a private index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Most bytes of one uploaded file. PyPI's default is 100 MiB; some projects there have more.
    pub max_upload: u64,
    /// How long the answer to an upload waits until the snapshot that holds it is published, so
    /// that an installation right after it finds it. The upload is safe before that wait.
    pub publish_wait: Duration,
    /// How many uploads are read at the same time; more of them wait their turn. Together they
    /// may need this many times `max_upload` of disk before they are checked.
    pub concurrent_uploads: usize,
    /// How long an upload may send nothing before it is given up.
    pub upload_idle: Duration,
    /// The URL under which clients reach the index, without a `/` at its end, such as
    /// `https://pypi.example.org`. It stands in texts for people; none means that the `Host`
    /// header of the request is shown.
    pub base_url: Option<String>,
    /// How long a publication may take before `/readyz` says that the signing key or the disk is slow.
    pub slow_publication: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_upload: 1 << 30,
            publish_wait: Duration::from_secs(10),
            concurrent_uploads: 32,
            upload_idle: Duration::from_mins(1),
            base_url: None,
            slow_publication: Duration::from_secs(30),
        }
    }
}

/// The state of the web side. Cloning it is cheap, and clones share everything.
#[derive(Debug, Clone)]
pub struct AppState {
    pub(crate) repository: Arc<Repository>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) uploads: Arc<Semaphore>,
    pub(crate) bodies: Arc<Semaphore>,
    /// Whether nothing was expired once, so that a later failure to sign holds up publishing alone.
    was_fresh: Arc<AtomicBool>,
}

impl AppState {
    /// The web side of `repository`.
    pub fn new(repository: Arc<Repository>, settings: Settings) -> Self {
        let uploads = settings.concurrent_uploads.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            repository,
            settings: Arc::new(settings),
            uploads: Arc::new(Semaphore::new(uploads)),
            bodies: Arc::new(Semaphore::new(BODIES >> BODIES_UNIT.trailing_zeros())),
            was_fresh: Arc::default(),
        }
    }

    /// Whether all that was accepted is published, and nothing that the online key signs has expired.
    pub async fn is_up_to_date(&self) -> Result<bool, Error> {
        self.blocking(|repository| freshness::is_up_to_date(repository, Timestamp::now())).await
    }

    /// Uploads and changes are taken from when all is signed again that expired before the start, and
    /// then on; before, this is [`Error::NotSignedAgain`].
    pub(crate) async fn check_signed_again(&self) -> Result<(), Error> {
        if self.was_fresh.load(Ordering::Relaxed) {
            return Ok(());
        }
        let expired =
            self.blocking(|repository| freshness::is_online_expired(repository, Timestamp::now()));
        if expired.await? {
            return Err(Error::NotSignedAgain);
        }
        self.was_fresh.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Runs what blocks, such as anything of the repository, where it may.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Repository) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let repository = Arc::clone(&self.repository);
        match tokio::task::spawn_blocking(move || work(&repository)).await {
            Ok(result) => result,
            Err(panic) => Err(Error::internal(panic)),
        }
    }
}
