//! Calls that are each made by a process of its own: they must be heard from its first request.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use super::{Runtime, Target};
use crate::{
    certificates::Certificates,
    daemon::Daemon,
    oneshot,
    process::{Running, free_port, wait_for},
    programs::{Sdk, Transport},
    session::listening,
};

/// The program that makes one call and ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Program {
    /// The distribution's curl.
    Curl,
    /// One of those of `load`.
    Load(Runtime),
}

pub(crate) const PROGRAMS: [Program; 4] = [
    Program::Curl,
    Program::Load(Runtime::Python),
    Program::Load(Runtime::Node),
    Program::Load(Runtime::Go),
];

impl Program {
    /// Short name for test names.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Curl => "curl",
            Self::Load(runtime) => runtime.name(),
        }
    }

    fn command(self, target: &Target, id: u64) -> Result<Command> {
        match self {
            Self::Curl => oneshot::curl_call(target, id),
            Self::Load(runtime) => runtime.client(target, 1, 1, id),
        }
    }
}

/// Has a program make so many calls, one process after the other; the ids of those that were not heard at its end.
pub(crate) fn run(
    program: Program,
    calls: u64,
    daemon: &Daemon,
    certificates: &Certificates,
    folder: &Path,
    limit: Duration,
) -> Result<Vec<u64>> {
    // The program's own file may be new to the auditor: that is what is tested elsewhere.
    if let Program::Load(runtime) = program {
        super::meet(runtime, daemon, limit)?;
    }
    let port = free_port()?;
    let mut server = Sdk::Python2.server(Transport::Http, port)?;
    server.arg("--tls").arg(certificates.folder());
    let _server = listening(&mut server, &folder.join("fresh.log"), port, limit)?;
    let target = Target {
        port,
        authority: std::fs::canonicalize(certificates.authority())?,
    };
    let mut made = Vec::new();
    for id in 0..calls {
        let mut command = program.command(&target, id)?;
        let mut running = Running::start(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
        let output = running.child().stdout.take().context("no output")?;
        let told = std::io::read_to_string(output)?;
        running.wait(limit)?;
        ensure!(
            told.contains("\"result\"") || told.starts_with(&format!("{id} ")),
            "{} got no answer: {told}",
            program.name()
        );
        made.push((running.pid(), id));
    }
    let unheard = || -> Result<Vec<u64>> {
        let events = daemon.events().all()?;
        let is_heard = |(pid, id): &(u32, u64)| {
            events.iter().any(|event| {
                let call = &event.interaction;
                call.client == Some(*pid)
                    && call.id == Some(id.to_string())
                    && oneshot::unwitnessed(event).is_none()
            })
        };
        Ok(made
            .iter()
            .filter(|call| !is_heard(call))
            .map(|(_, id)| *id)
            .collect())
    };
    let _ = wait_for("events", limit / 3, || {
        Ok(unheard()?.is_empty().then_some(()))
    });
    unheard()
}
