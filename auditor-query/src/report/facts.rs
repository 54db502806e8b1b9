//! What the log shows for a period, as figures.

use anyhow::Result;
use auditor_query_cli::time;

use super::markdown::Page;
use crate::{
    engine::{self, Engine},
    output,
};

/// Rows of a table of the report.
const ROWS: usize = 20;

/// The answer to one query.
#[derive(Debug, Default)]
struct Answer {
    names: Vec<String>,
    rows: Vec<Vec<String>>,
    is_cut: bool,
}

/// Figures of one period.
#[derive(Debug, Default)]
pub(super) struct Facts {
    totals: Answer,
    hosts: Answer,
    lifecycle: Answer,
    occasions: Answer,
    gaps: Answer,
    identities: Answer,
    servers: Answer,
    outcomes: Answer,
    sensitive: Answer,
    classes: Answer,
    denied: Answer,
    findings: Answer,
}

/// The columns of [`Facts::totals`], in its order.
const TOTALS: &str = "count(*) FILTER (WHERE class = 'interaction' AND stage = 'final' AND kind <> 'gap') AS interactions, \
    count(*) FILTER (WHERE tool IS NOT NULL AND stage = 'final') AS calls, \
    count(*) FILTER (WHERE class = 'finding') AS findings, \
    count(*) FILTER (WHERE kind = 'gap') AS gaps, \
    count(DISTINCT identity) AS identities, \
    count(DISTINCT server) AS servers, \
    count(*) FILTER (WHERE assurance IN ('A3', 'A4') AND stage = 'final') AS proven, \
    count(*) FILTER (WHERE assurance = 'A2' AND stage = 'final') AS known, \
    count(*) FILTER (WHERE encrypted AND stage = 'final') AS encrypted, \
    count(*) FILTER (WHERE observed_decision = 'denied') AS refused, \
    count(*) FILTER (WHERE evaluated_decision IS NOT NULL AND stage = 'final') AS evaluated, \
    count(*) FILTER (WHERE evaluated_decision = 'deny' AND stage = 'final') AS forbidden, \
    count(*) FILTER (WHERE sensitivity IN ('confidential', 'restricted') AND stage = 'final') AS sensitive, \
    count(*) FILTER (WHERE classes IS NOT NULL AND stage = 'final') AS classified, \
    count(*) FILTER (WHERE occasion = 'configuration') AS configured";

impl Facts {
    pub(super) async fn of(engine: &Engine, from: i64, to: i64) -> Result<Self> {
        let when = |table: &str| {
            format!(
                "{table}time >= to_timestamp_millis({from}) AND {table}time < to_timestamp_millis({to})"
            )
        };
        let during = when("");
        let final_ = format!("{during} AND class = 'interaction' AND stage = 'final'");
        let ask = async |what: String| Answer::of(engine, &what).await;
        Ok(Self {
            totals: ask(format!("SELECT {TOTALS} FROM events WHERE {during}")).await?,
            hosts: ask(format!("SELECT DISTINCT host FROM events WHERE {during} AND host IS NOT NULL ORDER BY 1")).await?,
            // What happened to the auditor before the period tells whether it ran when the period began.
            lifecycle: ask(format!(
                "SELECT CAST(time AS BIGINT) AS ms, occasion FROM events WHERE class = 'lifecycle' \
                 AND occasion IN ('start', 'stop') AND time < to_timestamp_millis({to}) ORDER BY log_index"
            ))
            .await?,
            occasions: ask(format!(
                "SELECT occasion, count(*) AS entries FROM events WHERE {during} AND class = 'lifecycle' GROUP BY 1 ORDER BY 1"
            ))
            .await?,
            gaps: ask(format!(
                "SELECT gap_cause AS cause, count(*) AS gaps, sum(gap_bytes) AS \"bytes known to be lost\" FROM events \
                 WHERE {during} AND kind = 'gap' GROUP BY 1 ORDER BY 2 DESC"
            ))
            .await?,
            identities: ask(format!(
                "SELECT coalesce(identity, '(unknown)') AS requester, max(assurance) AS assurance, \
                 max(coalesce(client_namespace || '/' || client_pod, client_container_name, client_exe)) AS runs_as, \
                 count(*) AS interactions FROM events WHERE {final_} AND kind <> 'gap' GROUP BY 1 ORDER BY 4 DESC"
            ))
            .await?,
            servers: ask(format!(
                "SELECT coalesce(server, '(unnamed)') AS server, tool, count(*) AS calls, \
                 count(*) FILTER (WHERE outcome = 'success') AS succeeded FROM events \
                 WHERE {final_} AND tool IS NOT NULL GROUP BY 1, 2 ORDER BY 3 DESC"
            ))
            .await?,
            outcomes: ask(format!(
                "SELECT outcome, count(*) AS interactions FROM events WHERE {final_} AND outcome IS NOT NULL GROUP BY 1 ORDER BY 2 DESC"
            ))
            .await?,
            sensitive: ask(format!(
                "SELECT r.kind, r.name, r.level, r.operation, coalesce(e.identity, '(unknown)') AS requester, count(*) AS times \
                 FROM resources r JOIN events e ON r.log_index = e.log_index WHERE {} AND e.stage = 'final' \
                 AND r.level IN ('confidential', 'restricted') GROUP BY 1, 2, 3, 4, 5 ORDER BY 6 DESC",
                when("e.")
            ))
            .await?,
            classes: ask(format!(
                "SELECT class, part, level, count(DISTINCT log_index) AS events FROM classes WHERE {during} \
                 GROUP BY 1, 2, 3 ORDER BY 4 DESC"
            ))
            .await?,
            denied: ask(format!(
                "SELECT coalesce(identity, '(unknown)') AS requester, coalesce(target, method) AS what, observed_decision AS server, \
                 evaluated_decision AS policy, max(policies) AS policies, count(*) AS times FROM events \
                 WHERE {final_} AND (observed_decision = 'denied' OR evaluated_decision = 'deny') GROUP BY 1, 2, 3, 4 ORDER BY 6 DESC"
            ))
            .await?,
            findings: ask(format!(
                "SELECT finding, max(title) AS title, severity, count(*) AS times, min(uid) AS first FROM events \
                 WHERE {during} AND class = 'finding' GROUP BY 1, 3 ORDER BY 4 DESC"
            ))
            .await?,
        })
    }

    /// A figure out of [`TOTALS`].
    pub(super) fn total(&self, name: &str) -> String {
        let at = self.totals.names.iter().position(|known| known == name);
        let cell = at.and_then(|at| self.totals.rows.first()?.get(at));
        cell.cloned().unwrap_or_else(|| "0".to_owned())
    }

    pub(super) fn hosts(&self) -> String {
        let names: Vec<&str> = self
            .hosts
            .rows
            .iter()
            .flatten()
            .map(String::as_str)
            .collect();
        if names.is_empty() {
            "(none)".to_owned()
        } else {
            names.join(", ")
        }
    }

    /// Kinds of findings, with how many.
    pub(super) fn findings(&self) -> String {
        let named = self
            .findings
            .rows
            .iter()
            .filter_map(|row| Some(format!("{} x {}", row.get(3)?, row.first()?)));
        let named: Vec<_> = named.collect();
        if named.is_empty() {
            "none".to_owned()
        } else {
            named.join(", ")
        }
    }

    /// Intervals without an auditor: from a stop, or the last sign before a start that no stop came before.
    fn blind(&self) -> Vec<(Option<i64>, i64)> {
        let (mut blind, mut stopped) = (Vec::new(), None);
        for (at, row) in self.lifecycle.rows.iter().enumerate() {
            let [ms, what] = row.as_slice() else { continue };
            let Ok(ms) = ms.parse() else { continue };
            match what.as_str() {
                "stop" => stopped = Some(ms),
                _ => {
                    if at > 0 {
                        blind.push((stopped, ms));
                    }
                    stopped = None;
                }
            }
        }
        blind
    }

    /// What was recorded of the period and what was not.
    pub(super) fn coverage(&self, page: &mut Page) {
        page.subheading("Coverage");
        let blind = self.blind();
        let mut lines = vec![format!(
            "The auditor started {} times up to the end of the period; between two starts it was away {} times.",
            self.lifecycle
                .rows
                .iter()
                .filter(|row| row.get(1).is_some_and(|what| what == "start"))
                .count(),
            blind.len()
        )];
        for (from, to) in blind.iter().rev().take(ROWS) {
            lines.push(match from {
                Some(from) => format!("Not recorded: {} to {} ({})", time::show(*from), time::show(*to), time::after((to - from) * 1_000_000)),
                None => format!("Not recorded: until {}, since it ended without having been told to (the last entry before it is the last that is known)", time::show(*to)),
            });
        }
        lines.push(
            "What MCP traffic can be heard, and what cannot, is in docs/limitations.md; `mcp-auditor coverage` lists the processes \
             of a running host that are not heard."
                .to_owned(),
        );
        page.list(&lines);
        self.gaps
            .show(page, "Gaps: what was not captured of what was heard");
        self.occasions.show(page, "What happened to the auditor");
    }

    /// The figures.
    pub(super) fn figures(&self, page: &mut Page) {
        let total = |name| self.total(name);
        page.list(&[
            format!("{} interactions of {} requesters with {} servers, {} of them calls of tools", total("interactions"), total("identities"), total("servers"), total("calls")),
            format!("Requesters proven by a signature (A3, A4): {} interactions; known by the kernel (A2): {}", total("proven"), total("known")),
            format!("{} refused by servers; {} evaluated by policies, {} of those forbidden", total("refused"), total("evaluated"), total("forbidden")),
            format!("{} touched what is confidential or restricted; {} carried classified data", total("sensitive"), total("classified")),
            format!("{} findings: {}", total("findings"), self.findings()),
        ]);
        self.identities.show(page, "Who asked");
        self.servers.show(page, "Which tools");
        self.outcomes.show(page, "How it ended");
        self.sensitive.show(
            page,
            "What is confidential or restricted, and who touched it",
        );
        self.classes
            .show(page, "Which kinds of data were in messages");
        self.denied.show(page, "What was refused or forbidden");
        self.findings.show(page, "Findings");
    }
}

impl Answer {
    async fn of(engine: &Engine, query: &str) -> Result<Self> {
        let (schema, batches, is_cut) = engine::collect(engine.sql(query).await?, 10_000).await?;
        let (names, rows) = output::texts(&schema, &batches)?;
        Ok(Self {
            names,
            rows,
            is_cut,
        })
    }

    fn show(&self, page: &mut Page, title: &str) {
        page.subheading(title);
        if self.rows.is_empty() {
            page.paragraph("None.");
            return;
        }
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        page.table(&names, self.rows.iter().take(ROWS).cloned());
        let rest = self.rows.len().saturating_sub(ROWS);
        if rest > 0 {
            let more = if self.is_cut { " or more" } else { "" };
            page.paragraph(&format!("And {rest}{more} rows that have fewer."));
        }
    }
}
