//! Private keys behind key URIs.
