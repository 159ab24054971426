//! Tokens: what twine and uv send as the password of `__token__`, and what programs bring to the API.
//!
//! A token is `waxseal_<id>_<secret>`. The database has the id and the digest of the whole text, so
//! that whoever reads it cannot upload; the text is shown once, when the token is made.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row};
use tracing::warn;
use waxseal_tuf::hash::Sha256;
use zeroize::Zeroizing;

use super::contract::Tokens;
use super::row::{digest, microseconds, optional_microseconds, parsed};
use super::sqlite::{Failure, SqliteDatabase};
use crate::Error;

/// What every token begins with, so that people and secret scanners know it.
const PREFIX: &str = "waxseal_";

/// Length of an id: 6 bytes in hex.
const ID_LENGTH: usize = 12;

/// Longest text that is looked at as a token, in bytes.
const MAX_LENGTH: usize = 100;

/// Longest name of a token, in bytes.
const MAX_NAME: usize = 100;

/// How far `last_used_at` may lag: writing it costs a commit.
const LAST_USED_LAG: SignedDuration = SignedDuration::from_hours(1);

/// What is known about a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Its public part.
    pub id: String,
    /// Its name, which no other active token has.
    pub name: String,
    /// What it may do.
    pub scope: TokenScope,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used, give or take an hour.
    pub last_used_at: Option<Timestamp>,
    /// Since when it is not accepted any more.
    pub revoked_at: Option<Timestamp>,
}

/// What a token may do. Neither includes the other: whoever uploads files of projects need not be able
/// to rewrite targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenScope {
    /// Upload files of projects.
    Upload,
    /// Change targets through the API.
    Api,
}

impl TokenScope {
    /// Its name, as it stands in the database and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Api => "api",
        }
    }
}

impl FromStr for TokenScope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        match text {
            "upload" => Ok(Self::Upload),
            "api" => Ok(Self::Api),
            other => Err(UnknownScope(other.to_owned())),
        }
    }
}

/// The text names no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a scope of a token: {0:?}; there are `upload` and `api`")]
pub struct UnknownScope(String);

/// The text of a token. `Debug` does not show it, and it is wiped from memory when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenSecret(Zeroizing<String>);

impl TokenSecret {
    /// The text, to be shown to its owner once.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret(…)")
    }
}

impl Tokens for SqliteDatabase {
    fn create_token_for(
        &self,
        name: &str,
        scope: TokenScope,
    ) -> Result<(TokenRow, TokenSecret), Error> {
        if let Some(problem) = name_problem(name) {
            return Err(Error::TokenName { name: name.chars().take(MAX_NAME).collect(), problem });
        }
        let id = HEXLOWER.encode(random::<6>()?.as_ref());
        let secret = Zeroizing::new(BASE64URL_NOPAD.encode(random::<32>()?.as_ref()));
        let secret = TokenSecret(Zeroizing::new(format!("{PREFIX}{id}_{}", *secret)));
        let created_at = now();
        self.write("adding a token", |transaction| {
            let inserted = transaction
                .prepare_cached(
                    "INSERT INTO token (id, name, secret_sha256, created_at, scope) \
                     VALUES ($1, $2, $3, $4, $5)",
                )?
                .execute((
                    &id,
                    name,
                    Sha256::of(secret.expose().as_bytes()).0,
                    created_at.as_microsecond(),
                    scope.as_str(),
                ));
            match inserted {
                Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                    let problem = "an active token has this name; revoke it or take another name";
                    Err(Error::TokenName { name: name.to_owned(), problem }.into())
                }
                other => Ok(other.map(|_| ())?),
            }
        })?;
        let name = name.to_owned();
        let row = TokenRow { id, name, scope, created_at, last_used_at: None, revoked_at: None };
        Ok((row, secret))
    }

    fn authenticate(&self, text: &str) -> Result<Option<TokenRow>, Error> {
        let Some(id) = token_id(text) else { return Ok(None) };
        let found = self.read("looking up a token", |connection| {
            let sql = "SELECT id, name, created_at, last_used_at, revoked_at, scope, secret_sha256 \
                       FROM token WHERE id = $1";
            let mut statement = connection.prepare_cached(sql)?;
            Ok(statement
                .query_row([id], |row| Ok((token_row(row)?, digest(row, 6)?)))
                .optional()?)
        })?;
        let Some((mut token, expected)) = found else { return Ok(None) };
        let got = Sha256::of(text.as_bytes());
        if verify_slices_are_equal(&got.0, &expected.0).is_err() || token.revoked_at.is_some() {
            return Ok(None);
        }
        let now = now();
        if token.last_used_at.is_none_or(|used| now.duration_since(used) > LAST_USED_LAG) {
            let doing = "recording a token's use";
            let recorded = self.write_with_patience(Duration::ZERO, doing, |transaction| {
                transaction
                    .prepare_cached("UPDATE token SET last_used_at = $1 WHERE id = $2")?
                    .execute((now.as_microsecond(), &token.id))?;
                Ok(())
            });
            // On a full disk, what needs no space goes on; and nobody waits for another process here, to
            // wait for it once more when there is something to do.
            if let Err(error) = recorded {
                warn!("{error}");
            }
            token.last_used_at = Some(now);
        }
        Ok(Some(token))
    }

    fn tokens(&self) -> Result<Vec<TokenRow>, Error> {
        self.read("listing the tokens", |connection| {
            let sql = "SELECT id, name, created_at, last_used_at, revoked_at, scope FROM token \
                       ORDER BY created_at, id";
            let mut statement = connection.prepare_cached(sql)?;
            Ok(statement.query_map([], token_row)?.collect::<Result<_, _>>()?)
        })
    }

    fn revoke_token(&self, id_or_name: &str) -> Result<Option<TokenRow>, Error> {
        self.write("revoking a token", |transaction| {
            let Some(id) = active_id(transaction, id_or_name)? else { return Ok(None) };
            let sql = "UPDATE token SET revoked_at = $1 WHERE id = $2 \
                       RETURNING id, name, created_at, last_used_at, revoked_at, scope";
            let mut statement = transaction.prepare_cached(sql)?;
            Ok(Some(statement.query_row((now().as_microsecond(), id), token_row)?))
        })
    }
}

fn name_problem(name: &str) -> Option<&'static str> {
    if name.trim().is_empty() {
        Some("give it a name that says who or what uploads with it")
    } else if name.len() > MAX_NAME {
        Some("a name has 100 bytes at most")
    } else if name.chars().any(char::is_control) {
        Some("a name has no control characters")
    } else {
        None
    }
}

/// The id in a text that has the form of a token.
fn token_id(text: &str) -> Option<&str> {
    let rest = text.strip_prefix(PREFIX).filter(|_| text.len() <= MAX_LENGTH)?;
    let (id, secret) = rest.split_at_checked(ID_LENGTH)?;
    secret.starts_with('_').then_some(id)
}

fn active_id(connection: &Connection, id_or_name: &str) -> Result<Option<String>, Failure> {
    for sql in [
        "SELECT id FROM token WHERE id = $1 AND revoked_at IS NULL",
        "SELECT id FROM token WHERE name = $1 AND revoked_at IS NULL",
    ] {
        let mut statement = connection.prepare_cached(sql)?;
        if let Some(id) = statement.query_row([id_or_name], |row| row.get(0)).optional()? {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

fn token_row(row: &Row<'_>) -> rusqlite::Result<TokenRow> {
    Ok(TokenRow {
        id: row.get(0)?,
        name: row.get(1)?,
        created_at: microseconds(row, 2)?,
        last_used_at: optional_microseconds(row, 3)?,
        revoked_at: optional_microseconds(row, 4)?,
        scope: parsed(row, 5)?,
    })
}

/// The time, as exactly as the database keeps it.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, Error> {
    let mut bytes = Zeroizing::new([0; N]);
    aws_lc_rs::rand::fill(bytes.as_mut_slice()).map_err(|_| Error::Random)?;
    Ok(bytes)
}
