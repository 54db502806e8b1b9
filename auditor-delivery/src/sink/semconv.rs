//! Names of OpenTelemetry's semantic conventions, for MCP still in development: in one place, so that they can follow.

use serde_json::Value;

/// Attributes, and where in an event their values are.
const ATTRIBUTES: [(&str, &str); 17] = [
    ("mcp.method.name", "/unmapped/mcp/method"),
    ("mcp.session.id", "/unmapped/mcp/session"),
    ("mcp.protocol.version", "/unmapped/mcp/protocol_version"),
    ("jsonrpc.request.id", "/unmapped/mcp/id"),
    ("rpc.response.status_code", "/status_code"),
    ("event.id", "/metadata/uid"),
    ("host.name", "/device/hostname"),
    ("process.pid", "/unmapped/mcp/client/pid"),
    ("process.executable.path", "/unmapped/mcp/client/exe"),
    ("container.id", "/unmapped/mcp/client/container"),
    ("client.address", "/src_endpoint/ip"),
    ("client.port", "/src_endpoint/port"),
    ("server.address", "/dst_endpoint/ip"),
    ("server.port", "/dst_endpoint/port"),
    ("user.id", "/unmapped/mcp/identity/client/subject"),
    ("security_rule.uuid", "/finding_info/analytic/uid"),
    ("security_rule.name", "/finding_info/analytic/name"),
];

/// The attributes of an event.
pub(super) fn attributes(event: &Value) -> Vec<(&'static str, Value)> {
    let at = |pointer: &str| event.pointer(pointer).filter(|value| !value.is_null());
    let mut all: Vec<(&'static str, Value)> = ATTRIBUTES
        .into_iter()
        .filter_map(|(name, pointer)| Some((name, at(pointer)?.clone())))
        .collect();
    let method = at("/unmapped/mcp/method").and_then(Value::as_str);
    let target = at("/unmapped/mcp/target").cloned();
    let named = match method {
        Some("tools/call") => Some("gen_ai.tool.name"),
        Some("prompts/get") => Some("gen_ai.prompt.name"),
        Some(method) if method.starts_with("resources/") => Some("mcp.resource.uri"),
        _ => None,
    };
    if let (Some(name), Some(target)) = (named, target) {
        all.push((name, target));
    }
    if method == Some("tools/call") {
        all.push(("gen_ai.operation.name", "execute_tool".into()));
    }
    let transport = at("/unmapped/mcp/transport").and_then(Value::as_str);
    let transport = transport.map(|transport| match transport {
        "stdio" => "pipe",
        "unix" => "unix",
        _ => "tcp",
    });
    if let Some(transport) = transport {
        all.push(("network.transport", transport.into()));
    }
    if at("/status_id").and_then(Value::as_u64) == Some(2)
        && let Some(code) = at("/status_code")
    {
        all.push(("error.type", code.clone()));
    }
    all
}

/// `SeverityNumber` of OpenTelemetry's log data model, and its short name, for OCSF's `severity_id`.
pub(super) fn severity(id: u8) -> (i32, &'static str) {
    match id {
        1 => (9, "INFO"),
        2 => (10, "INFO2"),
        3 => (13, "WARN"),
        4 => (17, "ERROR"),
        5 => (18, "ERROR2"),
        6 => (21, "FATAL"),
        _ => (0, ""),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_failed_call_is_named_as_the_conventions_say() {
        let event = json!({"status_id": 2, "status_code": "tool_error", "metadata": {"uid": "r-1"},
            "unmapped": {"mcp": {"method": "tools/call", "target": "query", "transport": "stdio", "id": null}}});
        let all = attributes(&event);
        let find = |name: &str| {
            all.iter()
                .find(|(one, _)| *one == name)
                .map(|(_, value)| value.clone())
        };
        assert_eq!(find("gen_ai.tool.name"), Some("query".into()));
        assert_eq!(find("gen_ai.operation.name"), Some("execute_tool".into()));
        assert_eq!(find("network.transport"), Some("pipe".into()));
        assert_eq!(find("error.type"), Some("tool_error".into()));
        assert_eq!(find("jsonrpc.request.id"), None);
    }
}
