//! Lies about where a body ends.

use waxseal_testkit::mirror::Change;

use super::{
    ALL, File, Refusal, Snapshot, Timestamp, Trial, Trials, but_not_the_true_file, refused,
};

fn framing(lengths: &[&str], chunked: bool) -> Change {
    Change::Framing { lengths: lengths.iter().map(ToString::to_string).collect(), chunked }
}

const NO_ANSWER: Refusal = ("unreachable", "cannot be reached");
const ENDLESS: Refusal = ("endless", "is longer than the");
const CUT_OFF: Refusal = ("interrupted", "was cut off");
const CHANGED: Refusal = ("changed", "bytes long");

#[tokio::test]
async fn lies_about_the_length_are_refused() {
    let trials = Trials::new(&ALL).await;
    for lengths in [&["-1"][..], &["99999999999999999999999"], &["5", "6"], &["5, 6"], &["0x10"]] {
        trials.refuse(|_| vec![framing(lengths, false)], |_| NO_ANSWER).await;
    }
    trials.refuse(|_| vec![Change::DropConnection], |_| NO_ANSWER).await;

    // Too long: refused before the body.
    for lengths in [&["1099511627776"][..], &["9223372036854775807", "9223372036854775807"]] {
        let refusal = |kind| if kind == File { CHANGED } else { ENDLESS };
        trials.refuse(|_| vec![framing(lengths, false)], refusal).await;
    }
    // Longer than the body. A snapshot is no longer than timestamp says.
    let refusal = |kind| match kind {
        File => CHANGED,
        Snapshot => ENDLESS,
        _ => CUT_OFF,
    };
    trials.refuse(|_| vec![Change::LieAboutLength(60_000)], refusal).await;
    // Shorter than the body.
    for length in ["0", "10"] {
        let refusal = |kind| if matches!(kind, Snapshot | File) { "changed" } else { "malformed" };
        trials.refuse(|_| vec![framing(&[length], false)], |kind| (refusal(kind), "")).await;
    }
}

#[tokio::test]
async fn a_file_that_lacks_its_last_byte_is_refused() {
    let changes = |_| vec![Change::Truncate(999_999), Change::LieAboutLength(1_000_000)];
    refused(&[File], changes, |_| CUT_OFF).await;
}

/// RFC 9112, section 6.3: chunks override a length, or the answer is refused. Both are right; what
/// may not be is a body that ends elsewhere.
#[tokio::test]
async fn chunks_win_over_a_length_and_hide_nothing() {
    let (spoilt, honest) = (Trials::new(&[File]).await, Trial::new(Timestamp).await);
    for lengths in [&["10"][..], &["99999999999"], &["5", "6"]] {
        let changes = |kind| but_not_the_true_file(kind, framing(lengths, true));
        spoilt.refuse(changes, |_| ("changed", "")).await;
        honest.prepare().await;
        honest.lie(&[framing(lengths, true)]);
        honest.call().await.unwrap();
        honest.world.mirror.honest();
    }
}
