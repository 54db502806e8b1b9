//! Heads of HTTP requests and responses, whatever version: which fields are kept, what they mean
//! for the body.
//!
//! Parses no wire format. Keeps at most 2 KiB of a target, 8 KiB of a credential and 512 bytes of any other value.

use super::{Encoding, HttpHead, item::Secret};

/// Bytes kept of a request's target.
const MAX_TARGET: usize = 2048;
/// Bytes kept of a field's value.
const MAX_VALUE: usize = 512;
/// Bytes kept of a credential.
const MAX_SECRET: usize = 8192;
/// Bytes that one [`HttpHead`] holds at most: its target, its credential and nine values.
pub(super) const MAX_HEAD: usize = MAX_TARGET + MAX_SECRET + 9 * MAX_VALUE;

/// Which half of an exchange.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Half {
    Request,
    Response,
}

/// What a media type may carry.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Media {
    /// None given.
    #[default]
    Absent,
    Json,
    EventStream,
    /// Text that some programs label wrongly (`text/plain`, forms).
    Text,
    Other,
}

/// A protocol to which the connection changes after status 101.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Upgrade {
    H2c,
    WebSocket,
    Other,
}

/// A head with what framing must know besides.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    pub(super) kept: HttpHead,
    pub(super) media: Media,
    /// An `Mcp-*` field is there, or an event stream is accepted.
    pub(super) mcp: bool,
    pub(super) content_length: Option<u64>,
    /// `Content-Length` is no number, or there are several that differ.
    pub(super) bad_length: bool,
    pub(super) chunked: bool,
    /// A transfer coding other than `chunked` is applied: bodies cannot be heard.
    pub(super) other_coding: bool,
    pub(super) upgrade: Option<Upgrade>,
    /// Some fields, or all, are not known (HTTP/2 joined in the middle).
    pub(super) partial: bool,
}

impl Head {
    pub(super) fn request(version: u8, method: &[u8], target: &[u8]) -> Self {
        let kept = HttpHead {
            version,
            method: text(method),
            target: target_of(target),
            ..HttpHead::default()
        };
        Self {
            kept,
            ..Self::default()
        }
    }

    pub(super) fn response(version: u8, status: u16) -> Self {
        Self {
            kept: HttpHead {
                version,
                status,
                ..HttpHead::default()
            },
            ..Self::default()
        }
    }

    /// A head of HTTP/2, where everything is a field.
    pub(super) fn http2() -> Self {
        Self {
            kept: HttpHead {
                version: 20,
                ..HttpHead::default()
            },
            ..Self::default()
        }
    }

    /// Takes one field. The name may be in any case.
    pub(super) fn field(&mut self, name: &[u8], value: &[u8]) {
        let mut lower = [0; 24];
        let Some(lower) = lower.get_mut(..name.len()) else {
            return;
        };
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        let value = value.trim_ascii();
        match &*lower {
            b":method" => self.kept.method = text(value),
            b":path" => self.kept.target = target_of(value),
            b":status" => {
                let status = std::str::from_utf8(value)
                    .ok()
                    .and_then(|value| value.parse().ok());
                self.kept.status = status.unwrap_or_default();
            }
            b"host" | b":authority" => self.kept.host = Some(text(value)),
            b"content-type" => {
                let kind = value.split(|byte| *byte == b';').next().unwrap_or_default();
                let kind = text(kind.trim_ascii()).to_ascii_lowercase();
                self.media = Media::of(&kind);
                self.kept.content_type = Some(kind);
            }
            b"content-encoding" => {
                // Of several encodings applied one after the other none is undone.
                self.kept.encoding = match (self.kept.encoding, encoding(value)) {
                    (Encoding::Identity, encoding) => encoding,
                    (encoding, Encoding::Identity) => encoding,
                    _ => Encoding::Unknown,
                };
            }
            b"content-length" => self.length(value),
            b"transfer-encoding" => {
                for coding in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    if coding.eq_ignore_ascii_case(b"chunked") {
                        self.chunked = true;
                    } else if !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity") {
                        self.other_coding = true;
                    }
                }
            }
            b"upgrade" => {
                let is_offered = |wanted: &[u8]| {
                    let mut names = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
                    names.any(|name| name.eq_ignore_ascii_case(wanted))
                };
                self.upgrade = Some(if is_offered(b"h2c") {
                    Upgrade::H2c
                } else if is_offered(b"websocket") {
                    Upgrade::WebSocket
                } else {
                    Upgrade::Other
                });
            }
            b"accept" => {
                let wanted = b"text/event-stream";
                self.mcp |= value
                    .windows(wanted.len())
                    .any(|part| part.eq_ignore_ascii_case(wanted));
            }
            b"mcp-session-id" => self.mcp_field(value, |head| &mut head.session_id),
            b"mcp-protocol-version" => self.mcp_field(value, |head| &mut head.protocol_version),
            b"mcp-method" => self.mcp_field(value, |head| &mut head.mcp_method),
            b"mcp-name" => self.mcp_field(value, |head| &mut head.mcp_name),
            name if name.starts_with(b"mcp-") => self.mcp = true,
            b"authorization" => self.kept.credential = Some(Secret::new(cut(value, MAX_SECRET))),
            b"x-api-key" if self.kept.credential.is_none() => {
                let key = cut(value, MAX_SECRET);
                self.kept.credential = Some(Secret::new(format!("ApiKey {key}")));
            }
            b"traceparent" => self.kept.traceparent = Some(text(value)),
            b"www-authenticate" => self.kept.challenge = Some(text(value)),
            b"user-agent" => self.kept.user_agent = Some(text(value)),
            _ => {}
        }
    }

    fn mcp_field(&mut self, value: &[u8], field: fn(&mut HttpHead) -> &mut Option<String>) {
        self.mcp = true;
        *field(&mut self.kept) = Some(text(value));
    }

    fn length(&mut self, value: &[u8]) {
        // Proxies may have joined equal lengths into one list.
        for part in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            let digits = !part.is_empty() && part.iter().all(u8::is_ascii_digit);
            let number = std::str::from_utf8(part)
                .ok()
                .and_then(|part| part.parse().ok());
            match number.filter(|_| digits) {
                Some(number) if self.content_length.is_none_or(|known| known == number) => {
                    self.content_length = Some(number);
                }
                _ => self.bad_length = true,
            }
        }
    }
}

impl Media {
    fn of(kind: &str) -> Self {
        match kind {
            "text/event-stream" => Self::EventStream,
            "application/json"
            | "text/json"
            | "application/json-rpc"
            | "application/jsonrequest"
            | "application/x-ndjson"
            | "application/jsonl" => Self::Json,
            kind if kind.ends_with("+json") => Self::Json,
            "text/plain" | "application/x-www-form-urlencoded" | "application/octet-stream" => {
                Self::Text
            }
            "" => Self::Absent,
            _ => Self::Other,
        }
    }
}

fn encoding(name: &[u8]) -> Encoding {
    match text(name).to_ascii_lowercase().as_str() {
        "" | "identity" => Encoding::Identity,
        "gzip" | "x-gzip" => Encoding::Gzip,
        "deflate" => Encoding::Deflate,
        "br" => Encoding::Brotli,
        "zstd" => Encoding::Zstd,
        _ => Encoding::Unknown,
    }
}

fn text(value: &[u8]) -> String {
    cut(value, MAX_VALUE)
}

fn target_of(value: &[u8]) -> String {
    cut(value, MAX_TARGET)
}

fn cut(value: &[u8], limit: usize) -> String {
    let mut text = String::from_utf8_lossy(value.get(..limit).unwrap_or(value)).into_owned();
    // Bytes that are no UTF-8 grow when they are replaced.
    text.truncate(text.floor_char_boundary(limit));
    text
}

/// Bytes that a head holds.
pub(super) fn size_of(head: &HttpHead) -> usize {
    let values = [
        &head.host,
        &head.content_type,
        &head.session_id,
        &head.protocol_version,
        &head.mcp_method,
        &head.mcp_name,
        &head.traceparent,
        &head.user_agent,
        &head.challenge,
    ];
    let values: usize = values.into_iter().flatten().map(String::len).sum();
    let credential = head
        .credential
        .as_ref()
        .map_or(0, |secret| secret.expose().len());
    head.method.len() + head.target.len() + credential + values
}
