//! Calls through a proxy that speaks TLS on both sides: heard once at each hop, and the hops of each call are linked.

use std::{collections::HashMap, fs, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};

use super::{Runtime, Target, many};
use crate::{
    Arguments,
    certificates::Certificates,
    daemon::Daemon,
    event::Event,
    front::Front,
    process::{free_port, wait_for},
    programs::tool,
    session::listening,
};

/// The proxies.
pub(crate) const FRONTS: [Front; 2] = [Front::Nginx, Front::Caddy];
const CONNECTIONS: usize = 4;

/// What became of the calls.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) made: usize,
    /// Calls told by two events that are linked: from the client to the proxy, and from there to the server.
    pub(crate) linked: usize,
    /// Calls told by any other number of events, or by such that are not linked.
    pub(crate) loose: usize,
}

impl Figures {
    /// Whether they are as they must be.
    pub(crate) fn judge(self) -> Result<()> {
        ensure!(
            self.made > 0 && self.linked == self.made && self.loose == 0,
            "{self:?}"
        );
        Ok(())
    }
}

/// Makes so many calls, and compares the events with what the client told.
pub(crate) fn run(
    front: Front,
    calls: usize,
    daemon: &Daemon,
    arguments: &Arguments,
    certificates: &Certificates,
    limit: Duration,
) -> Result<Figures> {
    if front == Front::Caddy {
        // It brings its own TLS.
        let mut caddy = Command::new(tool("caddy")?);
        caddy.arg("version");
        daemon.meet(caddy, limit)?;
    }
    let (port, back) = (free_port()?, free_port()?);
    let folder = &arguments.folder;
    let log = |name: &str| folder.join(format!("hops-{name}.log"));
    let server = &mut Runtime::Python.server(back, certificates)?;
    let server = listening(server, &log("server"), back, limit)?;
    let proxy = &mut front.command(folder, certificates, port, (back, true))?;
    let proxy = listening(proxy, &log("proxy"), port, limit)?;
    let speaker = front
        .speaker(proxy.pid())
        .context("the proxy has no worker")?;
    let target = Target {
        port,
        authority: fs::canonicalize(certificates.authority())?,
    };
    let first = u64::from(port) * 10_000;
    let client = Runtime::Python.client(&target, CONNECTIONS, calls / CONNECTIONS, first)?;
    let told = many::told(client, limit)?;
    ensure!(
        told.ports.len() == calls,
        "{} of {calls} calls were answered",
        told.ports.len()
    );
    let figures = || -> Result<Figures> {
        let mut by_id: HashMap<u64, Vec<Event>> = HashMap::new();
        for event in daemon.events().of(&[told.client, speaker, server.pid()])? {
            let id = event.interaction.id.as_ref().and_then(|id| id.parse().ok());
            if let Some(id) = id.filter(|id| told.ports.contains_key(id) && event.stage == "final")
            {
                by_id.entry(id).or_default().push(event);
            }
        }
        let ends = |event: &Event| (event.interaction.client, event.interaction.server);
        let near = (Some(told.client), Some(speaker));
        let far = (Some(speaker), Some(server.pid()));
        let is_linked = |events: &&Vec<Event>| {
            let [one, other] = events.as_slice() else {
                return false;
            };
            let both = [ends(one), ends(other)];
            one.call() == other.call() && (both == [near, far] || both == [far, near])
        };
        let linked = by_id.values().filter(is_linked).count();
        Ok(Figures {
            made: calls,
            linked,
            loose: by_id.len() - linked,
        })
    };
    let _ = wait_for("events", limit / 3, || {
        Ok((figures()?.linked == calls).then_some(()))
    });
    figures()
}
