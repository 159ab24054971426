//! An index that nobody trusts, with a higher version of flask on it.

use waxseal_testkit::mirror::Mirror;

use super::index::Index;
use super::wheels::Wheel;

/// The rogue index. What is asked of it goes through a mirror, which keeps a log.
pub(crate) struct Rogue {
    mirror: Mirror,
    _index: Index,
}

impl Rogue {
    pub(crate) fn start() -> Self {
        let index = Index::quickstart();
        index.upload_new(Wheel::new("flask", "99.0"));
        let mirror = Mirror::start(&index.url.parse().unwrap());
        Self { mirror, _index: index }
    }

    /// Its Simple API, for settings that name an index.
    pub(crate) fn simple(&self) -> String {
        format!("{}simple/", self.mirror.url())
    }

    /// A page of links, for settings that name one.
    pub(crate) fn links(&self) -> String {
        format!("{}simple/flask/", self.mirror.url())
    }

    /// Where its files and folders begin.
    pub(crate) fn base(&self) -> String {
        self.mirror.url().into()
    }

    #[track_caller]
    pub(crate) fn assert_not_asked(&self) {
        let requests = self.mirror.requests();
        assert!(requests.is_empty(), "the rogue index was asked: {requests:?}");
    }

    #[track_caller]
    pub(crate) fn assert_asked(&self) {
        assert!(!self.mirror.requests().is_empty(), "this was to ask the rogue index");
        self.mirror.forget_requests();
    }
}
