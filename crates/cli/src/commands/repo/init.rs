use std::path::PathBuf;
use std::process::ExitCode;

use jiff::Timestamp;
use serde::Serialize;
use waxseal_repository::Layout;

use super::{DataOption, NewIndexOptions};
use crate::config::Config;
use crate::data_folder::{DataFolder, Founded, Made, NewIndex};
use crate::failure::{Exit, Failure};
use crate::output;

/// Make an index in an empty folder, with a key ceremony, and do not serve it yet.
#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    #[command(flatten)]
    data: DataOption,

    #[command(flatten)]
    new: NewIndexOptions,

    /// What its targets are: pages, files and core metadata (`files`), or pages alone (`index`)
    #[arg(long, value_name = "LAYOUT", default_value = "files", value_parser = ["files", "index"])]
    layout: String,

    /// Make throwaway keys on this disk, without a question: for trials, not for production
    #[arg(long)]
    development: bool,

    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What `repo init --json` shows.
#[derive(Debug, Serialize)]
struct Report {
    data: PathBuf,
    /// SHA-256 of `1.root.json`, which clients compare once.
    root_fingerprint: String,
    root_expires: Timestamp,
    bins: u32,
    layout: Layout,
    /// The scheme of the online key.
    online_key: String,
    /// The folder of the keys.
    keys: PathBuf,
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
        let layout = if self.layout == "index" { Layout::Index } else { Layout::Files };
        let mut config = Config { layout, ..Config::development() };
        let online_key = self.new.online_key(&mut config)?;
        let new = NewIndex {
            bins: self.new.bins()?,
            online_key: &online_key,
            config: &config,
            upload_token: false,
        };
        let (folder, made) = DataFolder::open_or_create(&self.data.data, &new)?;
        let founded = folder.founded()?;
        let (online_key, config) = (online_key.scheme(), folder.config()?);
        let as_asked = (u64::from(founded.bins), founded.online_key.as_str(), config.layout)
            == (self.new.bins, online_key, layout);
        if made == Made::Before || !as_asked {
            let how = match made {
                Made::Before => "it was left as it is",
                _ => "the ceremony that was interrupted made it with other options",
            };
            return Err(Failure::new(
                Exit::Usage,
                format!("there is an index in {} already; {how}", folder.path().display()),
                "choose a folder that is empty or not there yet with --data",
            )
            .into());
        }
        match self.json {
            true => output::json(&Report::of(&folder, &founded, &config))?,
            false => show(&folder, &founded, &config),
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Report {
    fn of(folder: &DataFolder, founded: &Founded, config: &Config) -> Self {
        Self {
            data: folder.path().to_owned(),
            root_fingerprint: founded.root_fingerprint.to_string(),
            root_expires: founded.root_expires,
            bins: founded.bins,
            layout: config.layout,
            online_key: founded.online_key.clone(),
            keys: folder.keys(),
        }
    }
}

fn show(folder: &DataFolder, founded: &Founded, config: &Config) {
    let fingerprint = &founded.root_fingerprint;
    output::field("data", &folder.path().display().to_string());
    output::field("bins", &founded.bins.to_string());
    output::field("layout", &config.layout.to_string());
    output::field("online key", &founded.online_key);
    output::field("keys", &format!("{} (for trials: unencrypted)", folder.keys().display()));
    output::field("root", &format!("fingerprint {fingerprint}"));
    let (waxseal, data) = (output::own_command(), output::quoted_path(folder.path()));
    output::heading("Next, one or more of");
    output::command(&format!("{waxseal} repo import --data {data} FILE"));
    output::command(&format!("{waxseal} token add --data {data} NAME"));
    output::command(&format!("{waxseal} serve --data {data}"));
    output::heading("Then, where packages are installed");
    let url = format!("http://{}", config.listen);
    output::command(&format!("{waxseal} trust add {url} --fingerprint {fingerprint}"));
}
