//! A rule that events met, as an event of its own. How it is written is in [`super::ocsf`] and [`super::pretty`].

use std::sync::Arc;

use auditor_detect::{Hit, Level};

use super::event::AuditEvent;
use crate::key::Time;

/// What a rule says, to be told.
#[derive(Clone)]
pub struct DetectionEvent {
    /// The event that met the rule; for a rule that counts, the last one.
    pub event: Arc<AuditEvent>,
    /// Number among all events within this run.
    pub sequence: u64,
    /// Number among these within this run, from 1.
    pub number: u64,
    /// When it was made.
    pub logged: Time,
    /// What the rule says.
    pub hit: Hit,
}

impl DetectionEvent {
    /// Unique for a finding.
    pub fn uid(&self) -> String {
        format!("{}-d{}", self.event.settings.run, self.number)
    }

    /// `metadata.uid` of the events behind it, at most 32 of the latest, and how many there are.
    pub fn events(&self) -> (Vec<String>, u64) {
        match &self.hit.correlated {
            Some(found) if !found.events.is_empty() => (found.events.clone(), found.value as u64),
            _ => {
                let mut events = vec![self.event.uid()];
                let previous = self.event.anomalies.iter().filter_map(|one| one.previous);
                for id in previous.map(crate::mcp::InteractionId) {
                    let uid = self.event.uid_of(id);
                    if !events.contains(&uid) {
                        events.push(uid);
                    }
                }
                let count = events.len() as u64;
                (events, count)
            }
        }
    }

    /// OCSF `severity_id` and `severity`.
    pub(super) fn severity(&self) -> (u8, &'static str) {
        match self.hit.rule.level {
            Level::Informational => (1, "Informational"),
            Level::Low => (2, "Low"),
            Level::Medium => (3, "Medium"),
            Level::High => (4, "High"),
            Level::Critical => (5, "Critical"),
        }
    }
}
