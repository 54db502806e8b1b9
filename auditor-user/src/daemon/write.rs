//! Writes what is ready: to the log of this node, and to the output.

use auditor_core::{audit::Level, key::Time};
use sha2::{Digest as _, Sha256};

use super::Daemon;
use crate::{capture::Clock, store::Occasion};

/// Nanoseconds that the clock differs by before it counts as set: more than it is slewed by within a second.
const STEP: u128 = 100_000_000;

impl Daemon {
    pub(super) fn write_events(&mut self, now: Time) {
        let mut is_written = false;
        while let Some(event) = self.pipeline.poll_event(now, &self.table) {
            is_written = true;
            self.coverage.note(&event);
            self.keep(|json| event.write_json_without_bodies(json));
            let written = match (&self.store, self.level) {
                // It stands there already.
                (Some(_), Level::Metadata) => self.output.write_as_it_is(&self.json),
                _ => Ok(false),
            };
            let written = match written {
                Ok(false) => self.output.write(&event),
                done => done.map(drop),
            };
            if let Err(error) = written {
                self.note_failure(&error);
            }
            while let Some(finding) = self.pipeline.poll_finding(now) {
                self.keep(|json| finding.write_json(json));
                if let Err(error) = self.output.write_finding(&finding) {
                    self.note_failure(&error);
                }
            }
            while let Some(finding) = self.pipeline.poll_detection(now) {
                self.keep(|json| finding.write_json(json));
                if let Err(error) = self.output.write_detection(&finding) {
                    self.note_failure(&error);
                }
            }
        }
        if is_written && let Err(error) = self.output.flush() {
            self.note_failure(&error);
        }
    }

    fn keep(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if let Some(store) = &self.store {
            self.json.clear();
            write(&mut self.json);
            store.keep(&self.json);
        }
    }

    fn note_failure(&mut self, error: &std::io::Error) {
        self.failed += 1;
        if self.failed.is_power_of_two() {
            tracing::error!(%error, failed = self.failed, "cannot write events");
        }
    }

    /// Says in the log that the world's clock was set.
    pub(super) fn note_clock(&self, before: Clock) {
        let (old, new) = (i128::from(before.boot.0), i128::from(self.clock.boot.0));
        let step = new - old;
        if let Some(store) = &self.store
            && step.unsigned_abs() >= STEP
        {
            store.note(Occasion::Clock {
                step_ns: i64::try_from(step).unwrap_or(i64::MAX),
            });
        }
    }

    /// Says in the log what is in force.
    pub(super) fn note_configuration(&self, text: &str) {
        if let Some(store) = &self.store {
            store.note(Occasion::Configuration {
                sha256: hex::encode(Sha256::digest(text.as_bytes())),
                policy_set: self.policies.version(),
            });
        }
    }
}
