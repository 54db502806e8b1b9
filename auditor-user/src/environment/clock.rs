//! How well the host's clock keeps time, by its kernel, and by how much it was set. Never sets it.

use std::fs;

use auditor_core::{audit::HostClock, key::Time};
use nix::time::{ClockId, clock_gettime};

/// Nanoseconds from which a step is told.
const STEP: i64 = 10_000_000;
/// Nanoseconds within which both clocks are to be read, and tries to do so.
const SPREAD: i64 = 200_000;
const TRIES: usize = 5;
const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

/// Watches the clock.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// The world's time less the time since boot, when it was read last.
    offset: Option<i64>,
    last_step: Option<(i64, Time)>,
}

impl Watch {
    /// The clock by now; steps since the last call are logged.
    pub(super) fn read(&mut self) -> HostClock {
        if let Some((offset, now)) = offset() {
            let step = self
                .offset
                .map_or(0, |before| offset.saturating_sub(before));
            self.note(step, now);
            self.offset = Some(offset);
        }
        HostClock {
            last_step: self.last_step,
            ..kernel()
        }
    }

    fn note(&mut self, step: i64, now: Time) {
        if step.abs() >= STEP {
            tracing::warn!(
                step_ns = step,
                "the clock of this host was set: times of events before and after differ by that"
            );
            self.last_step = Some((step, now));
        }
    }
}

/// The world's time less the time since boot, and the world's time.
///
/// Slow adjustment moves both alike: only a step changes the difference.
fn offset() -> Option<(i64, Time)> {
    let nanos = |clock: ClockId| {
        let time = clock_gettime(clock).ok()?;
        time.tv_sec()
            .checked_mul(1_000_000_000)?
            .checked_add(time.tv_nsec())
    };
    for _ in 0..TRIES {
        let before = nanos(ClockId::CLOCK_BOOTTIME)?;
        let world = nanos(ClockId::CLOCK_REALTIME)?;
        let after = nanos(ClockId::CLOCK_BOOTTIME)?;
        // Whoever is interrupted in between would see a step where there is none.
        if after - before <= SPREAD {
            return Some((world - before, Time(u64::try_from(world).ok()?)));
        }
    }
    None
}

/// What `adjtimex(2)` tells, asked without changing anything.
fn kernel() -> HostClock {
    let source = fs::read_to_string(SOURCE).ok();
    let source = source.map(|source| source.trim().to_owned());
    // SAFETY: all of the structure's members are integers, for which zero is a value.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a whole structure of this function's own; no mode is set, so nothing is changed.
    let result = unsafe { libc::adjtimex(&raw mut state) };
    if result < 0 {
        return HostClock {
            source,
            ..HostClock::default()
        };
    }
    let unit = if state.status & libc::STA_NANO != 0 {
        1
    } else {
        1_000
    };
    let max_error = u64::try_from(state.maxerror).ok();
    HostClock {
        is_synchronized: Some(result != libc::TIME_ERROR && state.status & libc::STA_UNSYNC == 0),
        offset: state.offset.checked_mul(unit),
        max_error: max_error.and_then(|micros| micros.checked_mul(1_000)),
        source,
        last_step: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_of_its_clock() {
        let mut watch = Watch::default();
        let clock = watch.read();
        assert!(clock.is_synchronized.is_some() && clock.max_error.is_some());
        assert_eq!(clock.last_step, None);
        // Nobody set it meanwhile.
        assert_eq!(watch.read().last_step, None);
    }

    #[test]
    fn only_steps_are_told() {
        let mut watch = Watch::default();
        watch.note(STEP - 1, Time(1));
        assert_eq!(watch.last_step, None);
        watch.note(-STEP, Time(2));
        watch.note(5, Time(3));
        assert_eq!(watch.last_step, Some((-STEP, Time(2))));
    }
}
