//! Writes an event as OCSF 1.8.0 `api_activity` (class 6003), one line of JSON.
//!
//! In OCSF's own fields unknown is absent; under `unmapped.mcp` (see [`super::unmapped`]) unknown
//! is null. Field names are OCSF's; profiles are named in `metadata.profiles`.

use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::{
    environment::Rendered,
    event::AuditEvent,
    hex::Shown,
    outcome,
    settings::{Level, Settings},
    unmapped::Unmapped,
};
use crate::mcp::{Direction, Kind, Stage};
use authorization::{Authorization, action, authorizations};
use resource::{Resource, resources};
use what::{Api, Endpoint, HttpRequest, HttpResponse, api, endpoint, http_request, http_response};
use who::{Actor, actor};

mod authorization;
mod container;
mod detection;
mod finding;
mod resource;
mod what;
mod who;

pub(super) use who::exe_name;

const CLASS: u32 = 6003;

impl AuditEvent {
    /// Appends the event as one line of JSON, without the line's end.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        // Writing to memory cannot fail, and no map here has keys that are not strings.
        let _ = serde_json::to_writer(out, &Event::of(self));
    }

    /// The same without bodies, whatever the level: what stays for good.
    pub fn write_json_without_bodies(&self, out: &mut Vec<u8>) {
        if self.settings.level == Level::Metadata {
            return self.write_json(out);
        }
        let mut event = self.clone();
        event.settings = Arc::new(Settings {
            level: Level::Metadata,
            ..Settings::clone(&self.settings)
        });
        event.write_json(out);
    }
}

#[derive(Serialize)]
struct Event<'a> {
    metadata: Metadata<'a, Shown<Uid<'a>>>,
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
    action_id: u8,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorizations: Option<Vec<Authorization<'a>>>,
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
    resources: Option<Vec<Resource<'a>>>,
    device: Device<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cloud: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<Trace<'a>>,
    unmapped: Unmapped<'a>,
}

#[derive(Serialize)]
struct Metadata<'a, U> {
    version: &'static str,
    product: Product<'a>,
    profiles: Profiles,
    uid: U,
    sequence: u64,
    logged_time: u64,
}

/// The profiles that an event has fields of, beside that of the host.
struct Profiles {
    is_contained: bool,
    is_traced: bool,
    is_in_cloud: bool,
    is_classified: bool,
    is_authorized: bool,
}

impl Serialize for Profiles {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let profiles = [
            (true, "host"),
            (self.is_contained, "container"),
            (self.is_traced, "trace"),
            (self.is_in_cloud, "cloud"),
            (self.is_classified, "data_classification"),
            (self.is_authorized, "security_control"),
        ];
        let named = profiles.into_iter().filter(|(is_there, _)| *is_there);
        serializer.collect_seq(named.map(|(_, name)| name))
    }
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
struct Device<'a> {
    hostname: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_uid: Option<&'a str>,
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
        let (activity_id, activity_name) =
            outcome::activity(interaction.method.as_deref(), &event.content);
        let (action_id, action) = action(event);
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
        let environment = event.environment.as_deref();
        let cloud = environment.and_then(|one| one.cloud.as_deref());
        let contained = src_endpoint.container.is_some() || dst_endpoint.container.is_some();
        Self {
            metadata: Metadata {
                version: "1.8.0",
                product: Product::of(settings),
                profiles: Profiles {
                    is_contained: contained,
                    is_traced: trace.is_some(),
                    is_in_cloud: cloud.is_some(),
                    is_classified: event.content.level().is_some(),
                    is_authorized: true,
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
            action_id,
            action,
            authorizations: authorizations(event),
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
            http_response: http_response(interaction),
            resources: resources(event),
            device: device(settings, environment),
            cloud,
            trace,
            unmapped: Unmapped::of(event),
        }
    }
}

impl<'a> Product<'a> {
    fn of(settings: &'a Settings) -> Self {
        Self {
            name: "mcp-auditor",
            vendor_name: "mcp-auditor",
            version: &settings.version,
        }
    }
}

fn device<'a>(settings: &'a Settings, environment: Option<&'a Rendered>) -> Device<'a> {
    let device = &settings.device;
    Device {
        hostname: &device.hostname,
        uid: device.uid.as_deref(),
        region: environment.and_then(|one| one.region.as_deref()),
        instance_uid: environment.and_then(|one| one.instance.as_deref()),
        type_id: 0,
        os: Os {
            name: device.os_name.as_deref().unwrap_or("Linux"),
            type_id: 200,
            r#type: "Linux",
            version: device.os_version.as_deref(),
            kernel_release: device.kernel_release.as_deref(),
        },
    }
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
