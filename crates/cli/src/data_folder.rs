//! The data folder of an index: configuration, keys, database and store.
//!
//! ```text
//! waxseal-data/
//!   waxseal.toml      configuration
//!   waxseal.sqlite    journal, catalog, tokens
//!   writer.lock       held by the one snapshot process
//!   store/            what clients download
//!   keys/             root keys (move them away), online key, upload token
//! ```

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;
use waxseal_client::Fingerprint;
use waxseal_repository::bins::Bins;
use waxseal_repository::ceremony::{self, Holder, OfflineLifetimes, OneTimeKeys, Plan, Signers};
use waxseal_repository::database::{Database, SqliteDatabase};
use waxseal_repository::store::{FilesystemStore, Store as _, StoreKey};
use waxseal_repository::{Repository, WriterLock};
use waxseal_signing::{PrivateKey, Scheme, create_key_file};
use waxseal_tuf::metadata::{Root, Targets, Unverified};
use waxseal_tuf::{PublicKey, RoleName, Signer};

use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::output;

/// How many root keys a quickstart makes, and how many of them must sign.
const ROOT_KEYS: usize = 3;
const ROOT_THRESHOLD: u64 = 2;

/// What the name of a folder begins with in which an index is made.
const CEREMONY: &str = ".waxseal-ceremony-";

/// The most bytes that a ceremony signs in one file.
const FOUNDED_LIMIT: u64 = 64 << 20;

/// What an index is made with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewIndex<'a> {
    pub(crate) founding: Founding<'a>,
    pub(crate) config: &'a Config,
    /// Whether it begins with a token for uploads, in a file among its keys.
    pub(crate) upload_token: bool,
}

/// Where root, targets and bins of a new index come from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Founding<'a> {
    /// A small ceremony, whose root keys are in files beside the index: for trials.
    Here { bins: Bins, online_key: &'a OnlineKey },
    /// A ceremony that was held elsewhere.
    Held {
        ceremony: &'a ceremony::Ceremony,
        /// The file of the online key, if it came with it.
        online_key: Option<&'a [u8]>,
    },
}

/// The online key of a new index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OnlineKey {
    /// One that is made, in a file among its keys.
    New(Scheme),
    /// One that is there, where the configuration says.
    There(PublicKey),
}

impl OnlineKey {
    /// How it signs.
    pub(crate) fn scheme(&self) -> &str {
        match self {
            Self::New(scheme) => scheme.name(),
            Self::There(key) => key.scheme().unwrap_or_default(),
        }
    }
}

/// When an index was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    /// Just now.
    Now,
    /// By a ceremony that was interrupted when it was complete; it may have been told otherwise.
    Finished,
    /// It was there.
    Before,
}

/// What the ceremony of an index made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Founded {
    /// Of root version 1.
    pub(crate) root_fingerprint: Fingerprint,
    pub(crate) root_expires: Timestamp,
    pub(crate) bins: u32,
    /// The scheme of the online key.
    pub(crate) online_key: String,
}

/// A folder that holds an index.
#[derive(Debug, Clone)]
pub(crate) struct DataFolder {
    path: PathBuf,
}

impl DataFolder {
    /// The index in `path`, or an error that says how to make one.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let this = Self { path: path.to_owned() };
        if this.config_file().is_file() {
            return Ok(this);
        }
        Err(Failure::new(
            Exit::Usage,
            format!("there is no index in {}: it has no waxseal.toml", path.display()),
            "name its folder with --data, or make one with `waxseal quickstart`",
        )
        .into())
    }

    /// The index in `path`; makes one where there is nothing.
    ///
    /// It is made aside and moved to its place, its configuration last, so that an interrupted ceremony
    /// leaves nothing that looks like an index. One that was interrupted before it was whole is removed:
    /// nobody can have trusted it. One that was whole is put in its place.
    pub(crate) fn open_or_create(path: &Path, new: &NewIndex<'_>) -> anyhow::Result<(Self, Made)> {
        let this = Self { path: path.to_owned() };
        if this.config_file().is_file() {
            return Ok((this, Made::Before));
        }
        // Before anything is changed, and below once more, when nobody else can be at it.
        Contents::of(path)?.check(path)?;
        make_folder(path).with_context(|| format!("cannot make the folder {}", path.display()))?;
        let _lock = this.lock()?;
        if this.config_file().is_file() {
            return Ok((this, Made::Before));
        }
        let contents = Contents::of(path)?;
        contents.check(path)?;
        let in_place = |made: Self| {
            let moved = made.move_to(path);
            moved.with_context(|| format!("cannot move the new index to {}", path.display()))
        };
        if let Some(whole) = contents.whole() {
            in_place(Self { path: whole.clone() })?;
            fs::remove_dir(whole)?;
            output::note(&format!(
                "the key ceremony that was interrupted in {} was complete: its index is in place now",
                path.display()
            ));
            return Ok((this, Made::Finished));
        }
        for unfinished in contents.ceremonies {
            fs::remove_dir_all(&unfinished)
                .with_context(|| format!("cannot remove {}", unfinished.display()))?;
            output::note(&format!(
                "removed {}, which a key ceremony left that was interrupted; its keys were never in use",
                unfinished.display()
            ));
        }
        let unfinished = tempfile::Builder::new()
            .prefix(CEREMONY)
            .tempdir_in(path)
            .with_context(|| format!("cannot make a folder in {}", path.display()))?;
        let made = Self { path: unfinished.path().to_owned() };
        made.create(new)?;
        in_place(made)?;
        Ok((this, Made::Now))
    }

    /// Moves what is in this folder to `path`: the configuration when all else is there for good.
    fn move_to(&self, path: &Path) -> io::Result<()> {
        let config = self.config_file();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.path() != config {
                fs::rename(entry.path(), path.join(entry.file_name()))?;
            }
        }
        sync_folder(path)?;
        fs::rename(&config, Self { path: path.to_owned() }.config_file())?;
        sync_folder(path)
    }

    fn create(&self, new: &NewIndex<'_>) -> anyhow::Result<()> {
        fs::DirBuilder::new().mode(0o700).create(self.keys())?;
        match new.founding {
            Founding::Here { bins, online_key } => {
                self.create_from(new, &self.hold_ceremony(bins, online_key)?)
            }
            Founding::Held { ceremony, online_key } => {
                if let Some(key) = online_key {
                    write_private(&self.keys().join("online.pem"), key)?;
                }
                self.create_from(new, ceremony)
            }
        }
    }

    /// Holds a ceremony whose root keys stay on this disk. The keys of targets and bins exist in
    /// memory only, and end with this function.
    fn hold_ceremony(
        &self,
        bins: Bins,
        online_key: &OnlineKey,
    ) -> anyhow::Result<ceremony::Ceremony> {
        let root = generate(ROOT_KEYS)?;
        for (number, key) in (1..).zip(&root) {
            create_key_file(&self.root_key(number), key, None)?;
        }
        let online = match online_key {
            OnlineKey::New(scheme) => {
                let key = PrivateKey::generate(*scheme)?;
                create_key_file(&self.keys().join("online.pem"), &key, None)?;
                key.public_key().clone()
            }
            OnlineKey::There(key) => key.clone(),
        };
        let (targets, one_time_bins) = (generate(2)?, generate(2)?);
        let holder = |(number, key): (usize, &PrivateKey)| Holder {
            name: format!("root-{number}"),
            key: key.public_key().clone(),
        };
        let plan = Plan {
            holders: (1..).zip(&root).map(holder).collect(),
            root_threshold: ROOT_THRESHOLD,
            online,
            bins,
            lifetimes: OfflineLifetimes::default(),
        };
        let one_time = OneTimeKeys { targets: &signers(&targets), bins: &signers(&one_time_bins) };
        let signers = Signers { root: &signers(&root), one_time: Some(one_time) };
        Ok(ceremony::perform(&plan, None, signers, Timestamp::now())?)
    }

    fn create_from(&self, new: &NewIndex<'_>, ceremony: &ceremony::Ceremony) -> anyhow::Result<()> {
        let store = FilesystemStore::open(self.store())?;
        let database = SqliteDatabase::open(self.database_file())?;
        let repository = Repository::create(Box::new(store), Box::new(database), ceremony)?;
        if new.upload_token {
            let (_, secret) = repository.database().create_token("quickstart")?;
            write_secret(&self.token_file(), secret.expose())?;
        }
        sync_folder(&self.keys())?;
        sync_folder(&self.path)?;
        // Where this is, all else is there for good.
        let mut file = tempfile::NamedTempFile::new_in(&self.path)?;
        file.write_all(new.config.to_toml()?.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist_noclobber(self.config_file())?;
        Ok(sync_folder(&self.path)?)
    }

    /// What its ceremony made, out of the signed files.
    pub(crate) fn founded(&self) -> anyhow::Result<Founded> {
        let store = FilesystemStore::open_to_read(self.store())?;
        let read = |role| -> anyhow::Result<Vec<u8>> {
            let key = StoreKey::Metadata { version: 1, role };
            let bytes = store.read(&key, FOUNDED_LIMIT)?;
            bytes.with_context(|| format!("{} is missing from the store", key.path()))
        };
        let bytes = read(RoleName::from_static(RoleName::ROOT))?;
        let root = Unverified::<Root>::parse(&bytes).context("1.root.json is damaged")?;
        let bins = read(ceremony::BINS)?;
        let bins = Unverified::<Targets>::parse(&bins).context("1.bins.json is damaged")?;
        let bins = Bins::of(bins.claims()).context("1.bins.json is not one of an index")?;
        let root = root.claims();
        let online = root.roles.timestamp.keyids.first().and_then(|id| root.keys.get(id));
        let online = online.and_then(PublicKey::scheme);
        Ok(Founded {
            root_fingerprint: Fingerprint::of(&bytes),
            root_expires: root.expires,
            bins: bins.count(),
            online_key: online.context("1.root.json has no online key")?.to_owned(),
        })
    }

    /// The index's configuration.
    pub(crate) fn config(&self) -> anyhow::Result<Config> {
        Config::read(&self.config_file())
    }

    /// Opens store and database.
    pub(crate) fn repository(&self) -> anyhow::Result<Arc<Repository>> {
        let reserve = u64::from(self.config()?.reserve_mebibytes) << 20;
        let store = FilesystemStore::open(self.store())?.with_reserve(reserve);
        Ok(Arc::new(Repository::open(Box::new(store), self.database()?)?))
    }

    /// The same where somebody else may have written to the store.
    pub(crate) fn repository_after_compromise(&self) -> anyhow::Result<Arc<Repository>> {
        let store = Box::new(FilesystemStore::open(self.store())?);
        Ok(Arc::new(Repository::open_after_compromise(store, self.database()?)?))
    }

    /// The fingerprint of root version 1, which clients compare once.
    pub(crate) fn root_fingerprint(&self) -> anyhow::Result<Fingerprint> {
        let key = StoreKey::Metadata { version: 1, role: RoleName::from_static(RoleName::ROOT) };
        let root = FilesystemStore::open_to_read(self.store())?.read(&key, 1 << 20)?;
        let root = root.ok_or_else(|| anyhow::anyhow!("1.root.json is missing from the store"))?;
        Ok(Fingerprint::of(&root))
    }

    /// Opens store and database to read them, and changes neither.
    pub(crate) fn open_to_read(&self) -> anyhow::Result<(FilesystemStore, SqliteDatabase)> {
        let store = FilesystemStore::open_to_read(self.store())?;
        self.check_database()?;
        Ok((store, SqliteDatabase::open_to_read(self.database_file())?))
    }

    /// Opens the database alone, which may be done beside a running server.
    pub(crate) fn database(&self) -> anyhow::Result<Box<dyn Database>> {
        self.check_database()?;
        Ok(Box::new(SqliteDatabase::open(self.database_file())?))
    }

    /// Opening makes a database where there is none; an empty one would pass for the index.
    fn check_database(&self) -> anyhow::Result<()> {
        let file = self.database_file();
        if fs::metadata(&file).is_ok_and(|is| is.len() > 0) {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Failed,
            format!("the database {} is missing, empty or cannot be looked at", file.display()),
            "put it back, with the files beside it, or restore the whole folder from one backup; \
             nothing was changed",
        )
        .into())
    }

    fn database_file(&self) -> PathBuf {
        self.path.join("waxseal.sqlite")
    }

    /// The right to write to the index.
    pub(crate) fn lock(&self) -> anyhow::Result<WriterLock> {
        Ok(WriterLock::acquire(&self.path.join("writer.lock"))?)
    }

    /// The upload token that a quickstart made, while it is there.
    pub(crate) fn quickstart_token(&self) -> Option<String> {
        fs::read_to_string(self.token_file()).ok().map(|token| token.trim().to_owned())
    }

    /// Whether root keys of a quickstart's ceremony are still here.
    pub(crate) fn has_root_keys(&self) -> bool {
        (1..=ROOT_KEYS).any(|number| self.root_key(number).exists())
    }

    fn root_key(&self, number: usize) -> PathBuf {
        self.keys().join(format!("root-{number}.pem"))
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of the keys.
    pub(crate) fn keys(&self) -> PathBuf {
        self.path.join("keys")
    }

    /// The file for the online key of a change of root, targets and bins.
    pub(crate) fn online_key_file(&self, change: &ceremony::Change) -> PathBuf {
        let keyid = change.after.online_keys().first().map(ToString::to_string).unwrap_or_default();
        self.keys().join(format!("online-{}.pem", keyid.get(..8).unwrap_or(&keyid)))
    }

    /// The folder of the store.
    pub(crate) fn store(&self) -> PathBuf {
        self.path.join("store")
    }

    fn config_file(&self) -> PathBuf {
        self.path.join("waxseal.toml")
    }

    fn token_file(&self) -> PathBuf {
        self.keys().join("upload-token")
    }
}

/// The version of the snapshot that clients find; `None` before the first.
pub(crate) fn published_snapshot(database: &dyn Database) -> anyhow::Result<Option<u64>> {
    let roles = database.roles()?.into_iter();
    let mut published = roles.filter(|row| row.published > 0);
    let snapshot = published.find(|row| row.name.as_str() == RoleName::SNAPSHOT);
    Ok(snapshot.map(|row| row.published))
}

fn generate(count: usize) -> anyhow::Result<Vec<PrivateKey>> {
    (0..count).map(|_| Ok(PrivateKey::generate(Scheme::Ed25519)?)).collect()
}

fn signers(keys: &[PrivateKey]) -> Vec<&dyn Signer> {
    keys.iter().map(|key| key as &dyn Signer).collect()
}

/// What is in a folder that is to hold an index and does not yet.
struct Contents {
    /// The folders of ceremonies that were interrupted.
    ceremonies: Vec<PathBuf>,
    /// The rest, but for the lock.
    others: Vec<OsString>,
}

impl Contents {
    fn of(path: &Path) -> anyhow::Result<Self> {
        let mut this = Self { ceremonies: Vec::new(), others: Vec::new() };
        let failed = || format!("cannot look into {}", path.display());
        let entries = match fs::read_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(this),
            entries => entries.with_context(failed)?,
        };
        for entry in entries {
            let entry = entry.with_context(failed)?;
            let name = entry.file_name();
            let is_folder = entry.file_type().with_context(failed)?.is_dir();
            match name.to_str() {
                Some(text) if text.starts_with(CEREMONY) && is_folder => {
                    this.ceremonies.push(entry.path());
                }
                Some("writer.lock") => {}
                _ => this.others.push(name),
            }
        }
        Ok(this)
    }

    /// The ceremony that was complete, if one was, and was or was not begun to be put in its place.
    fn whole(&self) -> Option<&PathBuf> {
        self.ceremonies.iter().find(|path| path.join("waxseal.toml").is_file())
    }

    /// Refuses a folder with files that no ceremony made.
    fn check(&self, path: &Path) -> Result<(), Failure> {
        let of_a_ceremony = |name: &OsString| {
            let known = name.to_str().is_some_and(|name| {
                ["keys", "store"].contains(&name) || name.starts_with("waxseal.sqlite")
            });
            self.whole().is_some_and(|whole| known && !whole.join(name).exists())
        };
        if self.others.iter().all(of_a_ceremony) {
            return Ok(());
        }
        let ceremony = match self.ceremonies.first() {
            Some(ceremony) => {
                format!(", beside {}, which an interrupted ceremony left", ceremony.display())
            }
            None => String::new(),
        };
        Err(Failure::new(
            Exit::Usage,
            format!("{} has files in it that are not an index{ceremony}", path.display()),
            "choose a folder that is empty or not there yet with --data; nothing was changed",
        ))
    }
}

/// Makes a folder and those it is in, so that a power cut leaves them there.
fn make_folder(path: &Path) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    let missing: Vec<_> = path.ancestors().take_while(|folder| !folder.exists()).collect();
    fs::create_dir_all(&path)?;
    missing.iter().rev().filter_map(|folder| folder.parent()).try_for_each(sync_folder)
}

pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

fn write_secret(path: &Path, secret: &str) -> anyhow::Result<()> {
    write_private(path, format!("{secret}\n").as_bytes())
}

/// Writes a new file for its owner alone, durable on return.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    Ok(file.sync_all()?)
}
