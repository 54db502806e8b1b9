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
    load::{Runtime, Target},
    process::{Running, free_port, wait_for},
    programs::{self, Sdk, Transport, source, tool},
    scenarios,
    session::listening,
};

/// A program that makes one call, and the server that it calls.
struct Client {
    name: &'static str,
    server: Sdk,
    command: fn(&Call) -> Result<Command>,
}

/// Every pair of them; the plaintext of all is heard, at both ends.
const CLIENTS: [Client; 18] = [
    with("curl", Sdk::Python2, curl),
    with("pycurl", Sdk::Python2, pycurl),
    with("wget", Sdk::Python2, wget),
    with("gnutls_cli", Sdk::Python2, gnutls_cli),
    with("python", Sdk::Python2, python_client),
    with("node", Sdk::TypeScript2, node_client),
    with("curl_http2", Sdk::McpGo, curl_http2),
    with("go_http2", Sdk::McpGo, go_client),
    with("gnutls_cli_tls12", Sdk::Python2, gnutls_cli_tls12),
    with("python_tls12", Sdk::Python2, python_tls12),
    with("node_tls12", Sdk::Python2, node_tls12),
    with("go_tls12", Sdk::Python2, go_tls12),
    with("curl_tls12", Sdk::TypeScript2, curl_tls12),
    with("curl_tls12", Sdk::McpGo, curl_tls12),
    with("curl_tls12", Sdk::Rust, curl_tls12),
    with("curl_tls12", Sdk::RustRing, curl_tls12),
    with("curl_tls12", Sdk::Bun2, curl_tls12),
    with("curl_tls12", Sdk::Deno2, curl_tls12),
];

const fn with(name: &'static str, server: Sdk, command: fn(&Call) -> Result<Command>) -> Client {
    Client {
        name,
        server,
        command,
    }
}

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

    fn target(&self) -> Target {
        Target {
            port: self.port,
            authority: self.authority.clone(),
        }
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

/// The request of one call as it stands on the wire.
pub(crate) fn request(port: u16, id: u64) -> String {
    let call = Call {
        port,
        authority: PathBuf::new(),
        id,
    };
    call.text()
}

/// The call as it must be told.
pub(crate) fn call_of(id: u64, client: u32, server: u32) -> Interaction {
    Interaction {
        kind: "request".to_owned(),
        direction: "client_to_server".to_owned(),
        method: Some("tools/call".to_owned()),
        id: Some(id.to_string()),
        target: Some("echo".to_owned()),
        status: Status::Success,
        transport: "http".to_owned(),
        client: Some(client),
        server: Some(server),
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
        let name = client.test_name();
        let needs = |word: &String| ["tools", "python"].contains(&word.as_str());
        let needs = |word: &String| needs(word) || scenarios::needs(&name, word);
        let only = arguments.only.as_ref();
        only.is_none_or(|only| name.contains(only.as_str())) && !arguments.without.iter().any(needs)
    };
    let clients: Vec<_> = CLIENTS.iter().filter(is_wanted).collect();
    let mut servers: Vec<(Sdk, u16, Running)> = Vec::new();
    let mut results = Vec::new();
    let authority = std::fs::canonicalize(certificates.authority())?;
    let mut id = 0;
    for client in clients {
        if !servers.iter().any(|(sdk, ..)| *sdk == client.server) {
            let port = free_port()?;
            let mut server = client.server.server(Transport::Http, port)?;
            if !client.server.is_shared_library() {
                daemon.meet(client.server.server(Transport::Stdio, 0)?, limit)?;
            }
            server.arg("--tls").arg(certificates.folder());
            let log = arguments.folder.join("oneshot.log");
            servers.push((
                client.server,
                port,
                listening(&mut server, &log, port, limit)?,
            ));
        }
        let Some((_, port, server)) = servers.iter().find(|(sdk, ..)| *sdk == client.server) else {
            continue;
        };
        if client.name.starts_with("go") {
            daemon.meet(programs::go("load")?, limit)?;
        }
        let mut wrong = Vec::new();
        for _ in 0..CALLS {
            id += 1;
            let call = Call {
                port: *port,
                authority: authority.clone(),
                id,
            };
            let heard = heard(client, &call, server.pid(), daemon, limit);
            wrong.extend(heard.unwrap_or_else(|error| vec![format!("{error:#}")]));
        }
        let wrong = (!wrong.is_empty()).then(|| wrong.join("\n    "));
        results.push((client.test_name(), wrong));
    }
    Ok(results)
}

impl Client {
    fn test_name(&self) -> String {
        format!("oneshot_{}_to_{}_over_https", self.name, self.server.name())
    }
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
    let expected = [call_of(call.id, pid, server)];
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
    lines.extend(events.iter().filter_map(unwitnessed));
    Ok(lines)
}

/// What is wrong when the client's own end was not heard.
pub(crate) fn unwitnessed(event: &Event) -> Option<String> {
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
    if client.name.starts_with("gnutls_cli") {
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
    // The programs of `load` look at the answer themselves.
    let is_told = text.starts_with(&format!("{} ", call.id));
    ensure!(
        is_told || text.contains("\"result\"") && text.contains("hello"),
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

/// The command that makes one call by curl.
pub(crate) fn curl_call(target: &Target, id: u64) -> Result<Command> {
    curl(&Call {
        port: target.port,
        authority: target.authority.clone(),
        id,
    })
}

fn curl_http2(call: &Call) -> Result<Command> {
    let mut command = curl(call)?;
    command.arg("--http2");
    Ok(command)
}

fn curl_tls12(call: &Call) -> Result<Command> {
    let mut command = curl(call)?;
    command.args(["--tls-max", "1.2"]);
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

fn gnutls_cli_tls12(call: &Call) -> Result<Command> {
    let mut command = gnutls_cli(call)?;
    command.arg("--priority=NORMAL:-VERS-TLS1.3");
    Ok(command)
}

fn python_client(call: &Call) -> Result<Command> {
    Runtime::Python.client(&call.target(), 1, 1, call.id)
}

/// OpenSSL is told by its configuration.
fn python_tls12(call: &Call) -> Result<Command> {
    let configuration = call.authority.with_file_name("tls12.cnf");
    std::fs::write(&configuration, TLS12)?;
    let mut command = python_client(call)?;
    command.env("OPENSSL_CONF", configuration);
    Ok(command)
}

const TLS12: &str = "openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = limits
[limits]
MaxProtocol = TLSv1.2
";

fn node_client(call: &Call) -> Result<Command> {
    Runtime::Node.client(&call.target(), 1, 1, call.id)
}

fn node_tls12(call: &Call) -> Result<Command> {
    let mut command = node_client(call)?;
    command.env("NODE_OPTIONS", "--tls-max-v1.2");
    Ok(command)
}

fn go_client(call: &Call) -> Result<Command> {
    Runtime::Go.client(&call.target(), 1, 1, call.id)
}

fn go_tls12(call: &Call) -> Result<Command> {
    let mut command = go_client(call)?;
    command.arg("tls12");
    Ok(command)
}
