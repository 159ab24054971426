//! How much memory and disk an attack takes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The most memory that this process held, from a moment on.
pub(super) struct Memory {
    before: u64,
}

impl Memory {
    pub(super) fn now() -> Self {
        // Forgets the peak so far, where the system allows it; else growth is what exceeds that.
        let _ = fs::write("/proc/self/clear_refs", "5");
        Self { before: peak() }
    }

    /// How many bytes more than then the process held at a time.
    pub(super) fn growth(&self) -> u64 {
        peak().saturating_sub(self.before)
    }
}

/// How many bytes the process may grow by while six clients are attacked, the mirrors in it included:
/// without limits it would be gigabytes. Where other tests run in the same process it is less sure.
pub(super) fn allowed() -> u64 {
    // cargo-nextest gives each test a process, and says so.
    if std::env::var_os("NEXTEST").is_some() { 64 << 20 } else { 256 << 20 }
}

/// The most bytes that were resident (`VmHWM` in proc(5)).
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// The most bytes that two folders held, looked at all the time.
pub(super) struct Disk {
    most: [Arc<AtomicU64>; 2],
    stop: Arc<AtomicBool>,
    looking: Option<JoinHandle<()>>,
}

impl Disk {
    pub(super) fn watch(folders: [&Path; 2]) -> Self {
        let most = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
        let stop = Arc::new(AtomicBool::new(false));
        let looking = thread::spawn({
            let (most, stop, folders) =
                (most.clone(), Arc::clone(&stop), folders.map(PathBuf::from));
            move || {
                while !stop.load(Ordering::SeqCst) {
                    for (folder, most) in folders.iter().zip(&most) {
                        most.fetch_max(size(folder), Ordering::SeqCst);
                    }
                    thread::sleep(Duration::from_millis(5));
                }
            }
        });
        Self { most, stop, looking: Some(looking) }
    }

    /// Ends looking.
    pub(super) fn most(mut self) -> [u64; 2] {
        self.stop.store(true, Ordering::SeqCst);
        self.looking.take().unwrap().join().unwrap();
        [0, 1].map(|folder| self.most[folder].load(Ordering::SeqCst))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

/// Files come and go meanwhile.
fn size(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    // By inode: a file that is renamed while the folder is read is there twice.
    let mut sizes = BTreeMap::new();
    for entry in entries.flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        let size = if metadata.is_dir() { size(&entry.path()) } else { metadata.len() };
        sizes.insert(std::os::unix::fs::MetadataExt::ino(&metadata), size);
    }
    sizes.values().sum()
}

#[test]
fn growth_is_noticed_though_it_is_freed() {
    let memory = Memory::now();
    let (size, page) = (100 << 20, 4096);
    let mut taken = vec![0u8; size];
    for place in (0..size).step_by(page) {
        taken[place] = 1;
    }
    drop(std::hint::black_box(taken));
    assert!(memory.growth() > 80 << 20, "{}", memory.growth());
}

#[test]
fn a_file_is_noticed_though_it_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::watch([folder.path(), Path::new("/nonexistent")]);
    fs::create_dir(folder.path().join("tmp")).unwrap();
    fs::write(folder.path().join("tmp/file"), vec![0; 5000]).unwrap();
    thread::sleep(Duration::from_millis(200));
    fs::remove_file(folder.path().join("tmp/file")).unwrap();
    assert_eq!(disk.most(), [5000, 0]);
}
