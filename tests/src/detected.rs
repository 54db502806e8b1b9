//! What rules find: a server that changes its tools, refuses, whispers and is sent a secret; and what ordinary use raises.
//!
//! Starts a daemon of its own with the rules that ship and one of the operator's.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{
    Arguments,
    daemon::Daemon,
    event::Event,
    process::wait_for,
    programs::{Sdk, python, python_program, source},
    suite,
    touched::play_steps,
};

const SECRET: &str = "ghp_w8kZ2mQ5vR1xT9bN4cJ7hL3pD6sF0gYaUeOi";

/// The operator's own rule.
const RULE: &str = "title: A table is dropped
id: 0c1a3c3e-3a8e-4a55-9f0e-3f6f0f6f2b11
logsource:
    product: mcp
    service: audit
detection:
    dropped:
        unmapped.mcp.query.type: ddl
        status_id: 1
    condition: dropped
level: high
tags:
    - owasp-mcp.mcp02-2025
";

/// Gives the number of tests that failed.
pub(crate) fn check(auditor: &Path, arguments: &Arguments, limit: Duration) -> usize {
    if arguments.without.iter().any(|one| one == "python") {
        return 0;
    }
    let tests = [("detected_by_rules", ())];
    suite::run(
        &tests,
        arguments.only.as_deref(),
        || Ok(()),
        |(name, ()), ()| play(auditor, &arguments.folder.join(name), limit),
    )
}

fn play(auditor: &Path, folder: &Path, limit: Duration) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let rules = folder.join("rules");
    fs::create_dir(&rules)?;
    let own = rules.join("dropped.yml");
    fs::write(&own, RULE)?;
    let checked = Command::new(auditor)
        .args(["rules", "check"])
        .arg(&rules)
        .output()?;
    ensure!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
    let config = folder.join("config.toml");
    fs::write(&config, format!("[detection]\nrules = [{rules:?}]\n"))?;
    let extra = ["--config", &config.to_string_lossy()];
    let told = folder.join("daemon");
    let mut daemon = Daemon::start(auditor, &told, &extra, limit)?;

    ordinary(&daemon, folder, limit)?;
    let first = folder.join("first");
    fs::create_dir(&first)?;
    let refused = vec![step("refuse", json!({"what": "a door"})); 6];
    let mut steps = vec![
        step("note", json!({"text": "hello"})),
        step("note", json!({"text": SECRET})),
        step("whisper", json!({})),
    ];
    steps.extend(refused);
    let events = play_steps(&server("1")?, steps, 9, &daemon, &first, limit)?;
    let sent = events.get(1).context("too few events")?;
    let found = finding(&daemon, "A secret leaves in a request to a server", limit)?;
    ensure!(found["class_uid"] == 2006, "no class 2006: {found}");
    names(&found, &[&sent.uid])?;
    let found = finding(&daemon, "One identity is refused again and again", limit)?;
    let refusals: Vec<_> = events.iter().skip(3).take(5).map(|one| &*one.uid).collect();
    names(&found, &refusals)?;
    ensure!(
        found["unmapped"]["mcp"]["correlation"]["value"] == 5.0,
        "{found}"
    );
    finding(&daemon, "An answer that nobody asked for", limit)?;

    // What was learned outlives the daemon: a definition that changes meanwhile is none that is new.
    let ended = daemon.stop(limit)?;
    ensure!(ended.success(), "the daemon ended with {ended}");
    let mut daemon = Daemon::start_again(auditor, &told, &extra, limit)?;
    let second = folder.join("second");
    fs::create_dir(&second)?;
    let steps = vec![step("note", json!({"text": "again"}))];
    play_steps(&server("2")?, steps, 1, &daemon, &second, limit)?;
    let changed = finding(&daemon, "A server changed the definition of a tool", limit)?;
    let anomalies = changed["unmapped"]["mcp"]["anomalies"].as_array();
    let changes = anomalies.context("no anomalies")?.iter().find_map(|one| {
        let is_it = one["kind"] == "definition_changed" && one["subject"] == "note";
        is_it.then(|| one["changes"].clone())
    });
    let changes = changes.context("nothing changed")?;
    ensure!(
        changes.to_string().contains("/description") && !changes.to_string().contains("IMPORTANT"),
        "{changes}"
    );
    finding(
        &daemon,
        "A server changed a tool so that it speaks to the model",
        limit,
    )?;
    finding(&daemon, "A description speaks to the model", limit)?;

    shadow()?;
    finding(
        &daemon,
        "Two servers offer one client a tool of the same name",
        limit,
    )?;

    // A broken rule leaves those before in force, and the log names the file.
    fs::write(&own, "title: nothing\n")?;
    daemon.reload("rules cannot be read again", limit)?;
    fs::write(&own, RULE)?;
    daemon.reload("rules are in force", limit)?;
    let third = folder.join("third");
    fs::create_dir(&third)?;
    let steps = vec![step("create_table", json!({"query": "CREATE TABLE t (a)"}))];
    play_steps(&sqlite(&third)?, steps, 1, &daemon, &third, limit)?;
    finding(&daemon, "A table is dropped", limit)?;
    let ended = daemon.stop(limit)?;
    ensure!(ended.success(), "the daemon ended with {ended}");
    let trail = fs::read_to_string(told.join("events.jsonl"))?;
    ensure!(!trail.contains(SECRET), "the secret is in the trail");
    Ok(())
}

/// Reading and writing rows as any agent does raises nothing from medium on.
fn ordinary(daemon: &Daemon, folder: &Path, limit: Duration) -> Result<()> {
    let folder = folder.join("ordinary");
    fs::create_dir(&folder)?;
    let mut steps = vec![step("list_tables", json!({}))];
    for number in 0..20 {
        let query = format!("SELECT {number} AS a");
        steps.push(step("read_query", json!({"query": query})));
    }
    let count = steps.len();
    play_steps(&sqlite(&folder)?, steps, count, daemon, &folder, limit)?;
    let raised: Vec<String> = findings(daemon)?
        .iter()
        .filter(|one| one["severity_id"].as_u64() >= Some(3))
        .map(ToString::to_string)
        .collect();
    ensure!(raised.is_empty(), "ordinary use raises {raised:?}");
    Ok(())
}

fn sqlite(folder: &Path) -> Result<Command> {
    let mut server = python_program(Sdk::Python1, "mcp-server-sqlite")?;
    server.arg("--db-path").arg(folder.join("shop.db"));
    Ok(server)
}

fn server(revision: &str) -> Result<Command> {
    let mut server = Command::new(python(Sdk::Python2)?);
    server
        .arg(source("python").join("detected.py"))
        .arg(revision);
    Ok(server)
}

/// One client, two servers, one name.
fn shadow() -> Result<()> {
    let mut client = Command::new(python(Sdk::Python1)?);
    let programs = source("python");
    client.arg(programs.join("two_servers.py"));
    client.arg(programs.join("server.py"));
    let output = client.stdin(Stdio::null()).output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn step(tool: &str, arguments: Value) -> Value {
    json!({"do": "call_tool", "name": tool, "arguments": arguments})
}

fn findings(daemon: &Daemon) -> Result<Vec<Value>> {
    let events = daemon.events().all()?.into_iter();
    let is_finding = |event: &Event| event.json["unmapped"]["mcp"]["finding"] == "rule";
    Ok(events.filter(is_finding).map(|event| event.json).collect())
}

/// Waits for the finding of a rule.
fn finding(daemon: &Daemon, title: &str, limit: Duration) -> Result<Value> {
    wait_for(&format!("finding `{title}`"), limit, || {
        let all = findings(daemon)?.into_iter();
        let mut found = all.filter(|one| one["finding_info"]["title"] == title);
        Ok(found.next())
    })
}

/// The finding names these events as those behind it.
fn names(finding: &Value, events: &[&str]) -> Result<()> {
    let related = finding["finding_info"]["related_events"].as_array();
    let related: Vec<_> = related
        .into_iter()
        .flatten()
        .filter_map(|one| one["uid"].as_str())
        .collect();
    for event in events {
        ensure!(related.contains(event), "{event} is not among {related:?}");
    }
    Ok(())
}
