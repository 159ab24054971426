use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;
use waxseal_repository::Layout;
use waxseal_signing::KeyUri;

use super::{DataOption, NewIndexOptions};
use crate::ceremony::bundle::{Bundle, read_bounded};
use crate::ceremony::founding as held;
use crate::config::Config;
use crate::data_folder::{DataFolder, Founded, Founding, Made, NewIndex};
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

    /// What a key ceremony made for the server: `server-bundle.tar`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["development", "bins", "online_key"])]
    bundle: Option<PathBuf>,

    /// The root with all its signatures, where those came after the ceremony
    #[arg(long, value_name = "FILE", requires = "bundle")]
    root: Option<PathBuf>,

    /// Where the passphrase of the bundle's online key is when the server starts: `file:PATH` or `env:NAME`
    #[arg(long, value_name = "SOURCE", requires = "bundle", conflicts_with = "online_key_uri")]
    passphrase_source: Option<String>,

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
        if let Some(bundle) = &self.bundle {
            return self.of_bundle(bundle);
        }
        if !self.development {
            return Err(Failure::new(
                Exit::Usage,
                "this would make root keys on this disk, unencrypted",
                "hold a key ceremony (`waxseal ceremony plan`) and give its bundle with --bundle; for a trial \
                 say --development",
            )
            .into());
        }
        let layout = if self.layout == "index" { Layout::Index } else { Layout::Files };
        let mut config = Config { layout, ..Config::development() };
        let online_key = self.new.online_key(&mut config)?;
        let founding = Founding::Here { bins: self.new.bins()?, online_key: &online_key };
        let new = NewIndex { founding, config: &config, upload_token: false };
        let (folder, made) = DataFolder::open_or_create(&self.data.data, &new)?;
        let founded = folder.founded()?;
        let (online_key, config) = (online_key.scheme(), folder.config()?);
        let as_asked = (u64::from(founded.bins), founded.online_key.as_str(), config.layout)
            == (self.new.bins, online_key, layout);
        if made == Made::Before || !as_asked {
            return Err(is_there(&folder, made).into());
        }
        match self.json {
            true => output::json(&Report::of(&folder, &founded, &config))?,
            false => show(&folder, &founded, &config, self.development),
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Makes an index of what a ceremony made, after it and the online key were checked.
    fn of_bundle(&self, path: &Path) -> anyhow::Result<ExitCode> {
        let bundle = Bundle::read(path)?;
        let root = self.root.as_deref().map(|root| {
            read_bounded(root).with_context(|| format!("cannot read the root {}", root.display()))
        });
        let founding = held::Founding::of(&bundle, root.transpose()?.as_slice())?;
        let layout = if self.layout == "index" { Layout::Index } else { Layout::Files };
        let mut config = Config { layout, ..founding.config() };
        let here = std::path::absolute(".").context("cannot tell the folder this runs in")?;
        match (&self.new.online_key_uri, founding.has_online_key()) {
            (Some(uri), _) => {
                let uri = uri.parse::<KeyUri>()?.relative_to(&here);
                founding.check_online_key(&uri, false)?;
                config.online_key = uri.to_string();
            }
            (None, true) => {
                if let Some(source) = &self.passphrase_source {
                    // A path of the source begins here, and that of the key at the data folder.
                    let key: KeyUri = config.online_key.parse()?;
                    let path = key.path().unwrap_or_default();
                    let uri = format!("{key}?passphrase-source={source}").parse::<KeyUri>()?;
                    config.online_key = uri.relative_to(&here).with_path(&path).to_string();
                }
                founding.check_online_key(&config.online_key.parse()?, true)?;
            }
            (None, false) => {
                return Err(Failure::new(
                    Exit::Usage,
                    "the online key is not in this bundle",
                    "say where it is with --online-key-uri, such as pkcs11:token=TOKEN;object=NAME",
                )
                .into());
            }
        }
        let (folder, made) =
            DataFolder::open_or_create(&self.data.data, &founding.new_index(&config))?;
        if made != Made::Now {
            return Err(is_there(&folder, made).into());
        }
        let founded = folder.founded()?;
        match self.json {
            true => output::json(&Report::of(&folder, &founded, &config))?,
            false => show(&folder, &founded, &config, false),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn is_there(folder: &DataFolder, made: Made) -> Failure {
    let how = match made {
        Made::Before => "it was left as it is",
        _ => "the ceremony that was interrupted made it with other options",
    };
    Failure::new(
        Exit::Usage,
        format!("there is an index in {} already; {how}", folder.path().display()),
        "choose a folder that is empty or not there yet with --data",
    )
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

fn show(folder: &DataFolder, founded: &Founded, config: &Config, development: bool) {
    let fingerprint = &founded.root_fingerprint;
    output::field("data", &folder.path().display().to_string());
    output::field("bins", &founded.bins.to_string());
    output::field("layout", &config.layout.to_string());
    output::field("online key", &founded.online_key);
    let place = match development {
        true => format!("{} (for trials: unencrypted)", folder.keys().display()),
        false => config.online_key.clone(),
    };
    output::field("keys", &place);
    output::field("root", &format!("fingerprint {fingerprint}"));
    output::compare(&fingerprint.to_string());
    let (waxseal, data) = (output::own_command(), output::quoted_path(folder.path()));
    output::heading("Next, one or more of");
    output::command(&format!("{waxseal} repo import --data {data} FILE"));
    output::command(&format!("{waxseal} token add --data {data} NAME"));
    output::command(&format!("{waxseal} serve --data {data}"));
    output::heading("Then, where packages are installed");
    let url = format!("http://{}", config.listen);
    output::command(&format!("{waxseal} trust add {url} --fingerprint {fingerprint}"));
}
