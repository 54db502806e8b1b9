//! What a sink did not get, for the log to say.

use serde::{Deserialize, Serialize};

/// Names of refused events that are said.
pub(crate) const NAMES: usize = 16;

/// Something that the log is to say.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Fact {
    /// Entries were left out.
    Shed {
        /// The sink that does not get them.
        sink: String,
        /// The first of them.
        first: u64,
        /// The one behind the last.
        end: u64,
        /// Why.
        why: Why,
    },
    /// The receiver refuses events for good.
    Refused {
        /// The sink that does not get them.
        sink: String,
        /// How many.
        events: u64,
        /// The first of them, by `metadata.uid`.
        uids: Vec<String>,
        /// What the receiver said.
        why: String,
    },
    /// A witness saw another log under this one's key.
    Disputed {
        /// The witness's name.
        witness: String,
        /// The size that it saw.
        size: u64,
    },
}

/// Why entries were left out.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// More waited than may.
    Backlog,
    /// The log does not keep them any more.
    Retention,
}
