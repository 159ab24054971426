//! One file for each audit.

mod archive;
mod check;
mod compare;
mod keys;
mod pin;
mod place;
mod remote;
mod repo;
mod resume;

use std::path::Path;
use std::process::ExitCode;

use waxseal_repository::audit::Progress;
use waxseal_repository::database::SqliteDatabase;
use waxseal_repository::store::{FilesystemStore, Store as _, StoreKey};

use crate::data_folder::{DataFolder, published_snapshot};
use crate::failure::{Exit, Failure};
use crate::output;

pub(super) use pin::PinOptions;
pub(super) use place::Opened;

/// Prove that an index is whole.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Audit {
    Repo(repo::Repo),
    Compare(compare::Compare),
    Keys(keys::Keys),
    Archive(archive::Archive),
    Check(check::Check),
}

impl Audit {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Repo(repo) => repo.run(),
            Self::Compare(compare) => compare.run(),
            Self::Keys(keys) => keys.run(),
            Self::Archive(archive) => archive.run(),
            Self::Check(check) => check.run(),
        }
    }
}

/// Opens a store, and the database of its index where it is not a store alone, to read them.
fn open(folder: &Path) -> anyhow::Result<(FilesystemStore, Option<SqliteDatabase>)> {
    if folder.join("tuf/metadata").is_dir() {
        return Ok((FilesystemStore::open_to_read(folder)?, None));
    }
    // Its own error speaks of an option that these commands have not.
    let index = DataFolder::open(folder).map_err(|_| {
        Failure::new(
            Exit::Usage,
            format!(
                "there is no index in {}: it has neither waxseal.toml nor tuf/metadata",
                folder.display()
            ),
            "name the data folder of an index, or a store with tuf/metadata in it",
        )
    })?;
    let (store, database) = index.open_to_read()?;
    Ok((store, Some(database)))
}

/// A new index is not one that lost its files, nor one whose first snapshot clients see while the
/// database does not know it yet, as after a crash.
fn check_published(
    folder: &Path,
    store: &FilesystemStore,
    database: &SqliteDatabase,
) -> anyhow::Result<()> {
    if published_snapshot(database)?.is_some() || store.open(&StoreKey::Timestamp)?.is_some() {
        return Ok(());
    }
    let (waxseal, data) = (output::own_command(), output::quoted_path(folder));
    Err(Failure::new(
        Exit::Failed,
        format!("nothing is published yet in {}", folder.display()),
        format!(
            "`{waxseal} serve --data {data}` or `{waxseal} repo import --data {data} FILE` \
             publishes its first snapshot"
        ),
    )
    .into())
}

/// What was read of a database that a server opened meanwhile may be of two states.
fn check_unchanged(folder: &Path, database: Option<&SqliteDatabase>) -> anyhow::Result<()> {
    if !database.is_some_and(|database| database.changed_while_read().unwrap_or(true)) {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Failed,
        format!("{} was opened by a server during the audit", folder.display()),
        "audit again: beside a running server it reads what is committed",
    )
    .into())
}

/// Shows the progress of `work`, and takes it away.
fn with_progress<T>(work: impl FnOnce(&mut (dyn FnMut(Progress) + Send)) -> T) -> T {
    let bar = output::steps();
    let done = work(&mut |progress| {
        bar.set_length(progress.total.max(progress.done));
        bar.set_position(progress.done);
        bar.set_message(progress.what);
    });
    bar.finish_and_clear();
    done
}
