use std::process::ExitCode;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use waxseal_repository::Layout;
use waxseal_repository::bins::{BinStyle, Bins};
use waxseal_repository::database::{Catalog as _, Journal as _, SqliteDatabase};

use super::DataOption;
use crate::data_folder::{DataFolder, published_snapshot};
use crate::output;

/// Show what is published, what waits, and when each role expires.
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// As JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    data: DataOption,
}

/// What `repo status --json` shows.
#[derive(Debug, Serialize)]
struct Report {
    /// Version of the published snapshot; none before the first.
    snapshot: Option<u64>,
    layout: Layout,
    /// Serial of the newest journal entry.
    journal_serial: u64,
    /// Serial up to which the journal is published.
    published_serial: u64,
    /// Projects that have files.
    projects: usize,
    /// The roles; all bins are one entry, that of the bin which expires first.
    roles: Vec<Role>,
}

#[derive(Debug, Serialize)]
struct Role {
    #[serde(rename = "role")]
    name: String,
    /// How many roles the entry stands for.
    count: usize,
    version: u64,
    expires: Timestamp,
    expired: bool,
}

impl Status {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let now = Timestamp::now();
        let report = self.report(now)?;
        if self.json {
            output::json(&report)?;
            return Ok(ExitCode::SUCCESS);
        }
        let waiting = report.journal_serial - report.published_serial.min(report.journal_serial);
        output::field("projects", &report.projects.to_string());
        output::field("layout", &report.layout.to_string());
        let snapshot = match report.snapshot {
            Some(version) => {
                format!("snapshot {version}, up to serial {}", report.published_serial)
            }
            None => "nothing yet".to_owned(),
        };
        output::field("published", &snapshot);
        output::field("waiting", &format!("{waiting} journal entries"));
        let rows = report.roles.into_iter().map(|role| {
            let expires = role.expires.strftime("%Y-%m-%d %H:%M").to_string();
            let name = match role.count {
                1 => role.name,
                count => format!("{} (first of {count} bins)", role.name),
            };
            vec![name, role.version.to_string(), expires, remaining(role.expires, now)]
        });
        output::line("");
        output::table(&["role", "version", "expires (UTC)", "in"], rows);
        Ok(ExitCode::SUCCESS)
    }

    fn report(&self, now: Timestamp) -> anyhow::Result<Report> {
        let folder = DataFolder::open(&self.data.data)?;
        let mut tries = 3;
        loop {
            let (_, database) = folder.open_to_read()?;
            let report = Report::of(&folder, &database, now)?;
            tries -= 1;
            // A server began meanwhile: what was read may be of two moments.
            if tries == 0 || !database.changed_while_read()? {
                return Ok(report);
            }
        }
    }
}

impl Report {
    fn of(folder: &DataFolder, database: &SqliteDatabase, now: Timestamp) -> anyhow::Result<Self> {
        let line = |name: String, count, version, expires| Role {
            name,
            count,
            version,
            expires,
            expired: expires <= now,
        };
        let published = database.roles()?.into_iter().filter(|row| row.published > 0);
        let mut roles: Vec<_> = published
            .map(|row| line(row.name.to_string(), 1, row.published, row.expires))
            .collect();
        let bins = database.bins()?;
        let files = bins.iter().filter_map(|bin| Some((bin.number, bin.published?)));
        if let Some((number, file)) = files.min_by_key(|(_, file)| file.expires) {
            // Bins are named alike in both styles.
            let name = Bins::new(bins.len() as u64, BinStyle::Succinct)?.role(number).to_string();
            roles.push(line(name, bins.len(), file.version, file.expires));
        }
        Ok(Self {
            snapshot: published_snapshot(database)?,
            // Recorded by the first process that publishes.
            layout: database.layout()?.map_or_else(|| Ok(folder.config()?.layout), anyhow::Ok)?,
            journal_serial: database.last_serial()?,
            published_serial: database.published_serial()?,
            projects: database.project_names()?.len(),
            roles,
        })
    }
}

/// `364 days`, `23 hours`, or `expired`.
fn remaining(expires: Timestamp, now: Timestamp) -> String {
    let left = expires.duration_since(now);
    match left.as_hours() {
        _ if left <= SignedDuration::ZERO => "expired".to_owned(),
        hours if hours >= 48 => format!("{} days", hours / 24),
        hours if hours >= 1 => format!("{hours} hours"),
        _ => format!("{} minutes", left.as_mins()),
    }
}
