//! Which projects are copied.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use waxseal_index::NormalizedName;
use waxseal_tuf::TargetPath;

/// The projects whose pages and files a mirror has. All metadata is there whatever is left out, so that
/// clients verify what is there, and take the rest from elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// These alone; all of them where none is named.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    only: BTreeSet<String>,
    /// None of these.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    without: BTreeSet<String>,
}

impl Filter {
    /// Of `only` these projects, or of all where that is empty, those that are not `without`.
    pub fn new(
        only: impl IntoIterator<Item = NormalizedName>,
        without: impl IntoIterator<Item = NormalizedName>,
    ) -> Self {
        let text = |name: NormalizedName| name.as_str().to_owned();
        Self {
            only: only.into_iter().map(text).collect(),
            without: without.into_iter().map(text).collect(),
        }
    }

    /// The same of names as people write them; an error is the one that is none.
    pub fn of_names(only: &[String], without: &[String]) -> Result<Self, String> {
        let normalized = |name: &String| NormalizedName::of(name).map_err(|_| name.clone());
        let only = only.iter().map(normalized).collect::<Result<Vec<_>, _>>()?;
        let without = without.iter().map(normalized).collect::<Result<Vec<_>, _>>()?;
        Ok(Self::new(only, without))
    }

    /// Whether nothing is left out.
    pub fn is_everything(&self) -> bool {
        self.only.is_empty() && self.without.is_empty()
    }

    /// Whether a project, by its normalized name, is copied.
    pub(crate) fn takes_project(&self, project: &str) -> bool {
        (self.only.is_empty() || self.only.contains(project)) && !self.without.contains(project)
    }

    /// Whether a target is copied. What belongs to no project, such as the list of them, always is.
    pub(crate) fn takes(&self, path: &TargetPath) -> bool {
        let mut parts = path.as_str().splitn(3, '/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some("simple" | "packages"), Some(project), Some(_)) => self.takes_project(project),
            _ => true,
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let some = |names: &BTreeSet<String>| match names.len() {
            0..=3 => names.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
            count => format!("{count} projects"),
        };
        match (self.only.is_empty(), self.without.is_empty()) {
            (true, true) => f.write_str("all projects"),
            (false, true) => write!(f, "only {}", some(&self.only)),
            (true, false) => write!(f, "all but {}", some(&self.without)),
            (false, false) => {
                write!(f, "only {}, without {}", some(&self.only), some(&self.without))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn a_filter_takes_pages_and_files_of_its_projects_and_what_is_of_none() {
        let name = |name: &str| NormalizedName::of(name).unwrap();
        let takes = |filter: &Filter, path: &str| filter.takes(&TargetPath::new(path).unwrap());
        let only = Filter::new([name("Flask")], []);
        for path in ["simple/flask/vnd.pypi.simple.v1.json", "packages/flask/x", "simple/list", "x"]
        {
            assert!(takes(&only, path), "{path}");
        }
        assert!(!takes(&only, "packages/flask2/x") && !takes(&only, "simple/numpy/x"));
        let without = Filter::new([], [name("numpy")]);
        assert!(!takes(&without, "packages/numpy/x") && takes(&without, "packages/flask/x"));
        assert!(Filter::default().is_everything() && !without.is_everything());
        assert_eq!(without.to_string(), "all but numpy");
    }
}
