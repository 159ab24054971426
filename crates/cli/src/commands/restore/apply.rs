use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use waxseal_repository::Repository;
use waxseal_repository::restore::{self, Restored};
use waxseal_repository::store::Store;
use waxseal_tuf::RoleName;

use super::super::DataOption;
use super::super::repo::{NewRoots, published_after_compromise};
use super::copies::CopiesOption;
use super::rehearsal::Rehearsal;
use super::{refused, text};
use crate::data_folder::DataFolder;
use crate::failure::{Exit, Failure};
use crate::host;
use crate::output;

/// Restore what is decided in a plan, under new keys: the five steps of PEP 458 after a compromise.
///
/// Files that are to come back come back, those that are to go are revoked, versions are raised above all that a
/// thief wrote, every bin is signed by the new online key, and all of it is one new snapshot with one new
/// root. The server must be stopped. A crash in the middle is gone on from by the same command.
#[derive(Debug, clap::Args)]
pub(crate) struct Apply {
    /// The plan of `waxseal restore plan`, with everything decided
    #[arg(value_name = "PLAN")]
    plan: PathBuf,

    /// What `waxseal ceremony perform --compromise` made for the server: `server-bundle.tar`
    #[arg(long, value_name = "FILE", required_unless_present = "keep_keys")]
    bundle: Option<PathBuf>,

    /// A root with all its signatures, where those came after the ceremony
    #[arg(long, value_name = "FILE", requires = "bundle")]
    root: Vec<PathBuf>,

    /// Sign with the keys that there are: where an upload token was stolen, and surely no key
    #[arg(long, conflicts_with = "bundle")]
    keep_keys: bool,

    #[command(flatten)]
    copies: CopiesOption,

    /// How far versions are raised above those that are known of, for what a thief showed to clients alone
    #[arg(long, value_name = "VERSIONS", default_value_t = 1000, conflicts_with = "keep_keys")]
    raise: u64,

    /// Do it on a copy of the data folder, audit that, and remove it again
    #[arg(long)]
    rehearse: bool,

    /// As JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    data: DataOption,
}

/// What was done.
#[derive(Debug, Serialize)]
struct Shown {
    /// Whether it was done on a copy alone.
    rehearsal: bool,
    restored: u64,
    removed: u64,
    kept: u64,
    snapshot: u64,
    root: u64,
    /// What the audit of the copy found.
    #[serde(skip_serializing_if = "Option::is_none")]
    findings: Option<u64>,
}

impl Apply {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let folder = DataFolder::open(&self.data.data)?;
        let plan = text::read(&self.plan)?;
        let (done, findings) = match self.rehearse {
            false => (self.apply(&folder, &plan)?, None),
            true => {
                let copy = Rehearsal::copy(&folder)?;
                let done =
                    self.apply(copy.folder(), &plan).map_err(|error| copy.of_index(error))?;
                let findings = copy.audit()?;
                (done, Some(findings))
            }
        };
        let Done { restored, snapshot, root } = done;
        let Restored { restored, removed, kept, .. } = restored;
        let rehearsal = self.rehearse;
        if self.json {
            output::json(&Shown { rehearsal, restored, removed, kept, snapshot, root, findings })?;
        } else {
            let place = if rehearsal { "on a copy, which is gone again: " } else { "" };
            output::line(&format!(
                "{place}{restored} files restored, {removed} removed, {kept} kept; snapshot {snapshot} and \
                 root {root} are published"
            ));
            let audit = output::own_command();
            output::note(&match findings {
                Some(0) => "the copy was audited: it is valid, and this can be done".to_owned(),
                Some(count) => {
                    format!("the audit of the copy found {count} things wrong: see above")
                }
                None => format!(
                    "start the server, and run `{audit} audit repo {}`",
                    output::quoted_path(folder.path())
                ),
            });
        }
        let valid = findings.is_none_or(|count| count == 0);
        Ok(if valid { ExitCode::SUCCESS } else { Exit::Findings.into() })
    }

    fn apply(&self, folder: &DataFolder, plan: &restore::Plan) -> anyhow::Result<Done> {
        let repository = match self.keep_keys {
            true => folder.repository()?,
            false => folder.repository_after_compromise()?,
        };
        let before = repository.check_restoration(plan).map_err(refused)?;
        let copies = self.copies.open()?;
        let copies = copies.stores();
        if self.keep_keys {
            let process = host::snapshot_process(folder, Arc::clone(&repository))?;
            let restored = restored(&repository, plan, &copies)?;
            process.publish_all(Timestamp::now())?;
            return Done::of(restored, &repository);
        }
        let roots = NewRoots { bundle: self.bundle.clone(), roots: self.root.clone() };
        let mut done = None;
        let mut restore = || {
            done = Some(restored(&repository, plan, &copies)?);
            Ok(())
        };
        let raise = self.raise;
        published_after_compromise(folder, &repository, &roots, raise, Some(&mut restore))?;
        let Some(restored) = done.or(before) else {
            return Err(Failure::new(
                Exit::Failed,
                "the root in this bundle is published already, and this plan was not applied with it",
                "make a new plan, and hold a ceremony for it; or `--keep-keys`, if none was stolen since",
            )
            .into());
        };
        Done::of(restored, &repository)
    }
}

/// What an index is afterwards.
struct Done {
    restored: Restored,
    /// The version of its snapshot.
    snapshot: u64,
    /// The version of its root.
    root: u64,
}

impl Done {
    fn of(restored: Restored, repository: &Repository) -> anyhow::Result<Self> {
        let snapshot = RoleName::from_static(RoleName::SNAPSHOT);
        let snapshot = repository.database().role(&snapshot)?.map_or(0, |row| row.published);
        Ok(Self { restored, snapshot, root: repository.offline_roles()?.root().version })
    }
}

fn restored(
    repository: &Repository,
    plan: &restore::Plan,
    copies: &[&dyn Store],
) -> anyhow::Result<Restored> {
    let bar = output::steps();
    bar.set_message("files");
    let restored = repository.restore(plan, copies, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    restored.map_err(refused)
}
