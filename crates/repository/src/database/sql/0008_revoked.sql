-- What was revoked: it takes no upload until it is readmitted. The reason stands in the journal's entry.
CREATE TABLE revoked_project (
    name TEXT PRIMARY KEY,
    serial BIGINT NOT NULL REFERENCES journal (serial)
);
CREATE TABLE revoked_file (
    identity TEXT PRIMARY KEY, -- as of a filename_claim
    filename TEXT NOT NULL,
    serial BIGINT NOT NULL REFERENCES journal (serial),
    readmitted BIGINT NOT NULL DEFAULT 0 -- 1: the same bytes may be uploaded again
);
CREATE INDEX revoked_file_serial ON revoked_file (serial);

-- Whether nothing is left of a project, which then is on no list.
ALTER TABLE project ADD COLUMN empty BIGINT NOT NULL DEFAULT 0;
