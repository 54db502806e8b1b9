//! Events in the ArcSight Common Event Format, version 0.

use std::fmt::Write as _;

use serde_json::Value;

use crate::event::Event;

/// OCSF severities (0 to 6, 99) as those of CEF (0 to 10).
const SEVERITIES: [u8; 7] = [0, 1, 3, 5, 7, 9, 10];

/// An event as one line.
pub(super) fn line(event: &Event, version: &str) -> String {
    let value: Value = serde_json::from_slice(&event.bytes).unwrap_or_default();
    let text = |pointer: &str| match value.pointer(pointer)? {
        Value::String(text) => Some(text.clone()),
        Value::Null => None,
        other => Some(other.to_string()),
    };
    let is_finding = event.head.class / 1_000 == 2;
    let (signature, name) = if is_finding {
        (
            text("/finding_info/analytic/uid"),
            text("/finding_info/title"),
        )
    } else {
        let method = text("/unmapped/mcp/method").or_else(|| text("/unmapped/mcp/kind"));
        (text("/type_uid"), method)
    };
    let severity = SEVERITIES
        .get(usize::from(event.head.severity))
        .copied()
        .unwrap_or(0);
    let mut line = format!(
        "CEF:0|mcp-auditor|mcp-auditor|{}|{}|{}|{severity}|rt={} externalId={}",
        header(version),
        header(&signature.unwrap_or_default()),
        header(&name.unwrap_or_else(|| "event".to_owned())),
        event.head.time_ms,
        extension(&event.key()),
    );
    let class = event.head.class.to_string();
    let client = "/unmapped/mcp/client";
    let server = "/unmapped/mcp/server";
    let pairs = [
        ("cat", text("/class_name").or(Some(class))),
        ("act", text("/unmapped/mcp/method")),
        (
            "outcome",
            text("/unmapped/mcp/outcome").or_else(|| text("/status")),
        ),
        ("reason", text("/status_code")),
        (
            "msg",
            text("/finding_info/desc").or_else(|| text("/status_detail")),
        ),
        ("dvchost", text("/device/hostname")),
        ("src", text("/src_endpoint/ip")),
        ("spt", text("/src_endpoint/port")),
        ("dst", text("/dst_endpoint/ip")),
        ("dpt", text("/dst_endpoint/port")),
        ("spid", text(&format!("{client}/pid"))),
        ("sproc", text(&format!("{client}/exe"))),
        ("suid", text(&format!("{client}/uid"))),
        ("dpid", text(&format!("{server}/pid"))),
        ("dproc", text(&format!("{server}/exe"))),
    ];
    for (key, said) in pairs {
        if let Some(said) = said {
            let _ = write!(line, " {key}={}", extension(&said));
        }
    }
    let custom = [
        ("target", text("/unmapped/mcp/target")),
        ("identity", event.head.identity.clone()),
        ("session", text("/unmapped/mcp/session")),
        (
            "decision",
            text("/unmapped/mcp/decision/evaluated/decision"),
        ),
        ("sensitivity", text("/unmapped/mcp/sensitivity")),
        ("stage", text("/unmapped/mcp/stage")),
    ];
    for (number, (label, said)) in (1..).zip(custom) {
        if let Some(said) = said {
            let _ = write!(
                line,
                " cs{number}Label={label} cs{number}={}",
                extension(&said)
            );
        }
    }
    // A checkpoint says nothing without itself.
    if let Some(checkpoint) = text("/unmapped/mcp/lifecycle/checkpoint") {
        let _ = write!(
            line,
            " flexString1Label=checkpoint flexString1={}",
            extension(&checkpoint)
        );
    }
    line
}

/// A field of the header: `\` and `|` are escaped, lines end nowhere.
fn header(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('|', "\\|");
    text.replace(['\r', '\n'], " ")
}

/// A value of the extension: `\` and `=` are escaped, and the ends of lines.
fn extension(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('=', "\\=");
    text.replace('\n', "\\n").replace('\r', "\\r")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_escaped_as_the_format_says() {
        let text = serde_json::json!({
            "metadata": {"uid": "r-1"}, "class_uid": 6003, "class_name": "API Activity", "severity_id": 4, "type_uid": 600301,
            "time": 17, "status_code": "a=b\\c",
            "unmapped": {"mcp": {"method": "tools/call|x", "target": "two\nlines", "stage": "final", "client": {"pid": 7}}},
        });
        let line = line(&Event::of(0, text.to_string().into_bytes()), "1.0|0");
        assert_eq!(
            line,
            "CEF:0|mcp-auditor|mcp-auditor|1.0\\|0|600301|tools/call\\|x|7|rt=17 externalId=r-1 cat=API Activity \
             act=tools/call|x reason=a\\=b\\\\c spid=7 cs1Label=target cs1=two\\nlines cs6Label=stage cs6=final"
        );
    }
}
