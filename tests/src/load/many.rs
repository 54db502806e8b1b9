//! Many connections at once through one process at each end: none may be given to another, nearly all must be bound.

use std::{
    collections::HashMap,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use super::{Runtime, Target};
use crate::{
    certificates::Certificates,
    daemon::Daemon,
    event::Event,
    process::{Running, free_port, wait_for},
    session::listening,
};

/// Which client meets which server.
pub(crate) const PAIRS: [(Runtime, Runtime); 3] = [
    (Runtime::Python, Runtime::Node),
    (Runtime::Node, Runtime::Go),
    (Runtime::Go, Runtime::Python),
];
/// Calls of each connection.
pub(crate) const CALLS: usize = 3;

/// What became of the calls.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Figures {
    /// Calls that were answered.
    pub(crate) made: usize,
    /// Calls heard once, at both ends, on the connection that they were made on.
    pub(crate) bound: usize,
    /// Calls that were given to another process or to another connection.
    pub(crate) wrong: usize,
    /// Calls heard somehow.
    pub(crate) heard: usize,
}

impl Figures {
    /// Whether they are as they must be.
    pub(crate) fn judge(self) -> Result<()> {
        ensure!(
            self.made > 0 && self.wrong == 0 && self.bound * 100 >= self.made * 99,
            "{self:?}"
        );
        Ok(())
    }
}

/// Opens so many connections, makes some calls on each, and compares the events with what the client told.
pub(crate) fn run(
    (client, server): (Runtime, Runtime),
    connections: usize,
    daemon: &Daemon,
    certificates: &Certificates,
    folder: &Path,
    limit: Duration,
) -> Result<Figures> {
    for runtime in [client, server] {
        super::meet(runtime, daemon, limit)?;
    }
    let port = free_port()?;
    let log = folder.join("many-server.log");
    let server = listening(&mut server.server(port, certificates)?, &log, port, limit)?;
    let target = Target {
        port,
        authority: std::fs::canonicalize(certificates.authority())?,
    };
    let first = u64::from(port) * 10_000;
    let told = told(client.client(&target, connections, CALLS, first)?, limit)?;
    let answered = told.ports.len();
    let made = connections * CALLS;
    ensure!(answered == made, "{answered} of {made} calls were answered");
    compared(&told, server.pid(), daemon, limit)
}

/// What a client told.
#[derive(Debug)]
pub(crate) struct Told {
    /// The client's process.
    pub(crate) client: u32,
    /// The port of the connection by the id of each call that was answered.
    pub(crate) ports: HashMap<u64, u16>,
}

/// Runs a client to its end.
pub(crate) fn told(mut client: Command, limit: Duration) -> Result<Told> {
    let mut running = Running::start(client.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let output = running.child().stdout.take().context("no output")?;
    let told = std::io::read_to_string(output)?;
    running.wait(limit)?;
    Ok(Told {
        client: running.pid(),
        ports: told.lines().filter_map(id_and_port).collect(),
    })
}

/// Compares what a client told with the events.
pub(crate) fn compared(
    told: &Told,
    server: u32,
    daemon: &Daemon,
    limit: Duration,
) -> Result<Figures> {
    let client = told.client;
    let figures = || -> Result<Figures> {
        Ok(judged(
            &told.ports,
            client,
            server,
            &daemon.events().of(&[client, server])?,
        ))
    };
    let _ = wait_for("events", limit / 3, || {
        let figures = figures()?;
        Ok((figures.bound == figures.made).then_some(()))
    });
    figures()
}

/// A line of the client: an id and the connection's own port.
fn id_and_port(line: &str) -> Option<(u64, u16)> {
    let (id, port) = line.split_once(' ')?;
    Some((id.parse().ok()?, port.parse().ok()?))
}

fn judged(ports: &HashMap<u64, u16>, client: u32, server: u32, events: &[Event]) -> Figures {
    let mut by_id: HashMap<u64, Vec<&Event>> = HashMap::new();
    for event in events.iter().filter(|event| event.stage == "final") {
        let id = event.interaction.id.as_ref().and_then(|id| id.parse().ok());
        if let Some(id) = id.filter(|id| ports.contains_key(id)) {
            by_id.entry(id).or_default().push(event);
        }
    }
    let mut figures = Figures {
        made: ports.len(),
        ..Figures::default()
    };
    for (id, events) in by_id {
        let right = ports.get(&id).map(|port| u64::from(*port));
        let port = |event: &Event| {
            let port = event.json.pointer("/src_endpoint/port");
            port.and_then(serde_json::Value::as_u64)
        };
        let is_wrong = |event: &&Event| {
            let ends = (event.interaction.client, event.interaction.server);
            ends.0.is_some_and(|pid| pid != client)
                || ends.1.is_some_and(|pid| pid != server)
                || port(event).is_some() && port(event) != right
        };
        figures.heard += 1;
        figures.wrong += usize::from(events.iter().any(is_wrong));
        figures.bound += usize::from(matches!(events.as_slice(), [event]
            if event.interaction.client == Some(client)
                && event.interaction.server == Some(server)
                && port(event) == right));
    }
    figures
}
