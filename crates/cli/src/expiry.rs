//! What people are told of roles that run out: by `repo status`, and in the log of a running server.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use waxseal_repository::{
    Due, PublishedRole, Repository, RoleSigner, due, is_offline, published_roles,
};
use waxseal_tuf::{KeyId, RoleName};

use crate::output;

/// How often a running server looks.
const LOOK: Duration = Duration::from_mins(10);

/// How often a server says the same again.
const REPEAT: SignedDuration = SignedDuration::from_hours(24);

/// `2 of Ada, Bob, Carol`, `2 one-time keys, discarded`, or `online key 1a2b3c4d`.
pub(crate) fn signed_by(signer: &RoleSigner) -> String {
    match signer {
        RoleSigner::Holders { holders, threshold } => {
            let names: Vec<_> = holders.iter().map(holder).collect();
            format!("{threshold} of {}", names.join(", "))
        }
        RoleSigner::OneTimeKeys { keys, .. } => format!("{keys} one-time keys, discarded"),
        RoleSigner::OnlineKey { keyids } => {
            let keyids: Vec<_> = keyids.iter().map(short).collect();
            format!("online key {}", keyids.join(", "))
        }
    }
}

fn holder((keyid, name): &(KeyId, Option<String>)) -> String {
    name.clone().unwrap_or_else(|| short(keyid))
}

fn short(keyid: &KeyId) -> String {
    keyid.as_str().chars().take(16).collect()
}

/// `in 364 days`, `in 23 hours`, or `3 days ago`.
pub(crate) fn distance(expires: Timestamp, now: Timestamp) -> String {
    let left = expires.duration_since(now);
    let text = match left.abs().as_hours() {
        hours if hours >= 48 => format!("{} days", hours / 24),
        hours if hours >= 1 => format!("{hours} hours"),
        _ => format!("{} minutes", left.abs().as_mins()),
    };
    if left > SignedDuration::ZERO { format!("in {text}") } else { format!("{text} ago") }
}

/// What is due of the role, and what is to be run for it; `None`: nothing. `due` is what to go by.
pub(crate) fn reminder(
    role: &PublishedRole,
    due: Due,
    data: &Path,
    now: Timestamp,
) -> Option<String> {
    let name = match role.count {
        1 => role.name.to_string(),
        _ => format!("{} and perhaps other bins", role.name),
    };
    let when = role.expires.strftime("%Y-%m-%d %H:%M UTC");
    let what = match due {
        Due::Later => return None,
        Due::Expired => format!(
            "{name} expired {} ({when}), and clients refuse the index",
            distance(role.expires, now)
        ),
        Due::Early | Due::Soon | Due::Urgent => {
            format!("{name} expires {} ({when})", distance(role.expires, now))
        }
    };
    if !is_offline(&role.name) {
        let serve = format!("`waxseal serve --data {}`", output::quoted_path(data));
        return Some(format!("{what}: a server that runs signs it again: {serve}"));
    }
    let people = match &role.signer {
        RoleSigner::Holders { .. } => {
            format!("{} have to sign the next one", signed_by(&role.signer))
        }
        _ => "it is signed again with new one-time keys".to_owned(),
    };
    Some(format!(
        "{what}: {people}, at a key ceremony (docs/key-ceremony.md), which begins with `waxseal ceremony \
         export --output public.tar --data {}`",
        output::quoted_path(data)
    ))
}

/// Says in the log what is due: at once, when it becomes more urgent, and once a day; until the task ends.
pub(crate) async fn watch(repository: Arc<Repository>, data: std::path::PathBuf) {
    let mut said = Said::default();
    loop {
        let repository = Arc::clone(&repository);
        let read = move || published_roles(repository.store(), repository.database());
        match tokio::task::spawn_blocking(read).await {
            Ok(Ok(roles)) => log(&roles, &mut said, &data, Timestamp::now()),
            Ok(Err(error)) => tracing::warn!("cannot tell which roles expire: {error}"),
            Err(_) => return,
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn log(roles: &[PublishedRole], said: &mut Said, data: &Path, now: Timestamp) {
    // Those of the online key are signed again by this very process, which says what keeps it from that.
    let offline = roles.iter().filter(|role| is_offline(&role.name));
    for role in offline {
        let due = due(&role.name, role.expires, now);
        if !said.is_to_say(&role.name, due, now) {
            continue;
        }
        match reminder(role, due, data, now) {
            Some(text) if due == Due::Expired => tracing::error!("{text}"),
            Some(text) => tracing::warn!("{text}"),
            None => {}
        }
    }
}

/// What was said of each role, and when.
#[derive(Debug, Default)]
struct Said(Vec<(RoleName, Due, Timestamp)>);

impl Said {
    /// Whether this is to be said now; then it counts as said.
    fn is_to_say(&mut self, role: &RoleName, due: Due, now: Timestamp) -> bool {
        let before = self.0.iter().find(|(name, ..)| name == role).map(|(_, due, at)| (*due, *at));
        let is_new = match before {
            // A clock that went back says it again, too.
            Some((said, at)) => due > said || now.duration_since(at).abs() >= REPEAT,
            None => true,
        };
        if due == Due::Later {
            self.0.retain(|(name, ..)| name != role);
            return false;
        }
        if is_new {
            self.0.retain(|(name, ..)| name != role);
            self.0.push((role.clone(), due, now));
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    const ROOT: RoleName = RoleName::from_static("root");

    fn at(hours: i64) -> Timestamp {
        let start: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
        start + SignedDuration::from_hours(hours)
    }

    fn root() -> PublishedRole {
        let key = |id: &str, name: Option<&str>| (KeyId::new(id), name.map(str::to_owned));
        let holders = vec![key("aa", Some("Ada")), key("bb", None)];
        PublishedRole {
            name: ROOT,
            count: 1,
            version: 3,
            expires: at(24 * 30),
            signer: RoleSigner::Holders { holders, threshold: 2 },
        }
    }

    #[test]
    fn the_log_says_it_at_the_start_at_each_limit_and_once_a_day() {
        let mut said = Said::default();
        let mut days = Vec::new();
        // Looked at every ten minutes for a hundred and one days.
        for step in 0..101 * 24 * 6 {
            let now = at(0) + SignedDuration::from_mins(10 * step);
            let due = due(&ROOT, at(100 * 24) - SignedDuration::from_hours(1), now);
            if said.is_to_say(&ROOT, due, now) {
                days.push((step / (24 * 6), due));
            }
        }
        let once_a_day: Vec<_> = days.iter().map(|(day, _)| *day).collect();
        // Limits are crossed at the same hour at which it was said the day before.
        assert_eq!(once_a_day, (9..=100).collect::<Vec<_>>());
        let first = |due| days.iter().find(|(_, said)| *said == due).map(|(day, _)| *day);
        let limits = [Due::Early, Due::Soon, Due::Urgent, Due::Expired].map(first);
        assert_eq!(limits, [9, 69, 92, 99].map(Some));
    }

    #[test]
    fn a_limit_that_is_crossed_is_said_at_once_and_a_renewal_forgets() {
        let mut said = Said::default();
        assert!(said.is_to_say(&ROOT, Due::Early, at(0)));
        assert!(!said.is_to_say(&ROOT, Due::Early, at(23)));
        assert!(said.is_to_say(&ROOT, Due::Soon, at(23)));
        assert!(!said.is_to_say(&ROOT, Due::Soon, at(24)));
        assert!(said.is_to_say(&RoleName::targets(), Due::Soon, at(24)));
        assert!(!said.is_to_say(&ROOT, Due::Later, at(25)));
        assert!(said.is_to_say(&ROOT, Due::Early, at(26)));
    }

    #[test]
    fn a_reminder_names_who_signs_and_what_to_run() {
        let text = |due, now| reminder(&root(), due, Path::new("my data"), now).unwrap_or_default();
        let soon = text(Due::Soon, at(0));
        assert!(soon.starts_with("root expires in 30 days (2030-01-31 00:00 UTC): 2 of Ada, bb "));
        assert!(soon.ends_with("`waxseal ceremony export --output public.tar --data 'my data'`"));
        let expired = text(Due::Expired, at(24 * 33));
        assert!(expired.starts_with("root expired 3 days ago"), "{expired}");
        assert_eq!(text(Due::Later, at(0)), "");
        let keyids = vec![KeyId::new("cc")];
        let snapshot = RoleName::from_static("snapshot");
        let online =
            PublishedRole { name: snapshot, signer: RoleSigner::OnlineKey { keyids }, ..root() };
        let text = reminder(&online, Due::Expired, Path::new("d"), at(24 * 31)).unwrap();
        assert!(text.contains("waxseal serve --data d") && !text.contains("ceremony"), "{text}");
    }
}
