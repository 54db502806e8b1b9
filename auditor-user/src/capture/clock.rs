//! The kernel's clock and the world's: records tell time since boot, events tell UTC.

use auditor_core::key::Time;
use nix::time::{ClockId, clock_gettime};

/// The offset between time since boot and UTC.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Clock {
    /// When the host was started.
    pub(crate) boot: Time,
}

impl Clock {
    /// Reads both clocks.
    pub(crate) fn read() -> Self {
        let boot = nanos(ClockId::CLOCK_REALTIME).saturating_sub(since_boot());
        Self { boot: Time(boot) }
    }

    /// Now, by this clock: time since boot on top of the offset.
    pub(crate) fn now(&self) -> Time {
        self.time(since_boot())
    }

    /// The time of a record.
    pub(crate) fn time(&self, since_boot: u64) -> Time {
        self.boot.after(since_boot)
    }
}

/// Nanoseconds since boot, suspend included: the time of records.
pub(crate) fn since_boot() -> u64 {
    nanos(ClockId::CLOCK_BOOTTIME)
}

fn nanos(clock: ClockId) -> u64 {
    let Ok(time) = clock_gettime(clock) else {
        return 0;
    };
    let (seconds, nanos) = (u64::try_from(time.tv_sec()), u64::try_from(time.tv_nsec()));
    seconds.unwrap_or(0) * 1_000_000_000 + nanos.unwrap_or(0)
}
