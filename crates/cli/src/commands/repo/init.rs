use std::process::ExitCode;

use waxseal_repository::Layout;

use super::{DataOption, NewIndexOptions};
use crate::config::Config;
use crate::data_folder::{DataFolder, NewIndex};
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
        let config = Config { layout, ..Config::default() };
        let new = NewIndex {
            bins: self.new.bins()?,
            online_key: self.new.online_key,
            config: &config,
            upload_token: false,
        };
        let (folder, made) = DataFolder::open_or_create(&self.data.data, &new)?;
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
        self.show(&folder, &config)?;
        Ok(ExitCode::SUCCESS)
    }

    fn show(&self, folder: &DataFolder, config: &Config) -> anyhow::Result<()> {
        let fingerprint = folder.root_fingerprint()?;
        output::field("data", &folder.path().display().to_string());
        output::field("bins", &self.new.bins.to_string());
        output::field("layout", &self.layout);
        output::field("online key", self.new.online_key.name());
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
        Ok(())
    }
}
