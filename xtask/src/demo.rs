//! `cargo xtask run --demo`: a session between a real MCP client and server under the auditor.
//!
//! Client and server run on the official Python SDK, unchanged, over stdio and then over
//! streamable HTTP. The auditor is told nothing of them.

use std::{
    io::{BufRead, BufReader},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    command::{as_root, output},
    programs,
    run::{data_folder, path_text},
    workspace,
};

const SCENARIO: &str = r#"[
    {"do": "list_tools"},
    {"do": "call_tool", "name": "add", "arguments": {"a": 20, "b": 22}},
    {"do": "call_tool", "name": "fail"},
    {"do": "list_resources"},
    {"do": "read_resource", "uri": "note://one"},
    {"do": "get_prompt", "name": "greet", "arguments": {"name": "you"}}
]"#;
const DEADLINE: Duration = Duration::from_secs(60);

/// Starts the auditor, plays two sessions, and ends the auditor.
pub(crate) fn play(auditor: &Path, arguments: &[String]) -> Result<()> {
    let python = programs::python("sdk-2")?;
    println!("\nStarting the auditor. Nothing is configured: it watches the whole host.\n");
    let mut started = start(auditor, arguments)?;
    let played = sessions(&python);
    let stopped = stop(&mut started);
    played.and(stopped)
}

fn sessions(python: &Path) -> Result<()> {
    println!("\nA client starts a server and talks to it over stdio:\n");
    let mut stdio = client(python)?;
    stdio
        .args(["--mode", "legacy", "--"])
        .arg(python)
        .arg(program("server.py"));
    output(&mut stdio)?;

    println!("\nA client talks to a server over streamable HTTP:\n");
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut server = Command::new(python);
    server
        .arg(program("server.py"))
        .args(["--http", &port.to_string()]);
    let mut server = server
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start the server")?;
    let played = wait_for(|| TcpStream::connect(("127.0.0.1", port)).is_ok()).and_then(|()| {
        let url = format!("http://127.0.0.1:{port}/mcp");
        output(client(python)?.args(["--mode", "auto", "--http", &url])).map(drop)
    });
    server.kill()?;
    server.wait()?;
    played
}

/// Starts the auditor and waits until it is ready.
fn start(auditor: &Path, arguments: &[String]) -> Result<Child> {
    let fixed = ["run", "--events", "-", "--format", "pretty", "--data-dir"];
    // What it says of each library would stand between the events. Sudo drops the environment.
    let mut auditor = as_root("env", ["RUST_LOG=warn", path_text(auditor)?]);
    auditor
        .args(fixed)
        .arg(data_folder())
        .args(arguments)
        .stderr(Stdio::piped());
    let mut started = auditor.spawn().context("cannot start the auditor")?;
    let mut errors = BufReader::new(started.stderr.take().context("no standard error")?);
    loop {
        let mut line = String::new();
        if errors.read_line(&mut line)? == 0 {
            bail!(
                "the auditor ended before it was ready ({})",
                started.wait()?
            );
        }
        eprint!("{line}");
        if line.trim() == "ready" {
            break;
        }
    }
    thread::spawn(move || {
        for line in errors.lines().map_while(Result::ok) {
            eprintln!("{line}");
        }
    });
    Ok(started)
}

/// Asks the auditor to end, which drains what it holds, and waits for it.
fn stop(auditor: &mut Child) -> Result<()> {
    // Sudo hands the signal on to the auditor.
    output(&mut as_root("kill", ["-TERM", &auditor.id().to_string()]))?;
    let status = auditor.wait()?;
    if !status.success() {
        bail!("the auditor ended with {status}");
    }
    Ok(())
}

fn client(python: &Path) -> Result<Command> {
    let scenario = workspace::target().join("demo.json");
    std::fs::write(&scenario, SCENARIO)?;
    let mut client = Command::new(python);
    client
        .arg(program("client.py"))
        .arg("--scenario")
        .arg(scenario);
    client.args(["--truth", "/dev/null"]);
    Ok(client)
}

fn program(name: &str) -> PathBuf {
    workspace::root().join("tests/programs/python").join(name)
}

fn wait_for(mut condition: impl FnMut() -> bool) -> Result<()> {
    let started = Instant::now();
    while !condition() {
        if started.elapsed() > DEADLINE {
            bail!("the server did not come up within {DEADLINE:?}");
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
