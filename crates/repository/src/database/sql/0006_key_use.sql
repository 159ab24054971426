-- The log of the online key's use. A row for what was signed before some files got their names; see
-- key_use/encoding.rs for what is in a record. Rows are never changed and never go away.
CREATE TABLE key_use (
    number BIGINT PRIMARY KEY, -- 1, 2, 3 and so on
    record BYTEA NOT NULL,
    hash BYTEA NOT NULL -- covers number, record and the hash of the row before
);
