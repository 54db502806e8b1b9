//! Writes an event as OCSF 1.8.0 `api_activity` (class 6003), one line of JSON.
//!
//! In OCSF's own fields unknown is absent; under `unmapped.mcp` (see [`super::unmapped`]) unknown
//! is null. Field names are OCSF's; profiles are named in `metadata.profiles`.

use std::net::IpAddr;

use serde::Serialize;

use super::{
    event::{AuditEvent, Party},
    hex::{Hex, Shown},
    outcome,
    settings::Level,
    unmapped::Unmapped,
    world::{Ancestor, Process},
};
use crate::{
    key::{ProcessKey, Side},
    mcp::{Direction, Failure, Kind, Outcome, Part, Stage},
};

const CLASS: u32 = 6003;

impl AuditEvent {
    /// Appends the event as one line of JSON, without the line's end.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        // Writing to memory cannot fail, and no map here has keys that are not strings.
        let _ = serde_json::to_writer(out, &Event::of(self));
    }
}

#[derive(Serialize)]
struct Event<'a> {
    metadata: Metadata<'a>,
    time: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<u64>,
    category_uid: u32,
    category_name: &'static str,
    class_uid: u32,
    class_name: &'static str,
    activity_id: u8,
    activity_name: &'static str,
    type_uid: u32,
    severity_id: u8,
    severity: &'static str,
    status_id: u8,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_code: Option<std::borrow::Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_detail: Option<&'static str>,
    actor: Actor<'a>,
    api: Api<'a>,
    src_endpoint: Endpoint<'a>,
    dst_endpoint: Endpoint<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_request: Option<HttpRequest<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_response: Option<HttpResponse<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<[Resource<'a>; 1]>,
    device: Device<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<Trace<'a>>,
    unmapped: Unmapped<'a>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    version: &'static str,
    product: Product<'a>,
    profiles: &'static [&'static str],
    uid: Shown<Uid<'a>>,
    sequence: u64,
    logged_time: u64,
}

/// `metadata.uid`, written without an allocation.
struct Uid<'a>(&'a str, u64);

impl std::fmt::Display for Uid<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}

#[derive(Serialize)]
struct Product<'a> {
    name: &'static str,
    vendor_name: &'static str,
    version: &'a str,
}

#[derive(Serialize)]
struct Actor<'a> {
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
struct OcsfProcess<'a> {
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

#[derive(Serialize)]
struct Container<'a> {
    uid: &'a str,
}

#[derive(Serialize)]
struct Api<'a> {
    operation: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<ApiRequest<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<ApiResponse<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<Service<'a>>,
}

#[derive(Serialize)]
struct ApiRequest<'a> {
    uid: &'a str,
}

#[derive(Serialize)]
struct ApiResponse<'a> {
    code: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<&'a str>,
}

#[derive(Serialize)]
struct Service<'a> {
    name: &'a str,
    version: &'a str,
}

#[derive(Serialize)]
struct Endpoint<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<&'a str>,
}

#[derive(Serialize)]
struct HttpRequest<'a> {
    http_method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<Url<'a>>,
}

#[derive(Serialize)]
struct Url<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<&'a str>,
    path: Shown<PublicPath<'a>>,
}

/// The path of a request target, without what may be a secret: the query, and segments that look
/// like an id or a key (16 characters or more, a digit among them), which are shown as `*`.
struct PublicPath<'a>(&'a str);

impl std::fmt::Display for PublicPath<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = self.0.split(['?', '#']).next().unwrap_or_default();
        for (at, segment) in path.split('/').enumerate() {
            f.write_str(if at == 0 { "" } else { "/" })?;
            let secret = segment.len() >= 16 && segment.bytes().any(|byte| byte.is_ascii_digit());
            f.write_str(if secret { "*" } else { segment })?;
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct HttpResponse<'a> {
    code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
}

#[derive(Serialize)]
struct Resource<'a> {
    name: &'a str,
    r#type: &'static str,
}

#[derive(Serialize)]
struct Device<'a> {
    hostname: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'a str>,
    type_id: u8,
    os: Os<'a>,
}

#[derive(Serialize)]
struct Os<'a> {
    name: &'a str,
    type_id: u16,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel_release: Option<&'a str>,
}

#[derive(Serialize)]
struct Trace<'a> {
    uid: &'a str,
    span: Span<'a>,
}

#[derive(Serialize)]
struct Span<'a> {
    uid: &'a str,
    start_time: u64,
    end_time: u64,
}

impl<'a> Event<'a> {
    fn of(event: &'a AuditEvent) -> Self {
        let interaction = &event.interaction;
        let settings = &*event.settings;
        let (asker, client_asks) = match interaction.direction {
            Direction::ClientToServer => (&event.client, true),
            Direction::ServerToClient => (&event.server, false),
        };
        let begin = event.time();
        let end = event.end_time();
        let (activity_id, activity_name) = outcome::activity(interaction.method.as_deref());
        let lossy = interaction.kind == Kind::Gap;
        let (severity_id, severity) = if lossy {
            (2, "Low")
        } else {
            (1, "Informational")
        };
        let client_end = endpoint(event, interaction.session.client_side);
        let server_end = endpoint(event, interaction.session.client_side.other());
        let (src_endpoint, dst_endpoint) = if client_asks {
            (client_end, server_end)
        } else {
            (server_end, client_end)
        };
        let trace = interaction.traceparent.as_deref().and_then(|text| {
            let (uid, span) = trace_ids(text)?;
            let end_time = end.unwrap_or(begin).millis();
            Some(Trace {
                uid,
                span: Span {
                    uid: span,
                    start_time: begin.millis(),
                    end_time,
                },
            })
        });
        let actor = actor(asker);
        let contained = actor
            .process
            .as_ref()
            .is_some_and(|process| process.container.is_some());
        Self {
            metadata: Metadata {
                version: "1.8.0",
                product: Product {
                    name: "mcp-auditor",
                    vendor_name: "mcp-auditor",
                    version: &settings.version,
                },
                profiles: match (contained, trace.is_some()) {
                    (false, false) => &["host"],
                    (true, false) => &["host", "container"],
                    (false, true) => &["host", "trace"],
                    (true, true) => &["host", "container", "trace"],
                },
                uid: Shown(Uid(&settings.run, interaction.id.0)),
                sequence: event.sequence,
                logged_time: event.logged.millis(),
            },
            time: begin.millis(),
            start_time: (!lossy).then_some(begin.millis()),
            end_time: end.map(|end| end.millis()),
            duration: end.map(|end| end.since(begin) / 1_000_000),
            category_uid: 6,
            category_name: "Application Activity",
            class_uid: CLASS,
            class_name: "API Activity",
            activity_id,
            activity_name,
            type_uid: CLASS * 100 + u32::from(activity_id),
            severity_id,
            severity,
            status_id: outcome::status_id(interaction),
            status: outcome::status(interaction),
            status_code: outcome::status_code(interaction),
            status_detail: outcome::status_detail(interaction),
            actor,
            api: api(event),
            src_endpoint,
            dst_endpoint,
            http_request: interaction.request.as_ref().and_then(http_request),
            http_response: interaction.response.as_ref().and_then(http_response),
            resources: interaction.target.as_deref().map(|name| {
                [Resource {
                    name,
                    r#type: outcome::resource_type(interaction.method.as_deref()),
                }]
            }),
            device: Device {
                hostname: &settings.device.hostname,
                uid: settings.device.uid.as_deref(),
                type_id: 0,
                os: Os {
                    name: settings.device.os_name.as_deref().unwrap_or("Linux"),
                    type_id: 200,
                    r#type: "Linux",
                    version: settings.device.os_version.as_deref(),
                    kernel_release: settings.device.kernel_release.as_deref(),
                },
            },
            trace,
            unmapped: Unmapped::of(event),
        }
    }
}

fn actor(party: &Party) -> Actor<'_> {
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

fn process(key: ProcessKey, tid: Option<u32>, known: Option<&Process>) -> OcsfProcess<'_> {
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
        container: known
            .and_then(|process| process.container.as_deref())
            .map(|uid| Container { uid }),
        ancestry: known
            .map(|process| process.lineage.as_slice())
            .filter(|lineage| !lineage.is_empty())
            .map(Ancestry),
    }
}

/// The last part of a process's executable path.
pub(super) fn exe_name(process: &Process) -> Option<&str> {
    process
        .exe
        .as_deref()
        .map(|exe| exe.rsplit_once('/').map_or(exe, |(_, name)| name))
}

fn api(event: &AuditEvent) -> Api<'_> {
    let interaction = &event.interaction;
    let operation = match (interaction.kind, &interaction.method) {
        (_, Some(method)) => method,
        (Kind::Gap, None) => "gap",
        (Kind::UnpairedResponse, None) => "response",
        (_, None) => "unknown",
    };
    let bodies = event.settings.level >= Level::RequestResponse;
    Api {
        operation,
        version: interaction.protocol_version.as_deref(),
        request: interaction.rpc_id.as_deref().map(|uid| ApiRequest { uid }),
        response: match &interaction.outcome {
            Outcome::Failure(Failure::Error { code, message }) => Some(ApiResponse {
                code: *code,
                error_message: bodies.then_some(message.as_str()),
            }),
            _ => None,
        },
        service: interaction
            .session
            .server_info
            .as_ref()
            .map(|peer| Service {
                name: &peer.name,
                version: &peer.version,
            }),
    }
}

/// The address of one side of a connection; of what is on this host its name.
fn endpoint(event: &AuditEvent, side: Side) -> Endpoint<'_> {
    let socket = event.channel.as_ref().and_then(|channel| channel.socket);
    let hostname = Some(event.settings.device.hostname.as_str());
    match socket {
        None => Endpoint {
            ip: None,
            port: None,
            hostname,
        },
        Some(socket) => {
            let address = if side == Side::A { socket.a } else { socket.b };
            let (ip, port) = (address.ip().to_canonical(), address.port());
            Endpoint {
                ip: Some(ip),
                port: Some(port),
                hostname: None,
            }
        }
    }
}

fn http_request(part: &Part) -> Option<HttpRequest<'_>> {
    let head = part
        .http
        .as_deref()
        .filter(|head| head.status == 0 && !head.method.is_empty())?;
    Some(HttpRequest {
        http_method: known_verb(&head.method),
        user_agent: head.user_agent.as_deref(),
        version: if head.version == 20 { "2" } else { "1.1" },
        url: (!head.target.is_empty()).then(|| Url {
            hostname: head.host.as_deref(),
            path: Shown(PublicPath(&head.target)),
        }),
    })
}

/// OCSF knows these verbs only.
fn known_verb(method: &str) -> &str {
    match method {
        "CONNECT" | "DELETE" | "GET" | "HEAD" | "OPTIONS" | "PUT" | "TRACE" => method,
        _ => "POST",
    }
}

fn http_response(part: &Part) -> Option<HttpResponse<'_>> {
    let head = part.http.as_deref().filter(|head| head.status != 0)?;
    Some(HttpResponse {
        code: head.status,
        content_type: head.content_type.as_deref(),
    })
}

/// Trace id and parent id of a `traceparent` (W3C Trace Context, version 00).
fn trace_ids(traceparent: &str) -> Option<(&str, &str)> {
    let hex = |text: &str, length| {
        text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let mut parts = traceparent.split('-');
    let (version, trace, parent) = (parts.next()?, parts.next()?, parts.next()?);
    (hex(version, 2) && hex(trace, 32) && hex(parent, 16)).then_some((trace, parent))
}

/// Whether an interaction is reported while it is still open.
pub(super) fn is_open(event: &AuditEvent) -> bool {
    event.interaction.stage == Stage::Open
}
