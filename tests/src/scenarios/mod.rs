//! Which client talks to which server, over what, and what they say.

mod https;

use std::time::Duration;

use anyhow::Result;

use crate::{
    daemon::Daemon,
    programs::{Sdk, Transport, node, python_program},
    session::{Between, Session},
};

/// What the example servers understand.
///
/// Some of it fails on purpose, some is answered late, some overlaps, and at the newer revision
/// some is refused: it is for the client's log to say what happened.
const EXAMPLE: &str = r#"[
    {"do": "list_tools"},
    {"do": "call_tool", "name": "echo", "arguments": {"text": "hello"}},
    {"do": "parallel", "of": [
        {"do": "call_tool", "name": "slow", "arguments": {"seconds": 1.3}},
        {"do": "call_tool", "name": "add", "arguments": {"a": 1, "b": 2}}
    ]},
    {"do": "call_tool", "name": "fail"},
    {"do": "call_tool", "name": "nosuch"},
    {"do": "call_tool", "name": "progress", "arguments": {"steps": 2}},
    {"do": "call_tool", "name": "ask"},
    {"do": "list_resources"},
    {"do": "read_resource", "uri": "note://one"},
    {"do": "read_resource", "uri": "note://two"},
    {"do": "list_prompts"},
    {"do": "get_prompt", "name": "greet", "arguments": {"name": "you"}},
    {"do": "ping"},
    {"do": "call_tool", "name": "echo", "arguments": {"text": "LARGE"}}
]"#;
/// Size of the one large argument: several pipe buffers.
const LARGE: usize = 300_000;

/// Every session, those that need a language of `without` left out.
pub(crate) fn all(without: &[String]) -> Vec<Session> {
    let mut sessions = stdio();
    sessions.extend(http());
    sessions.extend(https::all());
    sessions.extend(published());
    sessions.extend(gateways());
    let has_tools = !without.iter().any(|language| language == "tools");
    sessions.retain(|session| has_tools || !matches!(session.between, Between::Front(_)));
    sessions.retain(|session| {
        !without
            .iter()
            .any(|language| needs(&session.name, language))
    });
    sessions
}

/// Whether the test of this name needs the programs of a language.
pub(crate) fn needs(name: &str, language: &str) -> bool {
    let runtimes: &[&str] = match language {
        "typescript" => &["typescript", "bun", "deno", "node"],
        _ => &[language],
    };
    runtimes.iter().any(|runtime| name.contains(runtime))
}

fn example(client: Sdk, mode: &'static str, server: Sdk, transport: Transport) -> Session {
    let path = if transport == Transport::Sse {
        "/sse"
    } else {
        "/mcp"
    };
    Session {
        name: format!(
            "{}_{mode}_to_{}_over_{}",
            client.name(),
            server.name(),
            transport.name()
        ),
        client,
        mode,
        transport,
        server: Box::new(move |port| server.server(transport, port)),
        path,
        scenario: EXAMPLE.replace("LARGE", &"x".repeat(LARGE)),
        tls: None,
        between: Between::Nothing,
    }
}

fn stdio() -> Vec<Session> {
    use Sdk::{
        Bun1, Bun2, Deno1, Deno2, Go, Java, McpGo, Python1, Python2, Rust, TypeScript1, TypeScript2,
    };
    [
        (Python1, "legacy", Python1),
        (Python1, "legacy", TypeScript2),
        (Python2, "legacy", Python1),
        (Python2, "auto", Python1),
        (Python2, "auto", Python2),
        (Python2, "2026-07-28", TypeScript2),
        (TypeScript1, "legacy", TypeScript1),
        (TypeScript1, "legacy", Python2),
        (TypeScript2, "legacy", Python1),
        (TypeScript2, "auto", TypeScript1),
        (TypeScript2, "auto", TypeScript2),
        (TypeScript2, "2026-07-28", Python2),
        (Go, "legacy", Python1),
        (Go, "auto", Go),
        (Python2, "auto", Go),
        (TypeScript1, "legacy", Go),
        (Rust, "legacy", TypeScript1),
        (Rust, "auto", Rust),
        (Go, "auto", Rust),
        (Python1, "legacy", Rust),
        (Java, "legacy", Java),
        (Java, "legacy", TypeScript1),
        (Python2, "legacy", Java),
        (McpGo, "legacy", McpGo),
        (McpGo, "auto", Go),
        (Python2, "auto", McpGo),
        (Bun1, "legacy", Bun1),
        (Bun2, "2026-07-28", Bun2),
        (Bun2, "auto", Python2),
        (Deno1, "legacy", Deno1),
        (Deno2, "2026-07-28", Deno2),
        (Python1, "legacy", Deno1),
    ]
    .map(|(client, mode, server)| example(client, mode, server, Transport::Stdio))
    .into()
}

fn http() -> Vec<Session> {
    use Sdk::{
        Bun1, Bun2, Deno1, Deno2, Go, Java, McpGo, Python1, Python2, Rust, TypeScript1, TypeScript2,
    };
    use Transport::{Http, Sse, WebSocket};
    [
        (Python1, "legacy", Python1, Http),
        (Python1, "legacy", TypeScript1, Http),
        (Python2, "auto", Python2, Http),
        (Python2, "auto", TypeScript2, Http),
        (Python2, "2026-07-28", Python2, Http),
        (TypeScript1, "legacy", TypeScript1, Http),
        (TypeScript1, "legacy", Python2, Http),
        (TypeScript2, "auto", TypeScript1, Http),
        (TypeScript2, "2026-07-28", TypeScript2, Http),
        (Go, "legacy", TypeScript1, Http),
        (Go, "auto", Go, Http),
        (Python2, "auto", Go, Http),
        (Rust, "legacy", Python1, Http),
        (Rust, "auto", Rust, Http),
        (TypeScript2, "auto", Rust, Http),
        (Java, "legacy", Python1, Http),
        (Java, "legacy", Java, Http),
        (Python1, "legacy", Java, Http),
        (Java, "legacy", TypeScript1, Sse),
        (TypeScript2, "legacy", Java, Sse),
        (McpGo, "legacy", McpGo, Http),
        (McpGo, "2026-07-28", McpGo, Http),
        (McpGo, "auto", Python2, Http),
        (TypeScript1, "legacy", McpGo, Http),
        (McpGo, "legacy", McpGo, Sse),
        (Bun1, "legacy", Bun1, Http),
        (Bun2, "auto", Bun2, Http),
        (Deno1, "legacy", Deno1, Http),
        (Deno2, "auto", Deno2, Http),
        (Go, "legacy", Go, Sse),
        (Python1, "legacy", Python2, Sse),
        (Python2, "legacy", TypeScript1, Sse),
        (TypeScript1, "legacy", Python1, Sse),
        (TypeScript2, "legacy", TypeScript1, Sse),
        (Python1, "legacy", Python1, WebSocket),
    ]
    .map(|(client, mode, server, transport)| example(client, mode, server, transport))
    .into()
}

/// Servers that others have published, as they are.
fn published() -> Vec<Session> {
    let npm = |package: &str| format!("node_modules/@modelcontextprotocol/{package}/dist/index.js");
    let stdio = |name: &str, client: Sdk, mode, scenario: &str, server: ServerCommand| Session {
        name: format!("{}_{mode}_to_{name}", client.name()),
        client,
        mode,
        transport: Transport::Stdio,
        server,
        path: "",
        scenario: scenario.to_owned(),
        tls: None,
        between: Between::Nothing,
    };
    let everything = npm("server-everything");
    let streamable = everything.clone();
    let (filesystem, memory) = (npm("server-filesystem"), npm("server-memory"));
    let mut over_http = stdio(
        "everything_over_http",
        Sdk::TypeScript2,
        "legacy",
        r#"[{"do": "list_tools"}, {"do": "call_tool", "name": "echo", "arguments": {"message": "hi"}}]"#,
        Box::new(move |port| {
            let mut command = node(&streamable)?;
            command.arg("streamableHttp").env("PORT", port.to_string());
            Ok(command)
        }),
    );
    over_http.transport = Transport::Http;
    over_http.path = "/mcp";
    vec![
        over_http,
        stdio(
            "everything",
            Sdk::Python2,
            "auto",
            r#"[{"do": "list_tools"}, {"do": "list_resources"}, {"do": "list_prompts"},
                {"do": "call_tool", "name": "echo", "arguments": {"message": "hi"}},
                {"do": "call_tool", "name": "echo", "arguments": {}}]"#,
            Box::new(move |_| node(&everything)),
        ),
        stdio(
            "filesystem",
            Sdk::TypeScript1,
            "legacy",
            r#"[{"do": "list_tools"},
                {"do": "call_tool", "name": "list_directory", "arguments": {"path": "/usr/share"}},
                {"do": "call_tool", "name": "read_text_file", "arguments": {"path": "/etc/passwd"}}]"#,
            Box::new(move |_| {
                let mut command = node(&filesystem)?;
                command.arg("/usr/share");
                Ok(command)
            }),
        ),
        stdio(
            "memory",
            Sdk::TypeScript2,
            "auto",
            r#"[{"do": "list_tools"}, {"do": "call_tool", "name": "read_graph"}]"#,
            Box::new(move |_| node(&memory)),
        ),
        stdio(
            "time",
            Sdk::Python2,
            "auto",
            r#"[{"do": "list_tools"},
                {"do": "call_tool", "name": "get_current_time", "arguments": {"timezone": "Asia/Tokyo"}},
                {"do": "call_tool", "name": "get_current_time", "arguments": {"timezone": "Nowhere"}}]"#,
            Box::new(|_| python_program(Sdk::Python2, "mcp-server-time")),
        ),
        stdio(
            "fetch",
            Sdk::Python1,
            "legacy",
            r#"[{"do": "list_tools"}, {"do": "list_prompts"},
                {"do": "call_tool", "name": "fetch", "arguments": {"url": "http://127.0.0.1:9/"}}]"#,
            Box::new(|_| python_program(Sdk::Python2, "mcp-server-fetch")),
        ),
    ]
}

type ServerCommand = Box<dyn Fn(u16) -> Result<std::process::Command> + Send + Sync>;

/// Gateways: HTTP in front, stdio behind.
fn gateways() -> Vec<Session> {
    let gateway = |name: &str, client: Sdk, server: ServerCommand| {
        let mut session = example(client, "legacy", Sdk::Python1, Transport::Http);
        session.name = format!("{}_through_{name}", client.name());
        session.server = server;
        session.between = Between::Gateway;
        session
    };
    vec![
        gateway(
            "supergateway",
            Sdk::TypeScript1,
            Box::new(|port| {
                let server = Sdk::Python1.server(Transport::Stdio, 0)?;
                let words = std::iter::once(server.get_program()).chain(server.get_args());
                let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
                let mut command = node("node_modules/supergateway/dist/index.js")?;
                command.args(["--stateful", "--outputTransport", "streamableHttp"]);
                command.args(["--port", &port.to_string(), "--stdio", &words.join(" ")]);
                Ok(command)
            }),
        ),
        gateway(
            "mcp_proxy",
            Sdk::Python2,
            Box::new(|port| {
                let server = Sdk::TypeScript1.server(Transport::Stdio, 0)?;
                let mut command = python_program(Sdk::Python1, "mcp-proxy")?;
                command.args(["--port", &port.to_string(), "--"]);
                command.arg(server.get_program()).args(server.get_args());
                Ok(command)
            }),
        ),
    ]
}

/// Lets the daemon see the programs that bring their own TLS before they talk.
pub(crate) fn meet_programs(sessions: &[Session], daemon: &Daemon, limit: Duration) -> Result<()> {
    use Sdk::{Bun1, Bun2, Deno1, Deno2, Go, McpGo, Rust, RustRing};
    for sdk in [Go, McpGo, Rust, RustRing, Bun1, Bun2, Deno1, Deno2] {
        let plays =
            |session: &Session| session.name.contains("https") && session.name.contains(sdk.name());
        if sessions.iter().any(plays) {
            daemon.meet(sdk.client()?, limit)?;
            daemon.meet(sdk.server(Transport::Stdio, 0)?, limit)?;
        }
    }
    Ok(())
}
