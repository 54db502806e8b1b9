//! Plays recorded sessions of real programs and compares every event with what was told when they were recorded.
//!
//! Needs no root. The captures are in `tests/captures`; `record.py` there makes them anew.

use std::{fs, path::Path, process::Command};

use anyhow::{Result, ensure};
use serde_json::{Map, Value, json};

#[test]
fn recorded_sessions_tell_what_they_told() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/captures");
    let mut played = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "capture")
        {
            let told = fs::read_to_string(path.with_extension("jsonl"))?;
            let told: Vec<Value> = told.lines().map(parse).collect::<Result<_>>()?;
            let events = replay(&path)?;
            for (at, (event, told)) in events.iter().zip(&told).enumerate() {
                assert_eq!(event, told, "event {} of {}", at + 1, path.display());
            }
            assert_eq!(events.len(), told.len(), "{}", path.display());
            played += 1;
        }
    }
    assert!(played >= 13, "only {played} captures");
    Ok(())
}

fn replay(path: &Path) -> Result<Vec<Value>> {
    let output = Command::new(env!("CARGO_BIN_EXE_mcp-auditor"))
        .args(["run", "--events", "-", "--replay"])
        .arg(path)
        .output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{error}");
    let text = String::from_utf8(output.stdout)?;
    let events = text.lines().map(|line| Ok(stable(&parse(line)?)));
    events.collect()
}

/// What of an event is the same on every host.
fn stable(event: &Value) -> Value {
    let mcp = &event["unmapped"]["mcp"];
    let mut told = Map::new();
    for name in [
        "kind",
        "stage",
        "direction",
        "method",
        "id",
        "target",
        "transport",
    ] {
        told.insert(name.to_owned(), mcp[name].clone());
    }
    told.insert("encrypted".to_owned(), mcp["encrypted"].clone());
    told.insert("binding".to_owned(), mcp["binding"]["method"].clone());
    told.insert("status_id".to_owned(), event["status_id"].clone());
    for part in ["request", "response"] {
        let message = mcp[part].as_object();
        let message = message.map(|message| json!([message["bytes"], message["hash"]]));
        told.insert(part.to_owned(), message.unwrap_or_default());
    }
    for side in ["client", "server"] {
        told.insert(side.to_owned(), mcp[side]["pid"].clone());
    }
    Value::Object(told)
}

fn parse(line: &str) -> Result<Value> {
    Ok(serde_json::from_str(line)?)
}
