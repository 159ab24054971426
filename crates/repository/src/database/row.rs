//! Values between rows and types. The database has signed 64-bit numbers, bytes and text only.

use std::error::Error as StdError;
use std::str::FromStr;

use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Error, Result, Row};
use waxseal_tuf::RoleName;
use waxseal_tuf::hash::Sha256;

pub(super) fn signed(value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|error| Error::ToSqlConversionFailure(Box::new(error)))
}

pub(super) fn unsigned(row: &Row<'_>, column: usize) -> Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| Error::IntegralValueOutOfRange(column, value))
}

pub(super) fn digest(row: &Row<'_>, column: usize) -> Result<Sha256> {
    row.get(column).map(Sha256)
}

pub(super) fn optional_digest(row: &Row<'_>, column: usize) -> Result<Option<Sha256>> {
    row.get::<_, Option<_>>(column).map(|bytes| bytes.map(Sha256))
}

pub(super) fn microseconds(row: &Row<'_>, column: usize) -> Result<Timestamp> {
    Timestamp::from_microsecond(row.get(column)?).map_err(|error| damaged(column, error))
}

pub(super) fn optional_microseconds(row: &Row<'_>, column: usize) -> Result<Option<Timestamp>> {
    let value: Option<i64> = row.get(column)?;
    let time = value.map(Timestamp::from_microsecond).transpose();
    time.map_err(|error| damaged(column, error))
}

pub(super) fn seconds(row: &Row<'_>, column: usize) -> Result<Timestamp> {
    Timestamp::from_second(row.get(column)?).map_err(|error| damaged(column, error))
}

/// A value that stands as text.
pub(super) fn parsed<T>(row: &Row<'_>, column: usize) -> Result<T>
where
    T: FromStr<Err: StdError + Send + Sync + 'static>,
{
    row.get::<_, String>(column)?.parse().map_err(|error| damaged(column, error))
}

pub(super) fn role_name(row: &Row<'_>, column: usize) -> Result<RoleName> {
    RoleName::new(row.get::<_, String>(column)?).map_err(|error| damaged(column, error))
}

fn damaged(column: usize, error: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    Error::FromSqlConversionFailure(column, Type::Text, error.into())
}
