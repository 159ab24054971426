//! One file for each command.

mod audit;
mod ceremony;
mod completions;
mod demo;
mod download;
mod key;
mod mirror;
mod pip;
mod proxy;
mod quickstart;
mod repo;
mod restore;
mod run;
mod serve;
mod shell_env;
mod sign;
mod token;
mod trust;
mod why;

use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Parser, Subcommand};
use waxseal_repository::bins::{BinStyle, Bins};
use waxseal_signing::{KeyUri, Scheme};

use crate::config::Config;
use crate::data_folder::OnlineKey;
use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;

/// A Python package index that signs what it serves, and a pip that proves it.
///
/// An index operator starts with `waxseal quickstart`. A person who installs packages runs
/// `waxseal trust add` once for an index, and `waxseal pip install` from then on. `waxseal demo` shows what
/// that is for.
#[derive(Debug, Parser)]
#[command(version, subcommand_required = true)]
#[command(after_help = "Exit codes: 0 success, 1 failure, 2 wrong use, 3 verification refused \
                        something, 4 an audit found something wrong, 5 something is due (`repo status`). `pip` and `run` end with the code of the tool they ran.")]
pub(crate) struct Arguments {
    /// Say on stderr what is being done.
    #[arg(long, short, global = true)]
    verbose: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Quickstart(quickstart::Quickstart),
    Serve(serve::Serve),
    #[command(subcommand)]
    Trust(trust::Trust),
    Pip(pip::Pip),
    Run(run::Run),
    Proxy(proxy::Proxy),
    ShellEnv(shell_env::ShellEnv),
    Download(download::Download),
    Why(why::Why),
    Mirror(mirror::Mirror),
    #[command(subcommand)]
    Repo(repo::Repo),
    #[command(subcommand)]
    Audit(audit::Audit),
    #[command(subcommand)]
    Restore(restore::Restore),
    #[command(subcommand)]
    Token(token::Token),
    #[command(subcommand)]
    Key(key::Key),
    #[command(subcommand)]
    Ceremony(ceremony::Ceremony),
    Sign(sign::Sign),
    Demo(demo::Demo),
    Completions(completions::Completions),
}

impl Arguments {
    /// What is logged if nothing else is asked for.
    pub(crate) fn log_filter(&self) -> &'static str {
        match &self.command {
            _ if self.verbose => {
                "info,waxseal_client=debug,waxseal_mirror=debug,waxseal_proxy=debug,waxseal_repository=debug,waxseal_server=debug"
            }
            // These say at their end what was refused, below the tool's own output.
            Command::Pip(_) | Command::Run(_) => "warn,waxseal_proxy=error",
            _ => "warn",
        }
    }
}

/// Runs the command that was asked for.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        Command::Quickstart(command) => command.run(),
        Command::Serve(command) => command.run(),
        Command::Trust(command) => command.run(),
        Command::Pip(command) => command.run(),
        Command::Run(command) => command.run(),
        Command::Proxy(command) => command.run(),
        Command::ShellEnv(command) => Ok(command.run()),
        Command::Download(command) => command.run(),
        Command::Why(command) => command.run(),
        Command::Mirror(command) => command.run(),
        Command::Repo(command) => command.run(),
        Command::Audit(command) => command.run(),
        Command::Restore(command) => command.run(),
        Command::Token(command) => command.run(),
        Command::Key(command) => command.run(),
        Command::Ceremony(command) => command.run(),
        Command::Sign(command) => command.run(),
        Command::Demo(command) => command.run(),
        Command::Completions(command) => Ok(command.run()),
    }
}

/// The folder of an index of one's own.
#[derive(Debug, Clone, clap::Args)]
struct DataOption {
    /// The index's data folder
    #[arg(long, value_name = "DIR", default_value = "waxseal-data", env = "WAXSEAL_DATA")]
    data: PathBuf,
}

/// What is chosen when an index is made, and stays.
#[derive(Debug, Clone, clap::Args)]
struct NewIndexOptions {
    /// How many bins a new index has: a power of two; 16384 suits PyPI, 256 a private index
    #[arg(long, value_name = "COUNT", default_value_t = 256)]
    bins: u64,

    /// How the online key of a new index signs: `ed25519` or `ecdsa-sha2-nistp256`, which costs less for
    /// large metadata
    #[arg(long, value_name = "SCHEME", default_value_t = Scheme::default(),
          value_parser = PossibleValuesParser::new(Scheme::ALL.map(Scheme::name)).try_map(|name| name.parse::<Scheme>()))]
    online_key: Scheme,

    /// A key that is there, as the online key of a new index, in place of one that is made in a file
    #[arg(long, value_name = "URI", conflicts_with = "online_key")]
    online_key_uri: Option<String>,
}

impl NewIndexOptions {
    /// The online key of a new index with this configuration, which is told where it is.
    fn online_key(&self, config: &mut Config) -> anyhow::Result<OnlineKey> {
        let Some(uri) = &self.online_key_uri else { return Ok(OnlineKey::New(self.online_key)) };
        let here = std::path::absolute(".").context("cannot tell the folder this runs in")?;
        let uri = uri.parse::<KeyUri>()?.relative_to(&here);
        let key = waxseal_signing::open(&uri, &Terminal)?.public_key().clone();
        config.online_key = uri.to_string();
        Ok(OnlineKey::There(key))
    }

    fn bins(&self) -> Result<Bins, Failure> {
        Bins::new(self.bins, BinStyle::Succinct)
            .map_err(|error| Failure::new(Exit::Usage, error.to_string(), "see --bins"))
    }
}

/// Runs asynchronous work to its end.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("cannot start the threads of the program")?;
    let result = runtime.block_on(work);
    // A child that reads slowly must not hold up the end of the program.
    runtime.shutdown_background();
    result
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Arguments;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
