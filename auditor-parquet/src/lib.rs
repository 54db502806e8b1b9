//! Events as Parquet.
//!
//! Each row is one entry of the log: its index, the entry byte for byte (`raw_data`), and those parts of it as typed columns
//! that queries ask for, under OCSF's own names. What has no column, or another type than its column, is in `raw_data` only:
//! nothing is lost. Bounds: [`ROWS`] rows wait for their row group.

mod schema;
mod table;

pub use schema::{LOG_INDEX, RAW_DATA, schema};
pub use table::{ROWS, Table};

/// Why no file can be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The columns and their values do not fit together.
    #[error("no columns can be made of events: {0}")]
    Arrow(#[from] arrow_schema::ArrowError),
    /// The file cannot be written.
    #[error("no Parquet can be written: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
}
