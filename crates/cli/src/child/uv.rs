//! uv's settings: variables `UV_*`, `uv.toml` and `[tool.uv]` of `pyproject.toml`.
//!
//! Indexes of a configuration file add to those of the environment, so a file that names any is
//! switched off as a whole.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Changes, Surroundings};

/// Variables that lead uv to other sources.
const OTHER_SOURCES: [&str; 6] = [
    "UV_INDEX",
    "UV_INDEX_URL",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_NO_INDEX",
    "UV_TORCH_BACKEND",
];

/// Settings of a configuration file that do.
const SETTINGS: [&str; 9] = [
    "index",
    "index-url",
    "extra-index-url",
    "find-links",
    "no-index",
    "torch-backend",
    "http-proxy",
    "https-proxy",
    "no-proxy",
];

/// Makes `index` the only source of uv.
pub(super) fn guard(index: &str, surroundings: &Surroundings<'_>, changes: &mut Changes) {
    changes.set("UV_DEFAULT_INDEX", index);
    for variable in OTHER_SOURCES {
        if surroundings.variable(variable).is_some() {
            changes.switched_off.push(variable.to_owned());
            changes.removed.push(variable.to_owned());
        }
    }
    let mut other_sources = false;
    for file in configuration_files(surroundings) {
        for setting in settings(&file) {
            other_sources = true;
            changes.switched_off.push(format!("{setting} in {}", file.display()));
        }
    }
    if other_sources {
        changes.set("UV_NO_CONFIG", "1");
        changes.removed.push("UV_CONFIG_FILE".to_owned());
    }
}

/// Where uv looks for configuration on Linux (uv, "Configuration files").
fn configuration_files(surroundings: &Surroundings<'_>) -> Vec<PathBuf> {
    let path = |name: &str| surroundings.variable(name).map(PathBuf::from);
    let mut files: Vec<_> = surroundings
        .directory
        .ancestors()
        .flat_map(|folder| [folder.join("uv.toml"), folder.join("pyproject.toml")])
        .collect();
    let user = path("XDG_CONFIG_HOME").or_else(|| path("HOME").map(|home| home.join(".config")));
    files.extend(user.map(|folder| folder.join("uv/uv.toml")));
    files.push(PathBuf::from("/etc/uv/uv.toml"));
    let folders = surroundings.variable("XDG_CONFIG_DIRS").unwrap_or("/etc/xdg".as_ref());
    files.extend(std::env::split_paths(folders).map(|folder| folder.join("uv/uv.toml")));
    files.extend(path("UV_CONFIG_FILE"));
    files
}

/// The settings of a file that lead uv to other sources.
fn settings(file: &Path) -> Vec<&'static str> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let Ok(table) = text.parse::<toml::Table>() else { return Vec::new() };
    let root = match file.file_name().is_some_and(|name| name == "pyproject.toml") {
        true => table.get("tool").and_then(|tool| tool.get("uv")),
        false => None,
    };
    let is_project = file.file_name().is_some_and(|name| name == "pyproject.toml");
    let settings = match (is_project, root) {
        (true, None) => return Vec::new(),
        (true, Some(root)) => root.as_table().cloned().unwrap_or_default(),
        (false, _) => table,
    };
    let in_pip = settings.get("pip").and_then(toml::Value::as_table);
    let set = |name: &&str| {
        settings.contains_key(*name) || in_pip.is_some_and(|pip| pip.contains_key(*name))
    };
    SETTINGS.iter().copied().filter(set).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use super::*;

    #[test]
    fn files_that_name_other_sources_are_switched_off_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let project = folder.path().join("pyproject.toml");
        let text = "[project]\nname = 'x'\n[[tool.uv.index]]\nurl = 'http://a/'\n\
                    [tool.uv.pip]\nfind-links = ['/tmp']\n";
        fs::write(&project, text).unwrap();
        let directory = folder.path().join("src");
        let surroundings = Surroundings { variables: &[], directory: &directory, prefix: None };
        let mut changes = Changes::default();
        guard("http://127.0.0.1:1/simple/", &surroundings, &mut changes);
        let file = project.display();
        assert_eq!(
            changes.switched_off,
            [format!("index in {file}"), format!("find-links in {file}")]
        );
        assert!(changes.set.contains(&("UV_NO_CONFIG".to_owned(), "1".to_owned())));
    }

    #[test]
    fn other_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("pyproject.toml"), "[tool.other]\nindex = 1\n").unwrap();
        fs::write(folder.path().join("uv.toml"), "native-tls = true\n").unwrap();
        let surroundings = Surroundings { variables: &[], directory: folder.path(), prefix: None };
        let mut changes = Changes::default();
        guard("http://127.0.0.1:1/simple/", &surroundings, &mut changes);
        assert!(changes.switched_off.is_empty());
        assert!(!changes.set.iter().any(|(name, _)| name == "UV_NO_CONFIG"));
    }
}
