//! `[redaction]` of the configuration: what is kept of bodies at the levels that ask for them.

use auditor_content::{Action, PathRule, Policy};
use serde::Deserialize;

/// What becomes of values that belong to no class; those that do are replaced in any case.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Redaction {
    /// Of those that no rule fits.
    pub(crate) default: Action,
    /// Rules; the first that fits decides.
    pub(crate) rules: Vec<Rule>,
}

/// An action for the values at places of one shape.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// A JSON Pointer; `*` is any one step, and `**` at its end all that is below.
    pub(crate) place: String,
    /// What becomes of them.
    pub(crate) action: Action,
}

impl Default for Redaction {
    fn default() -> Self {
        Self {
            default: Action::Hash,
            rules: Vec::new(),
        }
    }
}

impl Redaction {
    /// In the words of the redactor: these rules, then those for what the protocol itself writes.
    pub(crate) fn policy(&self) -> Policy {
        let own = self
            .rules
            .iter()
            .map(|rule| PathRule::new(&rule.place, rule.action));
        Policy {
            default: self.default,
            rules: own.chain(Policy::default().rules).collect(),
        }
    }
}
