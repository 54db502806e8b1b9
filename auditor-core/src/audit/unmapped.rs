//! The MCP specifics of an event: `unmapped.mcp`. Names are a contract; unknown is null.

mod anomaly;
mod chain;
mod classification;
mod decision;
mod identity;
mod observed;
mod resource;
mod workload;

use serde::Serialize;
use serde_json::value::RawValue;

use self::{
    chain::ChainView,
    classification::{Classifications, ClassifiedView},
    decision::DecisionView,
    identity::{Certificates, Credential, Identities},
    observed::{DeclaredView, ObservedView},
    resource::{QueryView, ResourceView, ResultView, ToolView},
    workload::{Program, Workflow, Workload},
};
use super::{
    community::community_id,
    event::{AuditEvent, End, PartName, Party},
    hex::{Hex, List, Shown, Text},
    hops::Hop,
    outcome,
    settings::Level,
    world::Ancestor,
};
use crate::{
    key::{ChannelId, ProcessKey},
    mcp::{Direction, Kind, Part, Peer, Transport},
    stream::Binding,
    tls::{Basis, Moved, Obstacle},
};

pub(super) use self::anomaly::Anomalies;
pub(super) use self::identity::Identity as IdentityView;
pub(super) use self::observed::{DifferenceView, differences};

/// Bytes of JSON and of English that are one token to common models, about.
const BYTES_PER_TOKEN: u64 = 3;

/// OCSF's place for what it has no field for.
#[derive(Serialize)]
pub(super) struct Unmapped<'a> {
    mcp: Mcp<'a>,
}

#[derive(Serialize)]
struct Mcp<'a> {
    kind: &'static str,
    stage: &'static str,
    direction: &'static str,
    method: Option<&'a str>,
    id: Option<&'a str>,
    target: Option<&'a str>,
    protocol_version: Option<&'a str>,
    transport: Option<&'static str>,
    encrypted: bool,
    binding: Option<BindingView>,
    channel: Option<Shown<ChannelId>>,
    flow: Option<Flow>,
    session: Option<Shown<SessionUid<'a>>>,
    session_id_hash: Option<&'a str>,
    client: Option<Side<'a>>,
    server: Option<Side<'a>>,
    identity: Identities<'a>,
    credential: Option<Credential<'a>>,
    certificates: Option<Certificates<'a>>,
    client_info: Option<Info<'a>>,
    server_info: Option<Info<'a>>,
    request: Option<Message<'a>>,
    response: Option<Message<'a>>,
    resources: Vec<ResourceView<'a>>,
    resources_cut: bool,
    sensitivity: Option<&'static str>,
    query: Option<QueryView<'a>>,
    result: Option<ResultView<'a>>,
    tool: Option<ToolView>,
    classifications: List<Classifications<'a>>,
    classified: ClassifiedView<'a>,
    decision: DecisionView<'a>,
    anomalies: List<Anomalies<'a>>,
    witnesses: Witnesses<'a>,
    declared: Option<DeclaredView<'a>>,
    observed: Option<ObservedView<'a>>,
    differences: Vec<DifferenceView<'a>>,
    outcome: Option<&'static str>,
    hop: Option<HopView>,
    chain: Option<ChainView<'a>>,
    batch: Option<u32>,
    round_trip: Option<u32>,
    time_ns: u64,
    end_time_ns: Option<u64>,
    gap: Option<Gap>,
    tls: Option<Unheard<'a>>,
    environment: Option<&'a RawValue>,
}

/// The TCP connection, as other nodes and monitors name it.
#[derive(Serialize)]
struct Flow {
    community_id: String,
}

struct SessionUid<'a>(&'a str, u64);

impl std::fmt::Display for SessionUid<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-s{}", self.0, self.1)
    }
}

#[derive(Serialize)]
struct Side<'a> {
    pid: u32,
    start_time: u64,
    exe: Option<&'a str>,
    exe_sha256: Option<Hex>,
    cmdline: Option<&'a [String]>,
    uid: Option<u32>,
    gid: Option<u32>,
    cgroup: Option<&'a str>,
    cgroup_id: Option<u64>,
    container: Option<&'a str>,
    pod: Option<&'a str>,
    workload: Option<Workload<'a>>,
    program: Option<Program<'a>>,
    workflow: Option<Workflow<'a>>,
    lineage: List<Lineage<'a>>,
}

#[derive(Clone)]
struct Lineage<'a>(std::slice::Iter<'a, Ancestor>);

impl<'a> Iterator for Lineage<'a> {
    type Item = Parent<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|ancestor| Parent {
            pid: ancestor.key.pid,
            start_time: ancestor.key.start,
            exe: ancestor.exe.as_deref(),
        })
    }
}

#[derive(Serialize)]
struct Parent<'a> {
    pid: u32,
    start_time: u64,
    exe: Option<&'a str>,
}

#[derive(Serialize)]
struct Info<'a> {
    name: &'a str,
    version: &'a str,
}

#[derive(Serialize)]
struct Message<'a> {
    bytes: u64,
    hash: Hex,
    arg_keys: &'a [String],
    item_count: Option<u64>,
    /// An estimate of [`BYTES_PER_TOKEN`].
    tokens_estimate: u64,
    truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Text<'a>>,
}

/// How the plaintext was bound to its connection, and how far that is proven.
#[derive(Serialize)]
struct BindingView {
    method: &'static str,
    certainty: &'static str,
}

fn binding(binding: Binding) -> BindingView {
    let (method, certainty) = match binding {
        Binding::None => ("none", "none"),
        Binding::Object => ("connection_object", "proven"),
        Binding::Call => ("same_call", "proven"),
        Binding::Record => ("record_length", "inferred"),
    };
    BindingView { method, certainty }
}

/// Who was seen moving the messages.
struct Witnesses<'a>(&'a AuditEvent);

impl Serialize for Witnesses<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let is_tls = tls(self.0).is_some();
        serializer.collect_seq(self.0.witnesses.iter().map(|witness| {
            let ProcessKey { pid, start } = witness.actor.process;
            WitnessView {
                part: match witness.part {
                    PartName::Request => "request",
                    PartName::Response => "response",
                },
                end: match (witness.end, is_tls) {
                    (End::Write, false) => "write",
                    (End::Read, false) => "read",
                    (End::Write, true) => "tls_write",
                    (End::Read, true) => "tls_read",
                },
                channel: Shown(witness.channel),
                pid,
                start_time: start,
                tid: witness.actor.tid,
            }
        }))
    }
}

#[derive(Serialize)]
struct WitnessView {
    part: &'static str,
    end: &'static str,
    channel: Shown<ChannelId>,
    pid: u32,
    start_time: u64,
    tid: u32,
}

/// The events of the same call at its other hops.
#[derive(Serialize)]
struct HopView {
    call: String,
    previous: Option<String>,
    next: Option<String>,
}

impl HopView {
    fn of(event: &AuditEvent, hop: Hop) -> Self {
        Self {
            call: event.uid_of(hop.call),
            previous: hop.previous.map(|id| event.uid_of(id)),
            next: hop.next.map(|id| event.uid_of(id)),
        }
    }
}

#[derive(Serialize)]
struct Gap {
    range: Option<[u64; 2]>,
    bytes_lost: Option<u64>,
    discarded: u64,
    cause: &'static str,
}

/// A TLS connection that was not heard.
#[derive(Serialize)]
struct Unheard<'a> {
    server_name: Option<&'a str>,
    protocols: &'a [String],
    version: Option<&'static str>,
    handshake_seen: bool,
    application_data: Option<bool>,
    basis: List<Codes<'a>>,
    client: Option<Why<'a>>,
    server: Option<Why<'a>>,
    connections: u32,
}

/// Why an end was not heard.
#[derive(Serialize)]
struct Why<'a> {
    reason: &'static str,
    mend: &'static str,
    stack: Option<&'a str>,
    file: Option<&'a str>,
    detail: Option<&'a str>,
}

#[derive(Clone)]
struct Codes<'a>(std::slice::Iter<'a, Basis>);

impl Iterator for Codes<'_> {
    type Item = &'static str;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|basis| basis.code())
    }
}

fn unheard(told: &crate::tls::Unheard) -> Unheard<'_> {
    Unheard {
        server_name: told.server_name.as_deref(),
        protocols: &told.protocols,
        version: told.version.and_then(tls_version),
        handshake_seen: told.has_handshake,
        application_data: match told.moved {
            Moved::Yes => Some(true),
            Moved::No => Some(false),
            Moved::Unknown => None,
        },
        basis: List(Codes(told.basis.iter())),
        client: told.client_obstacle.as_ref().map(why),
        server: told.server_obstacle.as_ref().map(why),
        connections: told.connections,
    }
}

fn why(obstacle: &Obstacle) -> Why<'_> {
    Why {
        reason: obstacle.reason.code(),
        mend: obstacle.reason.mend(),
        stack: obstacle.stack.as_deref(),
        file: obstacle.file.as_deref(),
        detail: obstacle.detail.as_deref(),
    }
}

fn tls_version(version: u16) -> Option<&'static str> {
    Some(match version {
        0x301 => "1.0",
        0x302 => "1.1",
        0x303 => "1.2",
        0x304 => "1.3",
        _ => return None,
    })
}

fn flow(event: &AuditEvent) -> Option<Flow> {
    let socket = event.channel.as_ref()?.socket?;
    Some(Flow {
        community_id: community_id(&socket),
    })
}

fn tls(event: &AuditEvent) -> Option<Binding> {
    event.channel.as_ref()?.tls
}

impl Party {
    /// This side as `unmapped.mcp.client` and `unmapped.mcp.server` show it. `None` where nobody was seen.
    pub fn view(&self) -> Option<impl Serialize + '_> {
        side(self)
    }
}

impl<'a> Unmapped<'a> {
    pub(super) fn of(event: &'a AuditEvent) -> Self {
        let interaction = &event.interaction;
        let session = &*interaction.session;
        let first = interaction
            .request
            .as_ref()
            .or(interaction.response.as_ref());
        let channel = first
            .map(|part| part.channel)
            .or_else(|| interaction.gap.as_ref().map(|gap| gap.channel));
        let level = event.settings.level;
        let is_heard = interaction.unheard.is_none();
        Self {
            mcp: Mcp {
                kind: kind(interaction.kind),
                stage: if super::ocsf::is_open(event) {
                    "open"
                } else {
                    "final"
                },
                direction: match interaction.direction {
                    Direction::ClientToServer => "client_to_server",
                    Direction::ServerToClient => "server_to_client",
                },
                method: interaction.method.as_deref(),
                id: interaction.rpc_id.as_deref(),
                target: interaction.target.as_deref(),
                protocol_version: interaction.protocol_version.as_deref(),
                transport: is_heard.then(|| transport(session.transport)),
                encrypted: !is_heard || tls(event).is_some(),
                binding: tls(event).map(binding),
                channel: channel.map(Shown),
                flow: flow(event),
                session: is_heard.then(|| Shown(SessionUid(&event.settings.run, session.id))),
                session_id_hash: event.session_hash.as_deref(),
                client: side(&event.client),
                server: side(&event.server),
                identity: Identities {
                    client: event.client_identity.as_ref().map(IdentityView::of),
                    server: event.server_identity.as_ref().map(IdentityView::of),
                },
                credential: event.credential.as_deref().map(Credential::of),
                certificates: Certificates::of(
                    event
                        .client_certificate
                        .as_ref()
                        .map(|one| &*one.certificate),
                    event
                        .server_certificate
                        .as_ref()
                        .map(|one| &*one.certificate),
                ),
                client_info: session.client_info.as_ref().map(info),
                server_info: session.server_info.as_ref().map(info),
                request: interaction
                    .request
                    .as_ref()
                    .map(|part| message(part, level >= Level::Request)),
                response: interaction
                    .response
                    .as_ref()
                    .map(|part| message(part, level >= Level::RequestResponse)),
                resources: resource::resources(&event.content),
                resources_cut: event.content.declared.is_cut,
                sensitivity: event.content.level().map(auditor_resource::Level::name),
                query: event.content.declared.query.as_ref().map(QueryView::of),
                result: event.content.returned.as_ref().map(ResultView::of),
                tool: event.content.tool.as_ref().map(ToolView::of),
                classifications: List(Classifications::of(&event.content)),
                classified: ClassifiedView::of(&event.content),
                decision: DecisionView::of(event),
                anomalies: Anomalies::of(event),
                witnesses: Witnesses(event),
                declared: DeclaredView::of(event),
                observed: ObservedView::of(event),
                differences: differences(event),
                outcome: outcome::word(interaction, event.observed.as_ref()),
                hop: event.hop.map(|hop| HopView::of(event, hop)),
                chain: event
                    .chain
                    .as_ref()
                    .map(|chain| ChainView::of(event, chain)),
                batch: interaction.batch,
                round_trip: interaction.round_trip,
                time_ns: event.time().0,
                end_time_ns: event.end_time().map(|time| time.0),
                gap: interaction.gap.as_ref().map(|gap| Gap {
                    range: is_heard.then_some([gap.range.start, gap.range.end]),
                    bytes_lost: is_heard.then_some(gap.range.end.saturating_sub(gap.range.start)),
                    discarded: gap.discarded,
                    cause: outcome::gap_cause(gap.cause),
                }),
                tls: interaction.unheard.as_deref().map(unheard),
                environment: event.environment.as_deref().map(|one| &*one.mcp),
            },
        }
    }
}

pub(super) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Request => "request",
        Kind::Notification => "notification",
        Kind::UnpairedResponse => "unpaired_response",
        Kind::Gap => "gap",
    }
}

pub(super) fn transport(transport: Transport) -> &'static str {
    match transport {
        Transport::Stdio => "stdio",
        Transport::Http => "http",
        Transport::Sse => "sse",
        Transport::Unix => "unix",
        Transport::Tcp => "tcp",
        Transport::WebSocket => "websocket",
    }
}

fn info(peer: &Peer) -> Info<'_> {
    Info {
        name: &peer.name,
        version: &peer.version,
    }
}

fn side(party: &Party) -> Option<Side<'_>> {
    let ProcessKey { pid, start } = party.actor?.process;
    let process = party.process.as_deref();
    let workload = process.and_then(|process| process.workload.as_deref());
    Some(Side {
        pid,
        start_time: start,
        exe: process.and_then(|process| process.exe.as_deref()),
        exe_sha256: process.and_then(|process| process.exe_sha256).map(Hex),
        cmdline: process.and_then(|process| process.cmdline.as_deref()),
        uid: process.and_then(|process| process.uid),
        gid: process.and_then(|process| process.gid),
        cgroup: process.and_then(|process| process.cgroup.as_deref()),
        cgroup_id: process.and_then(|process| process.cgroup_id),
        container: process.and_then(|process| process.container.as_deref()),
        pod: workload.and_then(|workload| Some(workload.pod.as_ref()?.uid.as_str())),
        workload: workload.map(Workload::of),
        program: process
            .and_then(|process| process.program.as_deref())
            .map(Program::of),
        workflow: process
            .and_then(|process| process.workflow.as_deref())
            .map(Workflow::of),
        lineage: List(Lineage(
            process.map_or(&[][..], |process| &process.lineage).iter(),
        )),
    })
}

fn message(part: &Part, body: bool) -> Message<'_> {
    Message {
        bytes: part.bytes,
        hash: Hex(part.sha256),
        arg_keys: &part.keys,
        item_count: part.items,
        tokens_estimate: part.bytes.div_ceil(BYTES_PER_TOKEN),
        truncated: part.truncated,
        body: part.body.as_deref().filter(|_| body).map(Text),
    }
}
