-- One text for SQLite and PostgreSQL: BIGINT, TEXT and BYTEA only. Times are microseconds since
-- 1970 in UTC unless a comment says otherwise; digests are raw bytes. Text orders by its bytes, as
-- SQLite does it: a PostgreSQL database is made with the collation C.

-- Gapless numbers. A row is updated in the transaction that uses the number, so an aborted one
-- uses none, and the row's lock makes the order of numbers the order of commits.
CREATE TABLE counter (
    name TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counter (name, value) VALUES ('serial', 0);

-- The transaction log (PEP 458). Rows are never changed or deleted.
CREATE TABLE journal (
    serial BIGINT PRIMARY KEY,
    recorded_at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    project TEXT NOT NULL,
    entry TEXT NOT NULL
);

-- Every filename that was ever accepted, by what makes two filenames one. Never deleted: a name
-- that had one content is not given another.
CREATE TABLE filename_claim (
    identity TEXT PRIMARY KEY,
    filename TEXT NOT NULL,
    sha256 BYTEA NOT NULL,
    serial BIGINT NOT NULL REFERENCES journal (serial)
);

-- The snapshot process's state: the journal applied up to the newest staged batch.
CREATE TABLE project (
    name TEXT PRIMARY KEY,
    display_name TEXT NOT NULL,
    last_serial BIGINT NOT NULL
);
CREATE TABLE file (
    project TEXT NOT NULL REFERENCES project (name),
    filename TEXT NOT NULL,
    version TEXT NOT NULL,
    sha256 BYTEA NOT NULL,
    size BIGINT NOT NULL,
    upload_time BIGINT NOT NULL,
    requires_python TEXT,
    metadata_sha256 BYTEA,
    metadata_size BIGINT,
    yanked TEXT,
    serial BIGINT NOT NULL,
    PRIMARY KEY (project, filename)
);

-- The newest version of each role that was ever staged, written or not.
CREATE TABLE role (
    name TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    expires BIGINT NOT NULL -- seconds, as in metadata
);
CREATE INDEX role_expires ON role (expires);

-- What is published: the targets of the newest finished batch.
CREATE TABLE target (
    path TEXT PRIMARY KEY,
    bin BIGINT NOT NULL,
    length BIGINT NOT NULL,
    sha256 BYTEA NOT NULL
);
CREATE INDEX target_bin ON target (bin, path);

CREATE TABLE state (
    name TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO state (name, value) VALUES ('published_serial', 0);

-- The batch that is being written to the store, at most one.
CREATE TABLE staged_batch (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    snapshot_version BIGINT NOT NULL,
    serial BIGINT NOT NULL,
    timestamp BYTEA NOT NULL,
    previous_timestamp BYTEA -- digest; NULL: there is none yet
);
CREATE TABLE staged_object (
    seq BIGINT PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    bytes BYTEA NOT NULL
);
CREATE TABLE staged_link (
    seq BIGINT PRIMARY KEY,
    from_key TEXT NOT NULL,
    to_key TEXT NOT NULL UNIQUE
);
CREATE TABLE staged_target (
    path TEXT PRIMARY KEY,
    bin BIGINT,
    length BIGINT,
    sha256 BYTEA -- NULL, as bin and length: the target is removed
);

-- Upload tokens. The secret itself is nowhere.
CREATE TABLE token (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    secret_sha256 BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT,
    revoked_at BIGINT
);
CREATE UNIQUE INDEX token_active_name ON token (name) WHERE revoked_at IS NULL;
