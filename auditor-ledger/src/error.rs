//! What goes wrong, with what failed and on which file.

use std::{io, path::PathBuf};

/// Why the log cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// What was to be done.
        what: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process writes this log.
    #[error("{0} is written by another process; each needs a directory of its own")]
    Locked(PathBuf),
    /// An entry is too long.
    #[error("an entry of {0} bytes, over the limit of {limit}", limit = crate::ENTRY)]
    TooLong(usize),
    /// Too much waits for a commit, which fails again and again.
    #[error("{0} bytes wait to be written, over the limit of {limit}", limit = crate::PENDING)]
    Full(usize),
    /// The log is not as it was written. Nothing is repaired: move it away to begin a new one, and keep it.
    #[error(
        "the log was tampered with or damaged: {0}; `mcp-auditor verify` says more, move the log away to begin a new one"
    )]
    Tampered(String),
    /// A key cannot be used.
    #[error("the key in {path} cannot be used: {why}")]
    Key {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// An entry or tile is not there.
    #[error("entry {0} is not in the log")]
    Missing(u64),
    /// An entry was removed by retention.
    #[error("entry {0} was removed, as what is before {1} was kept long enough")]
    Retired(u64, u64),
    /// A node of the tree cannot be had.
    #[error("the tree cannot be read: {0}")]
    Tree(String),
}

/// Why somebody else's text is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Invalid {
    /// It does not have the form that it should have.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// It is signed by none of the keys that are trusted.
    #[error("no trusted signature on the {0}")]
    Untrusted(&'static str),
    /// The hashes do not lead to the root.
    #[error("the proof does not lead to the root that was signed")]
    Mismatch,
    /// It speaks of another log.
    #[error("it is of the log `{0}`")]
    Origin(String),
}
