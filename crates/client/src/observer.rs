//! What a client tells while it works.

use std::fmt;
use std::sync::Arc;

use waxseal_tuf::{MetadataFile, RoleName};

use crate::RootChange;

/// Something that a client did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A metadata file is asked for.
    Fetching {
        /// The role, the path and what is known of the length.
        file: &'a MetadataFile,
        /// Base URL of where it is asked for.
        from: &'a str,
    },
    /// So many bytes of that file came.
    Received {
        /// The role.
        role: &'a RoleName,
        /// Bytes since the last event about it, as they come over the network.
        bytes: u64,
    },
    /// A role's new metadata was verified, and is in the trust store.
    Trusted {
        /// The role.
        role: &'a RoleName,
    },
    /// A source failed or was refused, and the next one is asked.
    Failover {
        /// Base URL of the source that failed.
        from: &'a str,
        /// Base URL of the next one.
        to: &'a str,
    },
    /// A refresh came to its end with another root than the one that was told of last on this machine. It
    /// is told of once, by one of all processes that use the trust store.
    RootChanged {
        /// The index.
        url: &'a str,
        /// What is different.
        change: &'a RootChange,
    },
}

/// Who hears of events: a progress bar, or nobody. It is called on the client's own task and must
/// not block.
#[derive(Clone, Default)]
pub struct Observer(Option<Arc<Hear>>);

type Hear = dyn Fn(Event<'_>) + Send + Sync;

impl Observer {
    /// Calls `hear` with each event.
    pub fn new(hear: impl Fn(Event<'_>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hear)))
    }

    /// Whether anybody hears.
    pub(crate) fn is_heard(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn tell(&self, event: Event<'_>) {
        if let Some(hear) = &self.0 {
            hear(event);
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Observer(…)" } else { "Observer(nobody)" })
    }
}
