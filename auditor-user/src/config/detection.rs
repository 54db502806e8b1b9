//! `[detection]` of the configuration: which rules events are compared with.

use std::path::PathBuf;

use serde::Deserialize;

/// Where rules are, beside those that ship with the product.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Detection {
    /// Whether the rules that ship with the product are in force.
    pub(crate) shipped: bool,
    /// Files of Sigma rules, and folders with such files (`*.yml`).
    pub(crate) rules: Vec<PathBuf>,
    /// Ids of rules that are not in force.
    pub(crate) disabled: Vec<String>,
}

impl Default for Detection {
    fn default() -> Self {
        Self {
            shipped: true,
            rules: Vec::new(),
            disabled: Vec::new(),
        }
    }
}
