//! Makes one file, row by row.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use arrow_json::reader::ReaderBuilder;
use arrow_schema::ArrowError;
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};

use crate::{
    Error,
    schema::{EVENT, schema},
};

/// Rows of a group.
pub const ROWS: usize = 4_096;
/// Rows that are made into columns at a time.
const TOGETHER: usize = 256;

/// A file that is made in memory.
pub struct Table {
    writer: ArrowWriter<Vec<u8>>,
    indices: Vec<Option<u64>>,
    entries: Vec<String>,
    rows: u64,
}

impl Table {
    /// An empty file.
    ///
    /// # Errors
    /// Never with the columns of this crate.
    pub fn new() -> Result<Self, Error> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(ROWS))
            .build();
        Ok(Self {
            writer: ArrowWriter::try_new(Vec::new(), schema(), Some(properties))?,
            indices: Vec::new(),
            entries: Vec::new(),
            rows: 0,
        })
    }

    /// Adds an entry, with its index in the log where it has one.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn push(&mut self, index: Option<u64>, entry: &[u8]) -> Result<(), Error> {
        self.indices.push(index);
        self.entries
            .push(String::from_utf8_lossy(entry).into_owned());
        self.rows += 1;
        if self.entries.len() >= TOGETHER {
            self.write()?;
        }
        Ok(())
    }

    /// Rows that were added.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes that this holds, about.
    pub fn bytes(&self) -> usize {
        self.writer.inner().len() + self.writer.memory_size()
    }

    /// The whole file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> Result<Vec<u8>, Error> {
        self.write()?;
        Ok(self.writer.into_inner()?)
    }

    fn write(&mut self) -> Result<(), Error> {
        let entries = std::mem::take(&mut self.entries);
        let indices = std::mem::take(&mut self.indices);
        if entries.is_empty() {
            return Ok(());
        }
        let columns = match columns(&entries) {
            Ok(columns) => columns,
            // One of them does not fit: it is found by itself, and has no columns.
            Err(_) => apart(&entries)?,
        };
        let mut all: Vec<ArrayRef> = vec![Arc::new(UInt64Array::from(indices))];
        all.extend(columns.columns().iter().cloned());
        all.push(Arc::new(StringArray::from(entries)));
        self.writer.write(&RecordBatch::try_new(schema(), all)?)?;
        Ok(())
    }
}

/// The columns of entries, which are objects of JSON.
fn columns(entries: &[String]) -> Result<RecordBatch, ArrowError> {
    let mut decoder = ReaderBuilder::new(Arc::clone(&EVENT))
        .with_batch_size(entries.len())
        .build_decoder()?;
    for entry in entries {
        for part in [entry.as_bytes(), b"\n"] {
            if decoder.decode(part)? != part.len() {
                return Err(ArrowError::JsonError("more than one object".to_owned()));
            }
        }
    }
    let batch = decoder.flush()?;
    let batch = batch.filter(|batch| batch.num_rows() == entries.len());
    batch.ok_or_else(|| ArrowError::JsonError("not one object an entry".to_owned()))
}

/// The same, with nothing but nulls for an entry that does not fit.
fn apart(entries: &[String]) -> Result<RecordBatch, ArrowError> {
    let empty = ["{}".to_owned()];
    let rows = entries
        .iter()
        .map(|entry| columns(std::slice::from_ref(entry)).or_else(|_| columns(&empty)));
    let rows: Vec<RecordBatch> = rows.collect::<Result<_, _>>()?;
    arrow_select::concat::concat_batches(&EVENT, &rows)
}

#[cfg(test)]
mod tests {
    use arrow_array::{Array as _, cast::AsArray as _, types::UInt64Type};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_are_read_back_as_they_were() {
        let mut table = Table::new().unwrap();
        let mut entries = Vec::new();
        for index in 0..1_000u64 {
            let entry = match index {
                // What lies about its types keeps no other from its columns.
                500 => "{\"time\": \"never\", \"x\": [".to_owned(),
                501 => "{\"class_uid\": {\"a\": 1}}".to_owned(),
                _ => json!({"metadata": {"uid": format!("r-{index}")}, "time": 1_700_000_000_000_u64 + index,
                    "class_uid": 6003, "unmapped": {"mcp": {"method": "tools/call", "gap": {"unknown": 1},
                    "resources": [{"kind": "table", "name": "t", "sensitivity": {"level": "restricted", "tags": ["a"]}}]}}})
                .to_string(),
            };
            table
                .push((index != 7).then_some(index), entry.as_bytes())
                .unwrap();
            entries.push(entry);
        }
        assert_eq!(table.rows(), 1_000);
        let file = bytes::Bytes::from(table.finish().unwrap());
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        assert_eq!(reader.schema().fields(), schema().fields());
        let (mut at, mut uids) = (0, 0);
        for batch in reader.build().unwrap() {
            let batch = batch.unwrap();
            let column = |name: &str| batch.column_by_name(name).unwrap().clone();
            let raw = column("raw_data");
            let index = column("log_index");
            let metadata = column("metadata");
            let uid = metadata.as_struct().column_by_name("uid").unwrap();
            for row in 0..batch.num_rows() {
                assert_eq!(raw.as_string::<i32>().value(row), entries[at]);
                assert_eq!(index.is_null(row), at == 7);
                if at != 7 {
                    assert_eq!(index.as_primitive::<UInt64Type>().value(row), at as u64);
                }
                uids += usize::from(uid.is_valid(row));
                at += 1;
            }
        }
        assert_eq!((at, uids), (1_000, 998));
    }
}
