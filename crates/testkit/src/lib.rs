//! Repository simulator, malicious mirror and fixtures for the tests.
