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

-- The snapshot process's state: the journal applied up to the newest decided batch.
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

-- Root, targets, bins, snapshot and timestamp.
CREATE TABLE role (
    name TEXT PRIMARY KEY,
    version BIGINT NOT NULL, -- the newest that was ever used, written or not
    published BIGINT NOT NULL, -- the one that clients find; 0: none yet
    expires BIGINT NOT NULL -- of the published one; seconds, as in metadata
);

-- The bins. What they list stands in their files alone.
CREATE TABLE bin (
    number BIGINT PRIMARY KEY,
    version BIGINT NOT NULL, -- as of a role
    published BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    length BIGINT NOT NULL, -- of the published file, in bytes
    sha256 BYTEA NOT NULL -- of the published file, all of it
);

CREATE TABLE state (
    name TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO state (name, value) VALUES ('published_serial', 0);

-- Who may publish: each snapshot process raises the epoch when it starts, and its writes name it.
INSERT INTO state (name, value) VALUES ('writer_epoch', 0);

-- Every snapshot that was published, and the serial it goes up to.
CREATE TABLE snapshot (
    version BIGINT PRIMARY KEY,
    serial BIGINT NOT NULL,
    published_at BIGINT NOT NULL
);
CREATE INDEX snapshot_serial ON snapshot (serial);

-- The batch that is being written to the store, at most one. Without a timestamp it is reserved: its
-- versions are used up. With one it is decided, and will be published.
CREATE TABLE batch (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    snapshot_version BIGINT NOT NULL,
    timestamp_version BIGINT NOT NULL,
    bins BYTEA NOT NULL, -- a record for each, see database/batch.rs
    source BYTEA, -- digest of an import file, which can be gone on with
    begun BIGINT, -- the time that the files of that import state
    serial BIGINT,
    expires BIGINT, -- of snapshot and timestamp, which
    timestamp_expires BIGINT,
    timestamp BYTEA,
    previous_timestamp BYTEA -- digest; NULL: there is none yet
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
