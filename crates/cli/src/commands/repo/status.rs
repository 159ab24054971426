use std::process::ExitCode;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use waxseal_repository::database::{
    Catalog as _, HashListings as _, Journal as _, OfflineChanges as _, SqliteDatabase,
};
use waxseal_repository::store::FilesystemStore;
use waxseal_repository::{
    Due, HashAlgorithms, Layout, Listing, PublishedRole, RoleSigner, due, is_offline, is_within,
    published_roles,
};
use waxseal_tuf::RoleName;

use super::DataOption;
use crate::data_folder::{DataFolder, published_snapshot};
use crate::failure::Exit;
use crate::{expiry, output, waiting_change};

/// Show what is published, what waits, who signs each role and when it expires.
///
/// It only reads, and may run beside a server.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 nothing is due, 5 root, targets or bins expire within the days of \
                        --within, or any role has expired."
)]
pub(crate) struct Status {
    /// Days before root, targets or bins expire from which on that is due
    #[arg(long, value_name = "DAYS", default_value_t = 90)]
    within: u32,

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
    /// The algorithms whose digests every target lists.
    hash_algorithms: HashAlgorithms,
    /// Those with which targets are being listed anew.
    hash_algorithms_next: Option<HashAlgorithms>,
    /// Serial of the newest journal entry.
    journal_serial: u64,
    /// Serial up to which the journal is published.
    published_serial: u64,
    /// Projects that have files.
    projects: usize,
    /// The roles; all bins are one entry, that of the bin which expires first.
    roles: Vec<Role>,
    /// Files of a key ceremony that are not published yet, in their order.
    waiting_files: Vec<String>,
    /// What those wait for.
    waits_for: Option<String>,
    /// Whether something is due, as the exit code says.
    due: bool,
    /// What somebody has to do, and what else to know, in words.
    reminders: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Role {
    #[serde(rename = "role")]
    name: String,
    /// How many roles the entry stands for.
    count: usize,
    version: u64,
    expires: Timestamp,
    /// Whole days until then; below zero when it has expired.
    days_left: i64,
    expired: bool,
    /// Whether it is due, as the exit code says.
    due: bool,
    signed_by: SignedBy,
    /// The same for people.
    #[serde(skip)]
    shown_signer: String,
}

#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum SignedBy {
    /// People with a key each.
    Holders { threshold: u64, holders: Vec<Holder> },
    /// Keys that signed once and were discarded.
    OneTimeKeys { threshold: u64, keys: usize },
    /// The key of the snapshot process.
    OnlineKey { keyids: Vec<String> },
}

#[derive(Debug, Serialize)]
struct Holder {
    keyid: String,
    name: Option<String>,
}

impl Status {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let now = Timestamp::now();
        let report = self.report(now)?;
        let exit = if report.due { Exit::Due.into() } else { ExitCode::SUCCESS };
        match self.json {
            true => output::json(&report)?,
            false => show(report, now),
        }
        Ok(exit)
    }

    fn report(&self, now: Timestamp) -> anyhow::Result<Report> {
        let folder = DataFolder::open(&self.data.data)?;
        let mut tries = 3;
        loop {
            let (store, database) = folder.open_to_read()?;
            let report = Report::of(&folder, &store, &database, self.within, now)?;
            tries -= 1;
            // A server began meanwhile: what was read may be of two moments.
            if tries == 0 || !database.changed_while_read()? {
                return Ok(report);
            }
        }
    }
}

fn show(report: Report, now: Timestamp) {
    let waiting = report.journal_serial - report.published_serial.min(report.journal_serial);
    output::field("projects", &report.projects.to_string());
    output::field("layout", &report.layout.to_string());
    let listed = match report.hash_algorithms_next {
        None => report.hash_algorithms.to_string(),
        Some(next) => format!("{}, and {next} bin by bin", report.hash_algorithms),
    };
    output::field("hashes", &listed);
    let snapshot = match report.snapshot {
        Some(version) => format!("snapshot {version}, up to serial {}", report.published_serial),
        None => "nothing yet".to_owned(),
    };
    output::field("published", &snapshot);
    output::field("waiting", &format!("{waiting} journal entries"));
    if let Some(waits_for) = &report.waits_for {
        output::field("", &format!("{}, for {waits_for}", report.waiting_files.join(", ")));
    }
    let rows = report.roles.into_iter().map(|role| {
        let expires = role.expires.strftime("%Y-%m-%d %H:%M").to_string();
        let name = match role.count {
            1 => role.name,
            count => format!("{} (first of {count} bins)", role.name),
        };
        let left = remaining(role.expires, now);
        vec![name, role.version.to_string(), expires, left, role.shown_signer]
    });
    output::line("");
    output::table(&["role", "version", "expires (UTC)", "in", "signed by"], rows);
    for reminder in &report.reminders {
        output::warning(reminder);
    }
}

impl Report {
    fn of(
        folder: &DataFolder,
        store: &FilesystemStore,
        database: &SqliteDatabase,
        within: u32,
        now: Timestamp,
    ) -> anyhow::Result<Self> {
        let published = published_roles(store, database)?;
        let waiting = database.waiting_change()?;
        let is_due = |role: &PublishedRole| is_due(&role.name, role.expires, within, now);
        let reminders = published.iter().filter(|role| is_due(role)).filter_map(|role| {
            // Who asks for more days than the first reminder is told then.
            let due = due(&role.name, role.expires, now).max(Due::Early);
            let reminder = expiry::reminder(role, due, folder.path(), now)?;
            let next = waiting
                .iter()
                .find(|file| file.role == role.name && !is_due_at(file.expires, within, now));
            Some(match next {
                Some(next) => format!(
                    "{} has version {}, which clients take until {}; version {} waits to be published",
                    role.name,
                    role.version,
                    role.expires.strftime("%Y-%m-%d %H:%M UTC"),
                    next.version
                ),
                None => reminder,
            })
        });
        let reminders: Vec<_> = reminders.chain(outlived(&published)).collect();
        let snapshot = published_snapshot(database)?;
        // Recorded by the first process that publishes, as the layout is.
        let listing = match snapshot {
            Some(_) => database.listing()?,
            None => Listing { settled: folder.config()?.hash_algorithms, moving_to: None },
        };
        Ok(Self {
            hash_algorithms: listing.settled,
            hash_algorithms_next: listing.moving_to,
            snapshot,
            // Recorded by the first process that publishes.
            layout: database.layout()?.map_or_else(|| Ok(folder.config()?.layout), anyhow::Ok)?,
            journal_serial: database.last_serial()?,
            published_serial: database.published_serial()?,
            projects: database.project_names()?.len(),
            waits_for: waiting_change::waits_for(folder, &waiting),
            waiting_files: waiting_change::files(&waiting),
            due: published.iter().any(is_due),
            roles: published.iter().map(|role| Role::of(role, is_due(role), now)).collect(),
            reminders,
        })
    }
}

/// Whether the exit code tells of it: what the online key signs is due when it has expired.
fn is_due(role: &RoleName, expires: Timestamp, within: u32, now: Timestamp) -> bool {
    expires <= now || is_offline(role) && is_due_at(expires, within, now)
}

fn is_due_at(expires: Timestamp, within: u32, now: Timestamp) -> bool {
    is_within(within, expires, now)
}

/// Where timestamp outlives an offline role, its own date promises more than there is.
fn outlived(roles: &[PublishedRole]) -> Option<String> {
    let timestamp = roles.iter().find(|role| role.name.as_str() == RoleName::TIMESTAMP)?;
    let offline = roles.iter().filter(|role| is_offline(&role.name));
    let first = offline.min_by_key(|role| role.expires)?;
    (first.expires < timestamp.expires).then(|| {
        format!(
            "timestamp is signed until {}, and clients refuse the index from {} on, when {} expires",
            timestamp.expires.strftime("%Y-%m-%d %H:%M UTC"),
            first.expires.strftime("%Y-%m-%d %H:%M UTC"),
            first.name
        )
    })
}

impl Role {
    fn of(role: &PublishedRole, due: bool, now: Timestamp) -> Self {
        Self {
            name: role.name.to_string(),
            count: role.count,
            version: role.version,
            expires: role.expires,
            days_left: role.expires.duration_since(now).as_secs().div_euclid(24 * 60 * 60),
            expired: role.expires <= now,
            due,
            signed_by: SignedBy::of(&role.signer),
            shown_signer: expiry::signed_by(&role.signer),
        }
    }
}

impl SignedBy {
    fn of(signer: &RoleSigner) -> Self {
        match signer {
            RoleSigner::Holders { holders, threshold } => {
                let holders = holders.iter();
                let holders = holders
                    .map(|(keyid, name)| Holder { keyid: keyid.to_string(), name: name.clone() });
                Self::Holders { threshold: *threshold, holders: holders.collect() }
            }
            RoleSigner::OneTimeKeys { keys, threshold } => {
                Self::OneTimeKeys { threshold: *threshold, keys: *keys }
            }
            RoleSigner::OnlineKey { keyids } => {
                Self::OnlineKey { keyids: keyids.iter().map(ToString::to_string).collect() }
            }
        }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    fn role(name: &'static str, day: &str) -> PublishedRole {
        let expires = format!("{day}T00:00:00Z").parse().unwrap();
        let signer = RoleSigner::OneTimeKeys { keys: 2, threshold: 2 };
        PublishedRole { name: RoleName::from_static(name), count: 1, version: 1, expires, signer }
    }

    #[test]
    fn a_timestamp_that_outlives_an_offline_role_is_told() {
        let roles = |timestamp| {
            [role("root", "2030-02-01"), role("bins", "2030-01-05"), role("timestamp", timestamp)]
        };
        assert_eq!(outlived(&roles("2030-01-05")), None);
        let text = outlived(&roles("2030-01-06")).unwrap();
        assert!(text.contains("from 2030-01-05 00:00 UTC on, when bins expires"), "{text}");
    }

    #[test]
    fn the_exit_code_goes_by_the_days_that_were_asked_for() {
        let now: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
        let due = |name, day, within| {
            let PublishedRole { name, expires, .. } = role(name, day);
            is_due(&name, expires, within, now)
        };
        assert!(due("root", "2030-01-11", 10) && !due("root", "2030-01-11", 9));
        assert!(due("root", "2030-12-31", 400) && due("targets", "2029-12-31", 0));
        assert!(!due("timestamp", "2030-01-02", 400) && due("timestamp", "2030-01-01", 0));
    }
}
