//! `mcp-auditor timeline` and `chain`: what led to what, as a tree with times.

mod entry;
mod gather;
mod moment;
mod print;
mod tree;

use anyhow::{Context as _, Result, bail};
use auditor_query_cli::{Chain, Format, Selection, Timeline};
use datafusion::{
    arrow::array::{Array as _, AsArray as _},
    prelude::{col, lit},
};

use self::gather::Gathered;
use crate::{
    engine::{self, Engine},
    selection,
    source::{self, Progress},
};

pub(crate) use self::{
    entry::Entry,
    gather::{Wanted, gather},
};

/// Tells all that somebody, a session, a thing or a chain was part of.
///
/// # Errors
/// When the log cannot be read, or nothing says which events are meant.
pub(crate) async fn execute(timeline: &Timeline) -> Result<()> {
    let selection = &timeline.selection;
    if selection.is_wide() && selection.since.is_none() {
        bail!(
            "say of whom or what: `--identity`, `--session`, `--token`, `--resource`, `--chain`, or a time by `--since`"
        );
    }
    let (log, engine) = source::open(&timeline.log)?;
    let wanted = Wanted {
        most: timeline.limit,
        is_all: true,
    };
    let events = selection::apply(selection, &engine).await?;
    let gathering = gather(&engine, &log, events, &wanted);
    let gathered = Progress::during("gathering events", gathering).await?;
    show(&gathered, None, timeline.format)
}

/// Shows the chain of an event.
///
/// # Errors
/// When there is no such event, or the log cannot be read.
pub(crate) async fn chain(chain: &Chain) -> Result<()> {
    let (log, engine) = source::open(&chain.log)?;
    let work = chain_of(&engine, &log, &chain.event);
    let gathered = Progress::during("gathering events", work).await?;
    show(&gathered, Some(&chain.event), chain.format)
}

/// From a finding to what it is about, and so on: most steps until the chain of an interaction.
const STEPS: usize = 4;

/// The events of the chain that an event is in; those of a finding's first event for a finding.
async fn chain_of(engine: &Engine, log: &auditor_ledger::Reader, event: &str) -> Result<Gathered> {
    let mut uid = event.to_owned();
    let mut steps = 0;
    let meant = loop {
        let selection = Selection {
            event: vec![uid.clone()],
            open: true,
            ..Selection::default()
        };
        let found = selection::apply(&selection, engine).await?;
        let columns = vec![col("chain"), col("about")];
        let (_, batches, _) = engine::collect(found.clone().select(columns)?, 2).await?;
        let row = batches.iter().find(|batch| batch.num_rows() > 0);
        let row = row.with_context(|| format!("no event `{event}` is in the log"))?;
        let text = |at: usize| {
            let column = row.column(at).as_string_view();
            column.is_valid(0).then(|| column.value(0).to_owned())
        };
        if let Some(chain) = text(0) {
            break engine
                .table("events")
                .await?
                .filter(col("chain").eq(lit(chain)))?;
        }
        let about = text(1).and_then(|about| about.split(", ").next().map(str::to_owned));
        steps += 1;
        match about.filter(|_| steps < STEPS) {
            Some(about) => uid = about,
            None => break found,
        }
    };
    let wanted = Wanted {
        most: 10_000,
        is_all: false,
    };
    gather(engine, log, meant, &wanted).await
}

fn show(gathered: &Gathered, event: Option<&str>, format: Format) -> Result<()> {
    let moments = tree::moments(&gathered.entries);
    print::print(&moments, event, format)?;
    if format.is_for_people() {
        if moments.is_empty() {
            eprintln!("nothing was found");
        }
        if gathered.is_cut {
            eprintln!(
                "there are more events than are shown: narrow it by `--since`, or raise `--limit`"
            );
        }
    }
    Ok(())
}
