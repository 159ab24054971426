//! Brings a database from the form it has to the form this program knows.

use rusqlite::{Connection, TransactionBehavior};

/// The steps, in order; the form of a database is how many of them it has taken. A step that was
/// released is never changed.
const STEPS: [&str; 10] = [
    include_str!("sql/0001_tables.sql"),
    include_str!("sql/0002_api.sql"),
    include_str!("sql/0003_imports.sql"),
    include_str!("sql/0004_foreign_targets.sql"),
    include_str!("sql/0005_bins.sql"),
    include_str!("sql/0006_key_use.sql"),
    include_str!("sql/0007_offline.sql"),
    include_str!("sql/0008_revoked.sql"),
    include_str!("sql/0009_restoration.sql"),
    include_str!("sql/0010_hash_algorithms.sql"),
];

/// The form this program knows.
pub(super) const KNOWN: u64 = STEPS.len() as u64;

/// Takes the steps that are missing, all or none, and answers the form the database has then. A form
/// above [`KNOWN`] is left alone.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<u64> {
    // Begun before the form is read: of two programs that start at once, one migrates.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction
        .execute_batch("CREATE TABLE IF NOT EXISTS schema_step (step BIGINT PRIMARY KEY)")?;
    let taken: i64 =
        transaction
            .query_row("SELECT COALESCE(MAX(step), 0) FROM schema_step", [], |row| row.get(0))?;
    for (step, sql) in (1_i64..).zip(STEPS) {
        if step > taken {
            transaction.execute_batch(sql)?;
            transaction.execute("INSERT INTO schema_step (step) VALUES ($1)", [step])?;
        }
    }
    transaction.commit()?;
    Ok(u64::try_from(taken).unwrap_or_default().max(KNOWN))
}

/// The form of a database that is only read; 0 for one that was never migrated.
pub(super) fn form(connection: &Connection) -> rusqlite::Result<u64> {
    let has = "SELECT COUNT(*) FROM sqlite_master WHERE name = 'schema_step'";
    if connection.query_row(has, [], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(0);
    }
    let sql = "SELECT COALESCE(MAX(step), 0) FROM schema_step";
    let taken: i64 = connection.query_row(sql, [], |row| row.get(0))?;
    Ok(u64::try_from(taken).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;
    use crate::Error;
    use crate::database::{Catalog, Journal, SqliteDatabase, Tokens};

    #[test]
    fn a_newer_database_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("waxseal.sqlite");
        drop(SqliteDatabase::open(&path).unwrap());
        let later = Connection::open(&path).unwrap();
        later
            .execute_batch(
                "INSERT INTO schema_step VALUES (11); CREATE TABLE from_the_future (x BIGINT)",
            )
            .unwrap();

        let error = SqliteDatabase::open(&path).unwrap_err();
        assert!(matches!(error, Error::DatabaseNewer { found: 11, known: KNOWN, .. }), "{error}");
        assert!(error.to_string().contains("run the newer waxseal"), "{error}");
        later.query_row("SELECT COUNT(*) FROM from_the_future", [], |_| Ok(())).unwrap();
    }

    #[test]
    fn opening_again_takes_no_step_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("waxseal.sqlite");
        for _ in 0..3 {
            let database = SqliteDatabase::open(&path).unwrap();
            assert_eq!(database.last_serial().unwrap(), 0);
        }
    }

    #[test]
    fn tokens_and_projects_of_the_first_form_are_those_of_uploads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("waxseal.sqlite");
        let first = Connection::open(&path).unwrap();
        first
            .execute_batch(&format!(
                "{}; CREATE TABLE schema_step (step BIGINT PRIMARY KEY); \
                 INSERT INTO schema_step VALUES (1); \
                 INSERT INTO token VALUES ('0123456789ab', 'ci', x'00', 1, NULL, NULL); \
                 INSERT INTO journal VALUES (1, 1, 'upload', 'flask', '{{}}'), \
                 (2, 1, 'upload', 'flask', '{{}}')",
                STEPS[0]
            ))
            .unwrap();
        drop(first);
        let database = SqliteDatabase::open(&path).unwrap();
        assert_eq!(database.tokens().unwrap()[0].scope, crate::database::TokenScope::Upload);
        assert!(database.is_hosted("flask").unwrap() && !database.is_hosted("click").unwrap());
    }

    #[test]
    fn imports_that_nobody_recorded_may_have_been() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("waxseal.sqlite");
        let second = Connection::open(&path).unwrap();
        second
            .execute_batch(&format!(
                "{}; {}; CREATE TABLE schema_step (step BIGINT PRIMARY KEY); \
                 INSERT INTO schema_step VALUES (1), (2); \
                 UPDATE state SET value = 7 WHERE name = 'published_serial'",
                STEPS[0], STEPS[1]
            ))
            .unwrap();
        drop(second);
        assert_eq!(SqliteDatabase::open(&path).unwrap().imported_serial().unwrap(), 7);
        let fresh = SqliteDatabase::open(folder.path().join("fresh.sqlite")).unwrap();
        assert_eq!(fresh.imported_serial().unwrap(), 0);
    }

    #[test]
    fn pending_targets_of_the_third_form_stand_against_uploads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("waxseal.sqlite");
        let third = Connection::open(&path).unwrap();
        third
            .execute_batch(&format!(
                "{}; {}; {}; CREATE TABLE schema_step (step BIGINT PRIMARY KEY); \
                 INSERT INTO schema_step VALUES (1), (2), (3); \
                 INSERT INTO pending_target VALUES ('packages/demo/demo-1.0.whl', 1, x'00', 1), \
                 ('packages/gone/gone-1.0.whl', 2, NULL, NULL), ('other/a', 3, x'00', 1)",
                STEPS[0], STEPS[1], STEPS[2]
            ))
            .unwrap();
        drop(SqliteDatabase::open(&path).unwrap());
        let paths = "SELECT group_concat(path) FROM foreign_target";
        let paths: String = third.query_row(paths, [], |row| row.get(0)).unwrap();
        assert_eq!(paths, "packages/demo/demo-1.0.whl");
    }

    #[test]
    fn bins_of_the_fourth_form_are_known_by_what_was_on_record() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("waxseal.sqlite");
        let fourth = Connection::open(&path).unwrap();
        fourth
            .execute_batch(&format!(
                "{}; CREATE TABLE schema_step (step BIGINT PRIMARY KEY); \
                 INSERT INTO schema_step VALUES (1), (2), (3), (4); \
                 INSERT INTO bin VALUES (7, 3, 2, 0, 5, x'{}')",
                STEPS[..4].join("; "),
                "ab".repeat(32)
            ))
            .unwrap();
        drop(fourth);
        let bin = SqliteDatabase::open(&path).unwrap().bin(7).unwrap().unwrap();
        assert_eq!((bin.version, bin.published.unwrap().signed_sha256.0), (3, [0xab; 32]));
    }

    #[test]
    fn programs_that_start_at_once_migrate_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("waxseal.sqlite");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| SqliteDatabase::open(&path).unwrap().last_serial().unwrap());
            }
        });
    }

    #[test]
    fn the_log_of_a_database_that_was_moved_away_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("waxseal.sqlite");
        let (away, log) = (folder.path().join("away"), folder.path().join("waxseal.sqlite-wal"));
        let open = SqliteDatabase::open(&path).unwrap();
        open.create_token("ci").unwrap();
        let kept = std::fs::read(&log).unwrap();
        std::fs::rename(&path, &away).unwrap();

        let refuse = || {
            let error = SqliteDatabase::open(&path).unwrap_err();
            assert!(matches!(error, Error::DatabaseLost { .. }), "{error}");
            assert_eq!(std::fs::read(&log).unwrap(), kept);
        };
        refuse();
        assert!(!path.exists());
        std::fs::write(&path, "").unwrap();
        refuse();

        std::fs::rename(&away, &path).unwrap();
        assert_eq!(SqliteDatabase::open(&path).unwrap().tokens().unwrap().len(), 1);
    }

    #[test]
    fn a_file_that_is_no_database_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        std::fs::write(&path, "x".repeat(4096)).unwrap();
        let error = SqliteDatabase::open(&path).unwrap_err();
        assert!(error.to_string().contains("notes.txt"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), "x".repeat(4096).as_bytes());
    }
}
