//! What a call declares and what its server did, as `unmapped.mcp.declared`, `observed` and `differences` show it.

use std::net::IpAddr;

use auditor_resource::Kind;
use serde::Serialize;

use crate::audit::{
    activity::{Activity, Entry, Noticed, What},
    chain::Certainty,
    event::AuditEvent,
};

/// What was compared: what is said of the tool, and what the arguments name.
#[derive(Serialize)]
pub(super) struct DeclaredView<'a> {
    read_only: Option<bool>,
    destructive: Option<bool>,
    open_world: Option<bool>,
    files: Vec<&'a str>,
    hosts: Vec<&'a str>,
    programs: Vec<&'a str>,
}

#[derive(Serialize)]
pub(super) struct ObservedView<'a> {
    complete: bool,
    lost: u64,
    certainty: Option<&'static str>,
    candidates: u32,
    others: Vec<String>,
    programs: Vec<ProgramView<'a>>,
    files: Vec<FileView<'a>>,
    connections: Vec<ConnectionView<'a>>,
    runtime_reads: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    further: Option<FurtherView>,
}

#[derive(Serialize)]
struct ProgramView<'a> {
    path: &'a str,
    #[serde(flatten)]
    tie: Tie,
}

#[derive(Serialize)]
struct FileView<'a> {
    path: &'a str,
    access: &'static str,
    resolved: bool,
    #[serde(flatten)]
    tie: Tie,
}

#[derive(Serialize)]
struct ConnectionView<'a> {
    protocol: &'static str,
    address: Option<IpAddr>,
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<HttpView<'a>>,
    #[serde(flatten)]
    tie: Tie,
}

#[derive(Serialize)]
struct HttpView<'a> {
    host: &'a str,
    path: &'a str,
}

/// What ties a thing to the call.
#[derive(Serialize)]
struct Tie {
    named: Option<bool>,
    basis: &'static str,
    certainty: &'static str,
    count: u64,
}

#[derive(Serialize)]
struct FurtherView {
    programs: u64,
    files: u64,
    connections: u64,
}

#[derive(Serialize)]
pub(in crate::audit) struct DifferenceView<'a> {
    kind: &'static str,
    count: u64,
    rests_on: &'a [String],
}

impl<'a> DeclaredView<'a> {
    pub(super) fn of(event: &'a AuditEvent) -> Option<Self> {
        event.activity.as_ref()?;
        let content = &event.content;
        let tool = content.tool.as_ref();
        let resources = &content.declared.resources;
        let named = |kinds: &[Kind]| {
            let fits = resources.iter().filter(|one| kinds.contains(&one.kind));
            fits.map(|one| one.name.as_str()).collect()
        };
        Some(Self {
            read_only: tool.and_then(|tool| tool.read_only),
            destructive: tool.and_then(|tool| tool.destructive),
            open_world: tool.and_then(|tool| tool.open_world),
            files: named(&[Kind::File, Kind::Directory, Kind::Repository]),
            hosts: named(&[Kind::Url]),
            programs: named(&[Kind::Program]),
        })
    }
}

impl<'a> ObservedView<'a> {
    pub(super) fn of(event: &'a AuditEvent) -> Option<Self> {
        let activity = event.activity.as_ref()?;
        let mut view = Self {
            complete: activity.is_complete,
            lost: activity.lost,
            certainty: weakest(activity).map(Certainty::name),
            candidates: weakest(activity).map_or(0, Certainty::candidates),
            others: activity.others.iter().map(|id| event.uid_of(*id)).collect(),
            programs: Vec::new(),
            files: Vec::new(),
            connections: Vec::new(),
            runtime_reads: activity.runtime,
            further: further(activity),
        };
        for entry in &activity.entries {
            let tie = Tie::of(entry);
            match &entry.what {
                What::Program { path } => view.programs.push(ProgramView { path, tie }),
                What::File {
                    path,
                    access,
                    is_resolved,
                } => view.files.push(FileView {
                    path,
                    access: access.name(),
                    resolved: *is_resolved,
                    tie,
                }),
                What::Connection(noticed) => {
                    view.connections.push(ConnectionView::of(noticed, tie));
                }
            }
        }
        Some(view)
    }
}

impl<'a> ConnectionView<'a> {
    fn of(noticed: &'a Noticed, tie: Tie) -> Self {
        let http = noticed.http.as_ref();
        Self {
            protocol: noticed.protocol,
            address: noticed.address,
            port: noticed.address.map(|_| noticed.port),
            path: noticed.path.as_deref(),
            state: if noticed.is_begun { "begun" } else { "made" },
            http: http.map(|(host, path)| HttpView { host, path }),
            tie,
        }
    }
}

impl Tie {
    fn of(entry: &Entry) -> Self {
        Self {
            named: entry.is_named,
            basis: entry.basis.name(),
            certainty: entry.certainty.name(),
            count: entry.count,
        }
    }
}

/// The certainty of what is least certain.
fn weakest(activity: &Activity) -> Option<Certainty> {
    let all = activity.entries.iter().map(|entry| entry.certainty);
    all.max_by_key(|one| match one {
        Certainty::Proven => 0,
        other => other.candidates(),
    })
}

fn further(activity: &Activity) -> Option<FurtherView> {
    let [programs, files, connections] = activity.further;
    (programs + files + connections > 0).then_some(FurtherView {
        programs,
        files,
        connections,
    })
}

/// Where what was done differs from what was declared.
pub(in crate::audit) fn differences(event: &AuditEvent) -> Vec<DifferenceView<'_>> {
    let all = event.activity.iter().flat_map(|one| &one.differences);
    all.map(|one| DifferenceView {
        kind: one.kind.name(),
        count: one.count,
        rests_on: &one.rests_on,
    })
    .collect()
}
