//! `[ledger]`: how long the log of events is kept, and who is shown it.

use auditor_delivery::Witnesses;
use serde::Deserialize;

/// How long entries are kept; for good, where nothing is said.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Ledger {
    /// Days after which entries are removed.
    pub(crate) keep_days: Option<u32>,
    /// Bytes of entries beyond which the oldest are removed.
    pub(crate) keep_bytes: Option<u64>,
    /// Witnesses that sign its checkpoints.
    pub(crate) witnessed: Option<Witnesses>,
}
