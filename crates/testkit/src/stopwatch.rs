//! Time by the clock, and time of the processor, which other programs on the machine do not lengthen.
//!
//! Everything that is measured runs on one thread and waits for nothing, so that both are the same on
//! a machine that does nothing else.

#![allow(
    clippy::missing_panics_doc,
    reason = "everything here panics where a benchmark cannot go on"
)]

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// How long a piece of work took.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    /// By the clock.
    pub wall: Duration,
    /// Of the whole process, in its own code and in the kernel.
    pub cpu: Duration,
}

/// Does a piece of work and says how long it took.
pub fn timed(work: impl FnOnce()) -> Taken {
    let (start, cpu) = (Instant::now(), processor());
    work();
    Taken { cpu: processor().saturating_sub(cpu), wall: start.elapsed() }
}

fn processor() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_else(|error| panic!("no processor time: {error}"))
}

/// The one in the middle.
pub fn median(durations: impl IntoIterator<Item = Duration>) -> Duration {
    percentile(durations, 50)
}

/// The one below which so many of a hundred are.
pub fn percentile(durations: impl IntoIterator<Item = Duration>, percent: usize) -> Duration {
    let mut sorted: Vec<Duration> = durations.into_iter().collect();
    assert!(!sorted.is_empty(), "nothing was measured");
    sorted.sort_unstable();
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// The most memory that a process had resident so far (`VmHWM`), in KiB; `None` once it has ended.
pub fn peak_memory(process: u32) -> Option<u64> {
    let status = read(&format!("/proc/{process}/status"));
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// Processor time of another process, in its own code and in the kernel, in steps of 10 ms. One that
/// has ended has it until it is waited for.
pub fn processor_of(process: u32) -> Duration {
    // Of Linux on every machine that this runs on.
    const TICKS_A_SECOND: u64 = 100;
    let file = format!("/proc/{process}/stat");
    let stat = read(&file);
    // The program's name, in parentheses, may hold spaces; `utime` and `stime` come later.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks: Vec<u64> = fields.skip(11).take(2).map_while(|field| field.parse().ok()).collect();
    assert_eq!(ticks.len(), 2, "{file} is of another form: {stat}");
    Duration::from_millis(ticks.iter().sum::<u64>() * 1000 / TICKS_A_SECOND)
}

fn read(file: &str) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("cannot read {file}: {error}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn percentiles_are_among_what_was_measured() {
        let durations = || (1..=200).rev().map(Duration::from_millis);
        assert_eq!(median(durations()), Duration::from_millis(101));
        assert_eq!(percentile(durations(), 99), Duration::from_millis(199));
        assert_eq!(percentile([Duration::from_secs(7)], 99), Duration::from_secs(7));
    }

    #[test]
    fn a_process_is_seen_from_outside() {
        let id = std::process::id();
        let start = processor_of(id);
        let taken = timed(|| {
            let until = Instant::now() + Duration::from_millis(60);
            while Instant::now() < until {
                std::hint::black_box(vec![1_u8; 1 << 16]);
            }
        });
        let seen = processor_of(id).saturating_sub(start);
        assert!(seen >= taken.cpu.saturating_sub(Duration::from_millis(40)));
        assert!((1_000..10_000_000).contains(&peak_memory(id).unwrap()));
    }
}
