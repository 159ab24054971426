//! A database that fails when it is told to: "failed", or "failed but persisted", as when the connection
//! breaks while it commits.

use std::error::Error as StdError;
use std::io;

use jiff::Timestamp;
use waxseal_repository::ceremony::ChangedFile;
use waxseal_repository::database::{
    Appended, AppendedRevocation, AppendedTargets, Batch, BinRow, Catalog, CatalogChange,
    Collecting, Database, Decision, Epoch, FileRow, HashListings, Hold, Holds, Journal, JournalRow,
    KeyUses, OfflineChanges, ProjectRow, Publication, Reservation, Restoration, Restorations,
    Revocable, Revocation, Revocations, RoleRow, SnapshotRow, TargetsAppend, TokenRow, TokenScope,
    TokenSecret, Tokens, UploadAppend, UploadEntry,
};
use waxseal_repository::key_use::{Head, KeyUse, Logged};
use waxseal_repository::{Error, Layout, Listing};
use waxseal_tuf::RoleName;
use waxseal_tuf::hash::{Sha256, Sha512};

use crate::faults::{Fault, Faults};

/// One database as one process opened it; the plan of its faults outlives it.
#[derive(Debug)]
pub struct FaultyDatabase {
    inner: Box<dyn Database>,
    faults: Faults,
}

impl FaultyDatabase {
    /// The database `inner`, which fails as `faults` says.
    pub fn new(inner: Box<dyn Database>, faults: Faults) -> Self {
        Self { inner, faults }
    }

    fn write<T>(
        &self,
        method: &'static str,
        write: impl FnOnce(&(dyn Database + 'static)) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.faults.finds_full(method) {
            return Err(failed(method, io::ErrorKind::StorageFull, "the disk is full"));
        }
        match self.faults.write(method) {
            None => write(&*self.inner),
            Some(fault @ (Fault::Nothing | Fault::FirstHalf)) => Err(failure(method, fault)),
            Some(fault @ (Fault::SecondHalf | Fault::All)) => {
                write(&*self.inner)?;
                Err(failure(method, fault))
            }
        }
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&(dyn Database + 'static)) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match self.faults.read() {
            false => read(&*self.inner),
            true => Err(failure("read", Fault::Nothing)),
        }
    }
}

fn failure(doing: &'static str, fault: Fault) -> Error {
    failed(doing, io::ErrorKind::TimedOut, &format!("{fault:?} done"))
}

fn failed(doing: &'static str, kind: io::ErrorKind, how: &str) -> Error {
    let source: Box<dyn StdError + Send + Sync> = Box::new(io::Error::from(kind));
    let full = kind == io::ErrorKind::StorageFull;
    Error::Database { doing, place: format!("under test ({how})"), full, source }
}

impl Journal for FaultyDatabase {
    fn append_uploads(&self, uploads: &[&UploadAppend]) -> Result<Vec<Appended>, Error> {
        self.write("append_uploads", |database| database.append_uploads(uploads))
    }

    fn append_upload(&self, upload: &UploadEntry, identity: &str) -> Result<Appended, Error> {
        self.write("append_upload", |database| database.append_upload(upload, identity))
    }

    fn claimed(&self, identity: &str) -> Result<Option<Appended>, Error> {
        self.read(|database| database.claimed(identity))
    }

    fn append_targets(&self, appends: &[TargetsAppend<'_>]) -> Result<Vec<AppendedTargets>, Error> {
        self.write("append_targets", |database| database.append_targets(appends))
    }

    fn waiting(&self, after: u64, limit: u64) -> Result<Vec<JournalRow>, Error> {
        self.read(|database| database.waiting(after, limit))
    }

    fn last_serial(&self) -> Result<u64, Error> {
        self.read(Journal::last_serial)
    }
}

impl Revocations for FaultyDatabase {
    fn append_revocation(
        &self,
        asked: &[Revocable],
        reason: &str,
    ) -> Result<AppendedRevocation, Error> {
        self.write("append_revocation", |database| database.append_revocation(asked, reason))
    }

    fn append_readmission(
        &self,
        asked: &[Revocable],
        reason: &str,
    ) -> Result<AppendedRevocation, Error> {
        self.write("append_readmission", |database| database.append_readmission(asked, reason))
    }

    fn revocation(&self, project: &str, identity: &str) -> Result<Option<Revocation>, Error> {
        self.read(|database| database.revocation(project, identity))
    }

    fn revocations(&self) -> Result<Vec<Revocation>, Error> {
        self.read(Revocations::revocations)
    }
}

impl Catalog for FaultyDatabase {
    fn project(&self, name: &str) -> Result<Option<ProjectRow>, Error> {
        self.read(|database| database.project(name))
    }

    fn project_names(&self) -> Result<Vec<String>, Error> {
        self.read(Catalog::project_names)
    }

    fn project_files(&self, name: &str) -> Result<Vec<FileRow>, Error> {
        self.read(|database| database.project_files(name))
    }

    fn project_file(&self, project: &str, filename: &str) -> Result<Option<FileRow>, Error> {
        self.read(|database| database.project_file(project, filename))
    }

    fn layout(&self) -> Result<Option<Layout>, Error> {
        self.read(Catalog::layout)
    }

    fn record_layout(&self, layout: Layout) -> Result<(), Error> {
        self.write("record_layout", |database| database.record_layout(layout))
    }

    fn record_first_roles(&self, roles: &[RoleRow]) -> Result<(), Error> {
        self.write("record_first_roles", |database| database.record_first_roles(roles))
    }

    fn role(&self, name: &RoleName) -> Result<Option<RoleRow>, Error> {
        self.read(|database| database.role(name))
    }

    fn roles(&self) -> Result<Vec<RoleRow>, Error> {
        self.read(Catalog::roles)
    }

    fn bin(&self, number: u32) -> Result<Option<BinRow>, Error> {
        self.read(|database| database.bin(number))
    }

    fn bins(&self) -> Result<Vec<BinRow>, Error> {
        self.read(Catalog::bins)
    }

    fn first_bin_expires(&self) -> Result<Option<Timestamp>, Error> {
        self.read(Catalog::first_bin_expires)
    }

    fn published_serial(&self) -> Result<u64, Error> {
        self.read(Catalog::published_serial)
    }

    fn imported_serial(&self) -> Result<u64, Error> {
        self.read(Catalog::imported_serial)
    }

    fn snapshot_of_serial(&self, serial: u64) -> Result<Option<u64>, Error> {
        self.read(|database| database.snapshot_of_serial(serial))
    }

    fn is_hosted(&self, project: &str) -> Result<bool, Error> {
        self.read(|database| database.is_hosted(project))
    }

    fn hosts_projects(&self) -> Result<bool, Error> {
        self.read(Catalog::hosts_projects)
    }
}

impl Publication for FaultyDatabase {
    fn take_over(&self) -> Result<Epoch, Error> {
        self.write("take_over", Publication::take_over)
    }

    fn batch(&self) -> Result<Option<Batch>, Error> {
        self.read(Publication::batch)
    }

    fn reserve(
        &self,
        epoch: Epoch,
        batch: &Reservation,
        uses: &[KeyUse],
    ) -> Result<Option<Head>, Error> {
        self.write("reserve", |database| database.reserve(epoch, batch, uses))
    }

    fn raise_versions(
        &self,
        epoch: Epoch,
        roles: &[(RoleName, u64)],
        bins: u64,
    ) -> Result<(), Error> {
        self.write("raise_versions", |database| database.raise_versions(epoch, roles, bins))
    }

    fn abandon(&self, epoch: Epoch) -> Result<(), Error> {
        self.write("abandon", |database| database.abandon(epoch))
    }

    fn decide(&self, epoch: Epoch, change: &CatalogChange, batch: &Decision) -> Result<(), Error> {
        self.write("decide", |database| database.decide(epoch, change, batch))
    }

    fn finish(&self, epoch: Epoch, batch: &Decision, now: Timestamp) -> Result<(), Error> {
        self.write("finish", |database| database.finish(epoch, batch, now))
    }

    fn snapshots_while(
        &self,
        more: &mut dyn FnMut(&SnapshotRow) -> bool,
    ) -> Result<Vec<SnapshotRow>, Error> {
        self.read(|database| database.snapshots_while(more))
    }
}

impl Restorations for FaultyDatabase {
    fn restoration(&self, plan: Sha256) -> Result<Option<u64>, Error> {
        self.read(|database| database.restoration(plan))
    }

    fn last_restoration(&self) -> Result<u64, Error> {
        self.read(Restorations::last_restoration)
    }

    fn append_restoration(&self, plan: Sha256, parts: &[Restoration]) -> Result<u64, Error> {
        self.write("append_restoration", |database| database.append_restoration(plan, parts))
    }
}

impl OfflineChanges for FaultyDatabase {
    fn record_change(&self, files: &[ChangedFile]) -> Result<(), Error> {
        self.write("record_change", |database| database.record_change(files))
    }

    fn waiting_change(&self) -> Result<Vec<ChangedFile>, Error> {
        self.read(OfflineChanges::waiting_change)
    }

    fn withdraw_change(&self) -> Result<bool, Error> {
        self.write("withdraw_change", OfflineChanges::withdraw_change)
    }

    fn root_published(&self, epoch: Epoch, root: &ChangedFile) -> Result<(), Error> {
        self.write("root_published", |database| database.root_published(epoch, root))
    }
}

impl KeyUses for FaultyDatabase {
    fn log_key_use(
        &self,
        epoch: Epoch,
        snapshot: u64,
        uses: &[KeyUse],
    ) -> Result<Option<Head>, Error> {
        self.write("log_key_use", |database| database.log_key_use(epoch, snapshot, uses))
    }

    fn key_use_head(&self) -> Result<Option<Head>, Error> {
        self.read(KeyUses::key_use_head)
    }

    fn key_uses(&self, after: u64) -> Result<Vec<Logged>, Error> {
        self.read(|database| database.key_uses(after))
    }
}

impl HashListings for FaultyDatabase {
    fn listing(&self) -> Result<Listing, Error> {
        self.read(HashListings::listing)
    }

    fn record_listing(&self, epoch: Epoch, listing: Listing) -> Result<(), Error> {
        self.write("record_listing", |database| database.record_listing(epoch, listing))
    }

    fn hashed(&self, bin: u32) -> Result<Vec<(Sha256, Sha512)>, Error> {
        self.read(|database| database.hashed(bin))
    }

    fn record_hashed(
        &self,
        epoch: Epoch,
        bin: u32,
        digests: &[(Sha256, Sha512)],
    ) -> Result<(), Error> {
        self.write("record_hashed", |database| database.record_hashed(epoch, bin, digests))
    }
}

impl Tokens for FaultyDatabase {
    fn create_token_for(
        &self,
        name: &str,
        scope: TokenScope,
    ) -> Result<(TokenRow, TokenSecret), Error> {
        self.write("create_token_for", |database| database.create_token_for(name, scope))
    }

    /// Counts as a read: what it writes may fail without anybody's noticing.
    fn authenticate(&self, text: &str) -> Result<Option<TokenRow>, Error> {
        self.read(|database| database.authenticate(text))
    }

    fn tokens(&self) -> Result<Vec<TokenRow>, Error> {
        self.read(Tokens::tokens)
    }

    fn revoke_token(&self, id_or_name: &str) -> Result<Option<TokenRow>, Error> {
        self.write("revoke_token", |database| database.revoke_token(id_or_name))
    }
}

impl Holds for FaultyDatabase {
    fn hold_objects(&self) -> Result<Hold, Error> {
        self.read(Holds::hold_objects)
    }

    fn collect_objects(&self) -> Result<Collecting, Error> {
        self.read(Holds::collect_objects)
    }
}
