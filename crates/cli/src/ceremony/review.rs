//! What a key holder is shown before they sign.

use jiff::Timestamp;
use serde::Serialize;
use waxseal_repository::ceremony::review::{Named, Review, RoleChange, Step, Tally};

use super::sheet::both_forms;

/// A review as `--json` shows it.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    /// The version of the root that is trusted here; none at the first ceremony.
    trusted: Option<u64>,
    /// Whether every root has the signatures that clients ask for.
    complete: bool,
    roots: Vec<ShownRoot>,
}

#[derive(Debug, Serialize)]
struct ShownRoot {
    version: u64,
    expires: Timestamp,
    /// SHA-256 of what is signed.
    signed_sha256: String,
    roles: Vec<ShownRole>,
    signatures: Vec<ShownTally>,
}

#[derive(Debug, Serialize)]
struct ShownRole {
    role: &'static str,
    threshold_before: Option<u64>,
    threshold: u64,
    stay: Vec<ShownKey>,
    come: Vec<ShownKey>,
    go: Vec<ShownKey>,
}

#[derive(Debug, Serialize)]
struct ShownTally {
    /// The version of the root whose keys are counted.
    by_root: u64,
    threshold: u64,
    missing: u64,
    signed: Vec<ShownKey>,
    open: Vec<ShownKey>,
}

#[derive(Debug, Serialize)]
struct ShownKey {
    keyid: String,
    holder: Option<String>,
}

impl Shown {
    pub(crate) fn of(review: &Review) -> Self {
        let key = |named: &Named| ShownKey {
            keyid: named.keyid.to_string(),
            holder: named.holder.clone(),
        };
        let keys = |named: &[Named]| named.iter().map(key).collect::<Vec<_>>();
        let role = |change: &RoleChange| ShownRole {
            role: change.role,
            threshold_before: change.threshold.0,
            threshold: change.threshold.1,
            stay: keys(&change.stay),
            come: keys(&change.come),
            go: keys(&change.go),
        };
        let tally = |tally: &Tally| ShownTally {
            by_root: tally.by_root,
            threshold: tally.threshold,
            missing: tally.missing(),
            signed: keys(&tally.signed),
            open: keys(&tally.open),
        };
        let root = |step: &Step| ShownRoot {
            version: step.root().version,
            expires: step.root().expires,
            signed_sha256: step.signed.to_string(),
            roles: step.roles.iter().map(role).collect(),
            signatures: step.needed.iter().map(tally).collect(),
        };
        Self {
            trusted: review.trusted.as_ref().map(|trusted| trusted.version),
            complete: review.is_complete(),
            roots: review.steps.iter().map(root).collect(),
        }
    }
}

/// A review as people read it, against what they trust.
pub(crate) fn described(review: &Review) -> Vec<String> {
    let mut lines = Vec::new();
    match &review.trusted {
        Some(trusted) => lines.push(format!(
            "Compared with root version {}, which you trust (it expires on {}).",
            trusted.version,
            trusted.expires.strftime("%Y-%m-%d")
        )),
        None => lines.push(
            "There is no root that you trust yet. Compare every word below with the plan, and the digest \
             with the printed sheet and with the others."
                .to_owned(),
        ),
    }
    for step in &review.steps {
        describe(step, &mut lines);
    }
    lines
}

fn describe(step: &Step, lines: &mut Vec<String>) {
    let root = step.root();
    lines.push(String::new());
    lines.push(format!("Root version {}", root.version));
    let expires = root.expires.strftime("%Y-%m-%d %H:%M UTC");
    lines.push(match step.expired_before {
        Some(before) => format!("  expires    {expires} (before: {})", before.strftime("%Y-%m-%d")),
        None => format!("  expires    {expires}"),
    });
    for change in &step.roles {
        let threshold = match change.threshold {
            (Some(before), after) if before != after => {
                format!("{after} must sign (before: {before})")
            }
            (_, after) => format!("{after} must sign"),
        };
        let is_new = change.threshold.0.is_none();
        let same = if change.is_any() || is_new { "" } else { ", as before" };
        lines.push(format!("  {:<10} {threshold}{same}", change.role));
        let all = [("comes", &change.come), ("goes", &change.go), ("stays", &change.stay)];
        for (what, keys) in all {
            for key in keys.iter().filter(|_| what != "stays" || change.role == "root") {
                lines.push(format!("    {what:<6} {}", named(key)));
            }
        }
    }
    lines.push("  what is signed (SHA-256)".to_owned());
    lines.extend(both_forms(&step.signed.to_string()).into_iter().map(|line| format!("  {line}")));
    for tally in &step.needed {
        let keys = match tally.by_root == root.version {
            true => "its own holders".to_owned(),
            false => format!("the holders of root version {}", tally.by_root),
        };
        let missing = match tally.missing() {
            0 => "enough".to_owned(),
            missing => format!("{missing} missing"),
        };
        lines.push(format!(
            "  signatures {} of {} by {keys}: {missing}",
            tally.signed.len(),
            tally.threshold
        ));
        lines.extend(tally.signed.iter().map(|key| format!("    signed {}", named(key))));
        lines.extend(tally.open.iter().map(|key| format!("    open   {}", named(key))));
    }
}

/// Which signatures are missing, a line for each root and each that names the keys.
pub(crate) fn missing(review: &Review) -> Vec<String> {
    let mut lines = Vec::new();
    for step in &review.steps {
        for tally in step.needed.iter().filter(|tally| tally.missing() > 0) {
            let names: Vec<_> = tally.open.iter().map(short).collect();
            let line = format!(
                "{}.root.json: {} more of {}",
                step.root().version,
                tally.missing(),
                names.join(", ")
            );
            // Mostly the root before it asks for the same people.
            if lines.last() != Some(&line) {
                lines.push(line);
            }
        }
    }
    lines
}

fn named(key: &Named) -> String {
    let keyid = key.keyid.as_str();
    let short = keyid.get(..16).unwrap_or(keyid);
    match &key.holder {
        Some(holder) => format!("{holder} ({short})"),
        None => short.to_owned(),
    }
}

fn short(key: &Named) -> String {
    match &key.holder {
        Some(holder) => holder.clone(),
        None => key.keyid.as_str().chars().take(16).collect(),
    }
}
