//! Makes columns of entries. Holds what it was given until it is taken.

use std::sync::Arc;

use datafusion::arrow::{
    array::{
        ArrayRef, BooleanBuilder, Int64Builder, StringViewBuilder, TimestampMillisecondBuilder,
    },
    error::ArrowError,
    record_batch::RecordBatch,
};

use super::{
    columns::{Classes, Column, Events, Part, Read, Resources, Table},
    event::Event,
};

/// Rows of the three tables.
pub(crate) struct Rows {
    events: Builder<Events>,
    resources: Builder<Resources>,
    classes: Builder<Classes>,
    /// Entries of which nothing but the index could be read.
    pub(crate) unread: u64,
}

/// Batches of the three tables, in this order: events, resources, classes.
pub(crate) type Batches = [RecordBatch; 3];

impl Rows {
    pub(crate) fn new() -> Self {
        Self {
            events: Builder::new(),
            resources: Builder::new(),
            classes: Builder::new(),
            unread: 0,
        }
    }

    /// Adds an entry.
    pub(crate) fn push(&mut self, index: u64, entry: &[u8]) {
        let index = i64::try_from(index).unwrap_or(i64::MAX);
        let event: Event<'_> = serde_json::from_slice(entry).unwrap_or_else(|_| {
            self.unread += 1;
            Event::default()
        });
        self.events.push(index, &event);
        let Some(mcp) = event.unmapped.as_ref().and_then(|one| one.mcp.as_ref()) else {
            return;
        };
        for part in mcp.resources.iter().filter(|one| !one.is_tool()) {
            self.resources.push(
                index,
                &Part {
                    event: &event,
                    part,
                },
            );
        }
        for part in &mcp.classifications {
            self.classes.push(
                index,
                &Part {
                    event: &event,
                    part,
                },
            );
        }
    }

    /// What was added.
    pub(crate) fn finish(self) -> Result<Batches, ArrowError> {
        Ok([
            self.events.finish()?,
            self.resources.finish()?,
            self.classes.finish()?,
        ])
    }
}

/// One table.
struct Builder<T: Table> {
    index: Int64Builder,
    columns: Vec<(&'static Column<T>, Values)>,
}

enum Values {
    Text(StringViewBuilder),
    Long(Int64Builder),
    Time(TimestampMillisecondBuilder),
    Truth(BooleanBuilder),
}

impl<T: Table> Builder<T> {
    fn new() -> Self {
        let values = |column: &'static Column<T>| {
            let values = match column.read {
                // Most texts are the same ones again.
                Read::Text(_) => Values::Text(StringViewBuilder::new().with_deduplicate_strings()),
                Read::Long(_) => Values::Long(Int64Builder::new()),
                Read::Time(_) => {
                    Values::Time(TimestampMillisecondBuilder::new().with_timezone("UTC"))
                }
                Read::Truth(_) => Values::Truth(BooleanBuilder::new()),
            };
            (column, values)
        };
        Self {
            index: Int64Builder::new(),
            columns: T::COLUMNS.iter().map(values).collect(),
        }
    }

    fn push<'e>(&mut self, index: i64, row: &'e T::Row<'e>) {
        self.index.append_value(index);
        for (column, values) in &mut self.columns {
            match (&column.read, values) {
                (Read::Text(read), Values::Text(values)) => values.append_option(read(row)),
                (Read::Long(read), Values::Long(values)) => values.append_option(read(row)),
                (Read::Time(read), Values::Time(values)) => values.append_option(read(row)),
                (Read::Truth(read), Values::Truth(values)) => values.append_option(read(row)),
                _ => {}
            }
        }
    }

    fn finish(mut self) -> Result<RecordBatch, ArrowError> {
        let mut all: Vec<ArrayRef> = vec![Arc::new(self.index.finish())];
        for (_, values) in self.columns {
            all.push(match values {
                Values::Text(mut values) => Arc::new(values.finish()),
                Values::Long(mut values) => Arc::new(values.finish()),
                Values::Time(mut values) => Arc::new(values.finish()),
                Values::Truth(mut values) => Arc::new(values.finish()),
            });
        }
        RecordBatch::try_new(T::schema(), all)
    }
}
