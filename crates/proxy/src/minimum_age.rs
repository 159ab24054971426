//! Files that are too young to be installed: a malicious release is mostly found within days.
//!
//! A file's age is by the time that its project's page says it was uploaded, which the index signed. A file
//! of which no page says that is as young as can be.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use waxseal_client::{Error, Located};
use waxseal_index::paths::project_json;
use waxseal_index::simple::Listing;
use waxseal_index::{DistributionFilename, NormalizedName};
use waxseal_tuf::TargetPath;
use waxseal_tuf::hash::Sha256;

use crate::Refusal;
use crate::content::not_kept;
use crate::proxy::Proxy;

/// Projects whose young files are remembered.
const KEPT: usize = 256;

/// How old files have to be.
#[derive(Debug, Clone, Default)]
pub struct MinimumAge {
    /// Those of every project that is not named below; zero for any age.
    pub every: Duration,
    /// Those of these projects.
    pub projects: BTreeMap<NormalizedName, Duration>,
    /// Releases of any age: the version as PEP 440 normalizes it.
    pub except: BTreeSet<(NormalizedName, String)>,
}

impl MinimumAge {
    /// Whether any file could be too young.
    pub fn is_none(&self) -> bool {
        self.every.is_zero() && self.projects.values().all(Duration::is_zero)
    }

    fn of(&self, project: &NormalizedName) -> Duration {
        self.projects.get(project).copied().unwrap_or(self.every)
    }

    /// The least age of a file, unless it may have any.
    fn of_file(&self, project: &NormalizedName, filename: &str) -> Option<Duration> {
        let file = filename.parse::<DistributionFilename>().ok();
        let version = file.map(|file| file.version().to_string()).unwrap_or_default();
        let excepted = self.except.contains(&(project.clone(), version));
        Some(self.of(project)).filter(|age| !excepted && !age.is_zero())
    }

    /// The files of a page that are too young at `now`.
    fn too_young(&self, project: &NormalizedName, page: &Listing, now: Timestamp) -> YoungFiles {
        let young = |filename: &str| {
            let least = self.of_file(project, filename)?;
            let uploaded = page.file(filename).ok().flatten().and_then(|file| file.upload_time);
            let age = uploaded.map(|uploaded| now.duration_since(uploaded));
            let old =
                age.and_then(|age| Duration::try_from(age).ok()).is_some_and(|age| age >= least);
            (!old).then(|| (filename.to_owned(), uploaded))
        };
        YoungFiles(page.filenames().filter_map(young).collect())
    }
}

/// Files that are too young, by name, and when they were uploaded if anything says so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct YoungFiles(BTreeMap<String, Option<Timestamp>>);

impl YoungFiles {
    pub(crate) fn contains(&self, filename: &str) -> bool {
        self.0.contains_key(filename)
    }

    /// What the entity tag of a page without them ends in; nothing if there are none.
    pub(crate) fn tag(&self) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let names: Vec<&str> = self.0.keys().map(String::as_str).collect();
        let digest = Sha256::of(names.join("\n").as_bytes()).to_string();
        format!("-without-{}", &digest[..16])
    }
}

/// Young files of pages that were read.
#[derive(Debug, Default)]
pub(crate) struct KnownYoungFiles(Mutex<HashMap<NormalizedName, (Located, Arc<YoungFiles>)>>);

/// What is not shown of a project, since it is too young.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBack {
    /// The project.
    pub project: NormalizedName,
    /// Its files that are held back.
    pub files: Vec<String>,
    /// How old they have to be.
    pub least: Duration,
}

impl Proxy {
    /// What was held back so far, by project.
    pub fn held_back(&self) -> Vec<HeldBack> {
        let ages = &self.0.settings.minimum_age;
        let known = self.0.young_files.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut held: Vec<_> = known
            .iter()
            .filter(|(_, (_, young))| !young.0.is_empty())
            .map(|(project, (_, young))| HeldBack {
                project: project.clone(),
                files: young.0.keys().cloned().collect(),
                least: ages.of(project),
            })
            .collect();
        held.sort_by(|a, b| a.project.cmp(&b.project));
        held
    }

    /// The files of a project that are too young now.
    pub(crate) async fn young_files(
        &self,
        project: &NormalizedName,
    ) -> Result<Arc<YoungFiles>, Error> {
        let parts = &self.0;
        if parts.settings.minimum_age.of(project).is_zero() {
            return Ok(Arc::default());
        }
        let path = TargetPath::new(project_json(project))?;
        let Some(page) = parts.fresh.locate(&path).await? else {
            let page = path.to_string();
            let problem = "is not there, and nothing else says how old files are".to_owned();
            let file = format!("a file of {project}");
            return Err(Error::Unverifiable { file, page, problem });
        };
        let known = || parts.young_files.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, young)) = known().get(project).filter(|(of, _)| *of == page) {
            return Ok(Arc::clone(young));
        }
        let entry = parts.contents.obtain(&parts.client, &page, |_| {});
        let content = parts.fresh.within(entry.verified()).await?;
        let bytes = content.bytes().await.map_err(|error| not_kept(&error))?;
        let (name, now) = (project.clone(), (parts.settings.clock)());
        let ages = parts.settings.minimum_age.clone();
        // Of a large page that is work.
        let young = tokio::task::spawn_blocking(move || {
            Listing::from_json(&bytes).map(|listing| ages.too_young(&name, &listing, now))
        });
        let young = young.await.map_err(|error| not_kept(&std::io::Error::other(error)))?;
        let young = Arc::new(young.map_err(|error| Error::Unverifiable {
            file: "what it lists".to_owned(),
            page: path.to_string(),
            problem: format!("cannot be read: {error}"),
        })?);
        let mut known = known();
        if known.len() >= KEPT {
            known.clear();
        }
        known.insert(project.clone(), (page, Arc::clone(&young)));
        Ok(young)
    }

    /// Why a file is not to be had, if it is too young; core metadata is as old as its file.
    pub(crate) async fn refuse_young(&self, path: &TargetPath) -> Result<Option<Refusal>, Error> {
        let Some((project, name)) = file_of_project(path) else { return Ok(None) };
        let young = self.young_files(&project).await?;
        let name = name.strip_suffix(".metadata").unwrap_or(name);
        let Some(uploaded) = young.0.get(name) else { return Ok(None) };
        let now = (self.0.settings.clock)();
        let age = match uploaded {
            Some(uploaded) => format!(
                "it was uploaded at {}, {} ago",
                uploaded.strftime("%Y-%m-%d %H:%M UTC"),
                in_words(Duration::try_from(now.duration_since(*uploaded)).unwrap_or_default())
            ),
            None => "nothing says when it was uploaded".to_owned(),
        };
        let least = in_words(self.0.settings.minimum_age.of(&project));
        Ok(Some(self.refuse_because(Refusal {
            what: format!("file {path}"),
            reason: format!("{age}, and files have to be {least} old"),
            hint: "wait until it is, or let the one release in with --min-age-except NAME==VERSION"
                .to_owned(),
            slug: Refusal::TOO_YOUNG.to_owned(),
            mirror: self.0.client.url().to_owned(),
        })))
    }

    /// The same of a project of which nothing is old enough.
    pub(crate) fn all_too_young(&self, project: &NormalizedName) -> Refusal {
        let least = in_words(self.0.settings.minimum_age.of(project));
        self.refuse_because(Refusal {
            what: format!("project {project}"),
            reason: format!("none of its files is {least} old"),
            hint: "wait until one is, or let a release in with --min-age-except NAME==VERSION"
                .to_owned(),
            slug: Refusal::TOO_YOUNG.to_owned(),
            mirror: self.0.client.url().to_owned(),
        })
    }
}

/// The project and the name of a file below `packages/`.
fn file_of_project(path: &TargetPath) -> Option<(NormalizedName, &str)> {
    let (project, name) = path.as_str().strip_prefix("packages/")?.split_once('/')?;
    Some((NormalizedName::of(project).ok()?, name))
}

/// `7 days`, `36 hours`, `5 minutes`.
pub fn in_words(duration: Duration) -> String {
    let minutes = duration.as_secs() / 60;
    let (count, unit) = match minutes {
        0..120 => (minutes, "minute"),
        120..2880 => (minutes / 60, "hour"),
        _ => (minutes / 1440, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn name(name: &str) -> NormalizedName {
        NormalizedName::of(name).unwrap()
    }

    fn page(files: &[(&str, &str)]) -> Listing {
        let files: Vec<_> = files
            .iter()
            .map(|(name, time)| {
                format!("{{\"filename\":\"{name}\",\"url\":\"{name}\",\"hashes\":{{}}{time}}}")
            })
            .collect();
        let text =
            format!("{{\"meta\":{{\"api-version\":\"1.1\"}},\"files\":[{}]}}", files.join(","));
        Listing::from_json(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_file_is_too_young_up_to_the_moment_that_it_is_old_enough() {
        let page = page(&[
            ("a-1-py3-none-any.whl", ",\"upload-time\":\"2026-01-01T00:00:00.000000Z\""),
            ("a-2-py3-none-any.whl", ",\"upload-time\":\"2026-01-05T00:00:00Z\""),
            ("a-3-py3-none-any.whl", ""),
            ("a-4-py3-none-any.whl", ",\"upload-time\":\"2999-01-05T00:00:00Z\""),
            ("a-5-py3-none-any.whl", ",\"upload-time\":\"yesterday\""),
        ]);
        let ages = MinimumAge { every: 7 * DAY, ..MinimumAge::default() };
        let young = |now: &str| {
            let young = ages.too_young(&name("a"), &page, now.parse().unwrap());
            young.0.keys().map(|name| name[2..3].to_owned()).collect::<String>()
        };
        assert_eq!(young("2026-01-07T23:59:59Z"), "12345");
        assert_eq!(young("2026-01-08T00:00:00Z"), "2345");
        assert_eq!(young("2026-01-12T00:00:00Z"), "345");
    }

    #[test]
    fn projects_have_ages_of_their_own_and_releases_exceptions() {
        let files = ["b-1.0-py3-none-any.whl", "b-1.0.tar.gz", "b-2.tar.gz"];
        let page = page(&files.map(|file| (file, "")));
        let now = Timestamp::now();
        let mut ages = MinimumAge { every: 7 * DAY, ..MinimumAge::default() };
        let young = |ages: &MinimumAge| ages.too_young(&name("b"), &page, now).0.len();
        assert_eq!(young(&ages), 3);
        ages.except.insert((name("b"), "1.0".to_owned()));
        assert_eq!(young(&ages), 1);
        ages.projects.insert(name("b"), Duration::ZERO);
        assert_eq!(young(&ages), 0);
        let own = MinimumAge { projects: [(name("b"), DAY)].into(), ..MinimumAge::default() };
        assert!(!own.is_none() && young(&own) == 3);
        assert!(MinimumAge::default().is_none());
    }

    #[test]
    fn durations_are_in_words() {
        for (duration, words) in
            [(7 * DAY, "7 days"), (DAY * 3 / 2, "36 hours"), (DAY / 1440, "1 minute")]
        {
            assert_eq!(in_words(duration), words);
        }
    }
}
