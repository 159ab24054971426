//! What no program that does the same can do without: signing the same bytes (Ed25519 hashes them
//! twice with SHA-512, ECDSA P-256 once with SHA-256), the snapshot's SHA-256, and writing the same files with as many syncs.
//! With aws-lc-rs and the file system directly, on bytes that are there.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use waxseal_signing::{PrivateKey, Scheme};
use waxseal_testkit::stopwatch::{Taken, median, timed};
use waxseal_tuf::Signer as _;

/// The most bytes that are signed or written to find a floor; of more it is calculated.
const SAMPLE: u64 = 256 << 20;

/// Durable writes to the database for one snapshot: its versions are reserved, it is decided on, it is
/// finished.
const DATABASE_SYNCS: usize = 3;

/// Up to how many files are synced one by one, and not with their whole file system.
const FEW: usize = 4;

/// What one snapshot consists of.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    /// How many bytes each bin has that is signed.
    pub(crate) bins: Vec<u64>,
    /// How many bytes the snapshot has.
    pub(crate) snapshot: u64,
}

/// The floor of some work: signing, hashing and writing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Floor {
    /// Of the processor, user and system.
    pub(crate) cpu: Duration,
    /// By the clock.
    pub(crate) wall: Duration,
}

impl Work {
    /// How many bytes are signed.
    pub(crate) fn bytes(&self) -> u64 {
        self.bins.iter().sum::<u64>() + self.snapshot
    }

    /// The work's size, for people.
    pub(crate) fn describe(&self) -> String {
        let (bins, kb) = (self.bins.len(), self.bytes() / 1000);
        format!("{bins} bins and a snapshot, {kb} KB")
    }

    /// The sizes of what is signed, as many as make a sample, and what to multiply by.
    pub(crate) fn sample(&self) -> (Vec<usize>, f64) {
        let (mut taken, mut sizes) = (0, Vec::new());
        for size in std::iter::once(self.snapshot).chain(self.bins.iter().copied()) {
            if taken + size > SAMPLE && taken > 0 {
                break;
            }
            taken += size;
            sizes.push(usize::try_from(size).unwrap());
        }
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let factor = self.bytes() as f64 / taken as f64;
        (sizes, factor)
    }

    /// Measures the floor; files go to `folder`, and stay there.
    pub(crate) fn floor(&self, scheme: Scheme, folder: &Path) -> Floor {
        let (sizes, factor) = self.sample();
        let bytes = vec![b'x'; sizes.iter().copied().max().unwrap_or(0)];
        let key = PrivateKey::generate(scheme).unwrap();
        let rounds = if factor > 1.0 || sizes.len() > 1000 { 1 } else { 9 };
        let sign = || {
            for size in &sizes {
                std::hint::black_box(key.sign(&bytes[..*size]).unwrap());
            }
            std::hint::black_box(digest(&SHA256, &bytes[..sizes[0]]));
        };
        let signed: Vec<Taken> = (0..rounds).map(|_| timed(sign)).collect();
        let signed = median(signed.iter().map(|taken| taken.cpu));
        let written: Vec<Taken> = (0..rounds).map(|_| write(folder, &sizes, &bytes)).collect();
        let [cpu, wall] = [|taken: &Taken| taken.cpu, |taken: &Taken| taken.wall]
            .map(|of| (signed + median(written.iter().map(of))).mul_f64(factor));
        Floor { cpu, wall }
    }
}

/// Writes files of these sizes durably, then to a database as often as a snapshot does, and replaces
/// one small file: as many syncs as `strace -c` counts for a snapshot of ours.
fn write(folder: &Path, sizes: &[usize], bytes: &[u8]) -> Taken {
    let folder = tempfile::tempdir_in(folder).unwrap().keep();
    let mut database = File::create(folder.join("database")).unwrap();
    let directory = File::open(&folder).unwrap();
    rustix::fs::syncfs(&directory).unwrap();
    let mut commit = || {
        database.write_all(&bytes[..bytes.len().min(4096)]).unwrap();
        database.sync_data().unwrap();
    };
    timed(|| {
        for (number, size) in sizes.iter().enumerate() {
            let mut file = File::create(folder.join(number.to_string())).unwrap();
            file.write_all(&bytes[..*size]).unwrap();
            if sizes.len() <= FEW {
                file.sync_all().unwrap();
            }
        }
        match sizes.len() <= FEW {
            true => directory.sync_all().unwrap(),
            false => rustix::fs::syncfs(&directory).unwrap(),
        }
        for _ in 0..DATABASE_SYNCS {
            commit();
        }
        let mut timestamp = File::create(folder.join("new")).unwrap();
        timestamp.write_all(&bytes[..bytes.len().min(450)]).unwrap();
        timestamp.sync_all().unwrap();
        fs::rename(folder.join("new"), folder.join("timestamp")).unwrap();
        directory.sync_all().unwrap();
    })
}
