//! When bins are signed again.

use jiff::{SignedDuration, Timestamp};

use crate::database::BinRow;

/// Most bins that are signed again in one batch while they are still valid: uploads wait for it.
const AHEAD: usize = 256;

/// The bins to sign, and when to look again.
#[derive(Debug)]
pub(crate) struct Due {
    pub(crate) bins: Vec<u32>,
    /// Before which no bin's time comes, whichever are signed meanwhile.
    pub(crate) next: Timestamp,
}

/// The bins to sign at the time `now`, whatever changes in them.
///
/// Those that were never signed or have expired, all of them: a snapshot without them would send clients
/// nowhere. And those whose time has come: each bin has its own moment between one and two thirds of its
/// lifetime, so that neither this process nor the caches of clients see a storm; at most [`AHEAD`] of
/// these.
pub(crate) fn due_bins(bins: &[BinRow], lifetime: SignedDuration, now: Timestamp) -> Due {
    let (lifetime, now) = (lifetime.as_secs(), now.as_second());
    let count = i64::try_from(bins.len()).unwrap_or(i64::MAX);
    // For a bin that is signed now or later the first third comes before its moment.
    let (mut due, mut ahead, mut next) = (Vec::new(), 0, now + lifetime / 3);
    for bin in bins {
        let Some(file) = bin.published else {
            due.push(bin.number);
            continue;
        };
        let expires = file.expires.as_second();
        let spread = i64::from(bin.number) * lifetime / (3 * count);
        // The first second in which less than this is left of it.
        let moment = expires - lifetime / 3 - spread + 1;
        let is_due = moment <= now;
        ahead += usize::from(is_due);
        match is_due && (expires <= now || ahead <= AHEAD) {
            true => due.push(bin.number),
            false => next = next.min(moment),
        }
    }
    let next = Timestamp::from_second(next).unwrap_or(Timestamp::MAX);
    Due { bins: due, next }
}

/// The bins to sign at the time `now` when space is short: none before one of them has a twelfth of its
/// lifetime left, and then all that would follow within about an hour, of a lifetime of a day. So what is
/// set aside lasts: little is written before it must be, and a snapshot comes with many of them.
pub(crate) fn last_moment(bins: &[BinRow], lifetime: SignedDuration, now: Timestamp) -> Vec<u32> {
    let left = |bin: &BinRow| match bin.published {
        Some(file) => file.expires.duration_since(now),
        None => SignedDuration::ZERO,
    };
    if !bins.iter().any(|bin| left(bin) < lifetime / 12) {
        return Vec::new();
    }
    bins.iter().filter(|bin| left(bin) < lifetime / 8).map(|bin| bin.number).collect()
}
