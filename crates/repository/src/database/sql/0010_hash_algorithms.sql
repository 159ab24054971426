-- Which digests every target lists (1: SHA-256, 2: SHA-512, 3: both), and with which they are being listed
-- anew (0: with no others).
INSERT INTO state (name, value) VALUES ('hash_algorithms', 1);
INSERT INTO state (name, value) VALUES ('hash_algorithms_next', 0);

-- While they are: digests of what was read of the store and found right, by bin. A record has a SHA-256 and
-- the SHA-512 of the same bytes.
CREATE TABLE hashed_bin (
    bin BIGINT PRIMARY KEY,
    digests BYTEA NOT NULL
);
