//! Rules and what they say of an event. Types only, known to the audit stage without what evaluates them.

use std::sync::Arc;

use crate::view::View;

/// Evaluates rules.
pub trait Judge: Send {
    /// The rules that an event meets. `seconds` since the epoch is when it happened.
    fn judge(&mut self, event: &dyn View, seconds: i64) -> Vec<Hit>;
}

/// What is said of a rule.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct About {
    /// Its id, a UUID.
    pub id: String,
    /// Its title.
    pub title: String,
    /// What it means and what to do.
    pub description: Option<String>,
    /// When it was last changed, which is its version.
    pub version: Option<String>,
    /// How bad that is.
    pub level: Level,
    /// Its tags.
    pub tags: Vec<String>,
    /// What else it may be.
    pub false_positives: Vec<String>,
    /// Whether it is about data that leaves: OCSF class 2006 instead of 2004.
    pub is_about_data: bool,
    /// Whether it counts events.
    pub is_correlation: bool,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Level {
    /// To know.
    Informational,
    /// Seldom worth a look.
    Low,
    /// Worth a look.
    #[default]
    Medium,
    /// Worth a look now.
    High,
    /// Worth waking somebody.
    Critical,
}

impl Level {
    /// Its name in Sigma.
    pub fn name(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// A rule that an event meets.
#[derive(Clone, Debug)]
pub struct Hit {
    /// Which.
    pub rule: Arc<About>,
    /// For a rule that counts: what it counted.
    pub correlated: Option<Correlated>,
    /// Events that met it since it was told last, for the same identity and target, and were not told.
    pub suppressed: u32,
}

/// What a rule counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Correlated {
    /// The count.
    pub value: f64,
    /// Within how many seconds.
    pub seconds: u64,
    /// What the events have in common: fields and values.
    pub group: Vec<(String, String)>,
    /// `metadata.uid` of the latest events, oldest first.
    pub events: Vec<String>,
}
