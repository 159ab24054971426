//! The contract of every database.

use std::any::Any;
use std::fmt;

use jiff::Timestamp;
use waxseal_tuf::RoleName;
use waxseal_tuf::hash::{Sha256, Sha512};

use super::batch::{Batch, CatalogChange, Decision, Epoch, Reservation, SnapshotRow};
use super::catalog::{BinRow, FileRow, ProjectRow, RoleRow};
use super::journal::{Appended, JournalRow, UploadAppend, UploadEntry};
use super::pending::{AppendedTargets, TargetsAppend};
use super::restoration::Restoration;
use super::revocation::{AppendedRevocation, Revocable, Revocation};
use super::token::{TokenRow, TokenScope, TokenSecret};
use crate::ceremony::ChangedFile;
use crate::hash_algorithms::Listing;
use crate::key_use::{Head, KeyUse, Logged};
use crate::{Error, Layout};

/// The contract of every database. One suite (`tests/it/database_contract/`) checks it on each.
///
/// - **One transaction**: what a method writes happens as a whole or not at all, whatever becomes of
///   the process meanwhile.
/// - **Durable on return**: when a method returns `Ok`, what it wrote survives a power cut.
/// - **A failure may hide a success**: after [`Error::Database`] the transaction was made or not, as
///   when a connection breaks while it commits; nothing in between. Every other error says that nothing
///   was written.
/// - **Repeatable**: whoever does not know whether a call was made can find out by reading, or make it
///   again: [`Journal::append_uploads`] answers [`Appended::Same`], [`Revocations::append_revocation`]
///   [`AppendedRevocation::Nothing`], [`Journal::append_targets`] with an
///   idempotency key [`AppendedTargets::Repeated`]; [`Publication::abandon`] with nothing reserved,
///   [`Catalog::record_first_roles`], [`Catalog::record_layout`] and [`Tokens::revoke_token`] change
///   nothing; [`Publication::reserve`], [`Publication::decide`] and [`Publication::finish`] are refused
///   the second time, and [`Publication::batch`] says how far they came; [`KeyUses::log_key_use`] records
///   a use a second time, which is no harm.
/// - **Committed states only**: a read sees one state, that of a moment between two transactions; it sees
///   what every call did that had returned before it began, in any process. It never waits for a writer.
/// - **Bounded**: another process is waited for as long as some bound says, and then it is
///   [`Error::Locked`], which names what is locked.
/// - **Fenced**: a step of the publication names its epoch; when a later one was taken it does nothing and
///   is [`Error::Fenced`], however long its process was stopped before.
///
/// Methods block. They may be called from many threads and from several processes on one database.
/// Methods of [`Publication`] that name an epoch exclude each other in whatever process.
pub trait Database:
    Journal
    + Revocations
    + Catalog
    + Publication
    + OfflineChanges
    + Restorations
    + KeyUses
    + HashListings
    + Tokens
    + Holds
    + Send
    + Sync
    + fmt::Debug
{
}

impl<T> Database for T where
    T: Journal
        + Revocations
        + Catalog
        + Publication
        + OfflineChanges
        + Restorations
        + KeyUses
        + HashListings
        + Tokens
        + Holds
        + Send
        + Sync
        + fmt::Debug
{
}

/// What was accepted, in the order in which it is published.
///
/// - **Gapless**: serials are 1, 2, 3 and so on, in the order of commits: whoever sees an entry has seen,
///   or can see, all before it. A refusal uses none.
/// - **Append-only**: an entry never changes and never goes away.
pub trait Journal {
    /// Records uploads, each unless its filename was used before, in one transaction and in their
    /// order; what became of each. Of many uploads of one identity at once one is [`Appended::New`].
    ///
    /// The files themselves must be in the store before: whoever reads an entry will publish it.
    fn append_uploads(&self, uploads: &[&UploadAppend]) -> Result<Vec<Appended>, Error>;

    /// Records one upload, as [`Journal::append_uploads`] does. `identity` is what makes two filenames
    /// one.
    fn append_upload(&self, upload: &UploadEntry, identity: &str) -> Result<Appended, Error>;

    /// The upload that has claimed a filename's identity: [`Appended::Taken`] before any bytes are
    /// read, unless it was revoked, so that a server can refuse early. Only [`Journal::append_uploads`] decides.
    fn claimed(&self, identity: &str) -> Result<Option<Appended>, Error>;

    /// Records entries that change targets, each unless something stands against it, in one transaction
    /// and in their order; what became of each. Targets that are published just as an entry adds them
    /// are left out of it.
    fn append_targets(&self, appends: &[TargetsAppend<'_>]) -> Result<Vec<AppendedTargets>, Error>;

    /// Up to `limit` entries after the serial `after`, in order; fewer when those have 16 MiB together,
    /// but one if there is one. [`Error::JournalCorrupt`] and [`Error::JournalUnknownKind`] when one of
    /// them cannot be read.
    fn waiting(&self, after: u64, limit: u64) -> Result<Vec<JournalRow>, Error>;

    /// The newest entry's serial; 0 when there is none.
    fn last_serial(&self) -> Result<u64, Error>;
}

/// What was revoked, and takes no upload until it is readmitted. Both are entries of the journal, which say
/// why; the journal's promises hold for them.
pub trait Revocations {
    /// Revokes all of it that was not revoked before, in one entry: nothing when one of them is unknown. With
    /// a project its files are revoked, those that wait as well.
    fn append_revocation(
        &self,
        asked: &[Revocable],
        reason: &str,
    ) -> Result<AppendedRevocation, Error>;

    /// Lets what was revoked be uploaded again, in one entry: files with the bytes that they had. With a
    /// project the files are readmitted that were revoked with it.
    fn append_readmission(
        &self,
        asked: &[Revocable],
        reason: &str,
    ) -> Result<AppendedRevocation, Error>;

    /// What stands against an upload: its file is revoked, by what makes two filenames one, or its project
    /// by its normalized name.
    fn revocation(&self, project: &str, identity: &str) -> Result<Option<Revocation>, Error>;

    /// All that is revoked, the oldest first.
    fn revocations(&self) -> Result<Vec<Revocation>, Error>;
}

/// What the journal adds up to, and what of it is published. Projects and files change when a batch is
/// decided, roles and bins when it is finished or abandoned.
pub trait Catalog {
    /// One project by its normalized name.
    fn project(&self, name: &str) -> Result<Option<ProjectRow>, Error>;

    /// The normalized names of all projects that have files, ordered by their bytes.
    fn project_names(&self) -> Result<Vec<String>, Error>;

    /// A project's files by its normalized name, ordered by the bytes of their filenames.
    fn project_files(&self, name: &str) -> Result<Vec<FileRow>, Error>;

    /// One file of a project by the project's normalized name and the file's own.
    fn project_file(&self, project: &str, filename: &str) -> Result<Option<FileRow>, Error>;

    /// The layout that the repository is written in; `None` before one was recorded.
    fn layout(&self) -> Result<Option<Layout>, Error>;

    /// Records the layout that the repository is written in from now on.
    fn record_layout(&self, layout: Layout) -> Result<(), Error>;

    /// Records the roles that a key ceremony signed, before the first batch; one that is recorded
    /// stays as it is.
    fn record_first_roles(&self, roles: &[RoleRow]) -> Result<(), Error>;

    /// A role that is not a bin.
    fn role(&self, name: &RoleName) -> Result<Option<RoleRow>, Error>;

    /// All roles that are not bins, ordered by name.
    fn roles(&self) -> Result<Vec<RoleRow>, Error>;

    /// A bin; `None` when it was never signed.
    fn bin(&self, number: u32) -> Result<Option<BinRow>, Error>;

    /// All bins that were ever signed, ordered by number.
    fn bins(&self) -> Result<Vec<BinRow>, Error>;

    /// When the first of the published bins expires; `None` while none is published.
    fn first_bin_expires(&self) -> Result<Option<Timestamp>, Error>;

    /// The serial up to which the journal is published; 0 when nothing is.
    fn published_serial(&self) -> Result<u64, Error>;

    /// The newest published serial that an import came after, decided or finished: what entries up to
    /// it changed, the import may have changed again. 0 when there was no import.
    fn imported_serial(&self) -> Result<u64, Error>;

    /// The version of the first snapshot that holds the journal up to `serial`; none while there is no
    /// such snapshot.
    fn snapshot_of_serial(&self, serial: u64) -> Result<Option<u64>, Error>;

    /// Whether files of the project with this normalized name were uploaded here.
    fn is_hosted(&self, project: &str) -> Result<bool, Error>;

    /// Whether files of any project were uploaded here.
    fn hosts_projects(&self) -> Result<bool, Error>;
}

/// The batch that is being published, and who may publish. There is one at most.
///
/// - **In order**: a batch is reserved, decided and finished, or reserved and abandoned; each step is
///   refused ([`Error::AlreadyReserved`], [`Error::NotReserved`]) where the one before it was not the last.
/// - **Versions only rise**: one that was reserved once is never reserved again, whatever became of it.
pub trait Publication {
    /// Becomes the writer: whoever was it before can record nothing any more.
    fn take_over(&self) -> Result<Epoch, Error>;

    /// The batch that is reserved or decided and not finished.
    fn batch(&self) -> Result<Option<Batch>, Error>;

    /// Uses up the versions of a batch, and adds to the log what the online key has signed of it
    /// ([`KeyUses`]); where that ends then. [`Error::AlreadyReserved`] when another one is not finished,
    /// [`Error::VersionUsed`] when one of them is used up.
    fn reserve(
        &self,
        epoch: Epoch,
        batch: &Reservation,
        uses: &[KeyUse],
    ) -> Result<Option<Head>, Error>;

    /// Uses up all versions of these roles up to those given, and of every bin up to `bins`. One that is used
    /// up already stays so.
    fn raise_versions(
        &self,
        epoch: Epoch,
        roles: &[(RoleName, u64)],
        bins: u64,
    ) -> Result<(), Error>;

    /// Gives up a batch that is reserved: its versions stay used up. Nothing happens when there is none,
    /// and to one that is decided.
    fn abandon(&self, epoch: Epoch) -> Result<(), Error>;

    /// Decides that the reserved batch is published, once its files are in the store: from then on
    /// readers of the catalog see it. [`Error::NotReserved`] when it is not the reserved one.
    fn decide(&self, epoch: Epoch, change: &CatalogChange, batch: &Decision) -> Result<(), Error>;

    /// Records that the decided batch is what clients find, since `now`.
    ///
    /// [`Error::NotReserved`] when the decided batch is not this one.
    fn finish(&self, epoch: Epoch, batch: &Decision, now: Timestamp) -> Result<(), Error>;

    /// The snapshots that were published, the newest first, with the first for which `more` says no.
    fn snapshots_while(
        &self,
        more: &mut dyn FnMut(&SnapshotRow) -> bool,
    ) -> Result<Vec<SnapshotRow>, Error>;
}

/// New files of root, targets and bins that a key ceremony signed, until they are published. There is one
/// change at most.
pub trait OfflineChanges {
    /// Records what is to be published. Nothing happens where just this waits already;
    /// [`Error::ChangeWaits`] where another change does.
    fn record_change(&self, files: &[ChangedFile]) -> Result<(), Error>;

    /// What is not published yet, in the order in which it will be.
    fn waiting_change(&self) -> Result<Vec<ChangedFile>, Error>;

    /// Gives up the change that waits, unless the snapshot that makes it is decided; whether it did. Roots
    /// that are published stay.
    fn withdraw_change(&self) -> Result<bool, Error>;

    /// Records that clients find this root, which waits no more. The files that go with a snapshot are
    /// recorded by [`Publication::finish`].
    fn root_published(&self, epoch: Epoch, root: &ChangedFile) -> Result<(), Error>;
}

/// What is restored after a compromise.
pub trait Restorations {
    /// The serial of the last entry of the restoration by this plan, the digest of which this is; `None`
    /// where it was not recorded.
    fn restoration(&self, plan: Sha256) -> Result<Option<u64>, Error>;

    /// The serial of the last entry of any restoration: all up to it is published as one snapshot. 0 when
    /// there was none.
    fn last_restoration(&self) -> Result<u64, Error>;

    /// Records the entries of a restoration in the journal, whatever stands against them there, in one
    /// transaction and in their order; the serial of the last. Nothing happens where this plan is recorded.
    fn append_restoration(&self, plan: Sha256, parts: &[Restoration]) -> Result<u64, Error>;
}

/// The log of the online key's use. It is written to by [`Publication::reserve`] too.
///
/// - **Gapless and chained**: records are numbered 1, 2, 3 and so on in the order of commits, and the hash
///   of each is [`Head::after`] the one before.
/// - **Append-only**: a record never changes and never goes away.
pub trait KeyUses {
    /// Adds records to the log, of the batch of this version of snapshot, and answers where it ends then;
    /// `None`: it is empty. [`Error::NotReserved`] when that batch is not the reserved one.
    fn log_key_use(
        &self,
        epoch: Epoch,
        snapshot: u64,
        uses: &[KeyUse],
    ) -> Result<Option<Head>, Error>;

    /// Where the log ends; `None`: it is empty.
    fn key_use_head(&self) -> Result<Option<Head>, Error>;

    /// Records after the number `after`, in the order of their numbers, as they stand there: some of
    /// them, and at least one where there is one.
    fn key_uses(&self, after: u64) -> Result<Vec<Logged>, Error>;
}

/// Which digests metadata lists, and what was hashed on the way from some to others.
pub trait HashListings {
    /// What targets list; SHA-256 alone where nothing else was recorded.
    fn listing(&self) -> Result<Listing, Error>;

    /// Records it. Where they are not being listed anew any more, what was hashed is forgotten.
    fn record_listing(&self, epoch: Epoch, listing: Listing) -> Result<(), Error>;

    /// What was hashed of the targets of a bin: two digests of the same bytes each. Bins may have had other
    /// numbers then.
    fn hashed(&self, bin: u32) -> Result<Vec<(Sha256, Sha512)>, Error>;

    /// Adds to what was hashed of a bin.
    fn record_hashed(
        &self,
        epoch: Epoch,
        bin: u32,
        digests: &[(Sha256, Sha512)],
    ) -> Result<(), Error>;
}

/// What twine and uv send as the password of `__token__`, and what programs bring to the API. The text
/// of a token is not in the database.
pub trait Tokens {
    /// Makes a token for uploads. [`Error::TokenName`] when the name is not usable or an active token
    /// has it.
    fn create_token(&self, name: &str) -> Result<(TokenRow, TokenSecret), Error> {
        self.create_token_for(name, TokenScope::Upload)
    }

    /// Makes a token for `scope`. [`Error::TokenName`] when the name is not usable or an active token
    /// has it.
    fn create_token_for(
        &self,
        name: &str,
        scope: TokenScope,
    ) -> Result<(TokenRow, TokenSecret), Error>;

    /// The active token with this text; `None` for any other text, whatever is wrong with it. That the
    /// token was used is recorded where that is possible: a full disk keeps nobody out.
    fn authenticate(&self, text: &str) -> Result<Option<TokenRow>, Error>;

    /// All tokens, revoked ones included, the oldest first.
    fn tokens(&self) -> Result<Vec<TokenRow>, Error>;

    /// Revokes the active token with this id, or else this name; `None` when there is none.
    fn revoke_token(&self, id_or_name: &str) -> Result<Option<TokenRow>, Error>;
}

/// Who makes objects in the store and who collects them.
///
/// Between the making of an object and the moment that something names it - the journal, or a snapshot -
/// it looks like garbage. So whoever makes one *holds* the objects meanwhile, and the collector removes
/// only while nobody does, after it has looked again. Any number hold at once, in any process. Both end
/// with the process, however it ends: a shared and an exclusive lock, such as those on files, or
/// PostgreSQL's advisory locks.
pub trait Holds {
    /// Holds the objects of the store. Waits for a collector that is removing some, a moment;
    /// [`Error::Locked`] when that lasts.
    fn hold_objects(&self) -> Result<Hold, Error>;

    /// Becomes the one who may remove objects; [`Error::Locked`] when somebody goes on holding them, as
    /// during the publication of a large batch. Those who want to hold wait a moment for a collector that waits,
    /// so that it is not passed by for ever.
    fn collect_objects(&self) -> Result<Collecting, Error>;
}

/// While it lives, no object is removed.
pub struct Hold {
    _guard: Box<dyn Any + Send + Sync>,
}

impl Hold {
    /// A hold that lasts as long as `guard` lives.
    pub fn new(guard: impl Any + Send + Sync) -> Self {
        Self { _guard: Box::new(guard) }
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hold")
    }
}

/// While it lives, nobody holds.
pub struct Collecting {
    _guard: Box<dyn Any + Send + Sync>,
}

impl Collecting {
    /// A right to remove that lasts as long as `guard` lives.
    pub fn new(guard: impl Any + Send + Sync) -> Self {
        Self { _guard: Box::new(guard) }
    }
}

impl fmt::Debug for Collecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collecting")
    }
}
