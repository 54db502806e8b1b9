//! Reads the events that the auditor wrote.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

use anyhow::Result;
use serde_json::Value;

/// What measurements look at in an event.
pub(crate) struct Event {
    pub(crate) kind: String,
    pub(crate) stage: String,
    pub(crate) method: String,
    pub(crate) id: String,
    pub(crate) status: u64,
    pub(crate) client: u64,
    pub(crate) server: u64,
    pub(crate) bytes: u64,
    pub(crate) hash: String,
    pub(crate) witnesses: usize,
    pub(crate) json: Value,
}

/// All events of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    for line in BufReader::new(File::open(path)?).lines() {
        events.push(parse(&line?)?);
    }
    Ok(events)
}

/// One event of a line.
pub(crate) fn parse(line: &str) -> Result<Event> {
    let mut json: Value = serde_json::from_str(line)?;
    let status = json["status_id"].as_u64().unwrap_or(0);
    let mcp = json["unmapped"]["mcp"].take();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(Event {
        kind: text(&mcp["kind"]),
        stage: text(&mcp["stage"]),
        method: text(&mcp["method"]),
        id: text(&mcp["id"]),
        status,
        client: mcp["client"]["pid"].as_u64().unwrap_or(0),
        server: mcp["server"]["pid"].as_u64().unwrap_or(0),
        bytes: mcp["request"]["bytes"].as_u64().unwrap_or(0),
        hash: text(&mcp["request"]["hash"]),
        witnesses: mcp["witnesses"].as_array().map_or(0, Vec::len),
        json: mcp,
    })
}
