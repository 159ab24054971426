//! `waxseal.toml`: the one configuration file of an index, in its data folder.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use waxseal_repository::{HashAlgorithms, Layout};
use waxseal_signing::KeyUri;

use crate::failure::{Exit, Failure};

/// The most hours that roles signed by the online key may be valid: a year, as root.
const LONGEST_ONLINE_LIFETIME: u32 = 365 * 24;

/// The configuration of an index. Paths are relative to the folder the file lies in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Config {
    /// Where the server listens.
    pub(crate) listen: SocketAddr,
    /// The key URI of the online key, which signs timestamp, snapshot and every bin.
    pub(crate) online_key: String,
    /// What the targets are: pages, files and core metadata, or the pages alone.
    pub(crate) layout: Layout,
    /// The algorithms whose digests metadata lists for every file.
    pub(crate) hash_algorithms: HashAlgorithms,
    /// The largest file an upload may have, in bytes.
    pub(crate) max_upload_bytes: u64,
    /// How long the answer to an upload waits until the upload is published, in seconds. After that
    /// it says that the upload is accepted and will be signed shortly.
    pub(crate) publish_wait_seconds: u64,
    /// How long bins, snapshot and timestamp are valid, in hours. They are signed again well before.
    pub(crate) online_lifetime_hours: u32,
    /// How long a snapshot can still be used after the next one, in minutes; then what only it names is
    /// removed. The last three are always kept.
    pub(crate) gc_grace_minutes: u32,
    /// How much disk space is set aside, in MiB, to keep fresh what is published when the disk is full.
    pub(crate) reserve_mebibytes: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8458)),
            online_key: "file:keys/online.pem".to_owned(),
            layout: Layout::Files,
            hash_algorithms: HashAlgorithms::default(),
            max_upload_bytes: 1 << 30,
            publish_wait_seconds: 10,
            online_lifetime_hours: 24,
            gc_grace_minutes: 60,
            reserve_mebibytes: 64,
        }
    }
}

impl Config {
    /// That of an index for trials, whose online key lies unencrypted.
    pub(crate) fn development() -> Self {
        let mut this = Self::default();
        this.online_key.push_str("?development");
        this
    }

    /// Reads the file.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::new(
                Exit::Failed,
                format!("cannot read the configuration {}: {error}", path.display()),
                "check that it is text in UTF-8, that you may read it, and the disk it is on",
            )
        })?;
        let config: Self = toml::from_str(&text)
            .with_context(|| format!("the configuration {} is wrong", path.display()))?;
        anyhow::ensure!(
            (1..=LONGEST_ONLINE_LIFETIME).contains(&config.online_lifetime_hours),
            "the configuration {} is wrong: online-lifetime-hours must be from 1 to \
             {LONGEST_ONLINE_LIFETIME}, and PEP 458 recommends 24",
            path.display()
        );
        Ok(config)
    }

    /// The file's text, with a line for each field.
    pub(crate) fn to_toml(&self) -> anyhow::Result<String> {
        let fields = toml::to_string(self)?;
        Ok(format!("# An index of Waxseal; docs/configuration.md explains each line.\n{fields}"))
    }

    /// The online key's URI, with relative paths in it taken from `folder`.
    pub(crate) fn online_key(&self, folder: &Path) -> anyhow::Result<KeyUri> {
        let uri: KeyUri = self.online_key.parse().with_context(|| {
            format!(
                "the configuration {} is wrong: online-key",
                folder.join("waxseal.toml").display()
            )
        })?;
        Ok(uri.relative_to(folder))
    }
}
