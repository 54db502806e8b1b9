//! Plays one session between a client and a server and tells what the client saw.

use std::{
    collections::HashMap,
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Result, bail};

use crate::{
    certificates::Certificates,
    front::Front,
    interaction::Interaction,
    process::{Running, descendants, executable, free_port, listens, wait_for},
    programs::{Sdk, Transport},
    truth::{self, Ends},
};

/// A client, a server, what lies between them, and what they play.
pub(crate) struct Session {
    /// The test's name.
    pub(crate) name: String,
    /// The client's SDK.
    pub(crate) client: Sdk,
    /// How the client negotiates: `legacy`, `auto` or a revision.
    pub(crate) mode: &'static str,
    /// What carries the session.
    pub(crate) transport: Transport,
    /// Gives the command of the server, told its port.
    pub(crate) server: Box<dyn Fn(u16) -> Result<Command> + Send + Sync>,
    /// Path of the server's URL.
    pub(crate) path: &'static str,
    /// What is played, as JSON.
    pub(crate) scenario: String,
    /// Over TLS: at which ends the plaintext is heard.
    pub(crate) tls: Option<Heard>,
    /// What lies between the client and the server.
    pub(crate) between: Between,
}

/// Ends of a TLS connection at which the auditor hears the plaintext.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    /// The end that connects.
    pub(crate) client: bool,
    /// The end that accepts.
    pub(crate) server: bool,
}

/// What lies between the client and the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Between {
    /// Nothing.
    Nothing,
    /// The server is a gateway that has sessions of its own with a server of its own.
    Gateway,
    /// A reverse proxy ends TLS and hands every message on as it is.
    Front(Front),
}

/// A session that was played.
pub(crate) struct Played {
    /// What the client saw.
    pub(crate) expected: Vec<Interaction>,
    /// The processes of the session.
    pub(crate) pids: Vec<u32>,
    /// Executables of those that could be looked at.
    pub(crate) executables: HashMap<u32, String>,
    /// The process between client and server.
    pub(crate) between: Option<u32>,
    /// What goes on from there, where that is known message for message.
    pub(crate) passed_on: Option<Vec<Interaction>>,
    /// Whether the client's leg is encrypted.
    pub(crate) tls: bool,
}

/// The processes that were started for a client to talk to.
struct Servers {
    /// The one the client talks to.
    near: u32,
    /// The one behind a reverse proxy.
    far: Option<u32>,
    running: Vec<Running>,
}

impl Session {
    /// Plays it, with its files in `folder`; no wait is longer than `limit`.
    pub(crate) fn play(
        &self,
        folder: &Path,
        certificates: &Certificates,
        limit: Duration,
    ) -> Result<Played> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        let (log, errors) = (folder.join("truth.jsonl"), folder.join("client.log"));
        let mut client = self.client.client()?;
        let scenario = folder.join("scenario.json");
        fs::write(&scenario, &self.scenario)?;
        client
            .arg("--truth")
            .arg(&log)
            .arg("--scenario")
            .arg(scenario)
            .args(["--mode", self.mode]);
        let certificates = self.tls.map(|_| certificates);
        if let Some(certificates) = certificates {
            certificates.trusted_by(&mut client);
            if self.client == Sdk::Java {
                certificates.trusted_by_java(&mut client, &folder.join("trust.p12"))?;
            }
        }
        let servers = self.start_servers(folder, certificates, &mut client, limit)?;
        client
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::create(&errors)?);
        let mut client = Running::start(&mut client)?;

        let done = wait_for("the client's scenario", limit, || {
            if client.ended()?.is_some() {
                bail!("the client ended early");
            }
            Ok(truth::is_done(&log).then_some(()))
        });
        if let Err(error) = done {
            bail!("{error:#}\n{}", fs::read_to_string(&errors)?);
        }
        let mut pids = vec![client.pid()];
        pids.extend(descendants(client.pid()));
        let own = pids
            .last()
            .copied()
            .filter(|_| servers.is_none() && pids.len() > 1);
        for server in servers.iter().flat_map(|servers| &servers.running) {
            pids.push(server.pid());
            pids.extend(descendants(server.pid()));
        }
        let executables = pids
            .iter()
            .filter_map(|pid| Some((*pid, executable(*pid)?)))
            .collect();
        drop(client.child().stdin.take());
        let status = client.wait(limit)?;
        if !status.success() {
            bail!(
                "the client ended with {status}\n{}",
                fs::read_to_string(&errors)?
            );
        }

        let near = servers.as_ref().map(|servers| servers.near);
        let transport = self.transport.name();
        let ends = Ends {
            client: client.pid(),
            server: near.or(own),
            transport,
        };
        let expected = truth::interactions(&log, &ends)?;
        pids.extend(expected.iter().filter_map(|interaction| interaction.server));
        pids.sort_unstable();
        pids.dedup();
        let far = servers.as_ref().and_then(|servers| servers.far);
        Ok(Played {
            passed_on: far.map(|far| handed_on(&expected, far)),
            expected: self.heard(expected),
            pids,
            executables,
            between: near.filter(|_| self.between != Between::Nothing),
            tls: self.tls.is_some(),
        })
    }

    /// What the auditor must report, given what happened: an end that is not heard is not named.
    fn heard(&self, mut happened: Vec<Interaction>) -> Vec<Interaction> {
        let Some(heard) = self.tls else {
            return happened;
        };
        if !heard.client && !heard.server {
            return Vec::new();
        }
        for interaction in &mut happened {
            interaction.client = interaction.client.filter(|_| heard.client);
            interaction.server = interaction.server.filter(|_| heard.server);
        }
        happened
    }

    /// Starts the server and what stands before it, or has the client start it, and tells the
    /// client where it is.
    fn start_servers(
        &self,
        folder: &Path,
        certificates: Option<&Certificates>,
        client: &mut Command,
        limit: Duration,
    ) -> Result<Option<Servers>> {
        if self.transport == Transport::Stdio {
            let server = (self.server)(0)?;
            client
                .arg("--")
                .arg(server.get_program())
                .args(server.get_args());
            return Ok(None);
        }
        let port = free_port()?;
        let mut server = (self.server)(port)?;
        let log = folder.join("server.log");
        let (port, servers) = match (self.between, certificates) {
            (Between::Front(front), Some(certificates)) => {
                let server = listening(&mut server, &log, port, limit)?;
                let near = free_port()?;
                let mut command = front.command(folder, certificates, near, (port, false))?;
                let proxy = listening(&mut command, &folder.join("front.log"), near, limit)?;
                // It listens before it starts its worker.
                let worker = || Ok(front.speaker(proxy.pid()));
                let speaker = wait_for("the reverse proxy's worker", limit, worker)?;
                let servers = Servers {
                    near: speaker,
                    far: Some(server.pid()),
                    running: vec![proxy, server],
                };
                (near, servers)
            }
            _ => {
                if let Some(certificates) = certificates {
                    server.arg("--tls").arg(certificates.folder());
                }
                let server = listening(&mut server, &log, port, limit)?;
                let servers = Servers {
                    near: server.pid(),
                    far: None,
                    running: vec![server],
                };
                (port, servers)
            }
        };
        let scheme = match (self.transport, certificates) {
            (Transport::WebSocket, None) => "ws",
            (Transport::WebSocket, Some(_)) => "wss",
            (_, None) => "http",
            (_, Some(_)) => "https",
        };
        client.arg(self.transport.option());
        client.arg(format!("{scheme}://127.0.0.1:{port}{}", self.path));
        Ok(Some(servers))
    }
}

/// Starts a server and waits until it listens.
pub(crate) fn listening(
    command: &mut Command,
    log: &Path,
    port: u16,
    limit: Duration,
) -> Result<Running> {
    let output = File::create(log)?;
    command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    let mut server = Running::start(command)?;
    wait_for("the server's port", limit, || {
        if server.ended()?.is_some() {
            bail!("the server ended: {}", fs::read_to_string(log)?);
        }
        Ok(listens(port).then_some(()))
    })?;
    Ok(server)
}

/// What a reverse proxy hands on to the server behind it.
fn handed_on(interactions: &[Interaction], far: u32) -> Vec<Interaction> {
    let behind = |interaction: &Interaction| Interaction {
        client: interaction.server,
        server: Some(far),
        ..interaction.clone()
    };
    interactions.iter().map(behind).collect()
}
