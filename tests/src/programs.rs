//! The MCP programs that tests play with, and the commands that start them.
//!
//! Where they were installed is told by environment variables, which `cargo xtask test e2e`
//! sets. A missing program is an error, unless its language was left out by name.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

/// What carries a session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Transport {
    /// The client starts the server.
    Stdio,
    /// Streamable HTTP.
    Http,
    /// The same over HTTP/2, which only some have.
    Http2,
    /// Legacy HTTP+SSE.
    Sse,
    /// WebSocket.
    WebSocket,
}

impl Transport {
    /// As events name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stdio => "stdio",
            Self::Http | Self::Http2 => "http",
            Self::Sse => "sse",
            Self::WebSocket => "websocket",
        }
    }

    /// The option of the example programs that chooses it.
    pub(crate) fn option(self) -> String {
        match self {
            Self::Http2 => "--http2".to_owned(),
            _ => format!("--{}", self.name()),
        }
    }
}

/// An SDK, as client or as server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sdk {
    /// Python `mcp` 1.x.
    Python1,
    /// Python `mcp` 2.x.
    Python2,
    /// TypeScript `@modelcontextprotocol/sdk` 1.x.
    TypeScript1,
    /// TypeScript `@modelcontextprotocol/client` and `server` 2.x.
    TypeScript2,
    /// TypeScript 1.x, run by Bun.
    Bun1,
    /// TypeScript 2.x, run by Bun.
    Bun2,
    /// TypeScript 1.x, run by Deno.
    Deno1,
    /// TypeScript 2.x, run by Deno.
    Deno2,
    /// Go `go-sdk`.
    Go,
    /// Go `mcp-go`.
    McpGo,
    /// Rust `rmcp`, its TLS on aws-lc.
    Rust,
    /// Rust `rmcp`, its TLS on ring.
    RustRing,
    /// Java `io.modelcontextprotocol.sdk`.
    Java,
}

impl Sdk {
    /// Short name for test names.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Python1 => "python1",
            Self::Python2 => "python2",
            Self::TypeScript1 => "typescript1",
            Self::TypeScript2 => "typescript2",
            Self::Bun1 => "bun1",
            Self::Bun2 => "bun2",
            Self::Deno1 => "deno1",
            Self::Deno2 => "deno2",
            Self::Go => "go",
            Self::McpGo => "mcp_go",
            Self::Rust => "rust",
            Self::RustRing => "rust_ring",
            Self::Java => "java",
        }
    }

    /// Whether its TLS is a library that the auditor looks for when it starts.
    pub(crate) fn is_shared_library(self) -> bool {
        use Sdk::{Python1, Python2, TypeScript1, TypeScript2};
        matches!(self, Python1 | Python2 | TypeScript1 | TypeScript2)
    }

    /// The example client; the caller adds what it is to play.
    pub(crate) fn client(self) -> Result<Command> {
        let mut command = self.program("client")?;
        match self {
            Self::TypeScript1 | Self::Bun1 | Self::Deno1 => command.args(["--sdk", "1"]),
            Self::TypeScript2 | Self::Bun2 | Self::Deno2 => command.args(["--sdk", "2"]),
            _ => &mut command,
        };
        Ok(command)
    }

    /// The example server.
    pub(crate) fn server(self, transport: Transport, port: u16) -> Result<Command> {
        let mut command = self.program("server")?;
        if transport != Transport::Stdio {
            command.arg(transport.option()).arg(port.to_string());
        }
        Ok(command)
    }

    fn program(self, role: &str) -> Result<Command> {
        let mut command;
        match self {
            Self::Python1 | Self::Python2 => {
                command = Command::new(python(self)?);
                command.arg(source("python").join(format!("{role}.py")));
            }
            Self::TypeScript1 => command = node(&script(role, "1"))?,
            Self::TypeScript2 => command = node(&script(role, "2"))?,
            Self::Bun1 => command = bun(&script(role, "1"))?,
            Self::Bun2 => command = bun(&script(role, "2"))?,
            Self::Deno1 => command = deno(&script(role, "1"))?,
            Self::Deno2 => command = deno(&script(role, "2"))?,
            Self::Go => command = go(role)?,
            Self::McpGo => command = go(&format!("mcpgo-{role}"))?,
            Self::Rust => command = Command::new(installed("AUDITOR_E2E_RUST")?.join(role)),
            Self::RustRing => {
                let name = format!("{role}-ring");
                command = Command::new(installed("AUDITOR_E2E_RUST")?.join(name));
            }
            Self::Java => {
                command = Command::new("java");
                let classes = installed("AUDITOR_E2E_JAVA")?;
                let path = format!("{0}/classes:{0}/libraries/*", classes.display());
                let class = if role == "client" { "Client" } else { "Server" };
                command.args(["-XX:TieredStopAtLevel=1", "-cp", &path, class]);
            }
        }
        Ok(command)
    }
}

/// The interpreter of a Python SDK's virtual environment.
pub(crate) fn python(sdk: Sdk) -> Result<PathBuf> {
    installed(if sdk == Sdk::Python1 {
        "AUDITOR_E2E_PYTHON_1"
    } else {
        "AUDITOR_E2E_PYTHON_2"
    })
}

/// A program of a Python SDK's virtual environment.
pub(crate) fn python_program(sdk: Sdk, name: &str) -> Result<Command> {
    let interpreter = python(sdk)?;
    Ok(Command::new(
        interpreter.parent().unwrap_or(Path::new("/")).join(name),
    ))
}

/// A program among the tools that Python packages bring along.
pub(crate) fn tool(name: &str) -> Result<PathBuf> {
    let interpreter = installed("AUDITOR_E2E_TOOLS")?;
    Ok(interpreter.parent().unwrap_or(Path::new("/")).join(name))
}

/// A script run by Node, from the folder where the npm packages are.
pub(crate) fn node(script: &str) -> Result<Command> {
    let mut command = Command::new("node");
    command.arg(installed("AUDITOR_E2E_NODE")?.join(script));
    Ok(command)
}

/// A script of one of the npm packages, run by Node.
pub(crate) fn node_package(script: &str) -> Result<Command> {
    node(&format!("node_modules/{script}"))
}

/// The same run by Bun, which is one of those packages.
pub(crate) fn bun(script: &str) -> Result<Command> {
    let packages = installed("AUDITOR_E2E_NODE")?;
    let mut command = Command::new(packages.join("node_modules/@oven/bun-linux-x64/bin/bun"));
    command.arg(packages.join(script));
    Ok(command)
}

/// The same run by Deno, which is another.
pub(crate) fn deno(script: &str) -> Result<Command> {
    let packages = installed("AUDITOR_E2E_NODE")?;
    let mut command = Command::new(packages.join("node_modules/@deno/linux-x64-glibc/deno"));
    command.args(["run", "-A", "--no-lock", "--node-modules-dir=manual"]);
    command.arg(packages.join(script));
    Ok(command)
}

/// A program of Go's.
pub(crate) fn go(name: &str) -> Result<Command> {
    Ok(Command::new(installed("AUDITOR_E2E_GO")?.join(name)))
}

/// The program that evaluates decisions again.
pub(crate) fn cedar() -> Result<PathBuf> {
    Ok(installed("AUDITOR_E2E_CEDAR")?.join("cedar"))
}

/// The program that verifies logs and proofs, in Go.
pub(crate) fn ledger() -> Result<PathBuf> {
    Ok(installed("AUDITOR_E2E_LEDGER")?.join("ledger"))
}

/// The archive of the auditor's image, and helm.
pub(crate) fn image_and_helm() -> Result<(PathBuf, PathBuf)> {
    let helm = installed("AUDITOR_E2E_DEPLOY")?.join("helm");
    Ok((installed("AUDITOR_E2E_IMAGE")?, helm))
}

/// The interpreter that has receivers of events.
pub(crate) fn receivers() -> Result<PathBuf> {
    installed("AUDITOR_E2E_RECEIVERS")
}

/// What answers queries of the log.
pub(crate) fn query() -> Result<PathBuf> {
    installed("AUDITOR_E2E_QUERY")
}

/// The folder with rsyslog and syslog-ng.
pub(crate) fn syslog() -> Result<PathBuf> {
    installed("AUDITOR_E2E_SYSLOG")
}

/// The folder with the libraries of Kafka's broker.
pub(crate) fn kafka() -> Result<PathBuf> {
    installed("AUDITOR_E2E_KAFKA")
}

/// The folder with OpenSearch.
pub(crate) fn opensearch() -> Result<PathBuf> {
    installed("AUDITOR_E2E_OPENSEARCH")
}

/// The witness of logs, in Go.
pub(crate) fn witness() -> Result<PathBuf> {
    Ok(installed("AUDITOR_E2E_WITNESS")?.join("witness"))
}

/// A program of SPIRE's, or the client that fetches its tokens.
pub(crate) fn spire(name: &str) -> Result<PathBuf> {
    Ok(installed("AUDITOR_E2E_SPIRE")?.join(name))
}

/// A program of Kubernetes.
pub(crate) fn kubernetes(name: &str) -> Result<Command> {
    Ok(Command::new(
        installed("AUDITOR_E2E_KUBERNETES")?.join(name),
    ))
}

/// The script that plays a role with a version of the TypeScript SDK.
fn script(role: &str, version: &str) -> String {
    match role {
        "server" => format!("server-{version}.mjs"),
        _ => format!("{role}.mjs"),
    }
}

/// The folder of a language's test programs.
pub(crate) fn source(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("programs")
        .join(language)
}

fn installed(variable: &str) -> Result<PathBuf> {
    let path = std::env::var_os(variable).map(PathBuf::from);
    let path = path.filter(|path| path.exists());
    path.with_context(|| {
        format!("{variable} does not name an installed program; run `cargo xtask test e2e`")
    })
}
