-- Plans that were applied after a compromise, by the digest of what they decide.
CREATE TABLE restoration (
    plan BYTEA PRIMARY KEY,
    serial BIGINT NOT NULL -- of the last journal entry that it made
);
