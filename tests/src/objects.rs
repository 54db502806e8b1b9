//! One call over every kernel object, by every system call that can carry it: heard once with its
//! witnesses, or reported as a gap.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    daemon::Daemon,
    event::Event,
    process::{Running, wait_for},
};

/// What the program says of one call.
#[derive(Deserialize)]
struct Case {
    /// The case, and the call's target.
    name: String,
    /// `heard` or `gap`.
    expected: String,
    /// The process that made it.
    client: u32,
    /// What carried it.
    transport: String,
    /// When it had read the answer, in nanoseconds since the Unix epoch.
    read_at: Option<u64>,
}

/// Nanoseconds within which the reader of an answer must be known: the daemon waits for it a little longer.
const PROMPT: u64 = 20_000_000;

/// Plays all cases under the daemon; for each its name, and what is wrong if anything is.
pub(crate) fn check(daemon: &Daemon, limit: Duration) -> Result<Vec<(String, Option<String>)>> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs/objects/objects.py");
    let mut command = Command::new("python3");
    command
        .arg(program)
        .env("AUDITOR_E2E_SELF", std::env::current_exe()?)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut running = Running::start(&mut command)?;
    let output = running
        .child()
        .stdout
        .take()
        .context("no standard output")?;
    let text = std::io::read_to_string(output)?;
    let status = running.wait(limit)?;
    ensure!(status.success(), "objects.py ended with {status}");
    let mut results = Vec::new();
    for line in text.lines() {
        let case: Case = serde_json::from_str(line)?;
        // What is still missing at the limit is told by the verdict.
        let _ = wait_for("events", limit / 6, || {
            let events = daemon.events().of(&[case.client])?;
            Ok(verdict(&case, &events).is_none().then_some(()))
        });
        let events = daemon.events().of(&[case.client])?;
        let verdict = verdict(&case, &events);
        results.push((format!("object_{}", case.name), verdict));
    }
    ensure!(!results.is_empty(), "objects.py made no call");
    Ok(results)
}

fn verdict(case: &Case, events: &[Event]) -> Option<String> {
    if case.expected == "gap" {
        let is_gap = |event: &&Event| {
            let gap = event.json.pointer("/unmapped/mcp/gap");
            let cause = gap.and_then(|gap| gap.get("cause")).and_then(Value::as_str);
            event.interaction.kind == "gap" && cause == Some("unheard")
        };
        return match events.iter().filter(is_gap).count() {
            0 => {
                let said = events.iter().map(|event| {
                    let mcp = |name: &str| &event.json["unmapped"]["mcp"][name];
                    let words = ["kind", "method", "stage", "outcome", "gap"].map(mcp);
                    words.map(Value::to_string).join(" ")
                });
                let said: Vec<_> = said.collect();
                Some(format!(
                    "what could not be heard was not reported as a gap: {said:?}"
                ))
            }
            _ => None,
        };
    }
    let is_answered = |event: &&Event| {
        let target = event.interaction.target.as_deref();
        let response = event.json.pointer("/unmapped/mcp/response");
        target == Some(case.name.as_str())
            && event.stage == "final"
            && response.is_some_and(|response| !response.is_null())
    };
    let found: Vec<_> = events.iter().filter(is_answered).collect();
    let [event] = found.as_slice() else {
        return Some(format!(
            "{} events with an answer where one was due",
            found.len()
        ));
    };
    let transport = event.json.pointer("/unmapped/mcp/transport");
    if transport.and_then(Value::as_str) != Some(&case.transport) {
        return Some(format!("transport {transport:?}, not {:?}", case.transport));
    }
    let witnesses = event.json.pointer("/unmapped/mcp/witnesses");
    let witnesses = witnesses
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let is_seen = |part: &str, end: &str| {
        let matches = |witness: &Value| witness["part"] == part && witness["end"] == end;
        witnesses.iter().any(matches)
    };
    let mut due = vec![
        ("request", "write"),
        ("request", "read"),
        ("response", "write"),
    ];
    let end = event.json.pointer("/unmapped/mcp/end_time_ns");
    let (Some(end), Some(read_at)) = (end.and_then(Value::as_u64), case.read_at) else {
        return Some(format!("no time of the answer: {}", event.json));
    };
    // A busy host may let the client read so late that no event can wait for it.
    if read_at.saturating_sub(end) <= PROMPT {
        due.push(("response", "read"));
    }
    let missing: Vec<_> = due
        .iter()
        .filter(|(part, end)| !is_seen(part, end))
        .collect();
    match missing.as_slice() {
        [] => None,
        missing => Some(format!(
            "witnesses {missing:?} are missing, {} us after the answer: {}",
            read_at.saturating_sub(end) / 1_000,
            event.json
        )),
    }
}
