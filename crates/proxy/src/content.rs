//! Files on their way through the proxy: fetched once, verified, kept while there is room.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::stream::try_unfold;
use tokio::sync::watch;
use tokio::time::sleep;
use waxseal_client::{Client, Error, Located};
use waxseal_tuf::TargetPath;

use crate::{HearOfSlowFile, Settings, SlowFile};

/// Longest file held in memory; it is passed on only once it is verified. On a slow line it still
/// comes whole before pip gives up.
const SMALL: u64 = 512 << 10;

/// Bytes of an unverified file that are passed on at most. Tools stop reading at an archive's own end,
/// not at the file's, so whatever could be an archive is too much: a gzip header alone is 10 bytes, an
/// empty ZIP 22, an empty bzip2 14.
const HEARTBEATS: u64 = 9;

/// Bytes read from a temporary file at once.
const CHUNK: u64 = 128 << 10;

/// The files of a proxy's life, as many as there is room for.
#[derive(Debug)]
pub(crate) struct Contents {
    entries: Mutex<HashMap<TargetPath, Arc<Entry>>>,
    uses: AtomicU64,
    settings: Settings,
}

impl Contents {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { entries: Mutex::default(), uses: AtomicU64::new(0), settings }
    }

    /// The file, kept or being fetched from now on: requests for one file share one download, which
    /// goes on when they are gone. If this starts one, `refused` hears of its failure, whoever waits.
    pub(crate) fn obtain(
        &self,
        client: &Arc<Client>,
        file: &Located,
        refused: impl FnOnce(&Error) + Send + 'static,
    ) -> Arc<Entry> {
        let snapshot = client.refreshed().map(|refreshed| refreshed.snapshot);
        let used = self.uses.fetch_add(1, Ordering::Relaxed);
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get(file.path())
            && entry.file == *file
            && entry.is_usable(snapshot, self.settings.remember_refused)
        {
            entry.used.store(used, Ordering::Relaxed);
            return Arc::clone(entry);
        }
        let waited_for = WaitedFor::new(&self.settings);
        let entry = Entry::fetch(Arc::clone(client), file, snapshot, waited_for, refused);
        entry.used.store(used, Ordering::Relaxed);
        entries.insert(file.path().clone(), Arc::clone(&entry));
        make_room(&mut entries, self.settings.memory, Entry::is_small);
        make_room(&mut entries, self.settings.disk, |entry| !entry.is_small());
        entry
    }
}

/// Forgets the files that were not used for longest. Who reads one of them goes on; the newest file
/// stays, whatever its size.
fn make_room(
    entries: &mut HashMap<TargetPath, Arc<Entry>>,
    room: u64,
    counts: impl Fn(&Entry) -> bool,
) {
    let mut kept: Vec<_> = entries.values().filter(|entry| counts(entry)).cloned().collect();
    let mut total: u64 = kept.iter().map(|entry| entry.size()).sum();
    kept.sort_by_key(|entry| entry.used.load(Ordering::Relaxed));
    kept.pop();
    for entry in kept {
        if total <= room {
            return;
        }
        if entry.is_settled() {
            total = total.saturating_sub(entry.size());
            entries.remove(entry.file.path());
        }
    }
}

/// One file, from the first request on.
#[derive(Debug)]
pub(crate) struct Entry {
    file: Located,
    /// Version of the snapshot under which it was fetched.
    snapshot: Option<u64>,
    progress: watch::Receiver<Progress>,
    /// Whether an answer began before it was verified.
    streamed: AtomicBool,
    used: AtomicU64,
}

#[derive(Debug, Clone)]
enum Progress {
    Starting,
    /// So many bytes are in the file; they are not verified, and not all.
    Coming(Arc<File>, u64),
    Verified(Content),
    Refused(Error, Instant),
}

/// A verified file.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    Memory(Bytes),
    Disk(Arc<File>, u64),
}

impl Entry {
    fn fetch(
        client: Arc<Client>,
        file: &Located,
        snapshot: Option<u64>,
        waited_for: WaitedFor,
        refused: impl FnOnce(&Error) + Send + 'static,
    ) -> Arc<Self> {
        let (sender, progress) = watch::channel(Progress::Starting);
        let entry = Arc::new(Self {
            file: file.clone(),
            snapshot,
            progress,
            streamed: AtomicBool::new(false),
            used: AtomicU64::new(0),
        });
        let file = file.clone();
        tokio::spawn(async move {
            let fetched = match is_small(&file) {
                true => client.read_located(&file).await.map(Content::Memory),
                false => fetch_to_disk(&client, &file, &sender, waited_for).await,
            };
            sender.send_replace(match fetched {
                Ok(content) => Progress::Verified(content),
                Err(error) => {
                    // Before anybody sees the end of it, and also when nobody does.
                    refused(&error);
                    Progress::Refused(error, Instant::now())
                }
            });
        });
        entry
    }

    /// Waits until the file is verified or refused.
    pub(crate) async fn verified(&self) -> Result<Content, Error> {
        let mut progress = self.progress.clone();
        loop {
            match &*progress.borrow_and_update() {
                Progress::Verified(content) => return Ok(content.clone()),
                Progress::Refused(error, _) => return Err(error.clone()),
                Progress::Starting | Progress::Coming(..) => {}
            }
            progress.changed().await.map_err(|_| abandoned())?;
        }
    }

    /// Waits until a large file begins to come, so that a mirror which never answers is refused and
    /// not streamed; a small one is waited for until it is verified.
    pub(crate) async fn begun(&self) -> Result<(), Error> {
        let mut progress = self.progress.clone();
        loop {
            match &*progress.borrow_and_update() {
                Progress::Verified(_) | Progress::Coming(..) => return Ok(()),
                Progress::Refused(error, _) => return Err(error.clone()),
                Progress::Starting => {}
            }
            progress.changed().await.map_err(|_| abandoned())?;
        }
    }

    /// The whole file: until it is verified, its first few bytes, one `every` so long, so that the
    /// tool does not give up; then the rest at once. A file that is refused ends short.
    pub(crate) fn stream(&self, every: Duration) -> Body {
        self.streamed.store(true, Ordering::Relaxed);
        let start = Sending { progress: self.progress.clone(), sent: 0, every };
        Body::from_stream(try_unfold(start, Sending::next))
    }

    /// A refusal answers again only where its reader could not see the reason; and not after the
    /// index has changed.
    fn is_usable(&self, snapshot: Option<u64>, remember_refused: Duration) -> bool {
        match &*self.progress.borrow() {
            Progress::Verified(_) => true,
            Progress::Refused(_, at) => {
                let streamed = self.streamed.load(Ordering::Relaxed);
                streamed && at.elapsed() < remember_refused && snapshot == self.snapshot
            }
            // A fetch that died without a word is no use.
            Progress::Starting | Progress::Coming(..) => self.progress.has_changed().is_ok(),
        }
    }

    fn is_settled(&self) -> bool {
        matches!(&*self.progress.borrow(), Progress::Verified(_) | Progress::Refused(..))
    }

    fn is_small(&self) -> bool {
        is_small(&self.file)
    }

    /// Its length; of one whose length nothing vouches for, what it has once it is verified.
    fn size(&self) -> u64 {
        match (self.file.length(), &*self.progress.borrow()) {
            (Some(length), _) => length,
            (None, Progress::Verified(content)) => content.length(),
            (None, _) => 0,
        }
    }
}

/// Whether it is known to be small.
fn is_small(file: &Located) -> bool {
    file.length().is_some_and(|length| length <= SMALL)
}

/// An answer that began before its file was verified.
struct Sending {
    progress: watch::Receiver<Progress>,
    sent: u64,
    every: Duration,
}

impl Sending {
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        let mut beat = pin!(sleep(self.every));
        loop {
            let now = self.progress.borrow_and_update().clone();
            let coming = match now {
                Progress::Verified(content) => {
                    let chunk = content.read(self.sent, content.length()).await?;
                    return Ok(self.passed_on(chunk));
                }
                Progress::Refused(error, _) => return Err(io::Error::other(error)),
                Progress::Coming(file, written) => Some((file, written)),
                Progress::Starting => None,
            };
            let due = coming.filter(|(_, written)| self.sent < HEARTBEATS.min(*written));
            tokio::select! {
                biased;
                () = &mut beat, if due.is_some() => {
                    let Some((file, written)) = due else { continue };
                    let end = self.sent + 1;
                    let byte = Content::Disk(file, written).read(self.sent, end).await?;
                    return Ok(self.passed_on(byte));
                }
                changed = self.progress.changed() => {
                    changed.map_err(|_| io::Error::other(abandoned()))?;
                }
            }
        }
    }

    fn passed_on(mut self, chunk: Bytes) -> Option<(Bytes, Self)> {
        self.sent += chunk.len() as u64;
        (!chunk.is_empty()).then_some((chunk, self))
    }
}

impl Content {
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Disk(_, length) => *length,
        }
    }

    /// All of it, in memory.
    pub(crate) async fn bytes(&self) -> io::Result<Bytes> {
        if let Self::Memory(bytes) = self {
            return Ok(bytes.clone());
        }
        let mut bytes = BytesMut::new();
        loop {
            let chunk = self.read(bytes.len() as u64, self.length()).await?;
            if chunk.is_empty() {
                return Ok(bytes.freeze());
            }
            bytes.extend_from_slice(&chunk);
        }
    }

    /// The bytes from `first` to before `end`, which are within the file.
    pub(crate) fn body(self, first: u64, end: u64) -> Body {
        if let Self::Memory(bytes) = self {
            return Body::from(slice(&bytes, first, end));
        }
        Body::from_stream(try_unfold((self, first), move |(content, offset)| async move {
            let chunk = content.read(offset, end).await?;
            let next = offset + chunk.len() as u64;
            Ok::<_, io::Error>((!chunk.is_empty()).then_some((chunk, (content, next))))
        }))
    }

    /// Some bytes from `offset` on, not beyond `end`; none only at `end`.
    async fn read(&self, offset: u64, end: u64) -> io::Result<Bytes> {
        let wanted = end.saturating_sub(offset).min(CHUNK);
        match self {
            Self::Memory(bytes) => Ok(slice(bytes, offset, offset + wanted)),
            Self::Disk(..) if wanted == 0 => Ok(Bytes::new()),
            Self::Disk(file, _) => {
                let file = Arc::clone(file);
                let read = tokio::task::spawn_blocking(move || {
                    let mut buffer = vec![0; usize::try_from(wanted).unwrap_or_default()];
                    read_exact_at(&file, &mut buffer, offset)?;
                    Ok(Bytes::from(buffer))
                });
                read.await.map_err(io::Error::other)?
            }
        }
    }
}

/// Within bounds whatever is asked for.
fn slice(bytes: &Bytes, first: u64, end: u64) -> Bytes {
    let within = |at| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    let end = within(end);
    bytes.slice(within(first).min(end)..end)
}

/// Tells how far a file is that a tool waits for.
struct WaitedFor {
    slow_file: Option<Arc<HearOfSlowFile>>,
    next: Instant,
    every: Duration,
}

impl WaitedFor {
    fn new(settings: &Settings) -> Self {
        let next = Instant::now() + settings.stream_after;
        Self { slow_file: settings.slow_file.clone(), next, every: settings.heartbeat }
    }

    fn tell(&mut self, file: &Located, came: u64) {
        let now = Instant::now();
        if let Some(slow_file) = &self.slow_file
            && self.next <= now
        {
            self.next = now + self.every;
            slow_file(SlowFile { path: file.path(), came, length: file.length() });
        }
    }
}

/// Into a file of the cache, from where it is taken if it is there; or into one without a name.
async fn fetch_to_disk(
    client: &Client,
    file: &Located,
    progress: &watch::Sender<Progress>,
    mut waited_for: WaitedFor,
) -> Result<Content, Error> {
    if let Some(kept) = client.cached(file).await {
        let length = kept.metadata().map_err(|error| not_kept(&error))?.len();
        return Ok(Content::Disk(Arc::new(kept), length));
    }
    let mut download = client.download_located(file).await?;
    // The most that it may have is not set aside.
    let incoming = client.incoming(file.length().unwrap_or(0)).await;
    let incoming = incoming.map_err(|error| not_kept(&error))?;
    let (temporary, folder) = (Arc::clone(incoming.file()), incoming.folder());
    let mut written = 0;
    while let Some(chunk) = download.next().await? {
        written += chunk.len() as u64;
        let output = Arc::clone(&temporary);
        let write = move || io::Write::write_all(&mut &*output, &chunk);
        blocking(write).await.map_err(|error| not_kept_in(&folder, &error))?;
        waited_for.tell(file, written);
        // Complete only once verified, also for those who look at the very end.
        if written < download.length() {
            progress.send_replace(Progress::Coming(Arc::clone(&temporary), written));
        }
    }
    client.keep(file, incoming).await;
    Ok(Content::Disk(temporary, written))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other).flatten()
}

pub(crate) fn not_kept(error: &io::Error) -> Error {
    not_kept_in(&std::env::temp_dir(), error)
}

fn not_kept_in(folder: &Path, error: &io::Error) -> Error {
    let problem = format!("cannot keep a file while it is checked: {error}");
    Error::Disk { path: folder.to_owned(), problem }
}

fn abandoned() -> Error {
    waxseal_tuf::Error::Misuse { expected: "every fetch to end with a result" }.into()
}

#[cfg(unix)]
fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, buffer, offset)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer = &mut buffer[read..];
        offset += read as u64;
    }
    Ok(())
}
