//! How patient and how trusting in lengths a client is.

use std::time::Duration;

use waxseal_tuf::Limits;

use crate::Credentials;

/// Deadlines and limits of a [`Client`](crate::Client).
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who asks; sent to the index alone. Default none.
    pub credentials: Option<Credentials>,
    /// For making a connection. Default 5 s.
    pub connect: Duration,
    /// For a whole metadata file, tries included. Default 30 s.
    pub metadata: Duration,
    /// The longest wait for the next bytes of anything. Default 20 s.
    pub stall: Duration,
    /// Bytes in a second below which a target is given up. Default 1024.
    pub minimum_rate: u64,
    /// Over how long the rate is averaged. Default 30 s.
    pub rate_window: Duration,
    /// The longest wait for another process that refreshes the same trust store. Default 60 s.
    pub lock_wait: Duration,
    /// How often a failed connection, or a status 429 or 5xx, is tried again. Default 2.
    pub retries: u32,
    /// Limits on metadata.
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            credentials: None,
            connect: Duration::from_secs(5),
            metadata: Duration::from_secs(30),
            stall: Duration::from_secs(20),
            minimum_rate: 1024,
            rate_window: Duration::from_secs(30),
            lock_wait: Duration::from_mins(1),
            retries: 2,
            limits: Limits::default(),
        }
    }
}
