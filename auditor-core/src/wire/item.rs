//! What this stage hands on: messages, ends of HTTP exchanges, gaps. Types only.

use std::{fmt, ops::Range, sync::Arc};

use bytes::Bytes;

use crate::{
    key::{ChannelId, Side, Time},
    stream::{EndCause, GapCause},
};

/// What framing finds in a channel.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A whole JSON value that may be a JSON-RPC message or a batch.
    Message(Message),
    /// An HTTP exchange is over (after its messages).
    ExchangeEnd(ExchangeEnd),
    /// Bytes were lost inside or between messages.
    Gap(Gap),
    /// One direction of the channel ended.
    End {
        /// The channel.
        channel: ChannelId,
        /// The sender whose direction ended.
        from: Side,
        /// Why.
        cause: EndCause,
        /// When.
        time: Time,
    },
    /// A stretch of a direction was looked at and holds nothing of interest.
    ///
    /// Sent at most once per 64 KiB; the kernel side may stop copying such a stream.
    Quiet {
        /// The channel.
        channel: ChannelId,
        /// The sender.
        from: Side,
        /// Bytes since the last message, or since the beginning.
        bytes: u64,
    },
}

/// One JSON value as it was framed on a channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The channel.
    pub channel: ChannelId,
    /// The sender.
    pub from: Side,
    /// Where its bytes (for HTTP: its body's) lie in the sender's stream.
    pub range: Range<u64>,
    /// When its first byte was seen.
    pub first: Time,
    /// When its last byte was seen.
    pub time: Time,
    /// Its text; cut at the cap when `size` is larger.
    pub body: Bytes,
    /// Its full size in bytes, content encodings undone.
    pub size: u64,
    /// SHA-256 over the full text, also beyond the cap.
    pub sha256: [u8; 32],
    /// How it was framed.
    pub framing: Framing,
}

impl Message {
    /// Whether `body` is only the beginning.
    pub fn is_truncated(&self) -> bool {
        self.size > self.body.len() as u64
    }
}

/// How a message was framed.
#[derive(Clone, Debug, PartialEq)]
pub enum Framing {
    /// A line, or a pretty-printed JSON value over several.
    Line,
    /// A WebSocket message, on a connection that began as HTTP.
    WebSocket,
    /// Part of an HTTP exchange.
    Http {
        /// The exchange, unique within its channel.
        exchange: ExchangeId,
        /// Which part of it.
        part: HttpPart,
        /// Head of the request; `None` when the exchange was joined after it.
        request: Option<Arc<HttpHead>>,
        /// Head of the response; `None` in a request, or when it was not seen.
        response: Option<Arc<HttpHead>>,
    },
}

/// Number of an HTTP exchange (a request and its response) within its channel.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ExchangeId(pub u64);

/// Which part of an HTTP exchange carried a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HttpPart {
    /// The request's body.
    Request,
    /// The response's body.
    Response,
    /// An event of a `text/event-stream` response, with its event type (default `message`).
    ///
    /// An event `endpoint` (legacy HTTP+SSE) is handed on too although its data is not JSON.
    Event(String),
}

/// What is kept of an HTTP head. Header values other than these are never stored.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HttpHead {
    /// 11 or 20.
    pub version: u8,
    /// Request method; empty in a response.
    pub method: String,
    /// Request target (path and query), `:path` in HTTP/2; at most 2 KiB.
    pub target: String,
    /// `Host` or `:authority`.
    pub host: Option<String>,
    /// Response status; 0 in a request.
    pub status: u16,
    /// Media type of `Content-Type`, lower case, without parameters.
    pub content_type: Option<String>,
    /// `Mcp-Session-Id`.
    pub session_id: Option<String>,
    /// `MCP-Protocol-Version`.
    pub protocol_version: Option<String>,
    /// `Mcp-Method`.
    pub mcp_method: Option<String>,
    /// `Mcp-Name`.
    pub mcp_name: Option<String>,
    /// `traceparent`.
    pub traceparent: Option<String>,
    /// `WWW-Authenticate`.
    pub challenge: Option<String>,
    /// `User-Agent`.
    pub user_agent: Option<String>,
    /// `Authorization`, or `X-API-Key` behind the word `ApiKey`; at most 8 KiB.
    pub credential: Option<Secret>,
    /// The content encoding that was undone.
    pub encoding: Encoding,
}

/// A secret that was seen. Never shown; nothing derived from it but keyed hashes and public claims may leave.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Takes a secret.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// HTTP content encodings.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Encoding {
    /// None.
    #[default]
    Identity,
    /// gzip (RFC 1952).
    Gzip,
    /// zlib or raw deflate (RFC 9110, section 8.4.1.2).
    Deflate,
    /// Brotli (RFC 7932).
    Brotli,
    /// Zstandard (RFC 8878).
    Zstd,
    /// One that is not understood: the body's messages cannot be heard.
    Unknown,
}

/// An HTTP exchange is complete or cut off.
#[derive(Clone, Debug, PartialEq)]
pub struct ExchangeEnd {
    /// The channel.
    pub channel: ChannelId,
    /// The side that sent the request.
    pub client: Side,
    /// The exchange.
    pub exchange: ExchangeId,
    /// Head of the request, if seen.
    pub request: Option<Arc<HttpHead>>,
    /// Head of the response, if seen.
    pub response: Option<Arc<HttpHead>>,
    /// Size of the response's body in bytes as transferred.
    pub response_bytes: u64,
    /// Whether the response came to its regular end.
    pub complete: bool,
    /// When.
    pub time: Time,
}

/// Bytes lost from a channel, after framing found its footing again.
#[derive(Clone, Debug, PartialEq)]
pub struct Gap {
    /// The channel.
    pub channel: ChannelId,
    /// The sender.
    pub from: Side,
    /// What was not captured, in the sender's stream.
    pub range: Range<u64>,
    /// Captured bytes around it that could not be used, for they belong to a broken message.
    pub discarded: u64,
    /// Why.
    pub cause: GapCause,
    /// When.
    pub time: Time,
}
