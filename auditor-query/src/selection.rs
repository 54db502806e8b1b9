//! Which events are meant: filters as conditions on the tables.

use anyhow::Result;
use auditor_query_cli::Selection;
use datafusion::{
    logical_expr::{Expr, JoinType, Like},
    prelude::{DataFrame, col, lit},
    scalar::ScalarValue,
};

use crate::{copies::LOG_INDEX, engine::Engine};

/// Those of the table `events`.
///
/// # Errors
/// Never with the tables that there are.
pub(crate) async fn apply(selection: &Selection, engine: &Engine) -> Result<DataFrame> {
    let mut events = engine.table("events").await?;
    for filter in filters(selection) {
        events = events.filter(filter)?;
    }
    let named = any(&["name"], &selection.table);
    let tables = named.map(|name| col("kind").eq(lit("table")).and(name));
    let resources = any(&["name"], &selection.resource);
    let classes = any(&["class"], &selection.class);
    for (table, filter) in [
        ("resources", tables),
        ("resources", resources),
        ("classes", classes),
    ] {
        if let Some(filter) = filter {
            let mut parts = engine.table(table).await?.filter(filter)?;
            for during in during(selection) {
                parts = parts.filter(during)?;
            }
            events = among(events, parts)?;
        }
    }
    Ok(events)
}

fn filters(selection: &Selection) -> Vec<Expr> {
    let names: [(&[&str], &[String]); 15] = [
        (&["identity"], &selection.identity),
        (
            &[
                "client_container",
                "client_container_name",
                "server_container",
                "server_container_name",
            ],
            &selection.container,
        ),
        (
            &[
                "client_exe",
                "client_script",
                "client_package",
                "server_exe",
                "server_script",
                "server_package",
            ],
            &selection.program,
        ),
        (&["workflow", "workflow_run"], &selection.workflow),
        (&["server"], &selection.server),
        (&["tool"], &selection.tool),
        (&["method"], &selection.method),
        (
            &["observed_decision", "evaluated_decision"],
            &selection.decision,
        ),
        (&["outcome"], &selection.outcome),
        (&["finding"], &selection.finding),
        (&["session", "session_hash"], &selection.session),
        (&["token_hash"], &selection.token),
        (&["chain"], &selection.chain),
        (&["uid"], &selection.event),
        (&["class"], &selection.r#type),
    ];
    let mut filters: Vec<_> = names
        .into_iter()
        .filter_map(|(columns, values)| any(columns, values))
        .collect();
    let pods = selection.pod.iter().map(|pod| {
        ["client", "server"].map(|side| {
            let (namespace, name) = pod
                .split_once('/')
                .map_or((None, pod.as_str()), |(a, b)| (Some(a), b));
            let is_named = like(&format!("{side}_pod"), name);
            match namespace {
                Some(namespace) => is_named.and(like(&format!("{side}_namespace"), namespace)),
                None => is_named,
            }
        })
    });
    filters.extend(pods.flatten().reduce(Expr::or));
    let policies = selection.policy.iter().map(|policy| {
        // Several stand in one text.
        let alone = like("policies", policy);
        let others = [
            format!("{policy}, *"),
            format!("*, {policy}"),
            format!("*, {policy}, *"),
        ];
        others
            .iter()
            .map(|pattern| like("policies", pattern))
            .fold(alone, Expr::or)
    });
    filters.extend(policies.reduce(Expr::or));
    if !selection.pid.is_empty() {
        let pids: Vec<_> = selection.pid.iter().map(|pid| lit(*pid)).collect();
        let [client, server] =
            ["client_pid", "server_pid"].map(|name| col(name).in_list(pids.clone(), false));
        filters.push(client.or(server));
    }
    filters.extend(during(selection));
    if !selection.open {
        filters.push(col("stage").is_null().or(col("stage").not_eq(lit("open"))));
    }
    filters
}

/// A time as the column has it.
fn moment(ms: i64) -> Expr {
    lit(ScalarValue::TimestampMillisecond(
        Some(ms),
        Some("UTC".into()),
    ))
}

/// Events that have a part in another table. What is held meanwhile are the parts, which are the fewer.
fn among(events: DataFrame, parts: DataFrame) -> Result<DataFrame> {
    const PART: &str = "part_of";
    let parts = parts.select(vec![col(LOG_INDEX).alias(PART)])?;
    Ok(parts.join(events, JoinType::RightSemi, &[PART], &[LOG_INDEX], None)?)
}

/// When it was.
fn during(selection: &Selection) -> impl Iterator<Item = Expr> {
    let since = selection
        .since
        .map(|since| col("time").gt_eq(moment(since)));
    let until = selection.until.map(|until| col("time").lt(moment(until)));
    since.into_iter().chain(until)
}

/// That any of the columns is like any of the values; nothing where there are none.
fn any(columns: &[&str], values: &[String]) -> Option<Expr> {
    let pairs = values
        .iter()
        .flat_map(|value| columns.iter().map(move |column| (column, value)));
    pairs
        .map(|(column, value)| like(column, value))
        .reduce(Expr::or)
}

/// That a column is like a pattern with `*` and `?`, or the very text where there are none.
pub(crate) fn like(column: &str, pattern: &str) -> Expr {
    if !pattern.contains(['*', '?']) {
        return col(column).eq(lit(pattern));
    }
    let mut escaped = String::with_capacity(pattern.len() + 8);
    for c in pattern.chars() {
        match c {
            '*' => escaped.push('%'),
            '?' => escaped.push('_'),
            '%' | '_' | '\\' => escaped.extend(['\\', c]),
            _ => escaped.push(c),
        }
    }
    Expr::Like(Like::new(
        false,
        Box::new(col(column)),
        Box::new(lit(escaped)),
        None,
        false,
    ))
}
