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
