//! `[policy]` of the configuration: what interactions are decided by.

use std::path::PathBuf;

use serde::Deserialize;

/// Where policies are. Without any, nothing is decided.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Policy {
    /// Files of Cedar policies, and folders with such files (`*.cedar`).
    pub(crate) files: Vec<PathBuf>,
}
