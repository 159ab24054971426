//! One file by which an operator says which indexes to trust, and from which root on.
//!
//! ```json
//! {"waxseal-trust": 1, "indexes": [{
//!   "url": "https://packages.example.org/",
//!   "fingerprint": "c36fc7e1…",
//!   "root": "{\"signatures\":…",
//!   "mirrors": ["https://mirror.example.net/"]}]}
//! ```
//!
//! `fingerprint` is that of the index's first root. `root`, the text of that root, saves asking the index
//! for it, and `mirrors` are other places of the same files; both may be left out. It is read strictly: who
//! writes such a file by hand learns of a mistake before anything is trusted.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;
use waxseal_tuf::trusted::RootPhase;
use waxseal_tuf::{Limits, RoleName};

use crate::fetcher::{Location, Pace, transport};
use crate::repository::Repository;
use crate::sources::Sources;
use crate::{
    Added, Credentials, Error, Fingerprint, IndexUrl, Settings, TransportProblem, TrustStores,
    fetch_root_with_fingerprint,
};

/// The only form there is.
const FORM: u64 = 1;

/// Indexes to trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustBundle {
    indexes: Vec<BundledIndex>,
}

/// One index of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundledIndex {
    /// Where it is.
    pub url: IndexUrl,
    /// Fingerprint of its first root.
    pub fingerprint: Fingerprint,
    /// That root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// Where the same files are too; none if the bundle says nothing of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirrors: Option<Vec<IndexUrl>>,
}

/// What a bundle's index is on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BundleState {
    /// It is not trusted yet; this is its root.
    New {
        /// The root, whose fingerprint is right.
        root: Vec<u8>,
    },
    /// It is trusted with this root.
    Already,
    /// It is trusted with another root.
    Conflict {
        /// The fingerprint of that one.
        trusted: Fingerprint,
    },
}

#[derive(Deserialize)]
struct AnyForm {
    #[serde(rename = "waxseal-trust")]
    form: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    #[serde(rename = "waxseal-trust")]
    form: u64,
    indexes: Vec<BundledIndex>,
}

impl TrustBundle {
    /// The most bytes that a bundle may have: room for some hundred roots.
    pub const MAX_LENGTH: u64 = 4 << 20;

    /// A bundle of these indexes, each with another URL.
    pub fn new(indexes: Vec<BundledIndex>) -> Result<Self, Error> {
        if indexes.is_empty() {
            return Err(problem("it names no index"));
        }
        let mut urls = BTreeSet::new();
        for index in &indexes {
            let url = &index.url;
            if !urls.insert(url) {
                return Err(problem(format!("it names {url} twice")));
            }
            let mut mirrors = BTreeSet::from([url]);
            if let Some(twice) = index.mirrors.iter().flatten().find(|url| !mirrors.insert(url)) {
                return Err(problem(format!("it names the place {twice} of {url} twice")));
            }
            let Some(root) = &index.root else { continue };
            let got = Fingerprint::of(root.as_bytes());
            if got != index.fingerprint {
                let expected = index.fingerprint;
                return Err(problem(format!(
                    "the root of {url} in it has the fingerprint {got}, not {expected}"
                )));
            }
            RootPhase::new(root.as_bytes(), &Limits::default())?;
        }
        Ok(Self { indexes })
    }

    /// Reads a bundle. Unknown fields, and what is named twice, are refused.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() as u64 > Self::MAX_LENGTH {
            let most = Self::MAX_LENGTH;
            return Err(problem(format!("it has more than {most} bytes")));
        }
        let unreadable = |error: serde_json::Error| problem(error.to_string());
        let AnyForm { form } = serde_json::from_slice(bytes).map_err(unreadable)?;
        if form != FORM {
            return Err(problem(format!("it has the form {form}, and only {FORM} is known here")));
        }
        let Form { indexes, .. } = serde_json::from_slice(bytes).map_err(unreadable)?;
        Self::new(indexes)
    }

    /// The file.
    pub fn to_json(&self) -> Result<Vec<u8>, Error> {
        let form = Form { form: FORM, indexes: self.indexes.clone() };
        let mut text =
            serde_json::to_vec_pretty(&form).map_err(|error| problem(error.to_string()))?;
        text.push(b'\n');
        Ok(text)
    }

    /// The indexes, in the order of the file.
    pub fn indexes(&self) -> &[BundledIndex] {
        &self.indexes
    }
}

fn problem(problem: impl Into<String>) -> Error {
    Error::Bundle { problem: problem.into() }
}

/// The bundle at a URL, which may hold credentials, if it has this fingerprint.
pub async fn fetch_bundle(
    url: &str,
    expected: Fingerprint,
    settings: &Settings,
) -> Result<Vec<u8>, Error> {
    let (url, credentials) = without_credentials(url)?;
    let settings = Settings { credentials, mirrors: Vec::new(), ..settings.clone() };
    let sources = Sources::new(&Repository::elsewhere(&url), &Arc::new(settings.clone()))?;
    let (location, limit) = (Location::Elsewhere(url.clone()), TrustBundle::MAX_LENGTH);
    let pace = Pace::new(settings.targets, limit);
    let Some((_, mut body)) = sources.target(&location, 0, &pace).await? else {
        return Err(transport(&url, TransportProblem::Status { status: 404 }));
    };
    let mut bytes = Vec::new();
    let failed = |problem| transport(&url, problem);
    while let Some(chunk) = body.chunk().await.map_err(|failure| failed(failure.problem))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() as u64 > limit {
            return Err(failed(TransportProblem::Endless { limit }));
        }
    }
    let got = Fingerprint::of(&bytes);
    match got == expected {
        true => Ok(bytes),
        false => Err(Error::BundleFingerprint { expected, got }),
    }
}

fn without_credentials(text: &str) -> Result<(Url, Option<Credentials>), Error> {
    let shown = text.rsplit('@').next().unwrap_or_default();
    let invalid = |problem: &str| Error::InvalidUrl {
        url: shown.chars().take(200).collect(),
        problem: problem.to_owned(),
    };
    let mut url = Url::parse(text.trim()).map_err(|error| invalid(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid("only http and https are known"));
    }
    let credentials = Credentials::of(&url);
    url.set_fragment(None);
    // An http(s) URL has a host, and can do without these.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Ok((url, credentials))
}

impl TrustStores {
    /// What each index of a bundle is on this machine, in the order of the bundle. Of those that are not
    /// trusted yet, roots that are not in the bundle are asked of the index. Nothing is changed.
    pub async fn compare_bundle(
        &self,
        bundle: &TrustBundle,
        settings: &Settings,
    ) -> Result<Vec<BundleState>, Error> {
        let mut states = Vec::new();
        for index in &bundle.indexes {
            states.push(match self.known_state(index)? {
                Some(state) => state,
                None => BundleState::New { root: root_of(index, settings).await? },
            });
        }
        Ok(states)
    }

    fn known_state(&self, index: &BundledIndex) -> Result<Option<BundleState>, Error> {
        let Some(store) = self.store_of(&index.url)? else { return Ok(None) };
        let (trusted, role) = (store.index().fingerprint, RoleName::from_static(RoleName::ROOT));
        let newest = store.metadata().read(&role)?.map(|root| Fingerprint::of(&root));
        let same = trusted == index.fingerprint || newest == Some(index.fingerprint);
        Ok(Some(match same {
            true => BundleState::Already,
            false => BundleState::Conflict { trusted },
        }))
    }

    /// Trusts every index of a bundle, whose `states` are those of [`TrustStores::compare_bundle`], and
    /// remembers the mirrors that it names. Nothing is trusted if one is trusted with another root; after
    /// an error, what was added is taken back.
    pub fn add_bundle(
        &self,
        bundle: &TrustBundle,
        states: &[BundleState],
        now: Timestamp,
    ) -> Result<(), Error> {
        let all = || bundle.indexes.iter().zip(states);
        for (index, state) in all() {
            if let BundleState::Conflict { trusted } = *state {
                let (url, given) = (index.url.to_string(), index.fingerprint);
                return Err(Error::OtherRoot { url, trusted, given });
            }
        }
        let mut added = Vec::new();
        let mut add = || {
            for (index, state) in all() {
                if let BundleState::New { root } = state
                    && self.add(&index.url, root, now)? == Added::New
                {
                    added.push(&index.url);
                }
                if let Some(mirrors) = &index.mirrors {
                    self.find(&index.url)?.set_mirrors(mirrors)?;
                }
            }
            Ok(())
        };
        let result = add();
        if result.is_err() {
            for url in added {
                // The first error says more than one about taking back.
                let _ = self.remove(url);
            }
        }
        result
    }
}

async fn root_of(index: &BundledIndex, settings: &Settings) -> Result<Vec<u8>, Error> {
    match &index.root {
        Some(root) => Ok(root.clone().into_bytes()),
        None => {
            let mirrors = index.mirrors.clone().unwrap_or_default();
            let settings = Settings { mirrors, ..settings.clone() };
            let root = fetch_root_with_fingerprint(&index.url, index.fingerprint, &settings);
            let root = root.await?;
            RootPhase::new(&root, &settings.limits)?;
            Ok(root)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use waxseal_testkit::simulator::Simulator;

    use super::*;

    fn index(url: &str) -> BundledIndex {
        let root = String::from_utf8(Simulator::new().first_root()).unwrap();
        let fingerprint = Fingerprint::of(root.as_bytes());
        let mirrors = Some(vec!["https://m.example/".parse().unwrap()]);
        BundledIndex { url: url.parse().unwrap(), fingerprint, root: Some(root), mirrors }
    }

    #[test]
    fn what_is_written_is_read_and_a_root_keeps_its_bytes() {
        let bare = BundledIndex { root: None, mirrors: None, ..index("https://b.example/") };
        let bundle = TrustBundle::new(vec![index("https://a.example/"), bare]).unwrap();
        let text = bundle.to_json().unwrap();
        assert_eq!(TrustBundle::parse(&text).unwrap(), bundle);
        // Also when another program has written it anew.
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(TrustBundle::parse(value.to_string().as_bytes()).unwrap(), bundle);
    }

    #[test]
    fn what_is_not_right_to_the_letter_is_refused() {
        let good = r#"{"waxseal-trust":1,"indexes":[{"url":"https://a/","fingerprint":"F"}]}"#
            .replace('F', &"0".repeat(64));
        TrustBundle::parse(good.as_bytes()).unwrap();
        let mirrors = |list: &str| (r#""url""#, format!(r#""mirrors":{list},"url""#));
        for ((from, to), says) in [
            ((":1,", ":2,".to_owned()), "form 2"),
            ((r#""waxseal-trust":1,"#, String::new()), "missing field `waxseal-trust`"),
            ((":1,", r#":1,"more":0,"#.to_owned()), "unknown field `more`"),
            ((r#""url""#, r#""uri":0,"url""#.to_owned()), "unknown field `uri`"),
            ((r#""url""#, r#""url":"https://b/","url""#.to_owned()), "duplicate field `url`"),
            (("https://a/", "https://me:secret@a/".to_owned()), "user or a password"),
            (("https://a/", "ftp://a/".to_owned()), "only http and https"),
            (("00\"", "0\"".to_owned()), "fingerprint"),
            (
                (
                    "}]",
                    "},{\"url\":\"https://a/simple\",\"fingerprint\":\"F\"}]"
                        .replace('F', &"0".repeat(64)),
                ),
                "names https://a/ twice",
            ),
            (mirrors(r#"["https://m/","https://m/simple/"]"#), "the place https://m/ of"),
            (mirrors(r#"["https://a/"]"#), "twice"),
            ((r#""url""#, r#""root":"{}","url""#.to_owned()), "the root of https://a/ in it"),
            (("]}", "]} x".to_owned()), "trailing"),
        ] {
            let bad = good.replacen(from, &to, 1);
            assert_ne!(bad, good, "{from}");
            let error = TrustBundle::parse(bad.as_bytes()).unwrap_err();
            assert_eq!(error.slug(), "bundle");
            assert!(error.to_string().contains(says), "{error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        let none = r#"{"waxseal-trust":1,"indexes":[]}"#;
        assert!(TrustBundle::parse(none.as_bytes()).unwrap_err().to_string().contains("no index"));
        let long = vec![b' '; usize::try_from(TrustBundle::MAX_LENGTH).unwrap() + 1];
        assert!(TrustBundle::parse(&long).unwrap_err().to_string().contains("more than"));
        // A root that is not signed by its own keys.
        let mut simulator = Simulator::new();
        simulator.replace_text("1.root.json", "2031-01-01", "2041-01-01");
        let root = String::from_utf8(simulator.first_root()).unwrap();
        let fingerprint = Fingerprint::of(root.as_bytes());
        let unsigned = BundledIndex { fingerprint, root: Some(root), ..index("https://a/") };
        assert_eq!(TrustBundle::new(vec![unsigned]).unwrap_err().slug(), "unsigned");
    }

    #[tokio::test]
    async fn all_of_a_bundle_is_trusted_or_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let stores = TrustStores::new(folder.path().join("trust"));
        let settings = Settings::default();
        let mut other = Simulator::new();
        other.rotate("root", &["x", "y", "z"], 2);
        other.write_root();
        let now = Simulator::now();
        let (a, b) = (index("https://a.example/"), index("https://b.example/"));
        stores.add(&b.url, &other.first_root(), now).unwrap();

        let bundle = TrustBundle::new(vec![a.clone(), b.clone()]).unwrap();
        let states = stores.compare_bundle(&bundle, &settings).await.unwrap();
        assert!(matches!(states[0], BundleState::New { .. }));
        let trusted = Fingerprint::of(&other.first_root());
        assert_eq!(states[1], BundleState::Conflict { trusted });
        assert_eq!(stores.add_bundle(&bundle, &states, now).unwrap_err().slug(), "other-root");
        assert_eq!(stores.list().unwrap().len(), 1);
        // Also when it was not so when it was compared.
        let stale = vec![states[0].clone(), states[0].clone()];
        assert_eq!(stores.add_bundle(&bundle, &stale, now).unwrap_err().slug(), "other-root");
        assert_eq!(stores.list().unwrap().len(), 1);

        stores.remove(&b.url).unwrap();
        let states = stores.compare_bundle(&bundle, &settings).await.unwrap();
        stores.add_bundle(&bundle, &states, now).unwrap();
        let listed = stores.list().unwrap();
        assert_eq!(listed.len(), 2);
        assert_eq!(listed[0].mirrors, a.mirrors.clone().unwrap());

        // What a bundle says of mirrors later counts, and silence changes nothing.
        let silent = BundledIndex { mirrors: None, ..a.clone() };
        let gone = BundledIndex { mirrors: Some(Vec::new()), ..b };
        let bundle = TrustBundle::new(vec![silent, gone]).unwrap();
        let states = stores.compare_bundle(&bundle, &settings).await.unwrap();
        assert_eq!(states, [BundleState::Already, BundleState::Already]);
        stores.add_bundle(&bundle, &states, now).unwrap();
        let listed = stores.list().unwrap();
        assert_eq!((listed[0].mirrors.len(), listed[1].mirrors.len()), (1, 0));
    }
}
