//! Query copies: what searches ask for, out of the log, as Parquet in `query/` under the data directory.
//!
//! Derived from the log and never evidence: they may be deleted, and are made again. Three tables ([`columns`]) in files of
//! [`PIECE`] entries, of which [`WHOLE`] make a larger one; the newest entries, in no file yet, are read anew each time.
//! One process writes; others read meanwhile. Memory: the entries of one piece for each processor.

mod columns;
mod event;
mod folder;
mod rows;
mod stretch;
mod write;

pub(crate) use columns::{Classes, Events, LOG_INDEX, Resources, Table};
pub(crate) use folder::{Copies, Held};

/// Entries of a file at first.
pub(crate) const PIECE: u64 = if cfg!(test) { 64 } else { 8_192 };
/// Pieces that become one file.
pub(crate) const WHOLE: u64 = if cfg!(test) { 4 } else { 64 };
/// The names of the tables, which files and queries use.
pub(crate) const TABLES: [&str; 3] = [Events::NAME, Resources::NAME, Classes::NAME];

/// Why there are no copies.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] auditor_ledger::Error),
    /// A file cannot be read or written.
    #[error("{0}: {1}")]
    File(std::path::PathBuf, std::io::Error),
    /// The columns of a file are not what they should be.
    #[error("{0}: {1}; copies may be deleted, they are made again")]
    Parquet(
        std::path::PathBuf,
        datafusion::parquet::errors::ParquetError,
    ),
    /// Entries make no columns.
    #[error("no columns can be made of entries: {0}")]
    Arrow(#[from] datafusion::arrow::error::ArrowError),
}
