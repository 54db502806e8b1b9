//! A checkpoint of the log as an event among events: who has a sink's events can tell later whether the log was cut.

use auditor_ledger::Tail;
use serde_json::json;

use crate::{
    Origin,
    event::{Event, Head},
};

/// OCSF `application_lifecycle`.
const CLASS: u32 = 6_002;

/// The event that carries a log's newest checkpoint.
pub(crate) fn event(tail: &Tail, origin: &Origin, time_ms: u64) -> Event {
    // Signatures are of the start's key: its id makes the uid one of its own.
    let key = tail.checkpoint.lines().last().unwrap_or_default();
    let key = key.rsplit(' ').next().unwrap_or_default();
    let key: String = key
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(6)
        .collect();
    let uid = format!("{}-c{}-{key}", origin.node, tail.size);
    let product =
        json!({"name": "mcp-auditor", "vendor_name": "mcp-auditor", "version": origin.version});
    let device = json!({"hostname": origin.hostname, "uid": origin.node, "type_id": 0});
    let said = json!({"what": "checkpoint", "size": tail.size, "checkpoint": tail.checkpoint});
    let event = json!({
        "metadata": {"version": "1.8.0", "product": product, "uid": uid, "profiles": ["host"]},
        "time": time_ms,
        "category_uid": 6,
        "category_name": "Application Activity",
        "class_uid": CLASS,
        "class_name": "Application Lifecycle",
        "activity_id": 99,
        "activity_name": "Checkpoint",
        "type_uid": CLASS * 100 + 99,
        "severity_id": 1,
        "severity": "Informational",
        "app": product,
        "device": device,
        "unmapped": {"mcp": {"kind": "lifecycle", "lifecycle": said}},
    });
    Event {
        index: None,
        bytes: event.to_string().into_bytes(),
        head: Head {
            uid,
            class: CLASS,
            severity: 1,
            time_ms,
            is_open: false,
            identity: None,
        },
    }
}
