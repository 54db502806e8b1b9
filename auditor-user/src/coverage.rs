//! Who speaks MCP on this host and how it was heard: kept by the daemon, read by `mcp-auditor coverage`.
//!
//! Bound: [`SPEAKERS`] processes; beyond it the one heard longest ago is forgotten.

use std::{
    collections::{BTreeSet, HashMap},
    fs, io,
    path::Path,
};

use auditor_core::{
    audit::{AuditEvent, Party},
    key::ProcessKey,
    mcp::{Kind, Transport},
    stream::ChannelKind,
};
use serde::{Deserialize, Serialize};

/// Processes remembered.
const SPEAKERS: usize = 4_096;
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

/// Who was heard.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    speakers: HashMap<ProcessKey, Speaker>,
    is_changed: bool,
}

impl Coverage {
    /// Notes who takes part in an event.
    pub(crate) fn note(&mut self, event: &AuditEvent) {
        self.note_party(event, &event.client, "client");
        self.note_party(event, &event.server, "server");
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
    pub(crate) fn save(&mut self, directory: &Path) -> io::Result<()> {
        if !std::mem::take(&mut self.is_changed) {
            return Ok(());
        }
        let mut speakers: Vec<_> = self.speakers.values().collect();
        speakers.sort_by_key(|speaker| speaker.pid);
        let draft = directory.join(format!("{FILE}.new"));
        fs::write(&draft, serde_json::to_vec(&speakers)?)?;
        fs::rename(draft, directory.join(FILE))
    }
}

/// Reads what a daemon wrote.
///
/// # Errors
/// When there is no such file, or it is not understood.
pub(crate) fn read(directory: &Path) -> io::Result<Vec<Speaker>> {
    Ok(serde_json::from_slice(&fs::read(directory.join(FILE))?)?)
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
        };
        coverage.save(&directory).unwrap();
        assert_eq!(read(&directory).unwrap(), [speaker]);
        assert!(!coverage.is_changed);
        fs::remove_dir_all(&directory).unwrap();
    }
}
