//! OCSF `api`, the endpoints, `http_request` and `http_response`: what was asked, and where.

use std::net::IpAddr;

use serde::Serialize;

use super::container::Container;
use crate::audit::{event::AuditEvent, hex::Shown, settings::Level};
use crate::{
    key::Side,
    mcp::{Failure, Interaction, Kind, Outcome, Part},
};

#[derive(Serialize)]
pub(super) struct Api<'a> {
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
pub(super) struct Endpoint<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) container: Option<Container<'a>>,
}

#[derive(Serialize)]
pub(super) struct HttpRequest<'a> {
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
pub(super) struct HttpResponse<'a> {
    code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
}

pub(super) fn api(event: &AuditEvent) -> Api<'_> {
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
                error_message: Some(message.as_str()).filter(|text| bodies && !text.is_empty()),
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
pub(super) fn endpoint(event: &AuditEvent, side: Side) -> Endpoint<'_> {
    let socket = event.channel.as_ref().and_then(|channel| channel.socket);
    let hostname = Some(event.settings.device.hostname.as_str());
    let party = if side == event.interaction.session.client_side {
        &event.client
    } else {
        &event.server
    };
    let container = party.process.as_deref().and_then(Container::of_end);
    match socket {
        None => Endpoint {
            ip: None,
            port: None,
            hostname,
            container,
        },
        Some(socket) => {
            let address = if side == Side::A { socket.a } else { socket.b };
            let (ip, port) = (address.ip().to_canonical(), address.port());
            Endpoint {
                ip: Some(ip),
                port: Some(port),
                hostname: None,
                container,
            }
        }
    }
}

pub(super) fn http_request(part: &Part) -> Option<HttpRequest<'_>> {
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

pub(super) fn http_response(interaction: &Interaction) -> Option<HttpResponse<'_>> {
    let told = interaction.response.as_ref();
    let head = told.and_then(|part| part.http.as_deref());
    let head = head.or(interaction.answer_head.as_deref());
    let head = head.filter(|head| head.status != 0)?;
    Some(HttpResponse {
        code: head.status,
        content_type: head.content_type.as_deref(),
    })
}
