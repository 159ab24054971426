//! Paths that must lead nowhere.

use crate::archives;
use crate::index::Index;

#[tokio::test]
async fn no_path_leaves_the_store() {
    let wheel = archives::wheel("foo", "1.0", b"");
    let index = Index::publishing(&[("foo-1.0-py3-none-any.whl", &wheel)]).await;
    for start in ["/files", "/tuf/metadata", "/tuf/targets", "/simple"] {
        for rest in [
            "/../waxseal.db",
            "/../../waxseal.db",
            "/../.store/timestamp.lock",
            "/%2e%2e/waxseal.db",
            "/%2e%2e%2fwaxseal.db",
            "/..%2Fwaxseal.db",
            "/..%5Cwaxseal.db",
            "/%252e%252e/waxseal.db",
            "/%252e%252e%252fwaxseal.db",
            "/%c0%ae%c0%ae/waxseal.db",
            "/packages/../../../waxseal.db",
            "//etc/passwd",
            "/%2Fetc/passwd",
            "/packages/foo",
            "/packages/foo/",
            "/packages/foo/foo-1.0-py3-none-any.whl/",
            "/packages/foo/foo-1.0-py3-none-any.whl%00",
            "/packages/foo/foo-1.0-py3-none-any.whl%00.metadata",
            "/packages/foo/foo-1.0-py3-none-any.whl%0d%0aX:y",
            "/packages/./foo/foo-1.0-py3-none-any.whl",
            "/packages//foo/foo-1.0-py3-none-any.whl",
            "/packages%2Ffoo/foo-1.0-py3-none-any.whl",
            "/PACKAGES/foo/foo-1.0-py3-none-any.whl",
            "/%",
            "/%zz",
        ] {
            let path = format!("{start}{rest}");
            let answer = index.get(&path).await;
            assert_eq!(answer.status, 404, "{path}: {}", answer.text());
        }
        let long = format!("{start}/{}", "a".repeat(300));
        assert_eq!(index.get(&long).await.status, 404);
        let deep = format!("{start}{}", "/a".repeat(2000));
        assert_eq!(index.get(&deep).await.status, 404);
    }
    index.get("/.store/timestamp.lock").await.expect(404, "nothing here");
    index.get("/waxseal.db").await.expect(404, "nothing here");
}

#[tokio::test]
async fn nothing_is_visible_before_it_is_published() {
    let index = Index::new();
    let wheel = archives::wheel("foo", "1.0", b"");
    index.upload(&index.form("foo-1.0-py3-none-any.whl", &wheel)).await.expect(200, "OK");
    let path = "/files/packages/foo/foo-1.0-py3-none-any.whl";
    index.get(path).await.expect(404, "nothing here");
    index.get("/tuf/metadata/timestamp.json").await.expect(404, "nothing here");
    index.publish();
    index.get(path).await.expect(200, "");
}
