//! Timelines for people, as JSON lines or as CSV.

use std::io::Write;

use anyhow::Result;
use auditor_query_cli::{Format, time};
use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;

use super::moment::Moment;
use crate::output::{Harmless, cut, width};

/// Columns of the times.
const TIMES: usize = 14;

/// Prints moments; `event` is the one that was asked for.
pub(super) fn print(moments: &[Moment], event: Option<&str>, format: Format) -> Result<()> {
    let mut out = Harmless::new();
    let begun = first(moments);
    if format.is_for_people() {
        if let Some(begun) = begun {
            writeln!(out, "times are after {}", time::show(begun / 1_000_000))?;
        }
        let lines = Lines {
            begun,
            event,
            width: width(),
        };
        lines.print(moments, "", true, &mut out)?;
    } else if format.csv {
        let mut rows = csv::Writer::from_writer(&mut out);
        for (depth, moment) in flat(moments) {
            rows.serialize(Row::of(depth, moment))?;
        }
        rows.flush()?;
    } else {
        for (depth, moment) in flat(moments) {
            serde_json::to_writer(&mut out, &Row::of(depth, moment))?;
            writeln!(out)?;
        }
    }
    Ok(out.flush()?)
}

/// The earliest time of all.
fn first(moments: &[Moment]) -> Option<i64> {
    // Processes may be far older than what they do here.
    let own = moments
        .iter()
        .filter(|one| one.what != "process")
        .filter_map(|one| one.time_ns);
    own.chain(moments.iter().filter_map(|one| first(&one.children)))
        .min()
}

struct Lines<'a> {
    begun: Option<i64>,
    event: Option<&'a str>,
    width: usize,
}

impl Lines<'_> {
    fn print(
        &self,
        moments: &[Moment],
        indent: &str,
        is_top: bool,
        out: &mut impl Write,
    ) -> std::io::Result<()> {
        for (at, moment) in moments.iter().enumerate() {
            let is_last = at + 1 == moments.len();
            let (branch, deeper) = match (is_top, is_last) {
                (true, _) => ("", "  "),
                (false, true) => ("└─ ", "   "),
                (false, false) => ("├─ ", "│  "),
            };
            let when = moment.time_ns.zip(self.begun);
            let when = when.map_or_else(String::new, |(time, begun)| time::after(time - begun));
            let is_asked =
                moment.what != "process" && matches!(moment.what, "call" | "finding" | "gap");
            let mark = if is_asked && self.event == Some(moment.uid.as_str()) {
                " <- this event"
            } else {
                ""
            };
            let room = self
                .width
                .saturating_sub(TIMES + 1 + indent.width() + branch.width() + mark.len());
            let text = cut(&moment.text, room.max(20));
            writeln!(out, "{when:>TIMES$} {indent}{branch}{text}{mark}")?;
            self.print(&moment.children, &format!("{indent}{deeper}"), false, out)?;
        }
        Ok(())
    }
}

/// All moments in their order, each with its depth.
fn flat(moments: &[Moment]) -> Vec<(usize, &Moment)> {
    let mut all = Vec::new();
    for moment in moments {
        all.push((0, moment));
        all.extend(
            flat(&moment.children)
                .into_iter()
                .map(|(depth, child)| (depth + 1, child)),
        );
    }
    all
}

/// A moment for programs.
#[derive(Serialize)]
struct Row<'a> {
    depth: usize,
    time: Option<String>,
    time_ns: Option<i64>,
    what: &'a str,
    name: Option<&'a str>,
    text: &'a str,
    certainty: Option<&'a str>,
    uid: &'a str,
    log_index: u64,
}

impl<'a> Row<'a> {
    fn of(depth: usize, moment: &'a Moment) -> Self {
        Self {
            depth,
            time: moment.time_ns.map(|ns| time::show(ns / 1_000_000)),
            time_ns: moment.time_ns,
            what: moment.what,
            name: moment.name.as_deref(),
            text: &moment.text,
            certainty: moment.certainty.as_deref(),
            uid: &moment.uid,
            log_index: moment.index,
        }
    }
}
