//! Compares what was found with what is true, fact by fact.

use std::collections::HashSet;

use serde_json::Value;

use crate::timeline::Entry;

/// A fact, and whether the log tells it.
pub(super) struct Judged {
    /// The step of the incident.
    pub(super) step: String,
    /// What is true.
    pub(super) text: String,
    /// Whether it was found.
    pub(super) is_told: bool,
}

/// Judges all facts.
pub(super) fn judge(truth: &[Value], entries: &[Entry]) -> Vec<Judged> {
    let text = |fact: &Value, name: &str| {
        fact.get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let judged = truth.iter().map(|fact| Judged {
        step: text(fact, "step"),
        text: text(fact, "text"),
        is_told: is_told(fact, entries),
    });
    judged.collect()
}

fn is_told(fact: &Value, entries: &[Entry]) -> bool {
    let mut of_sides = entries.iter().filter(|entry| is_of(fact, entry));
    match fact.get("what").and_then(Value::as_str) {
        Some("call") => of_sides.any(|entry| is_call(fact, entry, entries)),
        Some("workflow") => of_sides.any(|entry| {
            has(entry, "/client/workflow/repository", fact.get("repository"))
                && has(entry, "/client/workflow/run", fact.get("run"))
        }),
        Some("process") => of_sides.any(|entry| has(entry, "/client/exe", fact.get("exe"))),
        Some("refused") => of_sides.any(|entry| {
            entry.mcp("/decision/observed/decision") == Some("denied")
                && entry.mcp("/decision/observed/challenge/scheme") == Some("bearer")
        }),
        Some("finding") => entries.iter().any(|entry| {
            entry.class() == "finding"
                && has(entry, "/finding", fact.get("finding"))
                && has(entry, "/second/pid", fact.get("client"))
        }),
        Some("same_token") => is_one_token(fact, entries),
        Some("connection") => of_sides.any(|entry| {
            let is_it = |one: &Value| {
                one.get("address") == fact.get("address") && one.get("port") == fact.get("port")
            };
            has(entry, "/target", fact.get("target"))
                && entry.list("/observed/connections").iter().any(is_it)
        }),
        Some("rows") => rows(fact, entries) == fact.get("rows").and_then(Value::as_u64),
        _ => false,
    }
}

/// Whether a value of an entry is the one that is true.
fn has(entry: &Entry, pointer: &str, expected: Option<&Value>) -> bool {
    expected.is_some() && entry.value(pointer) == expected
}

/// Whether an interaction is between the processes that a fact names.
fn is_of(fact: &Value, entry: &Entry) -> bool {
    let is_side = |side: &str| match fact.get(side) {
        Some(pid) => entry.value(&format!("/{side}/pid")) == Some(pid),
        None => true,
    };
    entry.class() == "interaction" && is_side("client") && is_side("server")
}

fn is_call(fact: &Value, entry: &Entry, entries: &[Entry]) -> bool {
    let is_same = |name: &str| {
        fact.get(name)
            .is_none_or(|value| entry.value(&format!("/{name}")) == Some(value))
    };
    let is_table = fact
        .get("table")
        .is_none_or(|table| touches(fact, entry, table));
    let is_all = fact
        .get("rows")
        .is_none_or(|rows| entry.value("/result/rows") == Some(rows));
    let has_token = fact.get("has_token").is_none() || entry.mcp("/credential/hash").is_some();
    let is_led = fact.get("led_by").is_none_or(|target| {
        let parent = entry.mcp("/chain/parent");
        let mut parents = entries
            .iter()
            .filter(|one| parent.is_some_and(|uid| one.uid() == uid));
        parents.any(|parent| parent.value("/target") == Some(target))
    });
    is_same("method") && is_same("target") && is_table && is_all && has_token && is_led
}

/// Whether a table was touched by the operation of a fact.
fn touches(fact: &Value, entry: &Entry, table: &Value) -> bool {
    entry.list("/resources").iter().any(|one| {
        let is_it = one.get("kind").and_then(Value::as_str) == Some("table")
            && one.get("name") == Some(table);
        is_it
            && fact
                .get("operation")
                .is_none_or(|operation| one.get("operation") == Some(operation))
    })
}

/// Whether all processes of a fact showed one token.
fn is_one_token(fact: &Value, entries: &[Entry]) -> bool {
    let pids = fact
        .get("pids")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let shown = pids.iter().map(|pid| {
        let own = entries
            .iter()
            .filter(|entry| entry.value("/client/pid") == Some(pid));
        own.filter_map(|entry| entry.mcp("/credential/hash"))
            .collect::<HashSet<_>>()
    });
    shown
        .reduce(|all, one| &all & &one)
        .is_some_and(|common| !common.is_empty())
}

/// The rows of a table that came back in answers, all together.
fn rows(fact: &Value, entries: &[Entry]) -> Option<u64> {
    let table = fact.get("table")?;
    let reads = entries.iter().filter(|entry| {
        entry.class() == "interaction"
            && entry.mcp("/stage") == Some("final")
            && touches(fact, entry, table)
    });
    let rows = reads.filter_map(|entry| entry.value("/result/rows")?.as_u64());
    Some(rows.sum())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(index: u64, uid: &str, mcp: Value) -> Entry {
        Entry {
            index,
            json: json!({"class_uid": 6003, "metadata": {"uid": uid}, "unmapped": {"mcp": mcp}}),
        }
    }

    #[test]
    fn only_what_is_there_is_told() {
        let read = |rows: u64, parent: &str| {
            json!({"method": "tools/call", "target": "query", "stage": "final", "client": {"pid": 1}, "server": {"pid": 2},
                "resources": [{"kind": "table", "name": "t", "operation": "select"}], "result": {"rows": rows},
                "credential": {"hash": "h"}, "chain": {"parent": parent}})
        };
        let entries = [
            entry(0, "a", json!({"target": "export"})),
            entry(1, "b", read(3, "a")),
            entry(2, "c", read(4, "x")),
        ];
        let told = |fact: Value| is_told(&fact, &entries);
        let call = |rows: u64| json!({"what": "call", "client": 1, "table": "t", "operation": "select", "rows": rows, "led_by": "export"});
        assert!(told(call(3)));
        // The one with four rows was not led by the export.
        assert!(!told(call(4)));
        assert!(!told(json!({"what": "call", "client": 2})));
        assert!(told(json!({"what": "rows", "table": "t", "rows": 7})));
        assert!(!told(json!({"what": "rows", "table": "t", "rows": 6})));
        assert!(told(json!({"what": "same_token", "pids": [1]})));
        assert!(!told(json!({"what": "same_token", "pids": [1, 2]})));
        assert!(!told(json!({"what": "something new"})));
    }
}
