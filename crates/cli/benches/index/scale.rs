//! How much of everything is measured.

use waxseal_signing::Scheme;
use waxseal_testkit::import_file::{PEP_458, PYPI};

/// Sizes and repetitions.
#[derive(Debug, Clone)]
pub(crate) struct Scale {
    /// How many bins every index has.
    pub(crate) bins: u32,
    /// Targets of the indexes that most rows are about.
    pub(crate) sizes: Vec<Size>,
    /// Targets of the indexes that one upload is compared at.
    pub(crate) growth: Vec<u64>,
    /// How often one upload is published.
    pub(crate) uploads: usize,
    /// How often a batch is.
    pub(crate) batches: usize,
    /// How many uploads are in a batch.
    pub(crate) in_a_batch: usize,
    /// How often an import or a build is repeated.
    pub(crate) builds: usize,
    /// For how long uploads come at a steady rate, in seconds.
    pub(crate) seconds: u64,
    /// Parallel clients over HTTP, and how many uploads they make in all.
    pub(crate) http: Vec<(usize, usize)>,
    /// Whether python-tuf does the same.
    pub(crate) python: bool,
    /// How the online key signs.
    pub(crate) scheme: Scheme,
}

/// One size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// How many targets.
    pub(crate) targets: u64,
    /// As people say it.
    pub(crate) name: &'static str,
    /// Uploads a second that it is to keep up with.
    pub(crate) rate: u32,
    /// The most memory that an import may take, in MiB, where that is asked for.
    pub(crate) import_mib: Option<u64>,
    /// How many bins python-tuf signs to find what it takes for all: more do not fit into memory.
    pub(crate) python_bins: u32,
}

impl Scale {
    /// What `docs/performance.md` shows.
    pub(crate) fn full() -> Self {
        let pep = Size {
            targets: PEP_458,
            name: "2.3 M",
            rate: 1_000,
            import_mib: None,
            python_bins: u32::MAX,
        };
        let pypi = Size {
            targets: PYPI,
            name: "20 M",
            rate: 200,
            import_mib: Some(1024),
            python_bins: 512,
        };
        Self {
            bins: 16_384,
            sizes: vec![pep, pypi],
            growth: vec![10_000, 100_000, 1_000_000, PYPI],
            uploads: 21,
            batches: 5,
            in_a_batch: 100,
            builds: 3,
            seconds: 300,
            http: vec![(1, 500), (8, 2_000), (64, 4_000)],
            python: true,
            scheme: Scheme::Ed25519,
        }
    }

    /// The same with fewer repetitions and a shorter steady rate.
    pub(crate) fn quick() -> Self {
        Self {
            uploads: 7,
            batches: 3,
            builds: 1,
            seconds: 20,
            http: vec![(1, 100), (8, 500), (64, 1_000)],
            ..Self::full()
        }
    }

    /// So little that a test can run it; its figures mean nothing.
    pub(crate) fn tiny() -> Self {
        let tiny = Size {
            targets: 1_000,
            name: "1,000",
            rate: 20,
            import_mib: None,
            python_bins: u32::MAX,
        };
        Self {
            bins: 16,
            sizes: vec![tiny],
            growth: vec![1_000],
            uploads: 2,
            batches: 1,
            in_a_batch: 5,
            builds: 1,
            seconds: 1,
            http: vec![(2, 6)],
            python: false,
            scheme: Scheme::EcdsaP256,
        }
    }
}
