//! Counts memory that is held for others, so that all sessions together stay below a bound.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// An amount that may be held at once.
#[derive(Debug)]
pub(super) struct Budget {
    used: Arc<AtomicUsize>,
    limit: usize,
}

/// A part of a budget; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    used: Arc<AtomicUsize>,
    amount: usize,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            used: Arc::default(),
            limit,
        }
    }

    /// Takes an amount, unless that would exceed the budget.
    pub(super) fn take(&self, amount: usize) -> Option<Share> {
        // One thread owns the stage: nobody else changes the count between these two.
        let used = self.used.load(Ordering::Relaxed).checked_add(amount)?;
        if used > self.limit {
            return None;
        }
        self.used.store(used, Ordering::Relaxed);
        Some(Share {
            used: Arc::clone(&self.used),
            amount,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.used.fetch_sub(self.amount, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_may_be_taken_again() {
        let budget = Budget::new(10);
        let share = budget.take(8);
        assert!(share.is_some());
        assert!(budget.take(3).is_none());
        assert!(budget.take(usize::MAX).is_none());
        drop(share);
        assert!(budget.take(10).is_some());
    }
}
