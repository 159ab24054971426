//! The log of the online key's use.

use rusqlite::{Connection, OptionalExtension, Transaction};

use waxseal_tuf::hash::Sha256;

use super::batch::{Epoch, check};
use super::contract::KeyUses;
use super::row::{digest, signed, unsigned};
use super::sqlite::{Failure, SqliteDatabase};
use crate::Error;
use crate::key_use::{Head, KeyUse, Logged};

/// How many bytes of records are read at once, but for the last one.
const PAGE: usize = 4 << 20;

impl KeyUses for SqliteDatabase {
    fn log_key_use(
        &self,
        epoch: Epoch,
        snapshot: u64,
        uses: &[KeyUse],
    ) -> Result<Option<Head>, Error> {
        self.write("logging the online key's use", |transaction| {
            check(transaction, epoch)?;
            let sql = "SELECT 1 FROM batch WHERE snapshot_version = $1 AND timestamp IS NULL";
            let reserved = transaction.prepare_cached(sql)?.exists([signed(snapshot)?])?;
            match reserved {
                true => append(transaction, uses),
                false => Err(Error::NotReserved { snapshot }.into()),
            }
        })
    }

    fn key_use_head(&self) -> Result<Option<Head>, Error> {
        self.read("reading the log of the online key's use", |connection| Ok(head(connection)?))
    }

    fn key_uses(&self, after: u64) -> Result<Vec<Logged>, Error> {
        self.read("reading the log of the online key's use", |connection| {
            let sql = "SELECT number, record, hash FROM key_use WHERE number > $1 ORDER BY number";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query([signed(after)?])?;
            let (mut page, mut bytes) = (Vec::new(), 0);
            while bytes < PAGE
                && let Some(row) = rows.next()?
            {
                // Whatever was put in the place of a record or a hash is for its reader to find.
                let blob = |column| row.get_ref(column).map(|is| is.as_bytes().unwrap_or_default());
                let record = blob(1)?.to_vec();
                // What a row takes beside its record counts too: many are short.
                bytes += record.len() + 128;
                let hash = Sha256(blob(2)?.try_into().unwrap_or_default());
                page.push(Logged { head: Head { number: unsigned(row, 0)?, hash }, record });
            }
            Ok(page)
        })
    }
}

/// Adds records to the log, and answers where it ends.
pub(super) fn append(
    transaction: &Transaction<'_>,
    uses: &[KeyUse],
) -> Result<Option<Head>, Failure> {
    let mut head = head(transaction)?;
    let sql = "INSERT INTO key_use (number, record, hash) VALUES ($1, $2, $3)";
    let mut insert = transaction.prepare_cached(sql)?;
    for record in uses.iter().map(KeyUse::encode) {
        let next = Head::after(head, &record);
        insert.execute((signed(next.number)?, record, next.hash.0))?;
        head = Some(next);
    }
    Ok(head)
}

fn head(connection: &Connection) -> rusqlite::Result<Option<Head>> {
    let sql = "SELECT number, hash FROM key_use ORDER BY number DESC LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    let head = statement
        .query_row([], |row| Ok(Head { number: unsigned(row, 0)?, hash: digest(row, 1)? }));
    head.optional()
}
