//! Gathers the events of a timeline: those that are meant, the rest of their chains, findings about them, and what was not
//! heard or recorded meanwhile. Bound: [`MOST`] events.

use std::collections::{BTreeSet, HashSet};

use anyhow::Result;
use auditor_ledger::{BUNDLE, Reader};
use datafusion::{
    arrow::{
        array::AsArray as _,
        datatypes::{Int64Type, TimestampMillisecondType},
    },
    prelude::{DataFrame, col, lit},
    scalar::ScalarValue,
};

use super::entry::Entry;
use crate::{
    copies::LOG_INDEX,
    engine::{self, Engine},
};

/// Most events of a timeline.
const MOST: usize = 20_000;
/// Findings come at most this much later than what they are about, in milliseconds.
const LATER: i64 = 600_000;

/// How much is gathered.
pub(crate) struct Wanted {
    /// The newest so many of what is meant.
    pub(crate) most: usize,
    /// Also what happened to the auditor meanwhile, and gaps of the same processes.
    pub(crate) is_all: bool,
}

/// What was gathered.
pub(crate) struct Gathered {
    /// By index in the log.
    pub(crate) entries: Vec<Entry>,
    /// Whether there is more.
    pub(crate) is_cut: bool,
}

/// What is known of rows before their entries are read.
#[derive(Default)]
struct Rows {
    indices: BTreeSet<u64>,
    chains: BTreeSet<String>,
    pids: HashSet<i64>,
    /// Of the first and the last, in UTC milliseconds.
    times: Option<(i64, i64)>,
    is_cut: bool,
}

/// Gathers.
///
/// # Errors
/// When the log or its copies cannot be read.
pub(crate) async fn gather(
    engine: &Engine,
    log: &Reader,
    meant: DataFrame,
    wanted: &Wanted,
) -> Result<Gathered> {
    let mut rows = Rows::default();
    rows.take(meant, wanted.most).await?;
    let Some((from, to)) = rows.times else {
        return Ok(Gathered {
            entries: Vec::new(),
            is_cut: false,
        });
    };
    let events = || engine.table("events");
    let chains: Vec<_> = std::mem::take(&mut rows.chains).into_iter().collect();
    for some in chains.chunks(500) {
        let some = some.iter().map(lit).collect();
        let filter = col("chain").in_list(some, false);
        rows.take(events().await?.filter(filter)?, MOST).await?;
    }
    let (from, to) = rows.times.unwrap_or((from, to));
    let between = |to: i64| {
        let time = |ms| {
            lit(ScalarValue::TimestampMillisecond(
                Some(ms),
                Some("UTC".into()),
            ))
        };
        col("time").between(time(from), time(to))
    };
    let mut entries = read(log, &rows.indices)?;
    let uids: HashSet<String> = entries.iter().map(|entry| entry.uid().to_owned()).collect();
    let mut others = Rows::default();
    let findings = col("class").eq(lit("finding")).and(between(to + LATER));
    others.take(events().await?.filter(findings)?, MOST).await?;
    if wanted.is_all {
        let lifecycle = col("class")
            .eq(lit("lifecycle"))
            .or(col("kind").eq(lit("gap")));
        others
            .take(events().await?.filter(lifecycle.and(between(to)))?, MOST)
            .await?;
    }
    let known = |entry: &Entry| match entry.class() {
        "finding" => entry.about().iter().any(|uid| uids.contains(*uid)),
        "lifecycle" => true,
        _ => ["/client/pid", "/server/pid"].iter().any(|pointer| {
            let pid = entry.value(pointer).and_then(serde_json::Value::as_i64);
            pid.is_some_and(|pid| rows.pids.contains(&pid))
        }),
    };
    let others_indices = others.indices.difference(&rows.indices).copied().collect();
    entries.extend(read(log, &others_indices)?.into_iter().filter(known));
    entries.sort_by_key(|entry| entry.index);
    Ok(Gathered {
        entries,
        is_cut: rows.is_cut || others.is_cut,
    })
}

impl Rows {
    /// Takes the newest rows of a query.
    async fn take(&mut self, events: DataFrame, most: usize) -> Result<()> {
        let room = most.min(MOST.saturating_sub(self.indices.len()));
        let columns = [LOG_INDEX, "time", "chain", "client_pid", "server_pid"].map(col);
        let newest = events
            .select(columns.to_vec())?
            .sort(vec![col(LOG_INDEX).sort(false, false)])?
            .limit(0, Some(room.saturating_add(1)))?;
        let (_, batches, has_more) = engine::collect(newest, room).await?;
        self.is_cut |= has_more;
        for batch in batches {
            let index = batch.column(0).as_primitive::<Int64Type>();
            self.indices.extend(
                index
                    .values()
                    .iter()
                    .filter_map(|index| u64::try_from(*index).ok()),
            );
            for time in batch
                .column(1)
                .as_primitive::<TimestampMillisecondType>()
                .iter()
                .flatten()
            {
                let (first, last) = self.times.unwrap_or((time, time));
                self.times = Some((first.min(time), last.max(time)));
            }
            self.chains.extend(
                batch
                    .column(2)
                    .as_string_view()
                    .iter()
                    .flatten()
                    .map(str::to_owned),
            );
            for pids in [3, 4].map(|at| batch.column(at).as_primitive::<Int64Type>()) {
                self.pids.extend(pids.iter().flatten());
            }
        }
        Ok(())
    }
}

/// Reads entries, bundle by bundle.
fn read(log: &Reader, indices: &BTreeSet<u64>) -> Result<Vec<Entry>> {
    let indices: Vec<u64> = indices.iter().copied().collect();
    let mut entries = Vec::with_capacity(indices.len());
    for together in indices.chunk_by(|a, b| a / BUNDLE == b / BUNDLE) {
        let (Some(first), Some(last)) = (together.first(), together.last()) else {
            continue;
        };
        for entry in log.entries(*first) {
            let entry = entry?;
            if entry.index > *last {
                break;
            }
            if together.binary_search(&entry.index).is_ok() {
                entries.push(Entry {
                    index: entry.index,
                    json: serde_json::from_slice(&entry.bytes).unwrap_or_default(),
                });
            }
        }
    }
    Ok(entries)
}
