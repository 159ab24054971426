//! Which of several sources failed a short while ago, so that the next process does not wait for it again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

/// For how long a source that failed is not asked first.
const AVOIDED: Duration = Duration::from_mins(10);

/// A file with the sources that failed, by URL, and when. It is a hint: whatever goes wrong with it costs
/// the time to find out again.
#[derive(Debug, Default)]
pub(crate) struct Health {
    file: Option<PathBuf>,
    writing: Mutex<()>,
}

impl Health {
    /// In `file`; without one, as by default, nothing is remembered.
    pub(crate) fn new(file: Option<&Path>) -> Self {
        Self { file: file.map(Path::to_owned), writing: Mutex::default() }
    }

    /// The first of the sources that has not failed a short while ago; the first of all if every one has.
    pub(crate) fn first<'a>(&self, mut urls: impl Iterator<Item = &'a str>) -> usize {
        let failed = self.read(Timestamp::now());
        if failed.is_empty() {
            return 0;
        }
        let first = urls.position(|url| !failed.contains_key(url)).unwrap_or_default();
        if first > 0 {
            tracing::debug!("not asked first, since they failed within {AVOIDED:?}: {failed:?}");
        }
        first
    }

    /// Remembers that a source failed now.
    pub(crate) fn failed(&self, url: &str) {
        let Some(file) = &self.file else { return };
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Timestamp::now();
        let mut failed = self.read(now);
        failed.insert(url.to_owned(), now);
        if let Err(error) = write(file, &failed) {
            tracing::debug!("{} cannot be written: {error}", file.display());
        }
    }

    /// Those that failed a short while before `now`.
    fn read(&self, now: Timestamp) -> BTreeMap<String, Timestamp> {
        let bytes = self.file.as_ref().and_then(|file| fs::read(file).ok());
        let failed = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let mut failed: BTreeMap<String, Timestamp> = failed.unwrap_or_default();
        // One from the future is a wrong clock's.
        failed.retain(|_, when| *when <= now && *when + AVOIDED > now);
        failed
    }
}

fn write(file: &Path, failed: &BTreeMap<String, Timestamp>) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut aside = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer(&mut aside, failed)?;
    aside.persist(file).map(|_| ()).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    const URLS: [&str; 3] = ["http://a/", "http://b/", "http://c/"];

    #[test]
    fn a_source_that_failed_is_not_asked_first_for_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new/health.json");
        let health = Health::new(Some(&file));
        assert_eq!(health.first(URLS.into_iter()), 0);
        health.failed(URLS[0]);
        health.failed(URLS[1]);
        // As another process sees it.
        let health = Health::new(Some(&file));
        assert_eq!(health.first(URLS.into_iter()), 2);
        let later = Timestamp::now() + AVOIDED;
        assert!(health.read(later).is_empty());
        health.failed(URLS[2]);
        assert_eq!(health.first(URLS.into_iter()), 0, "every one failed");
    }

    #[test]
    fn a_damaged_file_and_one_of_a_wrong_clock_say_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("health.json");
        let health = Health::new(Some(&file));
        for text in ["", "[]", "{\"http://a/\": \"2999-01-01T00:00:00Z\"}", "{\"http://a/\": 1}"] {
            fs::write(&file, text).unwrap();
            assert_eq!(health.first(URLS.into_iter()), 0, "{text}");
        }
    }
}
