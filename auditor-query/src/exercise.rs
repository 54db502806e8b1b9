//! `mcp-auditor exercise`: plays an incident whose truth is known, investigates it by the log alone, and says how much of it
//! the log tells.
//!
//! The incident's programs are MCP clients and servers on the official SDK and a published server; everything they touch is
//! made up, and stays on this host. Needs root, as the auditor does.

mod investigate;
mod play;
mod score;

use std::io::{Write as _, stdout};

use anyhow::{Context as _, Result, ensure};
use auditor_query_cli::{Exercise, Where};
use serde_json::json;

use self::score::Judged;
use crate::{block_on, source};

/// Plays, investigates and scores.
///
/// # Errors
/// When it cannot be played, or fewer facts than asked for are told.
pub(crate) fn execute(exercise: &Exercise) -> Result<()> {
    let played = play::play(exercise)?;
    let log = Where {
        data_dir: played.data.clone(),
        log: None,
        copies: None,
    };
    let (reader, engine) = source::open(&log)?;
    let found = block_on(investigate::investigate(&engine, &reader))?;
    let judged = score::judge(&played.truth, &found.entries);
    let told = judged.iter().filter(|one| one.is_told).count();
    ensure!(!judged.is_empty(), "nothing was played");
    let percent = told * 100 / judged.len();
    if exercise.json {
        let steps = judged
            .iter()
            .map(|one| json!({"step": one.step, "text": one.text, "told": one.is_told}));
        let steps: Vec<_> = steps.collect();
        println!(
            "{}",
            json!({"facts": judged.len(), "told": told, "percent": percent, "steps": steps})
        );
    } else {
        print(&judged, percent)?;
        match &exercise.folder {
            Some(_) => {
                println!(
                    "\nThe log is in {}; to look for yourself:",
                    played.data.display()
                );
                for query in &found.queries {
                    println!("  mcp-auditor {query} --data-dir {}", played.data.display());
                }
            }
            None => println!("\n`--folder DIR` keeps the log, to look for yourself."),
        }
    }
    ensure!(
        percent >= usize::from(exercise.at_least),
        "the log tells {told} of {} facts, {percent} %: fewer than {} %",
        judged.len(),
        exercise.at_least
    );
    Ok(())
}

fn print(judged: &[Judged], percent: usize) -> Result<()> {
    let mut out = stdout().lock();
    for together in judged.chunk_by(|a, b| a.step == b.step) {
        let step = together.first().context("no step")?;
        writeln!(out, "{}", step.step)?;
        for one in together {
            let mark = if one.is_told { "told    " } else { "NOT TOLD" };
            writeln!(out, "  {mark}  {}", one.text)?;
        }
    }
    let told = judged.iter().filter(|one| one.is_told).count();
    writeln!(
        out,
        "\n{told} of {} facts are told by the log: {percent} %",
        judged.len()
    )?;
    Ok(())
}
