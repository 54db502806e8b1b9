//! Compares what a server did with what its call names and what is said of its tool.
//!
//! Only what no other open call can have caused counts, and only if it can be told: where names in the arguments were
//! hidden, or a host is named whose addresses are not known, nothing is said. Reads nothing of the world.

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
};

use auditor_resource::{Kind, Resource};

use super::{
    activity::{Access, Activity, Difference, DifferenceKind, Entry, Noticed, What},
    chain::Certainty,
    content::Content,
    event::AuditEvent,
};

/// Things that a difference names.
const NAMED: usize = 8;

/// Says what of an activity its call names, and how it differs.
pub(super) fn compare(activity: &mut Activity, event: &AuditEvent, is_hidden: bool) {
    let content = &event.content;
    let names = Names::of(content);
    let cmdline = event.server.process.as_ref();
    let cmdline = cmdline.and_then(|process| process.cmdline.as_ref());
    let settings = cmdline
        .map(|arguments| arguments.join(" "))
        .unwrap_or_default();
    for entry in &mut activity.entries {
        entry.is_named = match &entry.what {
            _ if is_hidden => None,
            What::File { path, .. } => Some(names.names_file(path)),
            What::Program { path } => Some(names.names_program(path)),
            What::Connection(noticed) => names.names_peer(noticed),
        };
        if entry.is_named == Some(true) && entry.certainty == Certainty::OnlyCandidate {
            entry.certainty = Certainty::Proven;
        }
    }
    if event.interaction.method.as_deref() != Some("tools/call") {
        return;
    }
    let passing = passing(&activity.entries, &names);
    let sure = activity
        .entries
        .iter()
        .filter(|entry| !matches!(entry.certainty, Certainty::OneOf(_)));
    let sure: Vec<&Entry> = sure.collect();
    let changes = |entry: &&&Entry| {
        matches!(&entry.what, What::File { path, access, .. }
            if access.changes() && !passing.contains(path.as_str()) && !path.contains("/__pycache__/"))
    };
    let mut found = Vec::new();
    let is_read_only = content.tool.as_ref().and_then(|tool| tool.read_only) == Some(true);
    if is_read_only {
        let wrote = sure.iter().filter(changes);
        found.push(difference(DifferenceKind::ReadOnlyWrote, wrote));
    }
    if !names.files.is_empty() {
        let others = sure.iter().filter(changes);
        let others = others.filter(|entry| entry.is_named == Some(false));
        found.push(difference(DifferenceKind::FileNotNamed, others));
    }
    let elsewhere = sure.iter().filter(|entry| {
        matches!(&entry.what, What::Connection(noticed)
            // What went over it as MCP is a call of its own.
            if noticed.protocol == "tcp" && noticed.http.is_none() && entry.is_named == Some(false) && !is_setting(noticed, &settings))
    });
    found.push(difference(DifferenceKind::HostNotNamed, elsewhere));
    let programs = sure.iter().filter(|entry| {
        matches!(entry.what, What::Program { .. }) && entry.is_named == Some(false)
    });
    if names.programs.is_empty() {
        found.push(difference(DifferenceKind::ProgramStarted, programs));
    }
    activity.differences = found.into_iter().flatten().collect();
}

fn difference<'a>(
    kind: DifferenceKind,
    entries: impl Iterator<Item = &'a &'a Entry>,
) -> Option<Difference> {
    let mut shown: Vec<String> = Vec::new();
    let mut count = 0;
    for entry in entries {
        let one = entry.what.shown();
        if shown.contains(&one) {
            continue;
        }
        count += 1;
        if shown.len() < NAMED {
            shown.push(one);
        }
    }
    (count > 0).then_some(Difference {
        kind,
        rests_on: shown,
        count,
    })
}

/// Files that were made and went away again, or took the name of one that the call names: how files are replaced.
fn passing<'a>(entries: &'a [Entry], names: &Names<'_>) -> HashSet<&'a str> {
    let with = |wanted: fn(Access) -> bool| {
        let paths = entries.iter().filter_map(move |entry| match &entry.what {
            What::File { path, access, .. } if wanted(*access) => Some(path.as_str()),
            _ => None,
        });
        paths.collect::<HashSet<_>>()
    };
    let made = with(|access| access == Access::Create);
    let deleted = with(|access| access == Access::Delete);
    let renamed = with(|access| access == Access::RenameFrom);
    let reached = with(|access| access == Access::RenameTo);
    let all_named = !reached.is_empty() && reached.iter().all(|path| names.names_file(path));
    let goes = |path: &&&str| deleted.contains(**path) || (all_named && renamed.contains(**path));
    made.iter().filter(goes).copied().collect()
}

/// Whether the server's own command line names the peer: it was configured, not asked for.
fn is_setting(noticed: &Noticed, settings: &str) -> bool {
    let Some(address) = noticed.address else {
        return false;
    };
    let place = SocketAddr::new(address, noticed.port).to_string();
    let local = format!("localhost:{}", noticed.port);
    settings.contains(&place) || (address.is_loopback() && settings.contains(&local))
}

/// What a call names.
struct Names<'a> {
    files: Vec<&'a str>,
    programs: Vec<&'a str>,
    /// Host, and port where one is given.
    hosts: Vec<(&'a str, Option<u16>)>,
}

impl<'a> Names<'a> {
    fn of(content: &'a Content) -> Self {
        let mut names = Self {
            files: Vec::new(),
            programs: Vec::new(),
            hosts: Vec::new(),
        };
        for Resource {
            kind,
            name,
            namespace,
            ..
        } in &content.declared.resources
        {
            match kind {
                Kind::File | Kind::Directory | Kind::Repository if !name.contains("://") => {
                    names.files.push(name);
                }
                Kind::Program => names.programs.push(name),
                Kind::Tool | Kind::Prompt | Kind::Resource => {}
                _ => {
                    if let Some((scheme, rest)) = name.split_once("://")
                        && let Some((host, port)) = host(rest)
                    {
                        names.hosts.push((host, port.or(default_port(scheme))));
                    }
                    names
                        .hosts
                        .extend(namespace.as_deref().and_then(host_of_namespace));
                }
            }
        }
        names
    }

    /// Whether a file is named, or lies in a directory that is.
    fn names_file(&self, path: &str) -> bool {
        self.files.iter().any(|name| {
            let name = name.trim_end_matches('/');
            if name.starts_with('/') {
                let rest = path.strip_prefix(name);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            } else {
                // Where it begins is the server's to know.
                let name = name.trim_start_matches("./");
                let before = path.strip_suffix(name);
                !name.is_empty() && before.is_some_and(|before| before.ends_with('/'))
            }
        })
    }

    fn names_program(&self, path: &str) -> bool {
        let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        self.programs.iter().any(|one| name(one) == name(path))
    }

    /// Whether a peer is named; `None` where a host is named whose addresses are not known.
    fn names_peer(&self, noticed: &Noticed) -> Option<bool> {
        let Some(address) = noticed.address else {
            let path = noticed.path.as_deref()?;
            return Some(self.names_file(path));
        };
        let mut is_known = true;
        for (host, port) in &self.hosts {
            let is_port = port.is_none_or(|port| port == noticed.port);
            let literal = host.trim_start_matches('[').trim_end_matches(']');
            match literal.parse::<IpAddr>() {
                Ok(named) if named == address && is_port => return Some(true),
                Ok(_) => {}
                Err(_) if *host == "localhost" => {
                    if address.is_loopback() && is_port {
                        return Some(true);
                    }
                }
                Err(_) => is_known = false,
            }
        }
        is_known.then_some(false)
    }
}

/// Host and port of what follows the scheme of a URL.
fn host(rest: &str) -> Option<(&str, Option<u16>)> {
    let authority = rest.split(['/', '?', '#']).next()?;
    let authority = authority.rsplit('@').next()?;
    let in_brackets = authority.starts_with('[');
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !in_brackets || host.ends_with(']') => (host, port.parse().ok()),
        _ => (authority, None),
    };
    (!host.is_empty()).then_some((host, port))
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

/// A host in what a thing belongs to.
fn host_of_namespace(namespace: &str) -> Option<(&str, Option<u16>)> {
    let looks_so = namespace == "localhost" || namespace.contains('.') || namespace.contains(':');
    looks_so.then(|| host(namespace)).flatten()
}

#[cfg(test)]
#[path = "differences_tests.rs"]
mod tests;
