//! Which events a sink gets.

use serde::Deserialize;

use crate::{event::Head, settings::Settings};

/// OCSF severities, by their ids.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Severity {
    /// All, those of unknown severity included.
    #[default]
    Informational = 1,
    Low = 2,
    Medium = 3,
    High = 4,
    Critical = 5,
    Fatal = 6,
}

/// The OCSF category of findings.
const FINDINGS: u32 = 2;

impl Settings {
    /// Whether an event is sent.
    pub(crate) fn wants(&self, head: &Head) -> bool {
        let least = self.min_severity;
        let is_severe =
            least == Severity::Informational || u32::from(head.severity) >= least as u32;
        let is_class = self.classes.is_empty() || self.classes.contains(&head.class);
        let is_finding = head.class / 1_000 == FINDINGS;
        is_severe && is_class && (is_finding || !self.detections_only)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_gets_what_it_asked_for() {
        let asks = |words: &str, class, severity| {
            let text = format!("name = 'a'\n{words}\n[jsonl]\npath = '/x'");
            let settings: Settings = toml::from_str(&text).unwrap();
            let head = Head {
                class,
                severity,
                ..Head::default()
            };
            settings.wants(&head)
        };
        assert!(asks("", 6_003, 0));
        assert!(!asks("min_severity = 'medium'", 6_003, 2));
        assert!(asks("min_severity = 'medium'", 6_003, 3));
        assert!(!asks("detections_only = true", 6_003, 6));
        assert!(asks("detections_only = true", 2_004, 1));
        assert!(asks("detections_only = true", 2_006, 1));
        assert!(!asks("classes = [2004]", 2_006, 1));
    }
}
