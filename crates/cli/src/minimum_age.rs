//! How old files have to be, as options and the user's configuration say it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use etcetera::base_strategy::{BaseStrategy as _, choose_base_strategy};
use jiff::{Span, SpanRelativeTo};
use serde::Deserialize;
use waxseal_index::{NormalizedName, Version};
use waxseal_proxy::MinimumAge;

use crate::failure::{Exit, Failure};

/// Options about the age of files.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct AgeOptions {
    /// Hold back files that were uploaded less than this ago, such as 7d or 36h
    #[arg(long, value_name = "AGE", env = "WAXSEAL_MIN_AGE", hide_env_values = true)]
    #[arg(value_parser = age)]
    min_age: Option<Duration>,

    /// A project, or one version of it, of which files may have any age; repeatable
    #[arg(long, value_name = "NAME[==VERSION]")]
    min_age_except: Vec<String>,
}

/// `waxseal/config.toml` in the user's configuration folder, or what `WAXSEAL_CONFIG` names.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct UserConfig {
    min_age: Ages,
}

/// The table `[min-age]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Ages {
    /// The same as `--min-age`.
    every: Option<String>,
    /// The same for single projects.
    projects: BTreeMap<String, String>,
    /// The same as `--min-age-except`.
    except: Vec<String>,
}

impl AgeOptions {
    /// What the options say, and what the configuration says that they do not.
    pub(crate) fn minimum_age(&self) -> anyhow::Result<MinimumAge> {
        let (file, UserConfig { min_age: config }) = UserConfig::read()?;
        let wrong = || format!("the configuration {} is wrong", file.display());
        let configured = config.every.as_deref().map(age).transpose();
        let configured = configured.map_err(anyhow::Error::msg).with_context(wrong)?;
        let mut projects = BTreeMap::new();
        for (name, text) in &config.projects {
            let name = NormalizedName::of(name).with_context(wrong)?;
            projects.insert(name, age(text).map_err(anyhow::Error::msg).with_context(wrong)?);
        }
        let mut except = BTreeSet::new();
        for text in config.except.iter().chain(&self.min_age_except) {
            match exception(text)? {
                (name, Some(version)) => _ = except.insert((name, version)),
                (name, None) => _ = projects.insert(name, Duration::ZERO),
            }
        }
        let every = self.min_age.or(configured).unwrap_or_default();
        Ok(MinimumAge { every, projects, except })
    }
}

impl UserConfig {
    fn read() -> anyhow::Result<(PathBuf, Self)> {
        let named = std::env::var_os("WAXSEAL_CONFIG").map(PathBuf::from);
        let usual = || Some(choose_base_strategy().ok()?.config_dir().join("waxseal/config.toml"));
        let Some(file) = named.clone().or_else(usual) else { return Ok(Default::default()) };
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => {
                return Ok(Default::default());
            }
            Err(error) => {
                return Err(Failure::new(
                    Exit::Usage,
                    format!("cannot read the configuration {}: {error}", file.display()),
                    "WAXSEAL_CONFIG names it, or it is the one in your configuration folder",
                )
                .into());
            }
        };
        let config = toml::from_str(&text);
        let config =
            config.with_context(|| format!("the configuration {} is wrong", file.display()))?;
        Ok((file, config))
    }
}

/// `7d`, `36 hours`: days are of 24 hours, weeks of 7 days.
fn age(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no age: give it as 7d or 36h");
    let span: Span = text.parse().map_err(|_| wrong())?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    Duration::try_from(duration).map_err(|_| wrong())
}

fn exception(text: &str) -> Result<(NormalizedName, Option<String>), Failure> {
    let (name, version) = match text.split_once("==") {
        Some((name, version)) => (name, Some(version)),
        None => (text, None),
    };
    let wrong = |problem: String| {
        let problem = format!("--min-age-except takes no {text:?}: {problem}");
        Failure::new(Exit::Usage, problem, "give it NAME or NAME==VERSION")
    };
    let name = NormalizedName::of(name.trim()).map_err(|error| wrong(error.to_string()))?;
    let version = version.map(|version| version.trim().parse::<Version>()).transpose();
    let version = version.map_err(|error| wrong(error.to_string()))?;
    Ok((name, version.map(|version| version.to_string())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn ages_are_read_as_people_write_them() {
        for (text, hours) in [("7d", 168), ("36h", 36), ("36 hours", 36), ("1d 12h", 36), ("0d", 0)]
        {
            assert_eq!(age(text).unwrap(), Duration::from_hours(hours), "{text}");
        }
        assert_eq!(age("2w").unwrap(), Duration::from_hours(336));
        for text in ["", "7", "-1d", "1 month", "soon"] {
            assert!(age(text).unwrap_err().contains("7d or 36h"), "{text}");
        }
    }

    #[test]
    fn exceptions_are_projects_or_releases() {
        let name = |name: &str| NormalizedName::of(name).unwrap();
        assert_eq!(exception("Foo_Bar").unwrap(), (name("foo-bar"), None));
        assert_eq!(exception("a == 1.0RC1").unwrap(), (name("a"), Some("1.0rc1".to_owned())));
        for text in ["", "a==", "a==x", "-", "a>=1"] {
            assert!(exception(text).is_err(), "{text}");
        }
    }
}
