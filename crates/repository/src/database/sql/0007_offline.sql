-- New files of root, targets and bins that a key ceremony signed and that are still to be published.
CREATE TABLE offline_file (
    role TEXT NOT NULL,
    version BIGINT NOT NULL,
    stage BIGINT NOT NULL, -- 0: before the next snapshot, 1: with it, 2: after it
    expires BIGINT NOT NULL, -- seconds, as in metadata
    bytes BYTEA NOT NULL,
    PRIMARY KEY (role, version)
);

-- Whether a batch publishes those of stage 1 (1), and all targets in other bins than before (2).
ALTER TABLE batch ADD COLUMN offline BIGINT NOT NULL DEFAULT 0;
