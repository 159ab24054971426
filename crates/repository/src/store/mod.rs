//! The store: what clients download, under the paths they download it from.
//!
//! [`Store`] is the contract; [`FilesystemStore`] and [`MemoryStore`] keep it. The keys are the
//! public paths, so that the base folder behind any web server, or a bucket behind a CDN, serves
//! clients without a process of ours on the read path.

mod filesystem;
mod gathered;
mod key;
mod memory;

use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::sync::Arc;

use jiff::Timestamp;
use tempfile::NamedTempFile;
use waxseal_tuf::RoleName;
use waxseal_tuf::hash::Sha256;

pub use filesystem::{FilesystemStore, RESERVE};
pub use key::{CachePolicy, StoreKey};
pub use memory::MemoryStore;

pub use crate::error::StoreError;

/// The contract of every store. One suite (`tests/it/contract.rs`) checks it on each.
///
/// - **Durable on return**: when a method returns `Ok`, what it did survives a power cut. No order
///   is promised between the parts of one call; two calls are ordered by the first one's return.
/// - **Create-only**: every object but `timestamp.json` is written once. Creating it again with the
///   same bytes is fine, and again durable on return; with other bytes it is
///   [`StoreError::Exists`] and the object stays as it was. Of many creators at once, those with
///   the winner's bytes succeed and all others fail.
/// - **Whole objects**: a reader finds an object complete or not at all, whatever happened to the
///   process that wrote it.
/// - **Compare-and-swap**: `timestamp.json` is replaced atomically, and only by a caller who knows
///   what it was.
/// - **Repeatable**: a call that failed may have done a part of its work; the same call made again
///   completes it. Resuming after a crash is therefore the normal path run once more.
/// - **Bounded**: another process that replaces `timestamp.json` is waited for as long as some bound
///   says, and then it is [`StoreError::Locked`].
///
/// Methods block. They may be called from many threads and from several processes on one store.
pub trait Store: Send + Sync + fmt::Debug {
    /// Creates all `objects`.
    fn create(&self, objects: &[Object<'_>]) -> Result<(), StoreError>;

    /// Begins to create objects that come one by one, as they are made. A store that can write each
    /// where it is at hand does better than the default, which gathers them for [`Store::create`].
    fn begin(&self) -> Result<Box<dyn Creation + '_>, StoreError> {
        Ok(Box::new(gathered::Gathered::new(self)))
    }

    /// Creates one object from a finished file, which [`Store::spool`] of this store gave, and the
    /// objects `beside` it.
    ///
    /// The bytes are taken from the file's beginning, wherever its cursor stands. The temporary
    /// file is gone afterwards, also when the call fails.
    fn create_from_file(
        &self,
        key: &StoreKey,
        file: NamedTempFile,
        beside: &[Object<'_>],
    ) -> Result<(), StoreError>;

    /// Makes each link's `to` another name of the object `from`, under the rules of `create`, without
    /// copying bytes through this process. [`StoreError::Missing`] when `from` is not there.
    fn link(&self, links: &[Link]) -> Result<(), StoreError>;

    /// Replaces `timestamp.json` if its digest is `expected` (`None`: if it is not there), else
    /// [`StoreError::Changed`]. This is the commit point of a snapshot.
    ///
    /// When it already is `bytes`, the call succeeds whatever `expected` says: it is the repetition
    /// of one that a crash interrupted.
    fn replace_timestamp(&self, expected: Option<Sha256>, bytes: &[u8]) -> Result<(), StoreError>;

    /// The object's bytes, or `None` when it is not there; [`StoreError::TooLarge`] when there are
    /// more than `limit`.
    fn read(&self, key: &StoreKey, limit: u64) -> Result<Option<Vec<u8>>, StoreError>;

    /// The object as a stream, or `None` when it is not there.
    fn open(&self, key: &StoreKey) -> Result<Option<OpenObject>, StoreError>;

    /// Removes objects; one that is not there is fine. `timestamp.json` and every version of root
    /// are [`StoreError::Refused`]: an index without them is lost to its clients.
    ///
    /// An object that others hold by `link` stays under their names.
    fn remove(&self, keys: &[StoreKey]) -> Result<(), StoreError>;

    /// Everything in one area, in no particular order and in bounded memory. What is created or
    /// removed meanwhile may be seen or not.
    fn list(&self, area: Area) -> Result<Listing<'_>, StoreError>;

    /// Sets space aside that uploads do not get, so that what is published can be kept fresh when the
    /// storage is full. Fails as any write does when there is not enough; then [`Store::has_reserve`]
    /// is `false`.
    fn set_reserve(&self) -> Result<(), StoreError>;

    /// Gives that space back to whoever writes next.
    fn use_reserve(&self) -> Result<(), StoreError>;

    /// Whether the space is set aside, or was never to be.
    fn has_reserve(&self) -> Result<bool, StoreError>;

    /// A new empty file to receive an upload, for [`Store::create_from_file`]. It is gone when
    /// dropped, and after a crash it is swept.
    fn spool(&self) -> Result<NamedTempFile, StoreError>;
}

/// Objects on their way into a store. Dropped before [`Creation::finish`], they leave nothing.
pub trait Creation: Send + Sync {
    /// Takes an object that is to be created, from any thread.
    fn add(&self, key: &StoreKey, bytes: &[u8]) -> Result<(), StoreError>;

    /// Creates all of them, under the rules of [`Store::create`].
    fn finish(self: Box<Self>) -> Result<(), StoreError>;
}

/// One object to create.
#[derive(Debug, Clone, Copy)]
pub struct Object<'a> {
    /// Where it goes.
    pub key: &'a StoreKey,
    /// What is in it.
    pub bytes: &'a [u8],
}

/// A second name for an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The name it has.
    pub from: StoreKey,
    /// The name it gets.
    pub to: StoreKey,
}

/// A part of the store that can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    /// `tuf/metadata/`
    Metadata,
    /// `tuf/targets/`
    Targets,
    /// `files/`
    Files,
}

impl Area {
    /// What the paths in this area begin with, the `/` included.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Metadata => "tuf/metadata/",
            Self::Targets => "tuf/targets/",
            Self::Files => "files/",
        }
    }
}

/// What [`Store::list`] gives.
pub type Listing<'a> = Box<dyn Iterator<Item = Result<Listed, StoreError>> + Send + 'a>;

/// One thing found in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its path below the store's base.
    pub path: String,
    /// Its key; `None` for something that this program did not put there.
    pub key: Option<StoreKey>,
    /// Its length in bytes.
    pub length: u64,
    /// When it was put there, or got another name; of whoever keeps the storage's clock.
    pub changed: Timestamp,
}

/// An object opened for reading, its cursor at the beginning.
#[derive(Debug)]
pub struct OpenObject {
    /// How many bytes it has. Objects do not change, so this stays true while it is read.
    pub length: u64,
    /// Its bytes.
    pub reader: ObjectReader,
}

/// The bytes of an object; `match` on it to hand a file to an asynchronous runtime.
#[derive(Debug)]
pub enum ObjectReader {
    /// A file on this machine.
    File(File),
    /// Bytes in memory.
    Memory(Cursor<Arc<[u8]>>),
}

impl Read for ObjectReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buffer),
            Self::Memory(cursor) => cursor.read(buffer),
        }
    }
}

impl Seek for ObjectReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::File(file) => file.seek(to),
            Self::Memory(cursor) => cursor.seek(to),
        }
    }
}

/// Refuses `timestamp.json` where objects are created: it has its own operation.
fn check_create_only(key: &StoreKey) -> Result<(), StoreError> {
    if *key != StoreKey::Timestamp {
        return Ok(());
    }
    let problem = "is written by replacing it only, so that nobody's newer one is lost";
    Err(StoreError::Refused { key: key.clone(), problem })
}

/// Refuses what an index cannot do without.
fn check_removable(key: &StoreKey) -> Result<(), StoreError> {
    let kept = match key {
        StoreKey::Timestamp => true,
        StoreKey::Metadata { role, .. } => role.as_str() == RoleName::ROOT,
        StoreKey::Target { .. } | StoreKey::File(_) => false,
    };
    if !kept {
        return Ok(());
    }
    let problem = "is never removed: clients need it to find everything else";
    Err(StoreError::Refused { key: key.clone(), problem })
}
