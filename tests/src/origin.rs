//! Where calls come from: the workflow that a chain of calls began in, and the connection as two nodes name it.
//!
//! The workflow is what a shell's environment says, as a runner sets it; the connection's name is compared with what the
//! reference implementation gives.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{
    Arguments,
    daemon::Daemon,
    event::Event,
    process::{Running, descendants, free_port, wait_for},
    programs::{Sdk, python, source, tool},
    session::listening,
    speaker,
};

/// Calls of the agent.
const CALLS: usize = 3;
const JOB: &str = "origin-test";
const SECRET: &str = "ghs_not-to-be-kept";
/// Addresses of the two ends, which only the namespaces made here have.
const PAIRS: [(&str, &str); 2] = [("10.77.31.1", "10.77.31.2"), ("fd77:31::1", "fd77:31::2")];

type Test = (
    &'static str,
    fn(&Daemon, &Arguments, Duration) -> Result<()>,
);

const TESTS: [Test; 3] = [
    ("origin_workflow_of_a_chain_python1", chain),
    ("origin_workflow_of_who_is_gone", gone),
    ("origin_connection_between_two_nodes_python1", connection),
];

/// Plays them; for each its name, and what is wrong if anything is.
pub(crate) fn check(
    daemon: &Daemon,
    arguments: &Arguments,
    limit: Duration,
) -> Vec<(String, Option<String>)> {
    let only = arguments.only.as_ref();
    let without = |word: &str| arguments.without.iter().any(|left_out| left_out == word);
    let is_wanted = |(name, _): &&Test| {
        only.is_none_or(|only| name.contains(only.as_str()))
            && (!name.contains("python") || !without("python"))
            && (!name.contains("nodes") || !without("tools"))
    };
    let played = TESTS.iter().filter(is_wanted).map(|(name, test)| {
        let result = test(daemon, arguments, limit);
        (
            (*name).to_owned(),
            result.err().map(|error| format!("{error:#}")),
        )
    });
    played.collect()
}

/// A shell with the variables that GitHub Actions sets, which starts a program, waits for it, and stays until its input
/// ends.
fn step(run: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "\"$@\"; read -r end", "sh"]);
    for (name, value) in [
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_REPOSITORY", "octo/shop"),
        ("GITHUB_WORKFLOW", "CI"),
        ("GITHUB_JOB", JOB),
        ("GITHUB_RUN_ID", run),
        ("GITHUB_TOKEN", SECRET),
    ] {
        shell.env(name, value);
    }
    shell
}

fn told<'a>(event: &'a Event, at: &str) -> Option<&'a Value> {
    event.json.pointer(&format!("/unmapped/mcp/{at}"))
}

fn text<'a>(event: &'a Event, at: &str) -> &'a str {
    told(event, at).and_then(Value::as_str).unwrap_or_default()
}

/// The workflow of an agent is that of what a server asks its child for it.
fn chain(daemon: &Daemon, arguments: &Arguments, limit: Duration) -> Result<()> {
    let port = free_port()?;
    let mut relay = script("relay.py")?;
    relay.args(["--http", &port.to_string()]);
    let log = arguments.folder.join("origin-relay.log");
    let relay = listening(&mut relay, &log, port, limit)?;
    let child = descendants(relay.pid());
    let run = format!("{}0001", std::process::id());
    let mut step = step(&run);
    let agent = script("agent.py")?;
    step.arg(agent.get_program()).args(agent.get_args());
    step.arg(format!("http://127.0.0.1:{port}/mcp/"));
    step.args(["text", "origin", &CALLS.to_string()]);
    let mut step = Running::start(step.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let shell = step.pid();
    let output = step.child().stdout.take().context("no output")?;
    let answered = std::io::read_to_string(output)?;
    ensure!(answered.trim() == CALLS.to_string(), "answered: {answered}");
    let is_inner = |event: &Event| {
        event.interaction.client == Some(relay.pid())
            && event
                .interaction
                .server
                .is_some_and(|pid| child.contains(&pid))
            && event.interaction.method.as_deref() == Some("tools/call")
    };
    let is_outer = |event: &Event| {
        event.interaction.server == Some(relay.pid())
            && event.interaction.method.as_deref() == Some("tools/call")
    };
    let events = wait_for("the events of the calls", limit, || {
        let events = daemon.events().of(&[relay.pid()])?;
        let finals: Vec<_> = events
            .into_iter()
            .filter(|event| event.stage == "final")
            .collect();
        let count = |is: &dyn Fn(&Event) -> bool| finals.iter().filter(|one| is(one)).count();
        let is_whole = count(&is_inner) == CALLS && count(&is_outer) == CALLS;
        Ok(is_whole.then_some(finals))
    })?;
    for event in &events {
        let json = event.json.to_string();
        ensure!(!json.contains(SECRET), "a secret was kept: {json}");
        let (is_outer, is_inner) = (is_outer(event), is_inner(event));
        if is_outer {
            let bearer = told(event, "client/workflow/source/pid");
            ensure!(
                text(event, "client/workflow/run") == run && bearer == Some(&shell.into()),
                "the agent's: {json}"
            );
        }
        if is_outer || is_inner {
            ensure!(
                text(event, "chain/workflow/run") == run
                    && text(event, "chain/workflow/system") == "github"
                    && text(event, "chain/workflow/job") == JOB
                    && text(event, "chain/workflow/certainty") == "claimed"
                    && text(event, "chain/workflow/basis") == "process_lineage",
                "of the chain: {json}"
            );
        }
        if is_inner {
            let own = text(event, "client/workflow/run");
            ensure!(own != run, "the server works for nobody: {json}");
        }
    }
    Ok(())
}

/// A process that ended before anybody could look works for what its parent works for.
fn gone(daemon: &Daemon, _arguments: &Arguments, limit: Duration) -> Result<()> {
    let run = format!("{}0002", std::process::id());
    let mut step = step(&run);
    // Without any variables, so that only its lineage can tell.
    step.args(["env", "-i"]).arg(std::env::current_exe()?);
    step.args(["speak", speaker::HELLO, "\n"]);
    let mut step = Running::start(step.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
    let shell = step.pid();
    // It speaks to this process, and the shell stays until its input ends.
    let output = step.child().stdout.take().context("no output")?;
    std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut String::new())?;
    let event = wait_for("the event", limit, || {
        let events = daemon.events().all()?.into_iter();
        let mut found = events.filter(|event| {
            let parent = told(event, "client/lineage/0/pid");
            event.stage == "final" && parent == Some(&shell.into())
        });
        Ok(found.next())
    })?;
    ensure!(
        text(&event, "client/workflow/run") == run
            && told(&event, "client/workflow/source/pid") == Some(&shell.into()),
        "{}",
        event.json
    );
    Ok(())
}

/// Two network namespaces that are joined; they go with this value.
struct Nodes([String; 2]);

impl Nodes {
    fn make() -> Result<Self> {
        let names = ["a", "b"].map(|end| format!("mcp-e2e-{}-{end}", std::process::id()));
        let nodes = Self(names);
        let [a, b] = &nodes.0;
        ip(&["netns", "add", a])?;
        ip(&["netns", "add", b])?;
        ip(&[
            "-n", a, "link", "add", "e2e", "type", "veth", "peer", "name", "e2e", "netns", b,
        ])?;
        for (at, name) in nodes.0.iter().enumerate() {
            ip(&["-n", name, "link", "set", "lo", "up"])?;
            for (first, second) in PAIRS {
                let address = [first, second][at];
                let length = if address.contains(':') { 64 } else { 24 };
                let address = format!("{address}/{length}");
                let mut words = vec!["-n", name, "address", "add", &address, "dev", "e2e"];
                if length == 64 {
                    words.push("nodad");
                }
                ip(&words)?;
            }
            ip(&["-n", name, "link", "set", "e2e", "up"])?;
        }
        Ok(nodes)
    }

    fn inside(&self, at: usize, program: &Command) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec"]).args(self.0.get(at));
        command.arg(program.get_program()).args(program.get_args());
        command
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for name in &self.0 {
            let _ = ip(&["netns", "delete", name]);
        }
    }
}

fn ip(words: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(words).output().context("ip")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {said}", words.join(" "));
    Ok(())
}

/// A connection between two namespaces has the name that the reference implementation gives it, from either end.
fn connection(daemon: &Daemon, arguments: &Arguments, limit: Duration) -> Result<()> {
    let nodes = Nodes::make()?;
    for (number, (server, client)) in PAIRS.into_iter().enumerate() {
        let (port, from) = (8_000 + number, 40_100 + number);
        let mut program = script("server.py")?;
        program.args(["--http", &port.to_string(), "--host", server]);
        let log = arguments.folder.join(format!("origin-server-{number}.log"));
        let output = std::fs::File::create(&log)?;
        let mut program = nodes.inside(0, &program);
        program.stdin(Stdio::null()).stdout(output.try_clone()?);
        let _server = Running::start(program.stderr(output))?;
        let host = match server.contains(':') {
            true => format!("[{server}]"),
            false => server.to_owned(),
        };
        let body = speaker::HELLO;
        let call = || -> Result<Option<u32>> {
            let mut curl = Command::new("curl");
            curl.args(["--silent", "--data", body, "--local-port"]);
            curl.args([&from.to_string(), "--header"]);
            curl.args(["Content-Type: application/json", "--header"]);
            curl.arg("Accept: application/json, text/event-stream");
            curl.arg(format!("http://{host}:{port}/mcp"));
            // Until the server listens.
            Ok(speaker::listen(nodes.inside(1, &curl).stdin(Stdio::null())).ok())
        };
        let pid = wait_for("an answer of the server", limit, call)?;
        let event = wait_for("the event", limit, || {
            let events = daemon.events().of(&[pid])?.into_iter();
            let mut finals = events.filter(|event| event.stage == "final");
            Ok(finals.next())
        })?;
        let oracle = "import sys, communityid as c\n\
            a, b, p, q = sys.argv[1:]\n\
            print(c.CommunityID().calc(c.FlowTuple.make_tcp(a, b, int(p), int(q))))";
        for (ends, ports) in [
            ([client, server], [from, port]),
            ([server, client], [port, from]),
        ] {
            let mut python = Command::new(tool("python")?);
            python.args(["-c", oracle]).args(ends);
            let output = python.args(ports.map(|port| port.to_string())).output()?;
            let due = String::from_utf8(output.stdout)?;
            ensure!(
                !due.trim().is_empty() && text(&event, "flow/community_id") == due.trim(),
                "not {due}: {}",
                event.json
            );
        }
    }
    Ok(())
}

fn script(name: &str) -> Result<Command> {
    let mut command = Command::new(python(Sdk::Python1)?);
    command.arg::<PathBuf>(source("python").join(name));
    Ok(command)
}
