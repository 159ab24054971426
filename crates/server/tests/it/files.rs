//! Files, targets and metadata: types, validators, ranges.

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    IF_RANGE, RANGE,
};

use crate::archives;
use crate::index::Index;

const PATH: &str = "/files/packages/foo/foo-1.0%2Blocal-py3-none-any.whl";

/// A wheel larger than what is read at once, without a run of equal bytes.
fn large_wheel() -> Vec<u8> {
    let noise = (0..40_000_u32).flat_map(|n| waxseal_tuf::hash::Sha256::of(&n.to_be_bytes()).0);
    archives::wheel("foo", "1.0+local", &noise.take(900_000).collect::<Vec<_>>())
}

async fn index() -> (Index, Vec<u8>) {
    let wheel = large_wheel();
    assert!(wheel.len() > 512 << 10);
    (Index::publishing(&[("foo-1.0+local-py3-none-any.whl", &wheel)]).await, wheel)
}

#[tokio::test]
async fn files_are_served_whole_and_for_good() {
    let (index, wheel) = index().await;
    let digest = waxseal_tuf::hash::Sha256::of(&wheel);
    let target = format!("/tuf/targets/packages/foo/{digest}.foo-1.0+local-py3-none-any.whl");
    for path in [PATH, &PATH.replace("%2B", "+"), &target, &target.replace('+', "%2b")] {
        let file = index.get(path).await.expect(200, "");
        assert_eq!(file.body, wheel, "{path}");
        assert_eq!(file.header(CONTENT_TYPE), "application/octet-stream");
        assert_eq!(file.header(CACHE_CONTROL), "public, max-age=31536000, immutable");
        assert_eq!(file.header(ETAG), format!("\"{digest}\""));
        assert_eq!(file.header(ACCEPT_RANGES), "bytes");
        assert_eq!(file.header(CONTENT_LENGTH), wheel.len().to_string());
        assert!(!file.headers.contains_key("vary"));
        assert_eq!(file.headers["x-content-type-options"], "nosniff");
        let head = index.ask("HEAD", path, &[(RANGE, "bytes=0-3")]).await.expect(200, "");
        assert!(head.body.is_empty());
        assert_eq!(head.header(CONTENT_LENGTH), wheel.len().to_string());
        assert_eq!(head.header(ACCEPT_RANGES), "bytes");
        let tag = format!("\"{digest}\"");
        let same = index.ask("GET", path, &[(IF_NONE_MATCH, &tag)]).await.expect(304, "");
        assert!(same.body.is_empty());
    }
}

#[tokio::test]
async fn metadata_is_served_under_its_versions() {
    let (index, _) = index().await;
    for path in ["1.root.json", "1.targets.json", "1.bins.json", "1.snapshot.json", "1.bin-0.json"]
    {
        let answer = index.get(&format!("/tuf/metadata/{path}")).await.expect(200, "signatures");
        assert_eq!(answer.header(CONTENT_TYPE), "application/json");
        assert_eq!(answer.header(CACHE_CONTROL), "public, max-age=31536000, immutable");
    }
    let timestamp = index.get("/tuf/metadata/timestamp.json").await.expect(200, "signatures");
    assert_eq!(timestamp.header(CACHE_CONTROL), "public, no-cache");
    let tag = timestamp.header(ETAG).to_owned();
    let again =
        async || index.ask("GET", "/tuf/metadata/timestamp.json", &[(IF_NONE_MATCH, &tag)]).await;
    again().await.expect(304, "");
    index.upload(&index.wheel("foo", "2.0")).await.expect(200, "OK");
    index.publish();
    let newer = again().await.expect(200, "signatures");
    assert_ne!(newer.header(ETAG), tag);
    for path in ["2.root.json", "root.json", "1.timestamp.json", "1.snapshot", "", "01.root.json"] {
        let headers = [(IF_NONE_MATCH, "*")];
        let answer = index.ask("GET", &format!("/tuf/metadata/{path}"), &headers).await;
        answer.expect(404, "nothing here");
    }
}

#[tokio::test]
async fn parts_are_served() {
    let (index, wheel) = index().await;
    let length = wheel.len();
    let last = length - 1;
    for (range, expected) in [
        ("bytes=0-3".to_owned(), 0..4),
        ("bytes=-4".to_owned(), length - 4..length),
        (format!("bytes={last}-"), last..length),
        ("bytes=100-400000".to_owned(), 100..400_001),
        (format!("bytes=7-{}", length * 2), 7..length),
        (format!("bytes=-{}", length * 2), 0..length),
    ] {
        let part = index.ask("GET", PATH, &[(RANGE, &range)]).await.expect(206, "");
        assert_eq!(part.body, wheel[expected.clone()], "{range}");
        let described = format!("bytes {}-{}/{length}", expected.start, expected.end - 1);
        assert_eq!(part.header(CONTENT_RANGE), described);
        assert_eq!(part.header(CONTENT_LENGTH), part.body.len().to_string());
    }
    for range in [format!("bytes={length}-"), "bytes=-0".to_owned()] {
        let answer = index.ask("GET", PATH, &[(RANGE, &range)]).await;
        let answer = answer.expect(416, "begins after the end");
        assert_eq!(answer.header(CONTENT_RANGE), format!("bytes */{length}"));
    }
    for range in ["bytes=0-1,4-5", "bytes=5-1", "lines=1-2", "bytes=x-"] {
        let whole = index.ask("GET", PATH, &[(RANGE, range)]).await.expect(200, "");
        assert_eq!(whole.body.len(), length, "{range}");
    }
}

#[tokio::test]
async fn a_part_of_another_version_is_the_whole() {
    let (index, wheel) = index().await;
    let tag = index.get(PATH).await.header(ETAG).to_owned();
    let with =
        async |tag: &str| index.ask("GET", PATH, &[(RANGE, "bytes=0-3"), (IF_RANGE, tag)]).await;
    with(&tag).await.expect(206, "");
    for other in ["\"other\"", &format!("W/{tag}")] {
        assert_eq!(with(other).await.expect(200, "").body.len(), wheel.len());
    }
}
