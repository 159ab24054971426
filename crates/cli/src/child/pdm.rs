//! pdm's settings: variables `PDM_*`. Sources that `pyproject.toml` names stay; the child's proxy refuses what
//! is not of the index.

use super::Changes;
use super::sources::Sources;

/// Makes the index what pdm installs from where a project names no source, and keeps it from asking elsewhere
/// for a newer pdm.
pub(super) fn guard(sources: &Sources, changes: &mut Changes) {
    changes.set("PDM_PYPI_URL", format!("{}simple/", sources.index()));
    changes.set("PDM_CHECK_UPDATE", "false");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn pdm_has_the_index_where_a_project_names_none() {
        let sources = Sources::new(&"https://host.example/root/".parse().unwrap(), &[]).unwrap();
        let mut changes = Changes::default();
        guard(&sources, &mut changes);
        let index = ("PDM_PYPI_URL".to_owned(), "https://host.example/root/simple/".to_owned());
        assert!(changes.set.contains(&index), "{:?}", changes.set);
    }
}
