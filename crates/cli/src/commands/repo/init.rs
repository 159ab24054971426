use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use waxseal_repository::Layout;
use waxseal_repository::bins::{BinStyle, Bins};
use waxseal_signing::Scheme;

use super::DataOption;
use crate::config::Config;
use crate::data_folder::DataFolder;
use crate::failure::{Exit, Failure};
use crate::output;

/// Make an index in an empty folder, with a key ceremony, and do not serve it yet.
#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    #[command(flatten)]
    data: DataOption,

    /// How many bins the index has: a power of two; 16384 suits PyPI, 256 a private index
    #[arg(long, value_name = "COUNT", default_value_t = 256)]
    bins: u64,

    /// What its targets are: pages, files and core metadata (`files`), or pages alone (`index`)
    #[arg(long, value_name = "LAYOUT", default_value = "files", value_parser = ["files", "index"])]
    layout: String,

    /// How the online key signs: `ed25519` or `ecdsa-sha2-nistp256`, which costs less for large metadata
    #[arg(long, value_name = "SCHEME", default_value_t = Scheme::default(),
          value_parser = PossibleValuesParser::new(Scheme::ALL.map(Scheme::name)).try_map(|name| name.parse::<Scheme>()))]
    online_key: Scheme,

    /// Make throwaway keys on this disk, without a question: for trials, not for production
    #[arg(long)]
    development: bool,
}

impl Init {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        if !self.development {
            return Err(Failure::new(
                Exit::Usage,
                "this would make root keys on this disk, unencrypted",
                "for a trial say so with --development",
            )
            .into());
        }
        let bins = Bins::new(self.bins, BinStyle::Succinct)
            .map_err(|error| Failure::new(Exit::Usage, error.to_string(), "see --bins"))?;
        let layout = if self.layout == "index" { Layout::Index } else { Layout::Files };
        let config = Config { layout, ..Config::default() };
        let (folder, made) =
            DataFolder::open_or_create(&self.data.data, bins, self.online_key, &config)?;
        if !made {
            return Err(Failure::new(
                Exit::Usage,
                format!(
                    "there is an index in {} already; it was left as it is",
                    folder.path().display()
                ),
                "choose a folder that is empty or not there yet with --data",
            )
            .into());
        }
        output::field("data", &folder.path().display().to_string());
        output::field("bins", &self.bins.to_string());
        output::field("layout", &self.layout);
        output::field("online key", self.online_key.name());
        output::field("keys", &format!("{} (for trials: unencrypted)", folder.keys().display()));
        output::heading("Next");
        let (waxseal, data) = (output::own_command(), folder.path().display());
        output::command(&format!("{waxseal} repo import --data {data} FILE"));
        output::command(&format!("{waxseal} serve --data {data}"));
        Ok(ExitCode::SUCCESS)
    }
}
