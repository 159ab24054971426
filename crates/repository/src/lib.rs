//! Store, journal, catalog, bins, the snapshot process and the key ceremony.
