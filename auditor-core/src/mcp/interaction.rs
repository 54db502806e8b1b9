//! What this stage hands on: interactions. Types only.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use serde::Deserialize;

use crate::{
    key::{Actor, ChannelId, Side, Time},
    tls::Unheard,
    wire::{Gap, HttpHead},
};

/// One request with its answer, one notification, one stray answer, or one gap.
#[derive(Clone, Debug, PartialEq)]
pub struct Interaction {
    /// The same in the `Open` and the `Final` report of one interaction.
    pub id: InteractionId,
    /// What it is.
    pub kind: Kind,
    /// Whether more will come.
    pub stage: Stage,
    /// Who asked whom.
    pub direction: Direction,
    /// The session it belongs to.
    pub session: Arc<Session>,
    /// JSON-RPC method; `None` for stray answers and gaps.
    pub method: Option<String>,
    /// JSON-RPC id as JSON text, exactly as sent.
    pub rpc_id: Option<String>,
    /// Tool name, resource URI or prompt name that the method names.
    pub target: Option<String>,
    /// Protocol revision in force for this interaction.
    pub protocol_version: Option<String>,
    /// `traceparent` of `_meta`, else of the HTTP head.
    pub traceparent: Option<String>,
    /// Number of messages in the batch that carried the request.
    pub batch: Option<u32>,
    /// Number of messages so far in a chain of `input_required` round trips, this one included.
    pub round_trip: Option<u32>,
    /// The request or notification.
    pub request: Option<Part>,
    /// The answer.
    pub response: Option<Part>,
    /// The head of an HTTP answer that held no message: a refusal often does not.
    pub answer_head: Option<Arc<HttpHead>>,
    /// How it ended.
    pub outcome: Outcome,
    /// For [`Kind::Gap`]: what is missing.
    pub gap: Option<Gap>,
    /// For the gap that is a whole TLS connection: what is known of it.
    pub unheard: Option<Arc<Unheard>>,
}

/// Numbers interactions within one run of the daemon.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct InteractionId(pub u64);

/// Kinds of interactions.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// A JSON-RPC request, answered or not.
    Request,
    /// A JSON-RPC notification.
    Notification,
    /// A JSON-RPC response whose request was not seen.
    UnpairedResponse,
    /// Bytes of an MCP channel that were not captured.
    Gap,
}

/// Whether an interaction is over.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Stage {
    /// Unanswered for over a second; a final report with the same id follows.
    Open,
    /// Over.
    Final,
}

/// Who asked whom.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The MCP client asked.
    #[default]
    ClientToServer,
    /// The MCP server asked (sampling, elicitation, roots, notifications).
    ServerToClient,
}

/// What carries the session.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Transport {
    /// Lines over pipes, socketpairs or a pty.
    Stdio,
    /// Streamable HTTP.
    Http,
    /// Legacy HTTP+SSE (2024-11-05).
    Sse,
    /// Lines over a named Unix socket.
    Unix,
    /// Lines over TCP.
    Tcp,
    /// Messages over a WebSocket.
    WebSocket,
}

/// An MCP session, or the connection that stands for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// Number within one run of the daemon.
    pub id: u64,
    /// What carries it.
    pub transport: Transport,
    /// The side of the request's channel on which the MCP client is.
    pub client_side: Side,
    /// `Mcp-Session-Id`, or the legacy `sessionId`; secret, to be hashed before it goes anywhere.
    pub mcp_session_id: Option<String>,
    /// Protocol revision, once known.
    pub protocol_version: Option<String>,
    /// What the client calls itself. A claim, not an identity.
    pub client_info: Option<Peer>,
    /// What the server calls itself. A claim, not an identity.
    pub server_info: Option<Peer>,
}

/// `clientInfo` or `serverInfo`, cut to 256 bytes each.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Peer {
    /// `name`.
    pub name: String,
    /// `version`.
    pub version: String,
}

/// One of the messages of an interaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The channel that carried it.
    pub channel: ChannelId,
    /// The sender's side of that channel.
    pub from: Side,
    /// Where it lies in the sender's stream.
    pub range: Range<u64>,
    /// When its first byte was seen.
    pub first: Time,
    /// When its last byte was seen.
    pub time: Time,
    /// Size of the message in bytes (of its element, when it came in a batch).
    pub bytes: u64,
    /// SHA-256 of the message.
    pub sha256: [u8; 32],
    /// Keys of `params.arguments` (else of `params`), or of `result`; sorted, at most 64 of 128 bytes.
    pub keys: Vec<String>,
    /// Length of the list that `result` holds (content, tools, resources ...).
    pub items: Option<u64>,
    /// The message's text, cut at the cap; `None` unless bodies were asked for.
    pub body: Option<Bytes>,
    /// Whether the message was larger than the cap (`keys` and `items` may then be incomplete).
    pub truncated: bool,
    /// Who wrote it, when the write end was seen.
    pub writer: Option<Actor>,
    /// Who read it, when the read end was seen.
    pub reader: Option<Actor>,
    /// Head of the HTTP request or response that carried it.
    pub http: Option<Arc<HttpHead>>,
}

/// How an interaction ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Not over, or no answer is due (notifications, gaps).
    Pending,
    /// A result.
    Success,
    /// A result that asks for more input (2026-07-28 `input_required`).
    InputRequired,
    /// It failed.
    Failure(Failure),
}

/// Why an interaction failed.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// A JSON-RPC error. The message is content: it leaves only as a body does.
    Error {
        /// `error.code`.
        code: i64,
        /// `error.message`, cut to 1 KiB.
        message: String,
    },
    /// A result with `isError: true`.
    Tool,
    /// An HTTP status of 400 or more without a JSON-RPC answer.
    Http(u16),
    /// No answer came.
    Lost(LostCause),
}

/// Why no answer came.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum LostCause {
    /// The channel was closed.
    Closed,
    /// The connection was reset.
    Reset,
    /// One of the two processes ended.
    Exited,
    /// Whoever asked sent `notifications/cancelled`.
    Cancelled,
    /// The same, and gave as its reason that the time was over.
    TimedOut,
    /// The HTTP response ended without it.
    NoResponse,
    /// Part of the channel was not captured after the request; the answer may be there.
    Gap,
    /// The auditor stopped, or a bound was reached, while it was open.
    Abandoned,
}
