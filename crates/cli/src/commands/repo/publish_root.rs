use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Timestamp;
use waxseal_repository::bins::Bins;
use waxseal_repository::ceremony::{Change, ChangedFile, NewDelegations, Stage};
use waxseal_repository::{Error, ForeignFile, Recovered, Repository};
use waxseal_tuf::RoleName;

use super::super::DataOption;
use crate::ceremony::bundle::{Bundle, Kind, read_bounded};
use crate::ceremony::current::claims;
use crate::ceremony::founding::{ONLINE_KEY, with_roots};
use crate::ceremony::plan_file::PlanFile;
use crate::data_folder::{DataFolder, sync_folder, write_private};
use crate::failure::{Exit, Failure};
use crate::host;
use crate::online_key;
use crate::output;
use crate::waiting_change;

/// How long a running server is waited for that may not have the new online key, in seconds.
const NEW_KEY_WAIT: u64 = 10;

/// Publish what a key ceremony made after the first: new roots, targets and bins.
///
/// It is checked as clients check it, and recorded; the server that runs publishes it within seconds, or
/// this command where none runs. At every moment clients find a valid index. With a new online key it is
/// published when waxseal.toml names that.
#[derive(Debug, clap::Args)]
pub(crate) struct PublishRoot {
    /// What the ceremony made for the server: `server-bundle.tar`
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,

    /// Roots with all their signatures, N.root.json, where those came after the ceremony, or root alone
    /// changes
    #[arg(value_name = "ROOT", required_unless_present_any = ["bundle", "withdraw"])]
    roots: Vec<PathBuf>,

    /// Give up what waits to be published, as long as nothing of its targets and bins is in the store
    #[arg(long, conflicts_with_all = ["bundle", "roots"])]
    withdraw: bool,

    /// After a compromise: step over whatever somebody else has written to the store, with versions above
    /// theirs. The server must be stopped, and what the ceremony made with --compromise be published
    #[arg(long, conflicts_with = "withdraw")]
    compromise: bool,

    /// How far versions are raised above those that are known of, for what a thief showed to clients alone
    #[arg(long, value_name = "VERSIONS", default_value_t = 1000, requires = "compromise")]
    raise: u64,

    /// How long a running server is waited for, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,

    #[command(flatten)]
    data: DataOption,
}

impl PublishRoot {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let folder = DataFolder::open(&self.data.data)?;
        let repository = match self.compromise {
            true => folder.repository_after_compromise()?,
            false => folder.repository()?,
        };
        if self.withdraw {
            return withdraw(&repository);
        }
        let roots = NewRoots { bundle: self.bundle.clone(), roots: self.roots.clone() };
        if self.compromise {
            published_after_compromise(&folder, &repository, &roots, self.raise, None)?;
            return published(&repository);
        }
        let online = repository.offline_roles()?.online_keys().to_vec();
        let Some(change) = roots.record(&folder, &repository)? else {
            let root = repository.offline_roles()?;
            let version = root.root().version;
            output::line(&format!("root version {version} is published already"));
            return Ok(ExitCode::SUCCESS);
        };
        let new_key = !change.after.online_keys().iter().any(|key| online.contains(key));
        match host::snapshot_process(&folder, Arc::clone(&repository)) {
            Ok(process) => process.publish_all(Timestamp::now())?,
            Err(error) => match error.downcast_ref::<Error>() {
                Some(Error::SecondWriter { .. }) => {
                    output::note("a server runs: it publishes what was recorded");
                    self.wait_for(&repository, new_key)?;
                }
                Some(Error::WrongOnlineKey { .. }) => {}
                _ => return Err(error.context("it was recorded, and cannot be published now")),
            },
        }
        let waiting = repository.database().waiting_change()?;
        match waiting.is_empty() {
            true => published(&repository),
            false => Err(still_waits(&folder, &change, &waiting).into()),
        }
    }

    fn wait_for(&self, repository: &Repository, new_key: bool) -> anyhow::Result<()> {
        // A server that was started before cannot have it.
        let wait = if new_key { self.wait.min(NEW_KEY_WAIT) } else { self.wait };
        let until = Instant::now() + Duration::from_secs(wait);
        while Instant::now() < until && !repository.database().waiting_change()?.is_empty() {
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

fn published(repository: &Repository) -> anyhow::Result<ExitCode> {
    let roles = repository.offline_roles()?;
    let root = roles.root();
    output::line(&format!(
        "root version {} is published; it expires on {}",
        root.version,
        root.expires.strftime("%Y-%m-%d")
    ));
    Ok(ExitCode::SUCCESS)
}

/// What records in the journal what is restored.
pub(in crate::commands) type RecordRestoration<'a> = &'a mut dyn FnMut() -> anyhow::Result<()>;

/// Publishes new roots after a compromise, and with them what is restored. The server is stopped; the same
/// again goes on where it was cut off.
pub(in crate::commands) fn published_after_compromise(
    folder: &DataFolder,
    repository: &Arc<Repository>,
    roots: &NewRoots,
    raise: u64,
    restore: Option<RecordRestoration<'_>>,
) -> anyhow::Result<()> {
    let bins = repository.bins();
    let Some(change) = roots.record(folder, repository)? else { return Ok(()) };
    if restore.is_some() {
        check_restorable(repository, &change, bins)?;
    }
    let waiting = || repository.database().waiting_change();
    if !has_key_of(folder, &change)? {
        // Nothing more is signed with a key that a thief has.
        return Err(still_waits(folder, &change, &waiting()?).into());
    }
    let process = match host::snapshot_process(folder, Arc::clone(repository)) {
        Ok(process) => process,
        Err(error) => match error.downcast_ref::<Error>() {
            Some(Error::WrongOnlineKey { .. }) => {
                return Err(still_waits(folder, &change, &waiting()?).into());
            }
            Some(Error::SecondWriter { .. }) => return Err(error),
            _ => return Err(error.context("it was recorded, and cannot be published now")),
        },
    };
    show(&process.recover(raise)?);
    if let Some(restore) = restore {
        restore()?;
    }
    process.publish_all(Timestamp::now())?;
    match waiting()? {
        waiting if waiting.is_empty() => Ok(()),
        waiting => Err(still_waits(folder, &change, &waiting).into()),
    }
}

/// What is restored is published in one snapshot, with the root that replaces the stolen keys and in the bins
/// that there are.
fn check_restorable(repository: &Repository, change: &Change, bins: Bins) -> anyhow::Result<()> {
    let replaces = |file: &ChangedFile| {
        file.stage == Stage::WithSnapshot && file.role.as_str() == RoleName::ROOT
    };
    let problem = if !change.files.iter().any(replaces) {
        "this ceremony was not held with --compromise: its first root trusts the old keys too"
    } else if change.after.bins().count() != bins.count() {
        "this ceremony changes the number of bins, in which nothing can be restored at the same time"
    } else {
        return Ok(());
    };
    repository.withdraw_change()?;
    Err(Failure::new(
        Exit::Usage,
        problem,
        "nothing was changed; hold it again, with --compromise and the number of bins that there is",
    )
    .into())
}

/// What a ceremony made after the first.
#[derive(Debug)]
pub(in crate::commands) struct NewRoots {
    /// `server-bundle.tar`.
    pub(in crate::commands) bundle: Option<PathBuf>,
    /// Roots with all their signatures, where those came after the ceremony, or root alone changes.
    pub(in crate::commands) roots: Vec<PathBuf>,
}

impl NewRoots {
    /// Checks what came, records it, and says what of it belongs into the configuration. `None`: its newest
    /// root is the published one.
    fn record(
        &self,
        folder: &DataFolder,
        repository: &Repository,
    ) -> anyhow::Result<Option<Change>> {
        let bundle = self.bundle.as_deref().map(Bundle::read).transpose()?;
        let recorded = self.check_and_record(folder, repository, bundle.as_ref())?;
        if let Some(bundle) = &bundle {
            compare_lifetimes(folder, bundle)?;
        }
        Ok(recorded)
    }

    /// Checks what came, records it, and puts the new online key where it belongs.
    /// `None`: its newest root is the published one.
    fn check_and_record(
        &self,
        folder: &DataFolder,
        repository: &Repository,
        bundle: Option<&Bundle>,
    ) -> anyhow::Result<Option<Change>> {
        let before = repository.offline_roles()?;
        if bundle.is_some_and(|bundle| bundle.kind == Kind::Everything) {
            return Err(Failure::new(
                Exit::Usage,
                "this bundle is for the safe: it has keys that a server must not see",
                "give the server the other one, server-bundle.tar, and put this one back",
            )
            .into());
        }
        let published = before.root().version;
        let in_bundle = bundle.and_then(|bundle| bundle.roots().into_values().next_back());
        let beside = bundle.and_then(|bundle| bundle.roots().remove(&published));
        if let Some(bytes) = beside
            && claims(bytes)? != **before.root()
        {
            return Err(Failure::new(
                Exit::Usage,
                format!("root version {published} in this bundle is not the published one"),
                "it was made from an older state of the index: hold the ceremony again with a new `waxseal \
                 ceremony export`",
            )
            .into());
        }
        let mut already = match in_bundle {
            Some(bytes) => claims(bytes)? == **before.root(),
            None => false,
        };
        let mut made = match bundle {
            Some(bundle) => bundle.ceremony(published),
            None => waxseal_repository::ceremony::Ceremony { roots: Vec::new(), delegations: None },
        };
        // Where they stay as they are, they are in the bundle nevertheless.
        let same = |new: &NewDelegations| {
            *new.targets == **before.targets().bytes() && *new.bins == **before.bins_role().bytes()
        };
        made.delegations = made.delegations.filter(|new| !same(new));
        let roots = self.roots.iter().map(|path| {
            read_bounded(path).with_context(|| format!("cannot read the root {}", path.display()))
        });
        let roots = roots.collect::<anyhow::Result<Vec<_>>>()?;
        let mut newer = Vec::new();
        for bytes in roots {
            let root = claims(&bytes)?;
            if root == **before.root() {
                already = true;
            }
            newer.extend((root.version > published).then_some(bytes));
        }
        let made = with_roots(made, &newer)?;
        if made.roots.is_empty() && already {
            return Ok(None);
        }
        if made.roots.is_empty() {
            return Err(Failure::new(
                Exit::Usage,
                format!("there is no root newer than the published one, version {published}"),
                "it may be published already: `waxseal repo status` says",
            )
            .into());
        }
        let change = repository
            .change_offline_roles(&made, Timestamp::now())
            .map_err(|error| refused(error, published))?;
        if let Some(key) = bundle.and_then(|bundle| bundle.get(ONLINE_KEY)) {
            let path = folder.online_key_file(&change);
            if !path.exists() {
                write_private(&path, key)
                    .with_context(|| format!("cannot write the online key {}", path.display()))?;
                sync_folder(&folder.keys())?;
            }
        }
        Ok(Some(change))
    }
}

/// Says which line to write where the plan of the ceremony has another lifetime of the online roles than the
/// server: that file is its operator's, as the line of the online key is.
fn compare_lifetimes(folder: &DataFolder, bundle: &Bundle) -> anyhow::Result<()> {
    let Some(plan) = bundle.get("plan.toml").map(PlanFile::from_bytes).transpose()? else {
        return Ok(());
    };
    let (planned, config) = (plan.online.valid_hours, folder.path().join("waxseal.toml"));
    let has = folder.config()?.online_lifetime_hours;
    if planned != has {
        output::warning(&format!(
            "the plan has online.valid-hours = {planned}, and the server {has}: write \
             `online-lifetime-hours = {planned}` into {}, and restart the server",
            config.display()
        ));
    }
    Ok(())
}

/// What to do where new roots cannot be published.
fn refused(error: Error, published: u64) -> anyhow::Error {
    use waxseal_repository::ceremony::ChangeError;
    use waxseal_tuf::Error as Refused;

    let hint = match &error {
        Error::Change(ChangeError::Refused(Refused::Signatures { .. })) => {
            "`waxseal sign show` says whose signatures are missing; what `waxseal sign combine` put together \
             is named after the bundle: `--bundle FILE signed/*.root.json`"
                .to_owned()
        }
        Error::Change(_) => format!(
            "root version {published} is published: if this was made before that, hold the ceremony again \
             with a new `waxseal ceremony export`"
        ),
        _ => return error.into(),
    };
    Failure::new(Exit::Failed, error.to_string(), hint).into()
}

fn still_waits(folder: &DataFolder, change: &Change, waiting: &[ChangedFile]) -> Failure {
    let files = waiting_change::files(waiting).join(", ");
    let problem = format!("recorded, and not published yet: {files}");
    let key = folder.online_key_file(change);
    let keyid = change.after.online_keys().first().map(ToString::to_string).unwrap_or_default();
    let config = folder.path().join("waxseal.toml");
    let hint = match key.is_file() {
        true => {
            let name = key.file_name().unwrap_or_default().display();
            format!(
                "it has a new online key: write `online-key = \
                 \"file:keys/{name}?passphrase-source=file:PATH\"` into {}, and restart the server or \
                 run this again",
                config.display()
            )
        }
        false => format!(
            "it has a new online key, {keyid}: name it as online-key in {}, and restart the server or \
             run this again; if waxseal.toml names it already, the server's log says what holds it up",
            config.display()
        ),
    };
    Failure::new(Exit::Failed, problem, hint)
}

/// Whether the configured online key is the one of the change.
fn has_key_of(folder: &DataFolder, change: &Change) -> anyhow::Result<bool> {
    let online = online_key::open(folder.path(), &folder.config()?)?;
    Ok(change.after.online_keys().contains(&online.public_key().default_keyid()))
}

/// What somebody else has written to the store.
fn show(found: &Recovered) {
    if let Some(version) = found.timestamp {
        output::warning(&format!(
            "timestamp.json was somebody else's, version {version}: it is replaced"
        ));
    }
    for ForeignFile { role, version, out_of_reach } in found.foreign.iter().take(20) {
        let far = if *out_of_reach { ", so high that it is left behind: removed" } else { "" };
        output::warning(&format!("{version}.{role}.json is not on record{far}"));
    }
    if found.foreign.len() > 20 {
        output::warning(&format!("and {} more", found.foreign.len() - 20));
    }
}

fn withdraw(repository: &Repository) -> anyhow::Result<ExitCode> {
    match repository.withdraw_change()? {
        true => {
            output::line("what waited is given up; roots that are published already stay");
            Ok(ExitCode::SUCCESS)
        }
        false => Err(Failure::new(
            Exit::Failed,
            "nothing was given up: nothing waits, or its snapshot has begun",
            "`waxseal repo status` says which; what has begun is published when the server runs",
        )
        .into()),
    }
}
