//! Programs that live for one call over HTTPS: each must be heard from its first request.
//!
//! None of them is an MCP client: they POST a `tools/call` that needs no session, as scripts do.

use std::{
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{
    Arguments,
    certificates::Certificates,
    compare,
    daemon::Daemon,
    event::Event,
    interaction::{Interaction, Status},
    process::{Running, free_port, wait_for},
    programs::{Sdk, Transport, source, tool},
    session::listening,
};

/// A program that makes one call.
struct Client {
    name: &'static str,
    /// Whether the plaintext of its TLS library is heard.
    is_heard: bool,
    command: fn(&Call) -> Result<Command>,
}

const CLIENTS: [Client; 4] = [
    Client {
        name: "curl",
        is_heard: true,
        command: curl,
    },
    Client {
        name: "pycurl",
        is_heard: true,
        command: pycurl,
    },
    Client {
        name: "wget",
        is_heard: true,
        command: wget,
    },
    Client {
        name: "gnutls_cli",
        is_heard: true,
        command: gnutls_cli,
    },
];
/// Calls of each program, one after the other.
const CALLS: u64 = 3;
const HEADERS: [&str; 5] = [
    "Content-Type: application/json",
    "Accept: application/json, text/event-stream",
    "MCP-Protocol-Version: 2026-07-28",
    "Mcp-Method: tools/call",
    "Mcp-Name: echo",
];

/// What is called, and where.
struct Call {
    port: u16,
    authority: PathBuf,
    id: u64,
}

impl Call {
    fn url(&self) -> String {
        format!("https://127.0.0.1:{}/mcp", self.port)
    }

    fn body(&self) -> String {
        json!({
            "jsonrpc": "2.0",
            "id": self.id,
            "method": "tools/call",
            "params": {
                "name": "echo",
                "arguments": {"text": "hello"},
                "_meta": {
                    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                    "io.modelcontextprotocol/clientInfo": {"name": "one", "version": "1"},
                    "io.modelcontextprotocol/clientCapabilities": {},
                },
            },
        })
        .to_string()
    }

    /// The request as it stands on the wire; the server closes after the answer.
    fn text(&self) -> String {
        let body = self.body();
        format!(
            "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{}\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.port,
            HEADERS.join("\r\n"),
            body.len()
        )
    }
}

/// Has each program make its calls; for each its name, and what is wrong if anything is.
pub(crate) fn check(
    daemon: &Daemon,
    arguments: &Arguments,
    certificates: &Certificates,
    limit: Duration,
) -> Result<Vec<(String, Option<String>)>> {
    let is_wanted = |client: &&Client| {
        let only = arguments.only.as_ref();
        only.is_none_or(|only| test_name(client.name).contains(only.as_str()))
    };
    let clients: Vec<_> = CLIENTS.iter().filter(is_wanted).collect();
    let is_left_out = |word: &String| word == "tools" || word == "python";
    if clients.is_empty() || arguments.without.iter().any(is_left_out) {
        return Ok(Vec::new());
    }
    let port = free_port()?;
    let mut server = Sdk::Python2.server(Transport::Http, port)?;
    server.arg("--tls").arg(certificates.folder());
    let log = arguments.folder.join("oneshot.log");
    let server = listening(&mut server, &log, port, limit)?;
    let mut call = Call {
        port,
        authority: std::fs::canonicalize(certificates.authority())?,
        id: 0,
    };
    let mut results = Vec::new();
    for client in clients {
        let mut wrong = Vec::new();
        for _ in 0..CALLS {
            call.id += 1;
            let heard = heard(client, &call, server.pid(), daemon, limit);
            wrong.extend(heard.unwrap_or_else(|error| vec![format!("{error:#}")]));
        }
        let wrong = (!wrong.is_empty()).then(|| wrong.join("\n    "));
        results.push((test_name(client.name), wrong));
    }
    Ok(results)
}

fn test_name(client: &str) -> String {
    format!("oneshot_{client}_over_https")
}

/// Makes one call and tells what is wrong with the events of it.
fn heard(
    client: &Client,
    call: &Call,
    server: u32,
    daemon: &Daemon,
    limit: Duration,
) -> Result<Vec<String>> {
    let pid = made(client, call, limit)?;
    let expected = [Interaction {
        kind: "request".to_owned(),
        direction: "client_to_server".to_owned(),
        method: Some("tools/call".to_owned()),
        id: Some(call.id.to_string()),
        target: Some("echo".to_owned()),
        status: Status::Success,
        transport: "http".to_owned(),
        client: Some(pid).filter(|_| client.is_heard),
        server: Some(server),
    }];
    let id = expected[0].id.clone();
    let events = || -> Result<Vec<Event>> {
        let events = daemon.events().of(&[pid, server])?.into_iter();
        // Not what passes through the pipes between the program and this one.
        let concerns = |call: &Interaction| {
            call.client == Some(pid) || (call.server == Some(server) && call.id == id)
        };
        Ok(events
            .filter(|event| concerns(&event.interaction))
            .collect())
    };
    // What is still missing at the limit is told by the comparison.
    let _ = wait_for("events", limit / 6, || {
        Ok((compare::missing(&expected, &events()?) == 0).then_some(()))
    });
    let events = events()?;
    let mut lines = compare::differences(&expected, &events);
    lines.extend(compare::encryption(true, &events));
    if client.is_heard {
        lines.extend(events.iter().filter_map(unwitnessed));
    }
    Ok(lines)
}

/// What is wrong when the client's own end was not heard.
fn unwitnessed(event: &Event) -> Option<String> {
    let witnesses = event.json.pointer("/unmapped/mcp/witnesses");
    let seen = witnesses.and_then(Value::as_array).is_some_and(|all| {
        let mut all = all.iter();
        all.any(|witness| witness["part"] == "request" && witness["end"] == "tls_write")
    });
    (!seen).then(|| format!("the client's end was not heard: {}", event.json))
}

/// Has the program make the call, sees it answered, and gives its process.
fn made(client: &Client, call: &Call, limit: Duration) -> Result<u32> {
    let mut command = (client.command)(call)?;
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut running = Running::start(&mut command)?;
    // Open until the answer is there: gnutls-cli leaves when its input ends.
    let mut input = running.child().stdin.take().context("no standard input")?;
    if client.name == "gnutls_cli" {
        input.write_all(call.text().as_bytes())?;
    }
    let output = running
        .child()
        .stdout
        .take()
        .context("no standard output")?;
    let text = std::io::read_to_string(output)?;
    drop(input);
    running.wait(limit)?;
    ensure!(
        text.contains("\"result\"") && text.contains("hello"),
        "{} got no answer: {text}",
        client.name
    );
    Ok(running.pid())
}

fn curl(call: &Call) -> Result<Command> {
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--cacert"])
        .arg(&call.authority);
    for header in HEADERS {
        command.args(["--header", header]);
    }
    command.args(["--data-raw", &call.body(), &call.url()]);
    Ok(command)
}

fn pycurl(call: &Call) -> Result<Command> {
    let mut command = Command::new(tool("python")?);
    command.arg(source("python").join("post.py"));
    command.arg(call.url()).arg(&call.authority);
    command.arg(call.body()).args(HEADERS);
    Ok(command)
}

fn wget(call: &Call) -> Result<Command> {
    let mut command = Command::new("wget");
    command.args(["--quiet", "--output-document=-"]);
    command.arg(format!("--ca-certificate={}", call.authority.display()));
    for header in HEADERS {
        command.arg(format!("--header={header}"));
    }
    command.arg(format!("--post-data={}", call.body()));
    command.arg(call.url());
    Ok(command)
}

fn gnutls_cli(call: &Call) -> Result<Command> {
    let mut command = Command::new("gnutls-cli");
    command.arg(format!("--x509cafile={}", call.authority.display()));
    command.arg(format!("--port={}", call.port));
    command.arg("127.0.0.1");
    Ok(command)
}
