//! Bounds on what a repository may make a client fetch, hold and compute.

/// Bounds on what a repository may make a client fetch, hold and compute. All are checked before the
/// work that they bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a root. Default 512 KiB.
    pub root: u64,
    /// Bytes of a timestamp. Default 64 KiB.
    pub timestamp: u64,
    /// Bytes of a snapshot whose length timestamp does not list, and the most it may list. Default
    /// 16 MiB: 2¹⁸ bins need 9 MB.
    pub snapshot: u64,
    /// Bytes of a targets role whose length snapshot does not list, and the most it may list.
    /// Default 16 MiB.
    pub targets: u64,
    /// Roots followed in one update; the update goes on with the last of them, and the next one
    /// follows more. Default 1024, as TUF 5.3.3 has it.
    pub root_rotations: u64,
    /// Delegated roles visited in one search, not counting the top-level targets role. Default 32,
    /// as in python-tuf.
    pub delegations: u64,
    /// Arrays and objects inside one another in one file. Default 64; more than 127 are never read.
    pub json_depth: u64,
    /// Values in one file, those inside others counted: what bounds the memory that a file takes
    /// once it is read. Default 2²⁰: a snapshot of 2¹⁸ bins has 2¹⁹.
    pub json_values: u64,
    /// Keys that one root, or the delegations of one role, list. Default 1024.
    pub keys: u64,
    /// Signatures on one file. Default 1024.
    pub signatures: u64,
    /// What one search may spend on path patterns: bytes of patterns times bytes of the path, for
    /// each role that is searched. Default 2³⁰: 100,000 patterns of 100 bytes for a path of 100.
    pub pattern_work: u64,
}

impl Limits {
    /// The default of [`targets`](Self::targets): whoever writes metadata goes by it too.
    pub const TARGETS: u64 = 16 << 20;

    /// The default of [`json_values`](Self::json_values), for whoever writes metadata too.
    pub const JSON_VALUES: u64 = 1 << 20;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            root: 512 << 10,
            timestamp: 64 << 10,
            snapshot: 16 << 20,
            targets: Self::TARGETS,
            root_rotations: 1024,
            delegations: 32,
            json_depth: 64,
            json_values: Self::JSON_VALUES,
            keys: 1024,
            signatures: 1024,
            pattern_work: 1 << 30,
        }
    }
}
