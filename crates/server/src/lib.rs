//! The web side of an index: upload API, Simple API, metadata and files.
