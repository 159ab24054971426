-- Of a bin's file the digest of its `signed` value in canonical form. Of files that were published before
-- it is that of the whole file.
ALTER TABLE bin RENAME COLUMN sha256 TO signed_sha256;

-- What entries that wait to be published add to a bin, in bytes at most: with the length of the
-- published bin it says whether another entry fits. Entries of before are not on record.
CREATE TABLE bin_growth (
    bin BIGINT NOT NULL,
    serial BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    PRIMARY KEY (bin, serial)
);
CREATE INDEX bin_growth_serial ON bin_growth (serial);
