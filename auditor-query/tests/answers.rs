//! The program as it is called: what it prints, and how it fails.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{path::Path, process::Command};

use auditor_ledger::Log;
use serde_json::{Value, json};

/// A log of a few events: a call that led to another, a finding about it, and a start.
fn log(folder: &Path) {
    let path = |name: &str| folder.join(name);
    let (mut log, _) = Log::open(&path("log"), &path("keys"), "mcp-auditor/test", 0).unwrap();
    let side = |pid: u64| json!({"pid": pid, "start_time": pid, "exe": format!("/bin/p{pid}")});
    let call = |uid: &str, parent: Option<&str>, table: &str, time: u64| {
        json!({"metadata": {"uid": uid}, "class_uid": 6003, "time": time, "unmapped": {"mcp": {
            "kind": "request", "stage": "final", "method": "tools/call", "target": "query", "outcome": "success",
            "client": side(1), "server": side(2), "time_ns": time * 1_000_000,
            "resources": [{"kind": "table", "name": table, "operation": "select"}],
            "chain": {"id": "a", "parent": parent, "basis": "open_request", "certainty": "only_candidate"}}}})
    };
    let entries = [
        json!({"metadata": {"uid": "l"}, "class_uid": 6002, "time": 500, "unmapped": {"mcp": {"kind": "lifecycle", "lifecycle": {"what": "start"}}}}),
        call("a", None, "orders", 1_000),
        call("b", Some("a"), "customers", 2_000),
        json!({"metadata": {"uid": "f"}, "class_uid": 2004, "time": 3_000, "severity": "High", "finding_info": {"title": "Odd \u{1b}[2J"},
            "unmapped": {"mcp": {"kind": "finding", "finding": "odd", "event": "b"}}}),
        // What no version writes is told, and keeps nothing else from being found.
        json!({"metadata": "nothing"}),
    ];
    for entry in entries {
        log.append(entry.to_string().into_bytes()).unwrap();
    }
    log.commit().unwrap();
}

fn ask(folder: &Path, words: &[&str]) -> (i32, String, String) {
    let mut query = Command::new(env!("CARGO_BIN_EXE_mcp-auditor-query"));
    let output = query
        .args(words)
        .arg("--data-dir")
        .arg(folder)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn what_is_asked_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (code, _, said) = ask(folder, &["search"]);
    assert_eq!(code, 1);
    assert!(said.contains("there is no log in"), "{said}");
    log(folder);
    let found = |words: &[&str]| {
        let (code, out, said) = ask(folder, words);
        assert_eq!(code, 0, "{said}");
        out
    };
    assert_eq!(found(&["search", "--count"]).trim(), "5");
    assert_eq!(
        found(&["search", "--table", "cust*", "--count"]).trim(),
        "1"
    );
    assert_eq!(
        found(&["search", "--table", "cust%", "--count"]).trim(),
        "0"
    );
    let rows = found(&["search", "--table", "customers", "--json"]);
    let row: Value = serde_json::from_str(&rows).unwrap();
    assert_eq!(
        (&row["uid"], &row["chain_parent"], &row["log_index"]),
        (&json!("b"), &json!("a"), &json!(2))
    );
    let csv = found(&[
        "search",
        "--sql",
        "SELECT class, count(*) AS n FROM events GROUP BY 1 ORDER BY 1",
        "--csv",
    ]);
    assert_eq!(csv, "class,n\nfinding,1\ninteraction,2\nlifecycle,1\n,1\n");
    // The one that is nothing is said.
    let (_, _, said) = ask(folder, &["search", "--count"]);
    assert!(
        said.contains("1 entries are none that this version knows"),
        "{said}"
    );
    let table = found(&["search", "--type", "finding"]);
    assert!(
        table.contains("Odd ·[2J") && !table.contains('\u{1b}'),
        "{table}"
    );
    let timeline = found(&["timeline", "--chain", "a"]);
    let order: Vec<_> = ["orders", "query: p1", "customers", "FINDING odd"]
        .iter()
        .map(|what| timeline.find(what))
        .collect();
    assert!(order.iter().all(Option::is_some), "{timeline}");
    let chain = found(&["chain", "f"]);
    assert!(
        chain.contains("<- this event") && chain.contains("select table customers"),
        "{chain}"
    );
    let report = found(&["report", "soc2", "--from", "1970-01-01"]);
    assert!(
        report.contains("is intact") && report.contains("CC7.2"),
        "{report}"
    );
}

#[test]
fn what_cannot_be_asked_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    log(folder);
    let fails = |words: &[&str], why: &str| {
        let (code, _, said) = ask(folder, words);
        assert!(code != 0 && said.contains(why), "{words:?}: {said}");
    };
    fails(
        &["search", "--sql", "DROP TABLE events"],
        "DDL not supported",
    );
    fails(
        &["search", "--sql", "COPY events TO '/tmp/x.csv'"],
        "DML not supported",
    );
    fails(
        &["search", "--sql", "SELECT * FROM '/etc/passwd'"],
        "not found",
    );
    fails(
        &["search", "--sql", "SELECT nothing FROM events"],
        "nothing",
    );
    fails(&["search", "--since", "yesterday"], "neither a time");
    fails(
        &["search", "--sql", "SELECT 1", "--tool", "x"],
        "leave the other filters out",
    );
    fails(&["timeline"], "say of whom or what");
    fails(&["chain", "zzz"], "no event `zzz`");
    fails(
        &["report", "gdpr", "--from", "1d", "--key", "nothing"],
        "no verifier key",
    );
    fails(
        &[
            "report",
            "gdpr",
            "--from",
            "2026-02-01",
            "--to",
            "2026-01-01",
        ],
        "is not before",
    );
}
