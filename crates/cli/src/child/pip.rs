//! pip's settings: variables `PIP_*` and `pip.conf`.
//!
//! A variable wins over every configuration file, wherever that is and however it is written, so each
//! setting that names a source is overridden whether or not one was found. Looking into the files
//! is for saying what was switched off.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::sources::Sources;
use super::{Changes, Surroundings};

/// Settings that lead pip to other sources, or past what names this one.
const OTHER_SOURCES: [&str; 6] =
    ["pypi-url", "extra-index-url", "find-links", "no-index", "proxy", "no-proxy-env"];

/// Of these, settings that name sources, of which some may be allowed.
const LISTS: [&str; 2] = ["extra-index-url", "find-links"];

/// Settings that name requirements or constraints files.
const NAMING_FILES: [&str; 3] = ["requirement", "constraint", "build-constraint"];

/// A list of nothing: pip takes an empty variable for none at all, and splits others at spaces.
const NOTHING: &str = " ";

/// Makes the index, which `proxy` answers for, the only source of pip, beside those that are allowed.
pub(super) fn guard(
    sources: &Sources,
    proxy: &str,
    surroundings: &Surroundings<'_>,
    changes: &mut Changes,
) {
    let mut allowed: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut judge = |setting: &str, value: &str, said: String, changes: &mut Changes| {
        let Some(list) = LISTS.into_iter().find(|list| *list == setting) else {
            return changes.switched_off.push(said);
        };
        let (kept, others): (Vec<_>, Vec<_>) =
            value.split_whitespace().partition(|source| sources.accepts(source));
        // The index itself need not be said twice.
        let kept = kept.into_iter().filter(|source| !sources.is_index(source));
        allowed.entry(list).or_default().extend(kept.map(str::to_owned));
        if !others.is_empty() {
            changes.switched_off.push(said);
        }
    };
    for (variable, value) in surroundings.variables {
        let Some(setting) = variable.to_str().and_then(setting_of) else { continue };
        let named = variable.to_string_lossy().into_owned();
        if OTHER_SOURCES.contains(&setting.as_str()) {
            judge(&setting, &value.to_string_lossy(), named.clone(), changes);
        }
        // Also in a spelling that pip takes for the same: `PIP_Index-Url`.
        if OTHER_SOURCES.contains(&setting.as_str()) || setting == "index-url" {
            changes.removed.push(named);
        }
    }
    for file in configuration_files(surroundings) {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        for (setting, value) in settings(&text) {
            if OTHER_SOURCES.contains(&setting.as_str()) {
                judge(&setting, &value, format!("{setting} in {}", file.display()), changes);
            }
        }
    }
    let list = |setting: &str| match allowed.get(setting) {
        Some(sources) if !sources.is_empty() => sources.join(" "),
        _ => NOTHING.to_owned(),
    };
    let index = sources.index().as_url();
    for (variable, value) in [
        ("PIP_INDEX_URL", format!("{index}simple/")),
        ("PIP_EXTRA_INDEX_URL", list("extra-index-url")),
        ("PIP_FIND_LINKS", list("find-links")),
        ("PIP_NO_INDEX", "0".to_owned()),
        ("PIP_PROXY", proxy.to_owned()),
    ] {
        changes.removed.retain(|removed| removed != variable);
        changes.set(variable, value);
    }
    // pip caches what a trusted host sends over http, and nothing that another one does.
    if index.scheme() == "http" {
        let hosts = surroundings.variable("PIP_TRUSTED_HOST");
        let hosts = hosts.map(|hosts| format!("{} ", hosts.to_string_lossy())).unwrap_or_default();
        let port = index.port().map(|port| format!(":{port}")).unwrap_or_default();
        let host = index.host_str().unwrap_or_default();
        changes.set("PIP_TRUSTED_HOST", format!("{hosts}{host}{port}"));
    }
}

/// The setting that a variable makes, as pip spells it.
fn setting_of(variable: &str) -> Option<String> {
    Some(normalized(variable.strip_prefix("PIP_")?))
}

fn normalized(name: &str) -> String {
    name.trim().to_lowercase().replace('_', "-").trim_start_matches("--").to_owned()
}

/// Where pip looks for configuration on Linux (pip, "Configuration Files").
fn configuration_files(surroundings: &Surroundings<'_>) -> Vec<PathBuf> {
    let path = |name: &str| surroundings.variable(name).map(PathBuf::from);
    let mut files = vec![PathBuf::from("/etc/pip.conf"), PathBuf::from("/etc/xdg/pip/pip.conf")];
    if let Some(folders) = surroundings.variable("XDG_CONFIG_DIRS") {
        files.extend(std::env::split_paths(folders).map(|folder| folder.join("pip/pip.conf")));
    }
    if let Some(home) = path("HOME") {
        files.push(home.join(".pip/pip.conf"));
        let user = path("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
        files.push(user.join("pip/pip.conf"));
    }
    files.extend(surroundings.prefix.map(|prefix| prefix.join("pip.conf")));
    files.extend(path("PIP_CONFIG_FILE"));
    files.dedup();
    files
}

/// The settings that an INI file makes: names as pip spells them, and values with the lines that go
/// on with them, which are those indented further (Python's configparser).
fn settings(text: &str) -> Vec<(String, String)> {
    let mut settings: Vec<(String, String)> = Vec::new();
    let mut option_indent = None;
    for line in text.lines() {
        let trimmed = line.trim();
        let indent = line.len() - line.trim_start().len();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if option_indent.is_some_and(|of_option| indent > of_option) {
            if let Some((_, value)) = settings.last_mut() {
                value.push(' ');
                value.push_str(trimmed);
            }
        } else if trimmed.starts_with('[') {
            option_indent = None;
        } else {
            let (name, value) = trimmed.split_once(['=', ':']).unwrap_or((trimmed, ""));
            settings.push((normalized(name), value.trim().to_owned()));
            option_indent = Some(indent);
        }
    }
    settings
}

/// The cache that the configuration names.
pub(super) fn cache(surroundings: &Surroundings<'_>) -> Option<PathBuf> {
    let texts = configuration_files(surroundings).into_iter().map(fs::read_to_string);
    let mut settings = texts.filter_map(Result::ok).flat_map(|text| settings(&text));
    // The last file wins.
    settings.rfind(|(name, _)| name == "cache-dir").map(|(_, value)| value.into())
}

/// Requirements and constraints files that the configuration names: pip obeys options in them.
pub(super) fn named_files(surroundings: &Surroundings<'_>) -> Vec<PathBuf> {
    let texts = configuration_files(surroundings).into_iter().map(fs::read_to_string);
    let settings = texts.filter_map(Result::ok).flat_map(|text| settings(&text));
    let named = settings.filter(|(name, _)| NAMING_FILES.contains(&name.as_str()));
    named.flat_map(|(_, value)| value.split(' ').map(PathBuf::from).collect::<Vec<_>>()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use std::ffi::OsString;
    use std::path::Path;

    use super::*;

    fn guarded(variables: &[(&str, &str)]) -> Changes {
        guarded_allowing(&[], variables)
    }

    fn guarded_allowing(allowed: &[&str], variables: &[(&str, &str)]) -> Changes {
        let variables: Vec<(OsString, OsString)> =
            variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let surroundings =
            Surroundings { variables: &variables, directory: Path::new("/"), prefix: None };
        let allowed: Vec<_> = allowed.iter().map(ToString::to_string).collect();
        let sources = Sources::new(&"http://host.example/".parse().unwrap(), &allowed).unwrap();
        let mut changes = Changes::default();
        guard(&sources, "http://127.0.0.1:1", &surroundings, &mut changes);
        changes
    }

    fn value<'a>(changes: &'a Changes, name: &str) -> Option<&'a str> {
        changes.set.iter().find(|(set, _)| *set == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn variables_that_name_other_sources_are_overridden_and_named() {
        let changes = guarded(&[("PIP_FIND_LINKS", "/opt/wheels"), ("PIP_TIMEOUT", "9")]);
        assert_eq!(changes.switched_off, ["PIP_FIND_LINKS"]);
        assert_eq!(value(&changes, "PIP_INDEX_URL"), Some("http://host.example/simple/"));
        assert_eq!(value(&changes, "PIP_FIND_LINKS"), Some(NOTHING));
        assert!(changes.removed.is_empty());
    }

    #[test]
    fn of_several_sources_those_that_are_allowed_stay() {
        let extra = "https://a.example/x http://host.example/simple https://b.example/";
        let variables = [("PIP_EXTRA_INDEX_URL", extra), ("PIP_FIND_LINKS", "https://a.example/y")];
        let changes = guarded_allowing(&["https://a.example/"], &variables);
        assert_eq!(changes.switched_off, ["PIP_EXTRA_INDEX_URL"]);
        assert_eq!(value(&changes, "PIP_EXTRA_INDEX_URL"), Some("https://a.example/x"));
        assert_eq!(value(&changes, "PIP_FIND_LINKS"), Some("https://a.example/y"));
    }

    #[test]
    fn other_spellings_of_a_variable_are_removed() {
        let changes = guarded(&[
            ("PIP_Proxy", "http://a/"),
            ("PIP_extra-index_URL", "http://a/"),
            ("PIP_PYPI_URL", "http://a/"),
            ("PIP_Index_Url", "http://a/"),
            ("PIP_NO_PROXY_ENV", "1"),
            ("PIP_LOG", "x"),
        ]);
        let removed = [
            "PIP_Proxy",
            "PIP_extra-index_URL",
            "PIP_PYPI_URL",
            "PIP_Index_Url",
            "PIP_NO_PROXY_ENV",
        ];
        assert_eq!(changes.removed, removed);
        assert_eq!(value(&changes, "PIP_PROXY"), Some("http://127.0.0.1:1"));
    }

    #[test]
    fn settings_of_files_are_named_with_their_file() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(".config/pip");
        fs::create_dir_all(&folder).unwrap();
        let text = "[global]\n    timeout = 9\n    extra_index_url =\n      http://a/\n    proxy: b\n\
                    [install]\n--find-links: /tmp\n# no-index = 1\n";
        fs::write(folder.join("pip.conf"), text).unwrap();
        let changes = guarded(&[("HOME", home.path().to_str().unwrap())]);
        let named = ["extra-index-url", "proxy", "find-links"];
        let file = folder.join("pip.conf");
        assert_eq!(changes.switched_off, named.map(|name| format!("{name} in {}", file.display())));
    }

    #[test]
    fn values_go_on_in_indented_lines() {
        let text =
            "[global]\nconstraint =\n    /a.txt\n\n    /b.txt\n[install]\nRequirement: c.txt\n";
        let expected = [("constraint", " /a.txt /b.txt"), ("requirement", "c.txt")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(settings(text), expected);
    }
}
