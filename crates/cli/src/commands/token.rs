use std::process::ExitCode;

use jiff::Timestamp;
use serde::Serialize;
use waxseal_repository::database::TokenScope;

use super::DataOption;
use crate::data_folder::DataFolder;
use crate::failure::{Exit, Failure};
use crate::output;

/// Make and revoke tokens for uploads and for the API.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Token {
    Add(Add),
    List(List),
    Revoke(Revoke),
}

/// Make a token and show it, once.
///
/// Its secret alone goes to stdout, for a program to take; it is not kept anywhere.
#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// What it is for, such as `ci`
    name: String,

    /// What it may do: upload files of projects, or change targets through the API
    #[arg(long, value_enum, default_value_t = Scope::Upload)]
    scope: Scope,

    #[command(flatten)]
    data: DataOption,
}

/// What a token may do. The values stand without words of their own, so that the help stays short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Scope {
    Upload,
    Api,
}

impl From<Scope> for TokenScope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Upload => Self::Upload,
            Scope::Api => Self::Api,
        }
    }
}

/// List the tokens, without their secrets.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// As JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    data: DataOption,
}

/// Revoke a token.
#[derive(Debug, clap::Args)]
pub(crate) struct Revoke {
    /// Its name or id
    token: String,

    #[command(flatten)]
    data: DataOption,
}

impl Token {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Add(add) => add.run(),
            Self::List(list) => list.run(),
            Self::Revoke(revoke) => revoke.run(),
        }
    }
}

impl Add {
    fn run(self) -> anyhow::Result<ExitCode> {
        let database = DataFolder::open(&self.data.data)?.database()?;
        let (row, secret) = database.create_token_for(&self.name, self.scope.into())?;
        output::note(&format!("token {} has the id {} and is shown only now:", row.name, row.id));
        output::line(secret.expose());
        Ok(ExitCode::SUCCESS)
    }
}

/// A token as `token list --json` shows it.
#[derive(Debug, Serialize)]
struct Listed {
    id: String,
    name: String,
    scope: &'static str,
    created: Timestamp,
    last_used: Option<Timestamp>,
    revoked: Option<Timestamp>,
}

impl List {
    fn run(self) -> anyhow::Result<ExitCode> {
        let rows = DataFolder::open(&self.data.data)?.database()?.tokens()?;
        let tokens: Vec<_> = rows
            .into_iter()
            .map(|row| Listed {
                id: row.id,
                name: row.name,
                scope: row.scope.as_str(),
                created: row.created_at,
                last_used: row.last_used_at,
                revoked: row.revoked_at,
            })
            .collect();
        if self.json {
            output::json(&tokens)?;
        } else {
            let shown = |time: Option<Timestamp>| match time {
                Some(time) => time.strftime("%Y-%m-%d %H:%M").to_string(),
                None => "-".to_owned(),
            };
            let rows = tokens.into_iter().map(|token| {
                let times = [Some(token.created), token.last_used, token.revoked].map(shown);
                [vec![token.id, token.name, token.scope.to_owned()], times.to_vec()].concat()
            });
            let titles = ["id", "name", "scope", "created (UTC)", "last used", "revoked"];
            output::table(&titles, rows);
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Revoke {
    fn run(self) -> anyhow::Result<ExitCode> {
        let database = DataFolder::open(&self.data.data)?.database()?;
        let Some(row) = database.revoke_token(&self.token)? else {
            return Err(Failure::new(
                Exit::Failed,
                format!("there is no token {:?} that could be revoked", self.token),
                "`waxseal token list` shows the tokens",
            )
            .into());
        };
        output::line(&format!("token {} ({}) is revoked", row.name, row.id));
        Ok(ExitCode::SUCCESS)
    }
}
