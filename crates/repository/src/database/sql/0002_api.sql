-- What a token may do: `upload` files of projects, or change targets through the `api`.
ALTER TABLE token ADD COLUMN scope TEXT NOT NULL DEFAULT 'upload';

-- For finding what was published some time ago.
CREATE INDEX snapshot_published_at ON snapshot (published_at);

-- Targets that entries of the API changed a short time ago, published or not: whoever asks what is
-- at a path looks here first, and then at what is published. `forgotten_serial` is the newest entry
-- whose rows may be gone.
CREATE TABLE pending_target (
    path TEXT PRIMARY KEY,
    serial BIGINT NOT NULL,
    sha256 BYTEA, -- NULL, as length: the target is removed
    length BIGINT
);
CREATE INDEX pending_target_serial ON pending_target (serial);
INSERT INTO state (name, value) VALUES ('forgotten_serial', 0);

-- Projects that have an upload: their target paths belong to uploads, never to the API.
CREATE TABLE hosted_project (
    name TEXT PRIMARY KEY
);
INSERT INTO hosted_project (name) SELECT DISTINCT project FROM journal;

-- Idempotency keys of the last days, by the token that used them.
CREATE TABLE idempotency_key (
    token TEXT NOT NULL,
    key TEXT NOT NULL,
    body_sha256 BYTEA NOT NULL,
    serial BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (token, key)
);
CREATE INDEX idempotency_key_created_at ON idempotency_key (created_at);
