//! Whether the daemon works, for who restarts it (`/healthz`) and for who waits for it (`/readyz`).

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Longest time between two turns of a daemon that works.
const STUCK: Duration = Duration::from_secs(15);

/// What the daemon says of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Health(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_ready: AtomicBool,
    turned: Mutex<Option<Instant>>,
}

impl Health {
    /// Every probe is attached, and what runs is enrolled.
    pub(crate) fn set_ready(&self) {
        self.0.is_ready.store(true, Ordering::Relaxed);
    }

    /// The daemon's loop took a turn.
    pub(crate) fn note_turn(&self) {
        *self.0.turned.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Answers a path that asks for health: whether that is good, and what to say. `None` for other paths.
    pub(super) fn answer(&self, path: &str) -> Option<(bool, &'static str)> {
        let turned = *self.0.turned.lock().unwrap_or_else(PoisonError::into_inner);
        let is_stuck = turned.is_some_and(|at| at.elapsed() >= STUCK);
        match path {
            "/healthz" if is_stuck => Some((false, "the daemon takes no turn\n")),
            "/healthz" => Some((true, "ok\n")),
            "/readyz" if !self.0.is_ready.load(Ordering::Relaxed) => {
                Some((false, "probes are being attached\n"))
            }
            "/readyz" if is_stuck => Some((false, "the daemon takes no turn\n")),
            "/readyz" => Some((true, "ok\n")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_when_it_says_so_and_stuck_when_it_stands() {
        let health = Health::default();
        assert_eq!(health.answer("/metrics"), None);
        assert!(health.answer("/healthz").unwrap().0 && !health.answer("/readyz").unwrap().0);
        health.set_ready();
        health.note_turn();
        assert!(health.answer("/readyz").unwrap().0);
        *health.0.turned.lock().unwrap() = Instant::now().checked_sub(STUCK);
        assert!(!health.answer("/healthz").unwrap().0 && !health.answer("/readyz").unwrap().0);
    }
}
