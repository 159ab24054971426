//! Time by the clock, and time of the processor, which other programs on the machine do not lengthen.
//!
//! Everything that is measured runs on one thread and waits for nothing, so that both are the same on
//! a machine that does nothing else.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// How long a piece of work took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) wall: Duration,
    /// Of the whole process, in its own code and in the kernel.
    pub(crate) cpu: Duration,
}

pub(crate) fn timed(work: impl FnOnce()) -> Taken {
    let (start, cpu) = (Instant::now(), processor());
    work();
    Taken { cpu: processor() - cpu, wall: start.elapsed() }
}

fn processor() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap()
}
