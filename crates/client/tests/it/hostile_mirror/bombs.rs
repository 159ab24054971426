//! Bodies that are small on the way and large when they are decoded.

use waxseal_testkit::mirror::{Bomb, Change, Flood};

use super::{Bin, File, FirstRoot, Kind, METADATA, Root, Snapshot, Targets, Timestamp};
use super::{Refusal, Trials, refused};

const CUT_OFF: Refusal = ("endless", "is longer than the");

#[tokio::test]
async fn a_bomb_in_an_asked_encoding_is_cut_off_at_what_the_file_may_have() {
    let trials = Trials::new(&METADATA).await;
    for bomb in [Bomb::Gzip, Bomb::GzipOfGzip] {
        let label = "gzip";
        // It says "is longer than", so it was decoded, and decoding was given up.
        trials.refuse_in_turn(|_| vec![Change::bomb(bomb, label)], |_| CUT_OFF).await;
    }
}

#[tokio::test]
async fn a_bomb_instead_of_a_target_is_not_decoded() {
    let trials = Trials::new(&[File]).await;
    for (bomb, label) in
        [(Bomb::Gzip, "gzip"), (Bomb::Zstd, "zstd"), (Bomb::GzipOfGzip, "gzip, gzip")]
    {
        let changes = |_| vec![Change::bomb(bomb, label)];
        trials.refuse(changes, |_| ("changed", "bytes long")).await;
    }
}

#[tokio::test]
async fn an_encoding_that_nobody_asked_for_is_not_decoded() {
    let trials = Trials::new(&METADATA).await;
    trials.refuse(|_| vec![Change::bomb(Bomb::Zstd, "zstd")], |_| CUT_OFF).await;
    for label in ["br", "deflate", "gzip, gzip", "identity, gzip", "é"] {
        trials.refuse(|_| vec![Change::bomb(Bomb::GzipOfGzip, label)], taken_as_it_is).await;
    }
}

#[tokio::test]
async fn an_endless_body_that_decodes_to_nothing_is_given_up() {
    let trials = Trials::new(&[Timestamp, Bin]).await;
    for flood in [Flood::EmptyGzip, Flood::EmptyZstd] {
        let changes = |_| vec![Change::Flood(flood)];
        trials.refuse_in_turn(changes, |_| CUT_OFF).await;
        refused(&[File], changes, |_| ("changed", "was changed")).await;
    }
}

#[tokio::test]
async fn what_is_labelled_as_encoded_and_is_not_is_refused() {
    let trials = Trials::new(&METADATA).await;
    let label = Change::Header(http::header::CONTENT_ENCODING, "gzip".parse().unwrap());
    trials.refuse(|_| vec![label.clone()], |_| ("interrupted", "was cut off")).await;
}

#[tokio::test]
async fn a_target_is_not_decoded_whatever_its_label_says() {
    let trial = Trials::new(&[File]).await;
    let trial = &trial.0[&File];
    for coding in ["gzip", "zstd", "br"] {
        let label = Change::Header(http::header::CONTENT_ENCODING, coding.parse().unwrap());
        trial.lie(&[label]);
        trial.call().await.unwrap();
    }
}

/// The bomb is some 20 KB, which only a snapshot may not have.
fn taken_as_it_is(kind: Kind) -> Refusal {
    match kind {
        Snapshot => CUT_OFF,
        Root | Timestamp | Targets | Bin => ("malformed", ""),
        FirstRoot | File => unreachable!("{kind:?} is not parsed"),
    }
}
