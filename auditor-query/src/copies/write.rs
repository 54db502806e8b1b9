//! Writes files of the copies: whole or not at all.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use datafusion::{
    arrow::{datatypes::SchemaRef, record_batch::RecordBatch},
    parquet::{
        arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
        basic::{Compression, Encoding, ZstdLevel},
        errors::ParquetError,
        file::properties::WriterProperties,
        schema::types::ColumnPath,
    },
};

use super::{Error, columns::LOG_INDEX};

/// Rows of a group: what is skipped or read at once.
const GROUP: usize = 131_072;
/// Columns that only rise, about.
const RISING: [&str; 3] = [LOG_INDEX, "time_ns", "end_time_ns"];
/// Columns whose values are so many that only a Bloom filter tells which group has one.
const UNIQUE: [&str; 7] = [
    "uid",
    "session",
    "session_hash",
    "token_hash",
    "chain",
    "chain_parent",
    "call",
];

/// A file that is written; dropped before its end it is nothing.
pub(super) struct Writer {
    path: PathBuf,
    unfinished: PathBuf,
    writer: ArrowWriter<File>,
}

impl Writer {
    /// Begins a file of about so many rows.
    pub(super) fn create(path: &Path, schema: &SchemaRef, rows: u64) -> Result<Self, Error> {
        let unfinished = path.with_extension("unfinished");
        let file = File::create(&unfinished);
        let file = file.map_err(|error| Error::File(unfinished.clone(), error))?;
        let properties = Some(properties(schema, rows));
        let writer = ArrowWriter::try_new(file, SchemaRef::clone(schema), properties);
        Ok(Self {
            writer: writer.map_err(|error| Error::Parquet(unfinished.clone(), error))?,
            path: path.to_owned(),
            unfinished,
        })
    }

    /// Adds rows.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let written = self.writer.write(batch);
        written.map_err(|error| Error::Parquet(self.unfinished.clone(), error))
    }

    /// Puts the file in its place. It is not synced: after a crash it is made again.
    pub(super) fn finish(self) -> Result<(), Error> {
        let closed = self.writer.close();
        closed.map_err(|error| Error::Parquet(self.unfinished.clone(), error))?;
        let moved = fs::rename(&self.unfinished, &self.path);
        moved.map_err(|error| Error::File(self.path, error))
    }
}

fn properties(schema: &SchemaRef, rows: u64) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(GROUP));
    for field in schema.fields() {
        let name = field.name().as_str();
        let path = ColumnPath::from(name);
        if UNIQUE.contains(&name) {
            properties = properties
                .set_column_bloom_filter_enabled(path.clone(), true)
                .set_column_bloom_filter_max_ndv(path, rows.min(GROUP as u64));
        } else if RISING.contains(&name) {
            properties = properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
        }
    }
    properties.build()
}

/// The batches of files, one after another.
pub(super) fn read(paths: &[PathBuf]) -> impl Iterator<Item = Result<RecordBatch, Error>> + '_ {
    paths.iter().flat_map(|path| {
        let wrong = |error| Error::Parquet(path.clone(), error);
        let opened = File::open(path).map_err(|error| Error::File(path.clone(), error));
        let reader = opened.and_then(|file| {
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(wrong)?;
            reader.with_batch_size(8_192).build().map_err(wrong)
        });
        let (reader, error) = match reader {
            Ok(reader) => (Some(reader), None),
            Err(error) => (None, Some(Err(error))),
        };
        let batches = reader.into_iter().flatten();
        let batches = batches.map(move |batch| {
            batch.map_err(|error| Error::Parquet(path.clone(), ParquetError::from(error)))
        });
        batches.chain(error)
    })
}
