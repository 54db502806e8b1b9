//! What can be wrong with rules.

/// Why rules cannot be taken. None of them were.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// Too many bytes.
    #[error("rules of {bytes} bytes are over the limit of {limit}")]
    Size {
        /// How many there are.
        bytes: usize,
        /// How many may be.
        limit: usize,
    },
    /// Too many rules.
    #[error("{count} rules are over the limit of {limit}")]
    Count {
        /// How many there are.
        count: usize,
        /// How many may be.
        limit: usize,
    },
    /// A rule that cannot be used.
    #[error("{file}: {what}")]
    Rule {
        /// Its file.
        file: String,
        /// What is wrong, and the mend.
        what: String,
    },
}
