//! Reads one JSON-RPC 2.0 message, or a batch of them: its shape, its id, its part of the event.
//!
//! What is kept of `params` and `result` is in [`super::content`]. Where a key occurs twice the
//! last one counts, as it does for most receivers. Of a truncated message it gives what the prefix
//! holds, and never guesses the rest.

use std::{borrow::Cow, sync::Arc};

use auditor_json::Value;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{
    content::shorten,
    interaction::{Failure, LostCause, Outcome, Part, Peer},
    method::{Method, Sender},
};
use crate::wire::{Framing, HttpHead, HttpPart, Message};

const ID_BYTES: usize = 256;

/// The three shapes of JSON-RPC messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Shape {
    Request,
    Notification,
    Response,
}

/// The id of a request or response.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Id {
    /// As it was sent; a text beyond 256 bytes is cut and marked with a hash.
    pub(super) text: String,
    /// The same for all texts of equal value.
    pub(super) key: Box<str>,
}

/// What a message says about the session it is in.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Claims {
    pub(super) protocol_version: Option<String>,
    pub(super) client_info: Option<Peer>,
    pub(super) server_info: Option<Peer>,
}

/// One JSON-RPC message, read.
#[derive(Clone, Debug)]
pub(super) struct Parsed {
    pub(super) shape: Shape,
    pub(super) id: Option<Id>,
    pub(super) method: Option<String>,
    pub(super) known: Option<&'static Method>,
    pub(super) target: Option<String>,
    pub(super) outcome: Outcome,
    pub(super) part: Part,
    pub(super) traceparent: Option<String>,
    pub(super) batch: Option<u32>,
    /// Whether only MCP sends such a message.
    pub(super) strong: bool,
    /// The role that sends such a message, where only one does.
    pub(super) sender: Option<Sender>,
    pub(super) claims: Option<Box<Claims>>,
    /// For `notifications/cancelled`: the key of the request it names, and why.
    pub(super) cancels: Option<(Box<str>, LostCause)>,
    /// Hash of `requestState`, which ties the messages of a round trip together.
    pub(super) state: Option<u64>,
    /// Whether `params` answers an earlier `input_required`.
    pub(super) resumes: bool,
    /// Keyed hashes of telling values among the arguments.
    pub(super) values: Vec<u64>,
}

impl Parsed {
    /// Whether this is an error that names no request.
    pub(super) fn is_anonymous_error(&self) -> bool {
        matches!(self.outcome, Outcome::Failure(Failure::Error { .. }))
            && self.id.as_ref().is_none_or(|id| id.text == "null")
    }
}

/// Reads a message that is not a batch. `None` if it is not JSON-RPC 2.0.
pub(super) fn single(message: &Message, bodies: bool) -> Option<Parsed> {
    let (value, _) = Value::first(&message.body)?;
    let part = part(message, bodies);
    read(value, part, message.is_truncated())
}

/// Reads the messages of a batch, at most `limit`. Elements that are not JSON-RPC are left out.
///
/// The second value is the number of bytes beyond the limit.
pub(super) fn batch(message: &Message, bodies: bool, limit: usize) -> (Vec<Parsed>, u64) {
    let Some(elements) = Value::first(&message.body).and_then(|(value, _)| value.elements()) else {
        return (Vec::new(), 0);
    };
    let size = u32::try_from(elements.clone().count()).unwrap_or(u32::MAX);
    let (mut parsed, mut rest) = (Vec::new(), 0);
    for element in elements {
        if parsed.len() == limit {
            rest += element.text.len() as u64;
            continue;
        }
        let mut part = part(message, false);
        part.bytes = element.text.len() as u64;
        part.sha256 = Sha256::digest(element.text).into();
        part.body = bodies.then(|| message.body.slice_ref(element.text));
        if let Some(mut one) = read(element, part, !element.whole) {
            one.batch = Some(size);
            parsed.push(one);
        }
    }
    (parsed, rest)
}

/// Whether the body is a batch.
pub(super) fn is_batch(body: &Bytes) -> bool {
    body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[')
}

fn part(message: &Message, bodies: bool) -> Part {
    let http = match &message.framing {
        Framing::Line | Framing::WebSocket => None,
        Framing::Http {
            part: HttpPart::Request,
            request,
            ..
        } => request.clone(),
        Framing::Http { response, .. } => response.clone(),
    };
    Part {
        channel: message.channel,
        from: message.from,
        range: message.range.clone(),
        first: message.first,
        time: message.time,
        bytes: message.size,
        sha256: message.sha256,
        keys: Vec::new(),
        items: None,
        body: bodies.then(|| message.body.clone()),
        truncated: message.is_truncated(),
        writer: None,
        reader: None,
        http,
    }
}

/// The members of the envelope.
#[derive(Default)]
struct Envelope<'a> {
    version: Option<Value<'a>>,
    id: Option<Value<'a>>,
    method: Option<Value<'a>>,
    params: Option<Value<'a>>,
    result: Option<Value<'a>>,
    error: Option<Value<'a>>,
}

fn read(value: Value<'_>, part: Part, cut: bool) -> Option<Parsed> {
    let mut envelope = Envelope::default();
    for (key, value) in value.members()? {
        match &*key {
            b"jsonrpc" => envelope.version = Some(value),
            b"id" => envelope.id = Some(value),
            b"method" => envelope.method = Some(value),
            b"params" => envelope.params = Some(value),
            b"result" => envelope.result = Some(value),
            b"error" => envelope.error = Some(value),
            _ => {}
        }
    }
    if !(cut || value.whole) {
        return None;
    }
    match envelope.version {
        Some(version) => (version.text == b"\"2.0\"").then_some(())?,
        // The version may lie beyond the cut.
        None => cut.then_some(())?,
    }
    let mut parsed = Parsed {
        shape: Shape::Notification,
        id: envelope.id.filter(|id| id.whole).map(id),
        method: None,
        known: None,
        target: None,
        outcome: Outcome::Pending,
        traceparent: part.http.as_ref().and_then(|head| head.traceparent.clone()),
        part,
        batch: None,
        strong: false,
        sender: None,
        claims: None,
        cancels: None,
        state: None,
        resumes: false,
        values: Vec::new(),
    };
    if let Some(name) = envelope.method {
        parsed.request(name.string()?, envelope.params, cut);
    } else if envelope.result.is_some() || envelope.error.is_some() {
        parsed.response(envelope.result, envelope.error);
    } else {
        // A prefix without a method: only an HTTP head may tell what it is.
        let head = parsed.part.http.clone().filter(|_| cut)?;
        let name = head.mcp_method.clone()?;
        parsed.request(Cow::Owned(name), envelope.params, cut);
    }
    Some(parsed)
}

/// Reads an id. Equal strings in different escapes, and 1 and 1.0, get the same key.
pub(super) fn id(value: Value<'_>) -> Id {
    let text = String::from_utf8_lossy(value.text);
    let key = match value.text.first() {
        Some(b'"') if value.text.contains(&b'\\') => {
            format!("\"{}\"", value.string().unwrap_or_default()).into_boxed_str()
        }
        Some(b'"') => Box::from(&*text),
        _ if value
            .text
            .iter()
            .any(|byte| matches!(byte, b'.' | b'e' | b'E')) =>
        {
            match value
                .integer()
                .filter(|number| text.parse::<f64>() == Ok(*number as f64))
            {
                Some(number) => number.to_string().into_boxed_str(),
                None => Box::from(&*text),
            }
        }
        _ => Box::from(&*text),
    };
    if text.len() <= ID_BYTES {
        return Id {
            text: text.into_owned(),
            key,
        };
    }
    let digest = Sha256::digest(key.as_bytes());
    let mut mark = hex::encode(digest);
    mark.truncate(16);
    let text = shorten(text, ID_BYTES) + "…" + &mark;
    Id {
        key: text.clone().into_boxed_str(),
        text,
    }
}

/// Whether an HTTP head is one that only MCP has.
pub(super) fn is_mcp_head(head: Option<&Arc<HttpHead>>) -> bool {
    head.is_some_and(|head| {
        head.session_id.is_some() || head.protocol_version.is_some() || head.mcp_method.is_some()
    })
}
