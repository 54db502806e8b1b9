//! OCSF `actor`: the process that asked, its program, its user, its parents.

use serde::Serialize;

use super::container::Container;
use crate::audit::{
    event::Party,
    hex::{Hex, Shown},
    world::{Ancestor, Process},
};
use crate::key::ProcessKey;

#[derive(Serialize)]
pub(super) struct Actor<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<OcsfProcess<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<User>,
    /// OCSF wants at least one attribute.
    #[serde(skip_serializing_if = "Option::is_none")]
    app_name: Option<&'a str>,
}

#[derive(Serialize)]
struct User {
    uid: Shown<u32>,
}

#[derive(Serialize)]
pub(super) struct OcsfProcess<'a> {
    pid: u32,
    uid: Shown<ProcessUid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cmd_line: Option<CommandLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<File<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<User>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<Container<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ancestry: Option<Ancestry<'a>>,
}

/// A process for ever: its pid with its start time.
struct ProcessUid(ProcessKey);

impl std::fmt::Display for ProcessUid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.0.pid, self.0.start)
    }
}

/// Arguments joined by spaces.
struct CommandLine<'a>(&'a [String]);

impl Serialize for CommandLine<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl std::fmt::Display for CommandLine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, argument) in self.0.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { " " })?;
            f.write_str(argument)?;
        }
        Ok(())
    }
}

/// Parents, nearest first.
struct Ancestry<'a>(&'a [Ancestor]);

impl Serialize for Ancestry<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|ancestor| Entity {
            pid: ancestor.key.pid,
            uid: Shown(ProcessUid(ancestor.key)),
            path: ancestor.exe.as_deref(),
        }))
    }
}

#[derive(Serialize)]
struct Entity<'a> {
    pid: u32,
    uid: Shown<ProcessUid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
}

#[derive(Serialize)]
struct File<'a> {
    name: &'a str,
    path: &'a str,
    type_id: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    hashes: Option<[Fingerprint; 1]>,
}

#[derive(Serialize)]
struct Fingerprint {
    algorithm_id: u8,
    algorithm: &'static str,
    value: Hex,
}

pub(super) fn actor(party: &Party) -> Actor<'_> {
    let known = party.process.as_deref();
    let key = party.actor.map(|actor| actor.process);
    let process = key.map(|key| process(key, party.actor.map(|actor| actor.tid), known));
    let user = known
        .and_then(|process| process.uid)
        .map(|uid| User { uid: Shown(uid) });
    let app_name = match (&process, known.and_then(exe_name)) {
        (_, Some(name)) => Some(name),
        (None, None) => Some("unknown"),
        (Some(_), None) => None,
    };
    Actor {
        process,
        user,
        app_name,
    }
}

pub(super) fn process(
    key: ProcessKey,
    tid: Option<u32>,
    known: Option<&Process>,
) -> OcsfProcess<'_> {
    let exe = known.and_then(|process| process.exe.as_deref());
    let name = known.and_then(exe_name);
    OcsfProcess {
        pid: key.pid,
        uid: Shown(ProcessUid(key)),
        tid,
        name,
        cmd_line: known
            .and_then(|process| process.cmdline.as_deref())
            .map(CommandLine),
        created_time: known
            .map(|process| process.started.millis())
            .filter(|time| *time > 0),
        file: exe.zip(name).map(|(path, name)| File {
            name,
            path,
            type_id: 1,
            hashes: known.and_then(|process| process.exe_sha256).map(|hash| {
                [Fingerprint {
                    algorithm_id: 3,
                    algorithm: "SHA-256",
                    value: Hex(hash),
                }]
            }),
        }),
        user: known
            .and_then(|process| process.uid)
            .map(|uid| User { uid: Shown(uid) }),
        container: known.and_then(Container::of),
        ancestry: known
            .map(|process| process.lineage.as_slice())
            .filter(|lineage| !lineage.is_empty())
            .map(Ancestry),
    }
}

/// The last part of a process's executable path.
pub(in crate::audit) fn exe_name(process: &Process) -> Option<&str> {
    process
        .exe
        .as_deref()
        .map(|exe| exe.rsplit_once('/').map_or(exe, |(_, name)| name))
}
