//! What the policy says of real calls, beside what the server did; and that nothing private leaves on the way.
//!
//! A client of an SDK asks a published server, under a daemon with the policies that ship with it and the highest level.

use std::{
    fs,
    path::{Path, PathBuf},
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
    programs::{Sdk, cedar, python_program},
    suite,
    touched::{Call, run},
};

/// A secret of a kind that the classifier knows, and a text that it does not.
const SECRET: &str = "ghp_w8kZ2mQ5vR1xT9bN4cJ7hL3pD6sF0gYaUeOi";
const CONTENT: &str = "canary-4711-content";

/// Gives the number of tests that failed.
pub(crate) fn check(auditor: &Path, arguments: &Arguments, limit: Duration) -> usize {
    if arguments.without.iter().any(|one| one == "python") {
        return 0;
    }
    let tests = [("decided_and_hidden_sqlite", ())];
    let only = arguments.only.as_deref();
    suite::run(
        &tests,
        only,
        || Ok(()),
        |(name, ()), ()| {
            let folder = arguments.folder.join(name);
            let has_go = !arguments.without.iter().any(|one| one == "go");
            play(auditor, &folder, has_go, limit)
        },
    )
}

/// What is asked, and what must come of it: the decision, its reason, and the policies.
fn calls() -> Vec<(Call, [&'static str; 3])> {
    let call = |tool, query: String| Call {
        tool,
        arguments: json!({"query": query}),
        things: Vec::new(),
        activity: "",
    };
    vec![
        (
            call("create_table", "CREATE TABLE products (name TEXT)".into()),
            ["deny", "forbidden", "ddl-needs-proof-and-working-hours"],
        ),
        (
            call(
                "write_query",
                format!("INSERT INTO products VALUES ('{CONTENT}')"),
            ),
            ["allow", "permitted", "ordinary-use"],
        ),
        (
            call("read_query", "SELECT name FROM products".into()),
            ["allow", "permitted", "ordinary-use"],
        ),
        (
            call("read_query", "SELECT 1 FROM customers".into()),
            ["deny", "no_policy_permits", "confidential-use"],
        ),
        (
            call(
                "write_query",
                format!("INSERT INTO products VALUES ('{SECRET}')"),
            ),
            ["deny", "forbidden", "no-secrets-in-requests"],
        ),
        (
            call("read_query", "SELECT name FROM products ".into()),
            ["deny", "forbidden", "no-secrets-to-unproven"],
        ),
    ]
}

fn play(auditor: &Path, folder: &Path, has_go: bool, limit: Duration) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let policies = folder.join("starter.cedar");
    fs::write(&policies, said(auditor, &["policy", "starter"])?)?;
    said(auditor, &["policy", "check", &policies.to_string_lossy()])?;
    let config = folder.join("config.toml");
    fs::write(&config, format!("[policy]\nfiles = [{:?}]\n", policies))?;
    let told = folder.join("daemon");
    let extra = [
        "--level",
        "request-response",
        "--config",
        &config.to_string_lossy(),
    ];
    let mut daemon = Daemon::start(auditor, &told, &extra, limit)?;
    let mut server = python_program(Sdk::Python1, "mcp-server-sqlite")?;
    server.arg("--db-path").arg(folder.join("shop.db"));
    let (calls, expected): (Vec<_>, Vec<_>) = calls().into_iter().unzip();
    let events = run(&server, &calls, &daemon, folder, limit)?;
    for (event, expected) in events.iter().zip(&expected) {
        judge(event, expected).with_context(|| event.json.to_string())?;
    }
    disagreement(&daemon, &events, limit)?;
    reload(&mut daemon, &policies, limit)?;
    let ended = daemon.stop(limit)?;
    ensure!(ended.success(), "the daemon ended with {ended}");
    explained(auditor, &told, &policies, &events)?;
    hidden(&told)?;
    if has_go {
        evaluated_again(&told, &policies, calls.len())?;
    }
    Ok(())
}

fn said(auditor: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(auditor).args(arguments).output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{arguments:?}: {error}");
    Ok(String::from_utf8(output.stdout)?)
}

fn judge(event: &Event, [decision, reason, policy]: &[&str; 3]) -> Result<()> {
    let at = |place: &str| event.json.pointer(&format!("/unmapped/mcp/{place}"));
    let text = |place: &str| at(place).and_then(Value::as_str).unwrap_or_default();
    ensure!(
        text("decision/evaluated/decision") == *decision,
        "instead of {decision}"
    );
    ensure!(
        text("decision/evaluated/reason") == *reason,
        "instead of {reason}"
    );
    let ids = at("decision/evaluated/policies").and_then(Value::as_array);
    let has_policy = ids
        .context("no policies")?
        .iter()
        .any(|one| one["id"] == **policy);
    ensure!(has_policy, "{policy} did not count");
    let conditions = at("decision/evaluated/conditions").and_then(Value::as_array);
    ensure!(
        conditions.is_some_and(|all| !all.is_empty()),
        "no conditions"
    );
    ensure!(
        at("request/body").is_some_and(Value::is_string),
        "no body at this level"
    );
    let authorizations = event
        .json
        .pointer("/authorizations")
        .and_then(Value::as_array);
    let evaluated = authorizations
        .and_then(|all| all.last())
        .context("no authorizations")?;
    ensure!(evaluated["decision"] == **decision && evaluated["policy"]["is_applied"] == false);
    Ok(())
}

/// The server did what the policy forbids: that is told, with the policy.
fn disagreement(daemon: &Daemon, events: &[Event], limit: Duration) -> Result<()> {
    let secret = events.get(4).context("too few events")?;
    wait_for("the finding", limit, || {
        let all = daemon.events().all()?;
        let mut findings = all
            .iter()
            .filter(|event| event.interaction.kind == "finding");
        let is_it = |event: &Event| {
            let mcp = &event.json["unmapped"]["mcp"];
            mcp["finding"] == "forbidden_and_done"
                && mcp["second"]["event"] == *secret.uid
                && mcp["policies"] == json!(["no-secrets-in-requests"])
        };
        Ok(findings.any(is_it).then_some(()))
    })
}

/// A broken set of policies leaves the one before in force, and the log says what is wrong.
fn reload(daemon: &mut Daemon, policies: &Path, limit: Duration) -> Result<()> {
    let text = fs::read_to_string(policies)?;
    fs::write(
        policies,
        format!("{text}\npermit(principal, action, resource) when {{ context.nothing }};"),
    )?;
    daemon.reload("policies cannot be read again", limit)?;
    fs::write(policies, text)?;
    daemon.reload("policies are in force", limit)
}

fn explained(auditor: &Path, told: &Path, policies: &Path, events: &[Event]) -> Result<()> {
    let secret = events.get(4).context("too few events")?;
    let trail = told.join("events.jsonl");
    let words = [
        "policy",
        "explain",
        &secret.uid,
        "--events",
        &trail.to_string_lossy(),
        "--policies",
        &policies.to_string_lossy(),
    ];
    let text = said(auditor, &words)?;
    ensure!(
        text.contains("no-secrets-in-requests") && text.contains("request_classes"),
        "{text}"
    );
    Ok(())
}

/// Neither the secret nor the content is in any file that the daemon wrote.
fn hidden(told: &Path) -> Result<()> {
    let mut folders = vec![told.to_owned()];
    let mut looked = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path: PathBuf = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            looked += 1;
            let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
            for private in [SECRET, CONTENT] {
                ensure!(
                    !text.contains(private),
                    "{private} is in {}",
                    path.display()
                );
            }
        }
    }
    ensure!(looked >= 2, "only {looked} files were looked at");
    Ok(())
}

/// The Go implementation of Cedar comes to the same decisions, by what the events hold.
fn evaluated_again(told: &Path, policies: &Path, at_least: usize) -> Result<()> {
    let trail = fs::File::open(told.join("events.jsonl"))?;
    let mut command = Command::new(cedar()?);
    let output = command
        .arg(policies)
        .stdin(trail)
        .stderr(Stdio::piped())
        .output()?;
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    let agreed = answer["agreed"].as_u64().unwrap_or_default();
    ensure!(
        output.status.success() && agreed >= at_least as u64,
        "{answer}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
