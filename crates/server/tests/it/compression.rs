//! Compression of pages and metadata, and of nothing else.

use std::io::Read;

use flate2::read::{GzDecoder, ZlibDecoder};
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, ETAG, IF_NONE_MATCH, RANGE, VARY};

use crate::archives;
use crate::index::{Answer, Index, JSON};

async fn index() -> Index {
    let versions: Vec<_> = (0..30).map(|n| format!("1.{n}")).collect();
    let files: Vec<_> = versions
        .iter()
        .map(|version| (format!("foo-{version}.tar.gz"), archives::sdist("foo", version)))
        .collect();
    let mut files: Vec<_> =
        files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let more = "Summary: a wheel\n\n".to_owned() + &"A long description. ".repeat(100);
    let metadata = archives::metadata("foo", "2.0", &more);
    let wheel = archives::wheel_with("foo", "2.0", &metadata, &[b'x'; 10_000]);
    files.push(("foo-2.0-py3-none-any.whl", &wheel));
    Index::publishing(&files).await
}

async fn get(index: &Index, path: &str, encoding: &str) -> Answer {
    let headers = [(ACCEPT, JSON), (ACCEPT_ENCODING, encoding)];
    index.ask("GET", path, &headers).await.expect_status(200)
}

impl Answer {
    fn expect_status(self, status: u16) -> Self {
        assert_eq!(self.status, status);
        self
    }
}

#[tokio::test]
async fn pages_and_metadata_are_compressed_on_request() {
    let index = index().await;
    let metadata = "/files/packages/foo/foo-2.0-py3-none-any.whl.metadata";
    for path in ["/simple/foo/", "/tuf/metadata/1.root.json", metadata] {
        let plain = get(&index, path, "identity").await;
        assert!(!plain.headers.contains_key(CONTENT_ENCODING));
        assert!(
            plain.header(VARY).contains("Accept-Encoding")
                || plain.header(VARY) == "accept-encoding"
        );
        let tag = plain.header(ETAG).to_owned();
        for (asked, given) in
            [("gzip, deflate", "gzip"), ("deflate", "deflate"), ("gzip, zstd, deflate", "zstd")]
        {
            let packed = get(&index, path, asked).await;
            assert_eq!(packed.header(CONTENT_ENCODING), given, "{path}");
            assert!(packed.body.len() < plain.body.len());
            assert_eq!(packed.header(ETAG), format!("W/{tag}"));
            assert!(!packed.headers.contains_key("content-length"));
            assert!(!packed.headers.contains_key("accept-ranges"));
            let mut unpacked = Vec::new();
            match given {
                "gzip" => GzDecoder::new(&*packed.body).read_to_end(&mut unpacked).unwrap(),
                "deflate" => ZlibDecoder::new(&*packed.body).read_to_end(&mut unpacked).unwrap(),
                _ => {
                    let magic = [0x28, 0xb5, 0x2f, 0xfd];
                    assert!(packed.body.starts_with(&magic), "RFC 8878, 3.1.1");
                    continue;
                }
            };
            assert_eq!(unpacked, plain.body);
            // The tag of the compressed answer is good for asking again.
            let weak = format!("W/{tag}");
            let headers = [(ACCEPT, JSON), (ACCEPT_ENCODING, asked), (IF_NONE_MATCH, &weak)];
            index.ask("GET", path, &headers).await.expect_status(304);
        }
    }
}

#[tokio::test]
async fn archives_parts_heads_and_errors_are_not_compressed() {
    let index = index().await;
    for path in
        ["/files/packages/foo/foo-2.0-py3-none-any.whl", "/files/packages/foo/foo-1.0.tar.gz"]
    {
        let answer = get(&index, path, "gzip, deflate, zstd").await;
        assert!(!answer.headers.contains_key(CONTENT_ENCODING), "{path}");
        assert!(answer.headers.contains_key("content-length"));
    }
    let range = [(ACCEPT, JSON), (ACCEPT_ENCODING, "gzip"), (RANGE, "bytes=0-999")];
    let part = index.ask("GET", "/simple/foo/", &range).await.expect_status(206);
    assert!(!part.headers.contains_key(CONTENT_ENCODING));
    assert_eq!(part.body, get(&index, "/simple/foo/", "identity").await.body[..1000]);
    let headers = [(ACCEPT, JSON), (ACCEPT_ENCODING, "gzip")];
    let head = index.ask("HEAD", "/simple/foo/", &headers).await.expect_status(200);
    assert!(head.body.is_empty() && !head.headers.contains_key(CONTENT_ENCODING));
    let missing = index.ask("GET", "/simple/bar/", &headers).await.expect_status(404);
    assert!(!missing.headers.contains_key(CONTENT_ENCODING));
}
