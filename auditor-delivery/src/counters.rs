//! What is counted of a sink.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// What was counted of a sink.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Events that the receiver has.
    pub delivered: u64,
    /// Events that the receiver refused for good.
    pub refused: u64,
    /// Entries that were left out.
    pub shed: u64,
    /// Deliveries that failed, and were or will be tried again.
    pub failures: u64,
    /// Entries that wait.
    pub waiting: u64,
    /// How long the oldest of them waits, in milliseconds.
    pub lag_ms: u64,
    /// Whether the last delivery succeeded.
    pub is_up: bool,
}

/// What was counted of witnesses.
#[derive(Debug, Default)]
pub(crate) struct Witnessed {
    /// Entries of the checkpoint that they signed last.
    pub(crate) entries: AtomicU64,
    pub(crate) failures: AtomicU64,
}

/// The same, shared.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) delivered: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) shed: AtomicU64,
    /// Of those that are being left out, and were not told yet.
    pub(crate) leaving_out: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) waiting: AtomicU64,
    /// When the oldest that waits was made, in milliseconds since the epoch; 0 where none waits.
    pub(crate) oldest_ms: AtomicU64,
    pub(crate) is_down: AtomicBool,
}

impl Counters {
    pub(crate) fn counts(&self, now_ms: u64) -> Counts {
        let oldest = self.oldest_ms.load(Relaxed);
        Counts {
            delivered: self.delivered.load(Relaxed),
            refused: self.refused.load(Relaxed),
            shed: self.shed.load(Relaxed) + self.leaving_out.load(Relaxed),
            failures: self.failures.load(Relaxed),
            waiting: self.waiting.load(Relaxed),
            lag_ms: if oldest == 0 {
                0
            } else {
                now_ms.saturating_sub(oldest)
            },
            is_up: !self.is_down.load(Relaxed),
        }
    }
}
