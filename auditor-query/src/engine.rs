//! Answers SQL over the copies and the newest entries: tables `events`, `resources` and `classes`. Reads only.
//!
//! Memory: [`MEMORY`] bytes for sorting, grouping and joining; what needs more goes to temporary files.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use datafusion::{
    arrow::{datatypes::SchemaRef, record_batch::RecordBatch},
    datasource::{
        MemTable,
        file_format::parquet::ParquetFormat,
        listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl},
    },
    execution::{context::SQLOptions, memory_pool::FairSpillPool, runtime_env::RuntimeEnvBuilder},
    prelude::{DataFrame, SessionConfig, SessionContext, col, lit},
};
use futures::TryStreamExt as _;

use crate::copies::{Classes, Events, Held, LOG_INDEX, Resources, Table};

/// Bytes that a query may hold.
const MEMORY: usize = 512 << 20;
/// Rows that are worked on at once.
const BATCH: usize = 8_192;

/// The engine over what is held.
pub(crate) struct Engine {
    context: SessionContext,
    _held: Held,
}

impl Engine {
    /// Opens it.
    ///
    /// # Errors
    /// When files of the copies cannot be read.
    pub(crate) fn open(held: Held) -> Result<Self> {
        let mut config = SessionConfig::new()
            .with_batch_size(BATCH)
            .with_information_schema(true)
            // Guesses of what filters leave would turn joins round.
            .with_collect_statistics(false);
        let parquet = &mut config.options_mut().execution.parquet;
        parquet.pushdown_filters = true;
        parquet.reorder_filters = true;
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(MEMORY)))
            .build_arc()?;
        let context = SessionContext::new_with_config_rt(config, runtime);
        table::<Events>(&context, &held, &held.tail[0])?;
        table::<Resources>(&context, &held, &held.tail[1])?;
        table::<Classes>(&context, &held, &held.tail[2])?;
        Ok(Self {
            context,
            _held: held,
        })
    }

    /// A table.
    ///
    /// # Errors
    /// Never for those that there are.
    pub(crate) async fn table(&self, name: &str) -> Result<DataFrame> {
        Ok(self.context.table(name).await?)
    }

    /// A query in SQL. It may read the tables and nothing else.
    ///
    /// # Errors
    /// When it is none, or asks for what is not there.
    pub(crate) async fn sql(&self, text: &str) -> Result<DataFrame> {
        let only_reading = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        let frame = self.context.sql_with_options(text, only_reading).await;
        frame.context("the query cannot be answered")
    }
}

/// All rows of a query's answer, up to a bound; tells whether there were more.
///
/// # Errors
/// When it fails on the way.
pub(crate) async fn collect(
    frame: DataFrame,
    most: usize,
) -> Result<(SchemaRef, Vec<RecordBatch>, bool)> {
    let mut stream = frame.execute_stream().await?;
    let schema = stream.schema();
    let (mut batches, mut rows) = (Vec::new(), 0);
    while let Some(batch) = stream.try_next().await? {
        let room = most - rows;
        if batch.num_rows() > room {
            batches.push(batch.slice(0, room));
            return Ok((schema, batches, true));
        }
        rows += batch.num_rows();
        batches.push(batch);
    }
    Ok((schema, batches, false))
}

/// Registers a table: its files, without what the log has no more, and the newest entries.
fn table<T: Table>(context: &SessionContext, held: &Held, tail: &RecordBatch) -> Result<()> {
    let newest = MemTable::try_new(T::schema(), vec![vec![tail.clone()]])?;
    let mut all = context.read_table(Arc::new(newest))?;
    let files = held.files(T::NAME);
    if !files.is_empty() {
        let urls = files
            .iter()
            .map(|file| ListingTableUrl::parse(file.to_string_lossy()));
        let urls = urls.collect::<Result<Vec<_>, _>>()?;
        let options = ListingOptions::new(Arc::new(ParquetFormat::default()));
        let config = ListingTableConfig::new_with_multi_paths(urls)
            .with_listing_options(options)
            .with_schema(T::schema());
        let copied = context.read_table(Arc::new(ListingTable::try_new(config)?))?;
        let first = i64::try_from(held.first).unwrap_or(i64::MAX);
        all = if first == 0 {
            copied.union(all)?
        } else {
            copied
                .filter(col(LOG_INDEX).gt_eq(lit(first)))?
                .union(all)?
        };
    }
    context.register_table(T::NAME, all.into_view())?;
    Ok(())
}
