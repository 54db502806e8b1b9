//! Reads the events that the daemon writes, while it writes them.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use crate::interaction::{Interaction, Status, target_parameter};

/// One event, as far as the tests look at it.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// The interaction it reports.
    pub(crate) interaction: Interaction,
    /// `open` or `final`.
    pub(crate) stage: String,
    /// `metadata.uid`.
    pub(crate) uid: String,
    /// Executable of the client, if known.
    pub(crate) client_exe: Option<String>,
    /// Executable of the server, if known.
    pub(crate) server_exe: Option<String>,
    /// Whether it came over TLS.
    pub(crate) is_encrypted: Option<bool>,
    /// The whole event.
    pub(crate) json: Value,
}

#[derive(Deserialize)]
struct Mcp {
    kind: String,
    stage: String,
    direction: Option<String>,
    method: Option<String>,
    id: Option<String>,
    target: Option<String>,
    transport: Option<String>,
    encrypted: Option<bool>,
    client: Option<Process>,
    server: Option<Process>,
}

#[derive(Deserialize)]
struct Process {
    pid: Option<u32>,
    exe: Option<String>,
}

impl Event {
    fn parse(line: &str) -> Result<Self> {
        let json: Value = serde_json::from_str(line)?;
        let mcp = json.pointer("/unmapped/mcp").context("no unmapped.mcp")?;
        let mcp = Mcp::deserialize(mcp)?;
        let uid = json.pointer("/metadata/uid").and_then(Value::as_str);
        let status = match json.get("status_id").and_then(Value::as_u64) {
            Some(1) => Status::Success,
            Some(2) => Status::Failure,
            _ => Status::None,
        };
        let pid = |process: &Option<Process>| process.as_ref().and_then(|process| process.pid);
        let (client, server) = (pid(&mcp.client), pid(&mcp.server));
        let exe = |process: Option<Process>| process.and_then(|process| process.exe);
        Ok(Self {
            interaction: Interaction {
                target: mcp
                    .target
                    .filter(|_| target_parameter(mcp.method.as_deref()).is_some()),
                kind: mcp.kind,
                direction: mcp.direction.unwrap_or_default(),
                method: mcp.method,
                id: mcp.id,
                status,
                transport: mcp.transport.unwrap_or_default(),
                client,
                server,
            },
            stage: mcp.stage,
            uid: uid.context("no metadata.uid")?.to_owned(),
            client_exe: exe(mcp.client),
            server_exe: exe(mcp.server),
            is_encrypted: mcp.encrypted,
            json,
        })
    }

    /// What is the same at all hops of a call.
    pub(crate) fn call(&self) -> &str {
        let call = self.json.pointer("/unmapped/mcp/hop/call");
        call.and_then(Value::as_str).unwrap_or(&self.uid)
    }

    /// Whether one of these processes is an end of it.
    pub(crate) fn concerns(&self, pids: &[u32]) -> bool {
        let ends = [self.interaction.client, self.interaction.server];
        ends.iter().flatten().any(|pid| pids.contains(pid))
    }
}

/// A file of events that grows.
pub(crate) struct EventFile {
    path: PathBuf,
    read: Mutex<Reading>,
}

#[derive(Default)]
struct Reading {
    offset: u64,
    partial: Vec<u8>,
    events: Vec<Event>,
}

impl EventFile {
    /// Reads from the beginning of a file, which need not be there yet.
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            read: Mutex::default(),
        }
    }

    /// The events so far that concern one of these processes.
    pub(crate) fn of(&self, pids: &[u32]) -> Result<Vec<Event>> {
        self.those(|event| event.concerns(pids))
    }

    /// The events so far.
    pub(crate) fn all(&self) -> Result<Vec<Event>> {
        self.those(|_| true)
    }

    fn those(&self, is_wanted: impl Fn(&Event) -> bool) -> Result<Vec<Event>> {
        let mut reading = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        reading.advance(&self.path)?;
        let events = reading.events.iter();
        Ok(events.filter(|event| is_wanted(event)).cloned().collect())
    }
}

impl Reading {
    fn advance(&mut self, path: &Path) -> Result<()> {
        let Ok(mut file) = File::open(path) else {
            return Ok(());
        };
        file.seek(SeekFrom::Start(self.offset))?;
        let read = file.read_to_end(&mut self.partial)?;
        self.offset += read as u64;
        let Some(end) = self.partial.iter().rposition(|byte| *byte == b'\n') else {
            return Ok(());
        };
        let rest = self.partial.split_off(end + 1);
        let whole = std::mem::replace(&mut self.partial, rest);
        for line in String::from_utf8(whole)
            .context("events are not UTF-8")?
            .lines()
        {
            match Event::parse(line) {
                Ok(event) => self.events.push(event),
                Err(error) => bail!("not an event ({error:#}): {line}"),
            }
        }
        Ok(())
    }
}
