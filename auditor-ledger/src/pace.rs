//! When a commit is due. Does not commit, and reads no clock.

use std::time::{Duration, Instant};

/// Longest that an entry waits for a commit: sinks get it after that.
const WAIT: Duration = Duration::from_millis(200);
/// Entries that make a commit due at once; more may go into it.
const ENTRIES: usize = 256;

/// The pace of commits: one is due 0.2 s after the oldest entry that waits, or with the 256th.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    oldest: Option<Instant>,
    waiting: usize,
}

impl Pace {
    /// Notes that an entry was appended.
    pub fn handle_append(&mut self, now: Instant) {
        self.oldest.get_or_insert(now);
        self.waiting = self.waiting.saturating_add(1);
    }

    /// Notes that all that waited was committed.
    pub fn handle_commit(&mut self) {
        *self = Self::default();
    }

    /// When the next commit is due, a moment that may be past; `None` while nothing waits.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let oldest = self.oldest?;
        Some(if self.waiting < ENTRIES {
            oldest + WAIT
        } else {
            oldest
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_due_by_age_or_by_number() {
        let start = Instant::now();
        let mut pace = Pace::default();
        assert_eq!(pace.poll_timeout(), None);
        pace.handle_append(start);
        for _ in 2..ENTRIES {
            pace.handle_append(start + WAIT / 2);
        }
        assert_eq!(pace.poll_timeout(), Some(start + WAIT));
        pace.handle_append(start + WAIT / 2);
        assert_eq!(pace.poll_timeout(), Some(start));
        pace.handle_commit();
        assert_eq!(pace.poll_timeout(), None);
    }
}
