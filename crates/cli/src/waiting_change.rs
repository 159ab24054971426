//! What a key ceremony signed that is not published yet, and what it waits for.

use waxseal_repository::bins::Bins;
use waxseal_repository::ceremony::{BINS, ChangedFile};
use waxseal_signing::{Nobody, inspect};
use waxseal_tuf::KeyId;
use waxseal_tuf::metadata::{Targets, Unverified};

use crate::data_folder::DataFolder;

/// `2.root.json` and so on, in the order in which they will be published.
pub(crate) fn files(waiting: &[ChangedFile]) -> Vec<String> {
    waiting.iter().map(|file| format!("{}.{}.json", file.version, file.role)).collect()
}

/// Why the files are not published yet, as far as the configuration says; nobody is asked for a passphrase.
pub(crate) fn waits_for(folder: &DataFolder, waiting: &[ChangedFile]) -> Option<String> {
    let config = folder.path().join("waxseal.toml");
    let server = "a server that runs, which publishes it within seconds".to_owned();
    let keyids = match waiting.iter().find(|file| file.role == BINS) {
        Some(bins) => online_keyids(&bins.bytes),
        None if waiting.is_empty() => return None,
        None => return Some(server),
    };
    let wanted: Vec<_> = keyids.iter().map(ToString::to_string).collect();
    let wanted = wanted.join(" or ");
    Some(match named_in_config(folder) {
        Some(named) if keyids.contains(&named) => server,
        Some(named) => format!(
            "the online key {wanted}, which {} does not name: it names {named}; name the new one, and \
             restart the server",
            config.display()
        ),
        None => format!(
            "the online key {wanted}: {} has to name it, and the server to be restarted then",
            config.display()
        ),
    })
}

/// The key that the configuration names, where its public half can be read without a secret.
fn named_in_config(folder: &DataFolder) -> Option<KeyId> {
    let uri = folder.config().ok()?.online_key(folder.path()).ok()?;
    Some(inspect(&uri, &Nobody).ok()?.public_key?.default_keyid())
}

fn online_keyids(bins: &[u8]) -> Vec<KeyId> {
    let Ok(bins) = Unverified::<Targets>::parse(bins) else { return Vec::new() };
    let role = Bins::of(bins.claims()).map(|bins| bins.role(0));
    let delegations = bins.claims().delegations.as_ref().zip(role);
    let keys = delegations.and_then(|(delegations, role)| delegations.role_keys(&role));
    keys.map_or_else(Vec::new, |keys| keys.keyids.clone())
}
