//! Large files, as they come.

use std::fs;

use waxseal_client::Error;
use waxseal_testkit::mirror::{Change, PathPattern, Position};

use crate::world::{LARGE, World, large, path};

/// What is withheld until the file is verified.
const WITHHELD: usize = 64 << 10;

/// What a download handed out, and how it ended.
async fn collect(world: &World) -> (Vec<u8>, Result<(), Error>) {
    let client = world.refreshed().await;
    let file = client.find(&path(LARGE)).await.unwrap().unwrap();
    let mut download = match client.download(&path(LARGE), &file).await {
        Ok(download) => download,
        Err(error) => return (Vec::new(), Err(error)),
    };
    assert_eq!(download.length(), large().len() as u64);
    let mut bytes = Vec::new();
    loop {
        match download.next().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return (bytes, Ok(())),
            Err(error) => {
                // An error stays one: nobody takes the next answer for the end of the file.
                assert_eq!(download.next().await, Err(error.clone()));
                return (bytes, Err(error));
            }
        }
    }
}

#[tokio::test]
async fn an_honest_file_comes_whole() {
    let (bytes, end) = collect(&World::new()).await;
    assert_eq!(end, Ok(()));
    assert!(bytes == large());
}

#[tokio::test]
async fn the_end_of_a_changed_file_is_never_handed_out() {
    for at in [Position::FromStart(10), Position::FromEnd(1)] {
        let world = World::new();
        world.lie(PathPattern::prefix("/tuf/targets/"), Change::FlipByte { at });
        let (bytes, end) = collect(&world).await;
        assert_eq!(end.unwrap_err().slug(), "changed");
        assert!(bytes.len() <= large().len() - WITHHELD, "{} bytes", bytes.len());
    }
}

#[tokio::test]
async fn truncated_and_endless_files_are_refused() {
    for (change, slug) in [
        (Change::Truncate(500_000), "changed"),
        (Change::Truncate(0), "changed"),
        (
            Change::edit(|mut body| {
                body.push(0);
                body
            }),
            "changed",
        ),
        (Change::DropConnection, "unreachable"),
    ] {
        let world = World::new();
        world.lie(PathPattern::prefix("/tuf/targets/"), change.clone());
        let (bytes, end) = collect(&world).await;
        assert_eq!(end.unwrap_err().slug(), slug, "{change:?}");
        assert!(bytes.len() < large().len());
    }
}

#[tokio::test]
async fn of_an_endless_file_no_more_is_read_than_metadata_lists() {
    let world = World::new();
    world.lie(PathPattern::prefix("/tuf/targets/"), Change::Endless);
    // The file itself is whole before the nothing begins, so it is what metadata says.
    let (bytes, end) = collect(&world).await;
    match end {
        Ok(()) => assert!(bytes == large()),
        Err(error) => assert_eq!(error.slug(), "changed"),
    }
    assert!(bytes.len() <= large().len());
}

#[tokio::test]
async fn a_saved_file_appears_verified_or_not_at_all() {
    let world = World::new();
    let client = world.refreshed().await;
    let file = client.find(&path(LARGE)).await.unwrap().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let destination = folder.path().join("large.whl");
    let last = Change::FlipByte { at: Position::FromEnd(1) };
    world.lie(PathPattern::prefix("/tuf/targets/"), last);
    let error = client.save(&path(LARGE), &file, &destination, |_| {}).await.unwrap_err();
    assert_eq!(error.slug(), "changed");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    world.mirror.honest();
    client.save(&path(LARGE), &file, &destination, |_| {}).await.unwrap();
    assert!(fs::read(&destination).unwrap() == large());
}
