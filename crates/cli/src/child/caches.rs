//! Caches of the tools themselves, of which those of verified runs are apart.
//!
//! A tool takes a page or a file from its cache without asking anybody: uv, for one, installs the wheel
//! that an unverified run left there under the index's URL. So a verified run has a cache that
//! verified runs alone have written to.

use std::path::{Path, PathBuf};

use super::{Changes, Surroundings, pip, uv};

/// The folder below a cache that the user chose for the tool.
const APART: &str = "waxseal";

/// Lets every tool have its cache below `folder`, or below the one that the user chose for it.
pub(super) fn set_apart(
    folder: Option<&Path>,
    surroundings: &Surroundings<'_>,
    changes: &mut Changes,
) {
    let chosen = |variable: &str, configured: Option<PathBuf>| {
        let by_variable = surroundings.variable(variable).map(PathBuf::from);
        let chosen = by_variable.or(configured).map(|cache| surroundings.directory.join(cache));
        chosen.map(|cache| cache.join(APART))
    };
    for (variable, tool, configured) in [
        ("PIP_CACHE_DIR", "pip", pip::cache(surroundings)),
        ("UV_CACHE_DIR", "uv", uv::cache(surroundings)),
        ("PDM_CACHE_DIR", "pdm", None),
        ("POETRY_CACHE_DIR", "poetry", None),
    ] {
        let Some(cache) = chosen(variable, configured).or_else(|| Some(folder?.join(tool))) else {
            continue;
        };
        changes.set(variable, cache.display().to_string());
    }
    keep_environments_of_poetry(surroundings, changes);
}

/// Poetry keeps virtual environments in its cache, unless told otherwise: they stay where they are.
fn keep_environments_of_poetry(surroundings: &Surroundings<'_>, changes: &mut Changes) {
    let set = |name: &str| surroundings.variable(name).is_some();
    if set("POETRY_VIRTUALENVS_PATH") || set("POETRY_VIRTUALENVS_IN_PROJECT") {
        return;
    }
    let path = |name: &str| surroundings.variable(name).map(PathBuf::from);
    let home = path("HOME");
    let below_home = |folder: &str| home.as_ref().map(|home| home.join(folder));
    let config = path("POETRY_CONFIG_DIR").or_else(|| {
        Some(path("XDG_CONFIG_HOME").or_else(|| below_home(".config"))?.join("pypoetry"))
    });
    let files =
        [config.map(|c| c.join("config.toml")), Some(surroundings.directory.join("poetry.toml"))];
    let says_where = |file: &PathBuf| {
        std::fs::read_to_string(file).is_ok_and(|text| text.contains("virtualenvs"))
    };
    if files.iter().flatten().any(says_where) {
        return;
    }
    let cache = path("POETRY_CACHE_DIR").or_else(|| {
        Some(path("XDG_CACHE_HOME").or_else(|| below_home(".cache"))?.join("pypoetry"))
    });
    if let Some(cache) = cache {
        changes.set("POETRY_VIRTUALENVS_PATH", cache.join("virtualenvs").display().to_string());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::ffi::OsString;

    use super::*;

    fn value(changes: &Changes, name: &str) -> Option<String> {
        changes.set.iter().find(|(set, _)| set == name).map(|(_, value)| value.clone())
    }

    fn set(variables: &[(&str, &str)], folder: Option<&str>) -> Changes {
        let variables: Vec<(OsString, OsString)> =
            variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let directory = Path::new("/work");
        let surroundings = Surroundings { variables: &variables, directory, prefix: None };
        let mut changes = Changes::default();
        set_apart(folder.map(Path::new), &surroundings, &mut changes);
        changes
    }

    #[test]
    fn verified_runs_have_caches_of_their_own() {
        let changes = set(&[("HOME", "/home/me")], Some("/home/me/.cache/waxseal"));
        assert_eq!(value(&changes, "PIP_CACHE_DIR").unwrap(), "/home/me/.cache/waxseal/pip");
        assert_eq!(value(&changes, "UV_CACHE_DIR").unwrap(), "/home/me/.cache/waxseal/uv");
        let environments = value(&changes, "POETRY_VIRTUALENVS_PATH").unwrap();
        assert_eq!(environments, "/home/me/.cache/pypoetry/virtualenvs");
    }

    #[test]
    fn where_the_user_chose_a_cache_they_are_below_it() {
        let chosen = [("UV_CACHE_DIR", "/ci/uv"), ("PIP_CACHE_DIR", "pips")];
        let changes = set(&chosen, Some("/home/me/.cache/waxseal"));
        assert_eq!(value(&changes, "UV_CACHE_DIR").unwrap(), "/ci/uv/waxseal");
        assert_eq!(value(&changes, "PIP_CACHE_DIR").unwrap(), "/work/pips/waxseal");
    }
}
