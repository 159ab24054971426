//! pip's settings: variables `PIP_*` and `pip.conf`.
//!
//! A variable wins over every configuration file, but an empty one counts as none. What a file sets is
//! therefore switched off by a harmless value: the index itself as the extra index, an empty folder
//! of links.

use std::fs;
use std::path::PathBuf;

use super::{Changes, Surroundings};

/// A folder that exists on every Linux system and never holds a file named like a package.
const FOLDER_WITHOUT_PACKAGES: &str = "/proc/self/fdinfo";

/// Settings that lead pip to other sources.
const OTHER_SOURCES: [&str; 5] = ["pypi-url", "extra-index-url", "find-links", "no-index", "proxy"];

/// Settings that name requirements or constraints files.
const NAMING_FILES: [&str; 3] = ["requirement", "constraint", "build-constraint"];

/// Makes `index` the only source of pip.
pub(super) fn guard(index: &str, surroundings: &Surroundings<'_>, changes: &mut Changes) {
    changes.set.push(("PIP_INDEX_URL", index.to_owned()));
    // pip caches what a trusted host sends over http, and nothing that another one does.
    let hosts = surroundings.variable("PIP_TRUSTED_HOST");
    let hosts = hosts.map(|hosts| format!("{} ", hosts.to_string_lossy())).unwrap_or_default();
    changes.set.push(("PIP_TRUSTED_HOST", format!("{hosts}127.0.0.1")));
    for setting in OTHER_SOURCES {
        let variable = format!("PIP_{}", setting.to_uppercase().replace('-', "_"));
        if surroundings.variable(&variable).is_some() {
            changes.switched_off.push(variable.clone());
            changes.removed.push(variable);
        }
    }
    for file in configuration_files(surroundings) {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        for (setting, _) in settings(&text) {
            if switch_off(&setting, index, changes) {
                changes.switched_off.push(format!("{setting} in {}", file.display()));
            }
        }
    }
}

fn switch_off(setting: &str, index: &str, changes: &mut Changes) -> bool {
    let (variable, value) = match setting {
        "extra-index-url" => ("PIP_EXTRA_INDEX_URL", index.to_owned()),
        "find-links" => ("PIP_FIND_LINKS", FOLDER_WITHOUT_PACKAGES.to_owned()),
        "no-index" => ("PIP_NO_INDEX", "0".to_owned()),
        // The proxy answers requests in the form that proxies get, for its own address.
        "proxy" => ("PIP_PROXY", index.trim_end_matches("/simple/").to_owned()),
        _ => return false,
    };
    changes.removed.retain(|removed| removed != variable);
    changes.set.retain(|(name, _)| *name != variable);
    changes.set.push((variable, value));
    true
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
/// on with them.
fn settings(text: &str) -> Vec<(String, String)> {
    let mut settings: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        let first = line.chars().next();
        if first.is_none_or(|c| "#;[".contains(c)) {
            continue;
        }
        if first.is_some_and(char::is_whitespace) {
            if let Some((_, value)) = settings.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
            continue;
        }
        let (name, value) = line.split_once(['=', ':']).unwrap_or((line, ""));
        let name = name.trim().to_lowercase();
        let name = name.trim_start_matches("--").replace('_', "-");
        settings.push((name, value.trim().to_owned()));
    }
    settings
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

    const INDEX: &str = "http://127.0.0.1:1/simple/";

    fn guarded(variables: &[(&str, &str)]) -> Changes {
        let variables: Vec<(OsString, OsString)> =
            variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let surroundings =
            Surroundings { variables: &variables, directory: Path::new("/"), prefix: None };
        let mut changes = Changes::default();
        guard(INDEX, &surroundings, &mut changes);
        changes
    }

    fn value<'a>(changes: &'a Changes, name: &str) -> Option<&'a str> {
        changes.set.iter().find(|(set, _)| *set == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn variables_that_name_other_sources_are_removed_and_named() {
        let changes = guarded(&[("PIP_FIND_LINKS", "/opt/wheels"), ("PIP_TIMEOUT", "9")]);
        assert_eq!(changes.removed, ["PIP_FIND_LINKS"]);
        assert_eq!(changes.switched_off, ["PIP_FIND_LINKS"]);
        assert_eq!(value(&changes, "PIP_INDEX_URL"), Some(INDEX));
    }

    #[test]
    fn settings_of_files_are_overridden_and_named_with_their_file() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(".config/pip");
        fs::create_dir_all(&folder).unwrap();
        let text = "[global]\ntimeout = 9\nextra_index_url =\n    http://a/\n    http://b/\n\
                    [install]\n--find-links: /tmp\n# no-index = 1\n";
        fs::write(folder.join("pip.conf"), text).unwrap();
        let changes = guarded(&[
            ("HOME", home.path().to_str().unwrap()),
            ("PIP_EXTRA_INDEX_URL", "http://c/"),
        ]);
        assert_eq!(value(&changes, "PIP_EXTRA_INDEX_URL"), Some(INDEX));
        assert_eq!(value(&changes, "PIP_FIND_LINKS"), Some(FOLDER_WITHOUT_PACKAGES));
        assert_eq!(value(&changes, "PIP_NO_INDEX"), None);
        assert!(!changes.removed.contains(&"PIP_EXTRA_INDEX_URL".to_owned()));
        let file = folder.join("pip.conf");
        assert!(changes.switched_off.contains(&format!("find-links in {}", file.display())));
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
