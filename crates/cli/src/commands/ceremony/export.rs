use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use jiff::Timestamp;
use waxseal_repository::ceremony::BINS;
use waxseal_repository::database::Catalog as _;
use waxseal_repository::store::{Store as _, StoreKey};
use waxseal_tuf::RoleName;

use super::super::DataOption;
use crate::ceremony::bundle::{Bundle, Kind};
use crate::data_folder::DataFolder;
use crate::output;

/// Write what the next ceremony goes on from: every root, and the published targets and bins.
///
/// All of it is public. On the server; the machine of the ceremony reads it with --from.
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// The bundle to write
    #[arg(long, value_name = "FILE")]
    output: PathBuf,

    #[command(flatten)]
    data: DataOption,
}

impl Export {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let folder = DataFolder::open(&self.data.data)?;
        let (store, database) = folder.open_to_read()?;
        let mut bundle = Bundle::new(Kind::Public, "", Timestamp::now());
        let root = RoleName::from_static(RoleName::ROOT);
        for role in [root.clone(), RoleName::targets(), BINS] {
            let row = database.role(&role)?;
            let newest = row.map_or(0, |row| row.published);
            let versions = if role == root { 1..=newest } else { newest..=newest };
            for version in versions {
                let key = StoreKey::Metadata { version, role: role.clone() };
                let bytes = store.read(&key, 64 << 20)?;
                let bytes =
                    bytes.with_context(|| format!("{} is missing from the store", key.path()))?;
                bundle.add_metadata(version, &role, &bytes);
            }
        }
        bundle.write(&self.output)?;
        output::line(&format!(
            "{} is what the next ceremony goes on from: `waxseal ceremony plan --from {} --output plan.toml`",
            self.output.display(),
            output::quoted_path(&self.output)
        ));
        Ok(ExitCode::SUCCESS)
    }
}
