//! Looks at the log as who knows nothing of the incident does: from findings to tokens, from tokens to processes, from
//! processes to all they did.

use std::collections::BTreeSet;

use anyhow::Result;
use auditor_ledger::Reader;
use auditor_query_cli::Selection;
use serde_json::Value;

use crate::{
    engine::Engine,
    selection,
    timeline::{Entry, Wanted, gather},
};

/// Events of one query.
const MOST: usize = 5_000;

/// What was found.
pub(super) struct Found {
    /// By index in the log.
    pub(super) entries: Vec<Entry>,
    /// The queries, as a person asks them.
    pub(super) queries: Vec<String>,
}

/// Investigates.
pub(super) async fn investigate(engine: &Engine, log: &Reader) -> Result<Found> {
    let mut found = Found {
        entries: Vec::new(),
        queries: vec!["search --type finding".to_owned()],
    };
    let findings = Selection {
        r#type: vec!["finding".to_owned()],
        ..Selection::default()
    };
    let findings = ask(engine, log, &findings).await?;
    let mut pids = BTreeSet::new();
    let mut tokens = BTreeSet::new();
    for finding in &findings {
        tokens.extend(finding.mcp("/secret_hash").map(str::to_owned));
        let involved = ["/first/pid", "/second/pid", "/client/pid"]
            .map(|at| finding.value(at).and_then(Value::as_i64));
        pids.extend(involved.into_iter().flatten());
    }
    found.entries = findings;
    for token in tokens {
        found.queries.push(format!("timeline --token {token}"));
        let selection = Selection {
            token: vec![token],
            ..Selection::default()
        };
        let shown = ask(engine, log, &selection).await?;
        pids.extend(
            shown
                .iter()
                .filter_map(|entry| entry.value("/client/pid")?.as_i64()),
        );
        found.entries.extend(shown);
    }
    for pid in pids {
        found.queries.push(format!("timeline --pid {pid}"));
        let selection = Selection {
            pid: vec![pid],
            ..Selection::default()
        };
        found.entries.extend(ask(engine, log, &selection).await?);
    }
    found.entries.sort_by_key(|entry| entry.index);
    found.entries.dedup_by_key(|entry| entry.index);
    Ok(found)
}

/// The events of a timeline.
async fn ask(engine: &Engine, log: &Reader, selection: &Selection) -> Result<Vec<Entry>> {
    let events = selection::apply(selection, engine).await?;
    let wanted = Wanted {
        most: MOST,
        is_all: false,
    };
    Ok(gather(engine, log, events, &wanted).await?.entries)
}
