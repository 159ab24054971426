//! When bins are signed again.

use jiff::{SignedDuration, Timestamp};

use crate::database::BinRow;

/// Most bins that are signed again in one batch while they are still valid: uploads wait for it.
pub(crate) const AHEAD: usize = 256;

/// The same when space is short.
pub(crate) const AHEAD_WITHOUT_SPACE: usize = 8;

/// The bins to sign at the time `now`, whatever changes in them.
///
/// Those that were never signed or have expired, all of them: a snapshot without them would send clients
/// nowhere. And those whose time has come: each bin has its own moment between one and two thirds of its
/// lifetime, so that neither this process nor the caches of clients see a storm; at most `most` of these.
pub(crate) fn due_bins(
    bins: &[BinRow],
    lifetime: SignedDuration,
    now: Timestamp,
    most: usize,
) -> Vec<u32> {
    // Whole seconds: this looks at every bin, in each batch.
    let (lifetime, now) = (lifetime.as_secs(), now.as_second());
    let count = i64::try_from(bins.len()).unwrap_or(i64::MAX);
    let mut ahead = 0;
    let is_due = |bin: &&BinRow| {
        let Some(file) = bin.published else { return true };
        let remaining = file.expires.as_second() - now;
        let spread = i64::from(bin.number) * lifetime / (3 * count);
        let due = remaining < lifetime / 3 + spread;
        ahead += usize::from(due);
        due && (remaining <= 0 || ahead <= most)
    };
    bins.iter().filter(is_due).map(|bin| bin.number).collect()
}
