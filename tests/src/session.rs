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
    /// Whether the server is a gateway that hands everything on to a server of its own.
    pub(crate) gateway: bool,
}

/// A session that was played.
pub(crate) struct Played {
    /// What the client saw.
    pub(crate) expected: Vec<Interaction>,
    /// The processes of the session.
    pub(crate) pids: Vec<u32>,
    /// Executables of those that could be looked at.
    pub(crate) executables: HashMap<u32, String>,
    /// The gateway's process.
    pub(crate) gateway: Option<u32>,
}

impl Session {
    /// Plays it, with its files in `folder`; no wait is longer than `limit`.
    pub(crate) fn play(&self, folder: &Path, limit: Duration) -> Result<Played> {
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
        let server = self.start_server(folder, &mut client, limit)?;
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
            .filter(|_| server.is_none() && pids.len() > 1);
        if let Some(server) = &server {
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

        let server = server.as_ref().map(Running::pid);
        let transport = self.transport.name();
        let ends = Ends {
            client: client.pid(),
            server: server.or(own),
            transport,
        };
        let expected = truth::interactions(&log, &ends)?;
        pids.extend(expected.iter().filter_map(|interaction| interaction.server));
        pids.sort_unstable();
        pids.dedup();
        Ok(Played {
            expected,
            pids,
            executables,
            gateway: server.filter(|_| self.gateway),
        })
    }

    /// Starts the server, or has the client start it, and tells the client where it is.
    fn start_server(
        &self,
        folder: &Path,
        client: &mut Command,
        limit: Duration,
    ) -> Result<Option<Running>> {
        if self.transport == Transport::Stdio {
            let server = (self.server)(0)?;
            client
                .arg("--")
                .arg(server.get_program())
                .args(server.get_args());
            return Ok(None);
        }
        let port = free_port()?;
        let output = File::create(folder.join("server.log"))?;
        let mut server = (self.server)(port)?;
        server
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let mut server = Running::start(&mut server)?;
        wait_for("the server's port", limit, || {
            if server.ended()?.is_some() {
                bail!(
                    "the server ended: {}",
                    fs::read_to_string(folder.join("server.log"))?
                );
            }
            Ok(listens(port).then_some(()))
        })?;
        client.arg(format!("--{}", self.transport.name()));
        client.arg(format!("http://127.0.0.1:{port}{}", self.path));
        Ok(Some(server))
    }
}
