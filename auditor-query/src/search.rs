//! `mcp-auditor search`: events by filters, or by SQL; each with its proof on demand.

use std::{fs, io::Write as _, path::Path};

use anyhow::{Context as _, Result, ensure};
use auditor_ledger::Reader;
use auditor_query_cli::Search;
use datafusion::{
    arrow::{
        array::{AsArray as _, RecordBatch, UInt32Array},
        compute::{concat_batches, take_record_batch},
        datatypes::{DataType, Int64Type, SchemaRef},
    },
    functions::expr_fn::{coalesce, concat, concat_ws, split_part},
    logical_expr::{Case, Expr, cast},
    prelude::{DataFrame, col, lit},
};

use crate::{
    copies::LOG_INDEX,
    engine::{self, Engine},
    output::{self, Harmless},
    selection,
    source::{self, Progress},
};

/// Up to so many events it is found first which they are, then what they say.
const APART: usize = 1_000;

/// Answers.
///
/// # Errors
/// When the log cannot be read, or the query cannot be answered.
pub(crate) async fn execute(search: Search) -> Result<()> {
    ensure!(
        search.sql.is_none()
            || (search.selection.is_wide()
                && search.selection.since.is_none()
                && search.selection.until.is_none()),
        "`--sql` says itself which events: leave the other filters out"
    );
    let (log, engine) = source::open(&search.log)?;
    if search.count {
        let events = selection::apply(&search.selection, &engine).await?;
        println!("{}", Progress::during("counting", events.count()).await?);
        return Ok(());
    }
    let work = answer(&engine, &search);
    let (schema, batches, has_more) = Progress::during("searching", work).await?;
    if let Some(folder) = &search.proof {
        prove(&log, &batches, folder)?;
    }
    if search.raw {
        return entries(&log, &batches);
    }
    output::print(search.format, &schema, &batches)?;
    if search.format.is_for_people() {
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        match (rows, has_more) {
            (0, _) => eprintln!("nothing was found in {} entries", log.size() - log.first()),
            (_, true) => eprintln!("there are more: `--limit` shows more than {rows}"),
            _ => {}
        }
    }
    Ok(())
}

/// The rows, the oldest first, and whether there are more.
async fn answer(engine: &Engine, search: &Search) -> Result<(SchemaRef, Vec<RecordBatch>, bool)> {
    if let Some(text) = &search.sql {
        return engine::collect(engine.sql(text).await?, search.limit).await;
    }
    let events = selection::apply(&search.selection, engine).await?;
    let more = search.limit.saturating_add(1);
    let newest = vec![
        col("time").sort(false, false),
        col(LOG_INDEX).sort(false, false),
    ];
    let (schema, batches, has_more) = if search.limit > APART {
        let sorted = events.sort(newest)?.limit(0, Some(more))?;
        let shown = columns(search, &sorted);
        engine::collect(sorted.select(shown)?, search.limit).await?
    } else {
        // Which they are first: all columns of all that could be among them would be read else.
        let which = events.select(vec![col("time"), col(LOG_INDEX)])?;
        let which = which.sort(newest.clone())?.limit(0, Some(more))?;
        let (_, found, has_more) = engine::collect(which, search.limit).await?;
        let found = indices(&found)?;
        let sorted = rows(engine, &found).await?.sort(newest)?;
        let shown = columns(search, &sorted);
        let (schema, batches, _) = engine::collect(sorted.select(shown)?, search.limit).await?;
        (schema, batches, has_more)
    };
    let all = concat_batches(&schema, &batches)?;
    let rows = u32::try_from(all.num_rows())?;
    let oldest_first: UInt32Array = (0..rows).rev().collect::<Vec<_>>().into();
    Ok((
        schema,
        vec![take_record_batch(&all, &oldest_first)?],
        has_more,
    ))
}

/// The events with these indices.
async fn rows(engine: &Engine, indices: &[u64]) -> Result<DataFrame> {
    let value = |index: &u64| lit(i64::try_from(*index).unwrap_or(i64::MAX));
    let (least, most) = (indices.iter().min(), indices.iter().max());
    let (least, most) = (value(least.unwrap_or(&0)), value(most.unwrap_or(&0)));
    let all = indices.iter().map(value).collect();
    let events = engine.table("events").await?;
    // The range says which files and groups, the list which rows.
    let range = events.filter(col(LOG_INDEX).between(least, most))?;
    Ok(range.filter(col(LOG_INDEX).in_list(all, false))?)
}

/// What is shown of events.
fn columns(search: &Search, events: &DataFrame) -> Vec<Expr> {
    let all = events
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().as_str());
    if search.raw {
        return vec![col(LOG_INDEX)];
    }
    let is_for_programs = !search.format.is_for_people();
    if search.columns == ["*"] || (search.columns.is_empty() && is_for_programs) {
        return all.map(col).collect();
    }
    if !search.columns.is_empty() {
        let mut wanted: Vec<&str> = search.columns.iter().map(String::as_str).collect();
        if search.proof.is_some() && !wanted.contains(&LOG_INDEX) {
            wanted.push(LOG_INDEX);
        }
        return wanted.into_iter().map(col).collect();
    }
    // For people: who, what, what was touched, how it ended.
    let base = |path: Expr| split_part(path, lit("/"), lit(-1));
    let program = base(coalesce(vec![col("client_script"), col("client_exe")]));
    let program = concat(vec![
        program,
        lit("["),
        cast(col("client_pid"), DataType::Utf8View),
        lit("]"),
    ]);
    // A hash says less to people than what it is the hash of.
    let is_hash = col("identity").like(lit("exe:%"));
    let named = when(is_hash.is_not_true(), col("identity"));
    let who = coalesce(vec![
        named,
        when(col("client_pid").is_not_null(), program),
        col("host"),
    ]);
    let target = coalesce(vec![col("target"), lit("")]);
    let call = concat_ws(lit(" "), vec![col("method"), target]);
    let is = |class: &str| col("class").eq(lit(class));
    let what = coalesce(vec![
        when(is("finding"), col("title")),
        when(is("lifecycle"), col("occasion")),
        when(col("method").is_not_null(), call),
        col("kind"),
    ]);
    let touched = coalesce(vec![col("resources"), col("classes")]);
    let severity = when(is("finding"), col("severity"));
    let ended = coalesce(vec![col("outcome"), severity, col("gap_cause")]);
    let mut shown = vec![
        col("time"),
        col("uid"),
        who.alias("who"),
        what.alias("what"),
        touched.alias("touched"),
        ended.alias("ended"),
    ];
    if search.proof.is_some() {
        shown.push(col(LOG_INDEX));
    }
    shown
}

/// Something where a condition holds, else nothing.
fn when(condition: Expr, then: Expr) -> Expr {
    let pair = (Box::new(condition), Box::new(then));
    Expr::Case(Case::new(None, vec![pair], None))
}

/// The indices in the log of all rows.
fn indices(batches: &[RecordBatch]) -> Result<Vec<u64>> {
    let mut all = Vec::new();
    for batch in batches {
        let column = batch.column_by_name(LOG_INDEX);
        let column = column.and_then(|column| column.as_primitive_opt::<Int64Type>());
        let column = column
            .context("the answer has no column log_index: nothing says which entries they are")?;
        all.extend(
            column
                .iter()
                .flatten()
                .filter_map(|index| u64::try_from(index).ok()),
        );
    }
    Ok(all)
}

/// Prints entries of the log as they are.
fn entries(log: &Reader, batches: &[RecordBatch]) -> Result<()> {
    let mut out = Harmless::new();
    for index in indices(batches)? {
        out.write_all(&log.entry(index)?)?;
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

/// Writes proofs of entries into a folder.
fn prove(log: &Reader, batches: &[RecordBatch], folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let all = indices(batches)?;
    for index in &all {
        let path = folder.join(format!("{index}.json"));
        fs::write(&path, log.prove(*index)?.to_json())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    eprintln!("{} proofs are in {}", all.len(), folder.display());
    Ok(())
}
