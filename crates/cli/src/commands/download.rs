use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use jiff::Timestamp;
use waxseal_tuf::TargetPath;

use super::block_on;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::trust::IndexOptions;

/// Download one target file of a trusted index, verified.
#[derive(Debug, clap::Args)]
pub(crate) struct Download {
    #[command(flatten)]
    index: IndexOptions,

    /// Its target path, such as packages/flask/flask-3.1.2-py3-none-any.whl
    target: TargetPath,

    /// Where to write it, `-` for stdout [default: its own name, in this folder]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Download {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.index.client()?;
        let destination = self.output.unwrap_or_else(|| self.target.file_name().into());
        block_on(async {
            client.refresh(Timestamp::now()).await?;
            let Some(file) = client.locate(&self.target).await? else {
                return Err(Failure::new(
                    Exit::Failed,
                    format!("the index has no target {}", self.target),
                    "a project's page, simple/NAME/vnd.pypi.simple.v1.json, lists its files",
                )
                .into());
            };
            let bar = output::progress(file.length().unwrap_or_default());
            let progress = |bytes| bar.inc(bytes);
            let by = file.page().map(|page| format!(" as {page} lists them")).unwrap_or_default();
            if destination.as_os_str() == "-" {
                // Verified whole before the first byte goes out.
                let verified = tempfile::NamedTempFile::new()?;
                client.save_located(&file, verified.path(), progress).await?;
                bar.finish_and_clear();
                let length = io::copy(&mut File::open(verified.path())?, &mut io::stdout())?;
                output::note(&format!("{length} bytes verified{by}"));
            } else {
                client.save_located(&file, &destination, progress).await?;
                bar.finish_and_clear();
                let length = std::fs::metadata(&destination)?.len();
                output::note(&format!("{length} bytes verified{by}, in {}", destination.display()));
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}
