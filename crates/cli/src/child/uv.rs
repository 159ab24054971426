//! uv's settings: variables `UV_*`, `uv.toml` and `[tool.uv]` of `pyproject.toml`.
//!
//! Indexes of a configuration file add to those of the environment, so a file that names any is
//! switched off as a whole.

use std::fs;
use std::path::{Path, PathBuf};

use toml::Value;

use super::sources::Sources;
use super::{Changes, Surroundings};

/// Variables that lead uv to other sources, and what stands between the sources that they list.
const OTHER_SOURCES: [(&str, Option<&[char]>); 6] = [
    ("UV_INDEX", Some(&[' ', '\n', '\t'])),
    ("UV_INDEX_URL", Some(&[' '])),
    ("UV_EXTRA_INDEX_URL", Some(&[' ', '\n', '\t'])),
    ("UV_FIND_LINKS", Some(&[','])),
    ("UV_NO_INDEX", None),
    ("UV_TORCH_BACKEND", None),
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

/// Makes the index the only source of uv, beside those that are allowed.
pub(super) fn guard(sources: &Sources, surroundings: &Surroundings<'_>, changes: &mut Changes) {
    // As the user spells it where they name it: a lock file has it like that.
    let mut spelling = ["UV_DEFAULT_INDEX", "UV_INDEX_URL"].into_iter().find_map(|name| {
        let value = surroundings.variable(name)?.to_str()?;
        sources.is_index(value).then(|| value.to_owned())
    });
    for (variable, separators) in OTHER_SOURCES {
        let Some(value) = surroundings.variable(variable) else { continue };
        let listed = value.to_str().zip(separators);
        let accepted = listed.is_some_and(|(value, separators)| {
            let mut named = value.split(separators).filter(|source| !source.is_empty());
            named.all(|source| sources.accepts(source))
        });
        if !accepted {
            changes.switched_off.push(variable.to_owned());
            changes.removed.push(variable.to_owned());
        }
    }
    let mut other_sources = false;
    for file in configuration_files(surroundings) {
        let settings = settings(&file);
        for (name, value) in &settings {
            if !accepts(sources, value) {
                other_sources = true;
                changes.switched_off.push(format!("{name} in {}", file.display()));
            } else if let Some(default) = default_index(name, value) {
                spelling = spelling.or_else(|| Some(default.to_owned()));
            }
        }
    }
    let spelling = spelling.unwrap_or_else(|| format!("{}simple/", sources.index()));
    changes.set("UV_DEFAULT_INDEX", spelling);
    if other_sources {
        changes.set("UV_NO_CONFIG", "1");
        changes.removed.push("UV_CONFIG_FILE".to_owned());
    }
}

/// Whether every source that a setting names is accepted: a URL or folder, a list of them, or `[[index]]`.
fn accepts(sources: &Sources, value: &Value) -> bool {
    match value {
        Value::String(source) => sources.accepts(source),
        Value::Array(values) => values.iter().all(|value| accepts(sources, value)),
        Value::Table(index) => index.get("url").is_some_and(|url| accepts(sources, url)),
        _ => false,
    }
}

/// The URL of the default index that a setting names.
fn default_index<'a>(name: &str, value: &'a Value) -> Option<&'a str> {
    if name == "index-url" {
        return value.as_str();
    }
    let indexes = value.as_array().filter(|_| name == "index")?;
    let is_default = |index: &&Value| index.get("default").and_then(Value::as_bool) == Some(true);
    indexes.iter().find(is_default)?.get("url")?.as_str()
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

/// The cache that the first file that names one does.
pub(super) fn cache(surroundings: &Surroundings<'_>) -> Option<PathBuf> {
    configuration_files(surroundings).iter().find_map(|file| {
        let cache = table(file)?.get("cache-dir")?.as_str()?.to_owned();
        Some(file.parent()?.join(cache))
    })
}

/// What a file says to uv.
fn table(file: &Path) -> Option<toml::Table> {
    let mut table = fs::read_to_string(file).ok()?.parse::<toml::Table>().ok()?;
    if file.file_name().is_some_and(|name| name == "pyproject.toml") {
        match table.remove("tool")?.as_table_mut()?.remove("uv")? {
            Value::Table(of_uv) => table = of_uv,
            _ => return None,
        }
    }
    Some(table)
}

/// The settings of a file that lead uv to other sources, those of its interface of pip among them.
fn settings(file: &Path) -> Vec<(&'static str, Value)> {
    let Some(mut table) = table(file) else { return Vec::new() };
    let of_pip = table.remove("pip");
    let of_pip = of_pip.as_ref().and_then(Value::as_table);
    let values = |name: &'static str| {
        let both = [table.get(name), of_pip.and_then(|pip| pip.get(name))];
        both.into_iter().flatten().map(move |value| (name, value.clone())).collect::<Vec<_>>()
    };
    SETTINGS.iter().copied().flat_map(values).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use std::ffi::OsString;

    use super::*;

    fn sources(allowed: &[&str]) -> Sources {
        let allowed: Vec<_> = allowed.iter().map(ToString::to_string).collect();
        Sources::new(&"https://host.example/".parse().unwrap(), &allowed).unwrap()
    }

    fn guarded(folder: &Path, allowed: &[&str], variables: &[(OsString, OsString)]) -> Changes {
        let surroundings = Surroundings { variables, directory: folder, prefix: None };
        let mut changes = Changes::default();
        guard(&sources(allowed), &surroundings, &mut changes);
        changes
    }

    #[test]
    fn files_that_name_the_index_alone_stay_and_say_how_it_is_spelled() {
        let folder = tempfile::tempdir().unwrap();
        let text = "[[tool.uv.index]]\nname = 'corp'\nurl = 'https://HOST.example/simple'\ndefault = true\n";
        fs::write(folder.path().join("pyproject.toml"), text).unwrap();
        let changes = guarded(folder.path(), &[], &[]);
        assert!(changes.switched_off.is_empty());
        let default = ("UV_DEFAULT_INDEX".to_owned(), "https://HOST.example/simple".to_owned());
        assert!(changes.set.contains(&default), "{:?}", changes.set);
        // A variable wins over files, as it does for uv.
        let variable = [("UV_DEFAULT_INDEX".into(), "https://host.example:443/simple/".into())];
        let changes = guarded(folder.path(), &[], &variable);
        assert_eq!(changes.set[0].1, "https://host.example:443/simple/");
    }

    #[test]
    fn what_is_allowed_stays_where_nothing_else_is_named_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("uv.toml"), "extra-index-url = ['https://a.example/x']\n")
            .unwrap();
        let variables = |value: &str| [("UV_INDEX".into(), value.into())];
        let allowed = ["https://a.example/"];
        let changes = guarded(folder.path(), &allowed, &variables("b=https://a.example/y"));
        assert_eq!((changes.switched_off, changes.removed), (vec![], vec![]));
        let both = "https://a.example/y https://b.example/";
        let changes = guarded(folder.path(), &allowed, &variables(both));
        assert_eq!(changes.removed, ["UV_INDEX"]);
    }

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
        guard(&sources(&[]), &surroundings, &mut changes);
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
        guard(&sources(&[]), &surroundings, &mut changes);
        assert!(changes.switched_off.is_empty());
        assert!(!changes.set.iter().any(|(name, _)| name == "UV_NO_CONFIG"));
    }
}
