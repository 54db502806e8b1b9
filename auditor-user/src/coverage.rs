//! Who speaks MCP on this host and how it was heard, and what was not: kept by the daemon, read by
//! `mcp-auditor coverage`.
//!
//! Bounds: [`SPEAKERS`] processes, [`SILENT`] kinds of unheard connections; beyond either the one met longest ago is
//! forgotten.

use std::{
    collections::{BTreeSet, HashMap},
    fs, io,
    path::Path,
};

use auditor_core::{
    audit::{AuditEvent, Party},
    key::{ProcessKey, Side},
    mcp::{Kind, Transport},
    stream::ChannelKind,
    tls::{Obstacle, Unheard},
};
use serde::{Deserialize, Serialize};

use crate::tls::{FileKey, Known, Stacks};

/// Processes remembered.
const SPEAKERS: usize = 4_096;
/// Kinds of TLS connections remembered that were not heard.
const SILENT: usize = 1_024;
/// The file in the data directory.
const FILE: &str = "coverage.json";

/// What the daemon heard of one process.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Speaker {
    pub(crate) pid: u32,
    /// Start of the process, nanoseconds since boot.
    pub(crate) start_time: u64,
    pub(crate) exe: Option<String>,
    pub(crate) container: Option<String>,
    /// `client`, `server`, or both.
    pub(crate) roles: BTreeSet<String>,
    /// Transports on which it was heard.
    pub(crate) transports: BTreeSet<String>,
    /// Kernel objects on which it was heard.
    pub(crate) channels: BTreeSet<String>,
    /// Interactions it took part in.
    pub(crate) interactions: u64,
    /// Gaps on its channels.
    pub(crate) gaps: u64,
    /// When it was heard last, milliseconds since the Unix epoch.
    pub(crate) last_heard: u64,
}

/// TLS connections of one program to one server that were not heard.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Silent {
    /// The process of the last of them.
    pub(crate) pid: u32,
    pub(crate) exe: Option<String>,
    pub(crate) container: Option<String>,
    /// Its role: `client` or `server`.
    pub(crate) role: String,
    /// Name of the server as the client asked for it, else its address.
    pub(crate) server: String,
    /// Why they may carry MCP.
    pub(crate) basis: BTreeSet<String>,
    /// The TLS library, where known, and the file that holds it.
    pub(crate) stack: Option<String>,
    pub(crate) file: Option<String>,
    /// Why they were not heard, and what mends it.
    pub(crate) reason: String,
    pub(crate) detail: Option<String>,
    pub(crate) mend: String,
    /// How many.
    pub(crate) connections: u64,
    /// When the last was seen, milliseconds since the Unix epoch.
    pub(crate) last_seen: u64,
}

/// What the daemon leaves for `mcp-auditor coverage`.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Stored {
    /// Processes that were heard.
    pub(crate) speakers: Vec<Speaker>,
    /// Connections that were not.
    pub(crate) unheard: Vec<Silent>,
    /// Files with a TLS library.
    pub(crate) files: Vec<(FileKey, Known)>,
}

/// What makes unheard connections one kind: program, role, server, reason.
type Alike = (Option<String>, &'static str, String, &'static str);

/// Who was heard, and what was not.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    speakers: HashMap<ProcessKey, Speaker>,
    silent: HashMap<Alike, Silent>,
    is_changed: bool,
    /// What was saved of the files with TLS libraries.
    saved_files: u64,
}

impl Coverage {
    /// Notes who takes part in an event.
    pub(crate) fn note(&mut self, event: &AuditEvent) {
        if let Some(unheard) = &event.interaction.unheard {
            self.note_silent(
                event,
                unheard,
                &event.client,
                &unheard.client_obstacle,
                "client",
            );
            self.note_silent(
                event,
                unheard,
                &event.server,
                &unheard.server_obstacle,
                "server",
            );
            return;
        }
        self.note_party(event, &event.client, "client");
        self.note_party(event, &event.server, "server");
    }

    fn note_silent(
        &mut self,
        event: &AuditEvent,
        unheard: &Unheard,
        party: &Party,
        obstacle: &Option<Obstacle>,
        role: &'static str,
    ) {
        let (Some(actor), Some(obstacle)) = (party.actor, obstacle) else {
            return;
        };
        let exe = party
            .process
            .as_ref()
            .and_then(|process| process.exe.clone());
        let server = server(unheard);
        let alike = (exe.clone(), role, server.clone(), obstacle.reason.code());
        if !self.silent.contains_key(&alike) && self.silent.len() >= SILENT {
            let oldest = self
                .silent
                .iter()
                .min_by_key(|(_, silent)| silent.last_seen);
            let oldest = oldest.map(|(alike, _)| alike.clone());
            oldest.map(|alike| self.silent.remove(&alike));
        }
        self.is_changed = true;
        let silent = self.silent.entry(alike).or_default();
        silent.pid = actor.process.pid;
        silent.exe = exe;
        silent.container = party
            .process
            .as_ref()
            .and_then(|process| process.container.clone());
        silent.role = role.to_owned();
        silent.server = server;
        silent
            .basis
            .extend(unheard.basis.iter().map(|basis| basis.code().to_owned()));
        silent.stack.clone_from(&obstacle.stack);
        silent.file.clone_from(&obstacle.file);
        silent.reason = obstacle.reason.code().to_owned();
        silent.detail.clone_from(&obstacle.detail);
        silent.mend = obstacle.reason.mend().to_owned();
        silent.connections += u64::from(unheard.connections);
        silent.last_seen = event.logged.millis();
    }

    fn note_party(&mut self, event: &AuditEvent, party: &Party, role: &str) {
        let Some(actor) = party.actor else { return };
        if !self.speakers.contains_key(&actor.process) && self.speakers.len() >= SPEAKERS {
            let oldest = self
                .speakers
                .iter()
                .min_by_key(|(_, speaker)| speaker.last_heard)
                .map(|(key, _)| *key);
            oldest.map(|key| self.speakers.remove(&key));
        }
        self.is_changed = true;
        let speaker = self
            .speakers
            .entry(actor.process)
            .or_insert_with(|| Speaker {
                pid: actor.process.pid,
                start_time: actor.process.start,
                ..Speaker::default()
            });
        if let Some(process) = &party.process {
            speaker.exe.clone_from(&process.exe);
            speaker.container.clone_from(&process.container);
        }
        insert(&mut speaker.roles, role);
        insert(
            &mut speaker.transports,
            transport(event.interaction.session.transport),
        );
        if let Some(channel) = &event.channel {
            insert(&mut speaker.channels, object(channel.kind));
        }
        if event.interaction.kind == Kind::Gap {
            speaker.gaps += 1;
        } else {
            speaker.interactions += 1;
        }
        speaker.last_heard = event.logged.millis();
    }

    /// Writes the file if anything changed; a reader sees the old one or the new one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn save(&mut self, directory: &Path, stacks: Option<&Stacks>) -> io::Result<()> {
        let files = stacks.map_or(0, Stacks::changes);
        if !std::mem::take(&mut self.is_changed) && files == self.saved_files {
            return Ok(());
        }
        self.saved_files = files;
        let mut stored = Stored {
            speakers: self.speakers.values().cloned().collect(),
            unheard: self.silent.values().cloned().collect(),
            files: Vec::new(),
        };
        stored.speakers.sort_by_key(|speaker| speaker.pid);
        stored
            .unheard
            .sort_by(|a, b| (&a.exe, &a.server).cmp(&(&b.exe, &b.server)));
        let notable = stacks.map(Stacks::notable).unwrap_or_default();
        stored.files.extend(
            notable
                .into_iter()
                .map(|(key, known)| (key, Known::clone(&known))),
        );
        stored.files.sort_by(|(_, a), (_, b)| a.path.cmp(&b.path));
        let draft = directory.join(format!("{FILE}.new"));
        fs::write(&draft, serde_json::to_vec(&stored)?)?;
        fs::rename(draft, directory.join(FILE))
    }
}

/// Reads what a daemon wrote.
///
/// # Errors
/// When there is no such file, or it is not understood.
pub(crate) fn read(directory: &Path) -> io::Result<Stored> {
    Ok(serde_json::from_slice(&fs::read(directory.join(FILE))?)?)
}

/// The name that the client asked for, else the address.
fn server(unheard: &Unheard) -> String {
    let address = unheard.socket.map(|socket| match unheard.client_side {
        Side::A => socket.b,
        Side::B => socket.a,
    });
    match (&unheard.server_name, address) {
        (Some(name), Some(address)) => format!("{name}:{}", address.port()),
        (Some(name), None) => name.clone(),
        (None, Some(address)) => format!("{}:{}", address.ip().to_canonical(), address.port()),
        (None, None) => "unknown".to_owned(),
    }
}

fn insert(set: &mut BTreeSet<String>, name: &str) {
    if !set.contains(name) {
        set.insert(name.to_owned());
    }
}

fn transport(transport: Transport) -> &'static str {
    match transport {
        Transport::Stdio => "stdio",
        Transport::Http => "http",
        Transport::Sse => "sse",
        Transport::Unix => "unix",
        Transport::Tcp => "tcp",
        Transport::WebSocket => "websocket",
    }
}

fn object(kind: ChannelKind) -> &'static str {
    match kind {
        ChannelKind::Pipe => "pipe",
        ChannelKind::Unix => "unix socket",
        ChannelKind::NamedUnix => "named unix socket",
        ChannelKind::Pty => "pty",
        ChannelKind::Tcp => "tcp",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_daemon_writes_is_read_back() {
        let directory =
            std::env::temp_dir().join(format!("mcp-auditor-coverage-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let speaker = Speaker {
            pid: 7,
            gaps: 2,
            ..Speaker::default()
        };
        let key = ProcessKey { pid: 7, start: 0 };
        let mut coverage = Coverage {
            speakers: HashMap::from([(key, speaker.clone())]),
            is_changed: true,
            ..Coverage::default()
        };
        coverage.save(&directory, None).unwrap();
        assert_eq!(read(&directory).unwrap().speakers, [speaker]);
        assert!(!coverage.is_changed);
        fs::remove_dir_all(&directory).unwrap();
    }
}
