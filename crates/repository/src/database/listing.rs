//! Which digests are listed, and what was hashed on the way to others.

use rusqlite::OptionalExtension;
use waxseal_tuf::hash::{Sha256, Sha512};

use super::contract::HashListings;
use super::sqlite::SqliteDatabase;
use super::{Epoch, batch};
use crate::error::Error;
use crate::hash_algorithms::{HashAlgorithms, Listing};

/// SHA-256 and SHA-512.
const RECORD: usize = 32 + 64;

impl HashListings for SqliteDatabase {
    fn listing(&self) -> Result<Listing, Error> {
        self.read("reading the hash algorithms", |connection| {
            let value = |name: &str| {
                let sql = "SELECT value FROM state WHERE name = $1";
                connection.prepare_cached(sql)?.query_row([name], |row| row.get::<_, i64>(0))
            };
            Ok(Listing {
                settled: HashAlgorithms::of_number(value("hash_algorithms")?).unwrap_or_default(),
                moving_to: HashAlgorithms::of_number(value("hash_algorithms_next")?),
            })
        })
    }

    fn record_listing(&self, epoch: Epoch, listing: Listing) -> Result<(), Error> {
        self.write("recording the hash algorithms", |transaction| {
            batch::check(transaction, epoch)?;
            let next = listing.moving_to.map_or(0, HashAlgorithms::number);
            let sql = "UPDATE state SET value = $1 WHERE name = $2";
            for (name, value) in
                [("hash_algorithms", listing.settled.number()), ("hash_algorithms_next", next)]
            {
                transaction.prepare_cached(sql)?.execute((value, name))?;
            }
            if listing.moving_to.is_none() {
                transaction.execute("DELETE FROM hashed_bin", [])?;
            }
            Ok(())
        })
    }

    fn hashed(&self, bin: u32) -> Result<Vec<(Sha256, Sha512)>, Error> {
        self.read("reading what was hashed", |connection| {
            let sql = "SELECT digests FROM hashed_bin WHERE bin = $1";
            let digests = connection
                .prepare_cached(sql)?
                .query_row([bin], |row| row.get::<_, Vec<u8>>(0))
                .optional()?;
            let (records, _) = digests.as_deref().unwrap_or_default().as_chunks::<RECORD>();
            let read = |record: &[u8; RECORD]| {
                let (mut sha256, mut sha512) = ([0; 32], [0; 64]);
                sha256.copy_from_slice(&record[..32]);
                sha512.copy_from_slice(&record[32..]);
                (Sha256(sha256), Sha512(sha512))
            };
            Ok(records.iter().map(read).collect())
        })
    }

    fn record_hashed(
        &self,
        epoch: Epoch,
        bin: u32,
        digests: &[(Sha256, Sha512)],
    ) -> Result<(), Error> {
        self.write("recording what was hashed", |transaction| {
            batch::check(transaction, epoch)?;
            let before = transaction
                .prepare_cached("SELECT digests FROM hashed_bin WHERE bin = $1")?
                .query_row([bin], |row| row.get::<_, Vec<u8>>(0))
                .optional()?;
            let mut records = before.unwrap_or_default();
            for (sha256, sha512) in digests {
                records.extend_from_slice(&sha256.0);
                records.extend_from_slice(&sha512.0);
            }
            transaction
                .prepare_cached(
                    "INSERT INTO hashed_bin (bin, digests) VALUES ($1, $2) \
                     ON CONFLICT (bin) DO UPDATE SET digests = excluded.digests",
                )?
                .execute((bin, records))?;
            Ok(())
        })
    }
}
