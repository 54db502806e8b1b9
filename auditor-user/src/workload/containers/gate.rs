//! Keeps away from a socket that does not answer: longer each time, up to a bound.

use std::time::{Duration, Instant};

/// How long somebody is left alone after the first failure, and at most.
const DELAYS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// Whether a socket may be asked.
#[derive(Debug, Default)]
pub(super) struct Gate {
    closed: Option<(Instant, Duration)>,
}

impl Gate {
    /// Whether it is time to ask.
    pub(super) fn is_open(&self, now: Instant) -> bool {
        self.closed.is_none_or(|(until, _)| until <= now)
    }

    /// Notes an answer, or that there was none.
    pub(super) fn note(&mut self, is_answered: bool, now: Instant) {
        self.closed = (!is_answered).then(|| {
            let delay = self
                .closed
                .map_or(DELAYS.0, |(_, delay)| (delay * 2).min(DELAYS.1));
            (now + delay, delay)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_answer_is_left_alone_longer_each_time_up_to_the_bound() {
        let (mut gate, mut now) = (Gate::default(), Instant::now());
        for seconds in [5, 10, 20, 40, 80, 160, 300, 300] {
            assert!(gate.is_open(now));
            gate.note(false, now);
            assert!(!gate.is_open(now + Duration::from_secs(seconds - 1)));
            now += Duration::from_secs(seconds);
        }
        gate.note(true, now);
        assert!(gate.is_open(now));
    }
}
