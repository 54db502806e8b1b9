//! Says which things an MCP call names: tables, files, URLs, buckets, mailboxes, and what came back.
//!
//! Reads what is declared, that is arguments, URIs and results; what the server really did is told elsewhere. Values are
//! named only where they are names. Input is hostile: every list has a bound, and says where it was reached.

mod arguments;
mod catalogue;
mod repr;
mod resource;
mod returned;
mod rules;
pub mod sql;
mod uri;

pub use arguments::{Call, Declared, NODES, RESOURCES, fuzz_call};
pub use catalogue::Catalogue;
pub use resource::{Basis, Kind, Level, Operation, Resource, Sensitivity};
pub use returned::{Item, Returned};
pub use rules::Rules;

/// A file of rules or of a catalogue that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no TOML, or has keys that are not known.
    #[error("{0}")]
    Syntax(#[from] toml::de::Error),
    /// A pattern that is none.
    #[error("pattern {pattern:?} cannot be read: {source}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        source: globset::Error,
    },
    /// A rule that says nothing useful.
    #[error("rule {number}: {what}")]
    Rule {
        /// Which, from 1.
        number: usize,
        /// What is wrong, and the mend.
        what: String,
    },
}

fn glob(pattern: &str) -> Result<globset::Glob, Error> {
    let glob = globset::GlobBuilder::new(pattern)
        .case_insensitive(true)
        .literal_separator(false)
        .build();
    glob.map_err(|source| Error::Pattern {
        pattern: pattern.to_owned(),
        source,
    })
}

fn glob_set<'a>(globs: impl Iterator<Item = &'a globset::Glob>) -> Result<globset::GlobSet, Error> {
    let mut set = globset::GlobSetBuilder::new();
    for glob in globs {
        set.add(glob.clone());
    }
    set.build().map_err(|source| Error::Pattern {
        pattern: source.glob().unwrap_or("all of them").to_owned(),
        source,
    })
}
