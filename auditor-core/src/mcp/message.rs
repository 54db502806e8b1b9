//! Reads one JSON-RPC message: what it is, and the facts an interaction keeps of it.
//!
//! Content is walked, not built: of `params` and `result` only names, counts and the few fields
//! below are kept, each cut to a stated length. Where a key occurs twice the last one counts, as
//! it does for most receivers. Of a truncated message it gives what the prefix holds.

use std::{borrow::Cow, hash::BuildHasher, sync::Arc};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{
    interaction::{Failure, Outcome, Part, Peer},
    json::Value,
    method::{self, Method, Proof, Sender, Target},
};
use crate::{
    audit::Seen,
    wire::{Framing, HttpHead, HttpPart, Message},
};

const METHOD_BYTES: usize = 256;
const ID_BYTES: usize = 256;
const TARGET_BYTES: usize = 2048;
const ERROR_BYTES: usize = 1024;
const PEER_BYTES: usize = 256;
const VERSION_BYTES: usize = 64;
const KEYS: usize = 64;
const KEY_BYTES: usize = 128;

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
    /// For `notifications/cancelled`: the key of the request it names.
    pub(super) cancels: Option<Box<str>>,
    /// Hash of `requestState`, which ties the messages of a round trip together.
    pub(super) state: Option<u64>,
    /// Whether `params` answers an earlier `input_required`.
    pub(super) resumes: bool,
}

impl Parsed {
    /// Whether this is an error that names no request.
    pub(super) fn is_anonymous_error(&self) -> bool {
        matches!(self.outcome, Outcome::Failure(Failure::Error { .. }))
            && self.id.as_ref().is_none_or(|id| id.text == "null")
    }
}

/// Reads a message that is not a batch. `None` if it is not JSON-RPC 2.0.
pub(super) fn single(message: &Message, seen: Seen, bodies: bool) -> Option<Parsed> {
    let (value, _) = Value::first(&message.body)?;
    let part = part(message, seen, bodies);
    read(value, part, message.is_truncated())
}

/// Reads the messages of a batch, at most `limit`. Elements that are not JSON-RPC are left out.
///
/// The second value is the number of bytes beyond the limit.
pub(super) fn batch(
    message: &Message,
    seen: Seen,
    bodies: bool,
    limit: usize,
) -> (Vec<Parsed>, u64) {
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
        let mut part = part(message, seen, false);
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

fn part(message: &Message, seen: Seen, bodies: bool) -> Part {
    let http = match &message.framing {
        Framing::Line => None,
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
        writer: seen.writer,
        reader: seen.reader,
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

impl Parsed {
    fn request(&mut self, name: Cow<'_, str>, params: Option<Value<'_>>, cut: bool) {
        let known = method::find(&name);
        let notifies = method::is_notification(&name);
        self.shape = match &self.id {
            // Some serialisers write `"id":null` into notifications.
            Some(id) if !(notifies && id.text == "null") => Shape::Request,
            // In a prefix the id may lie beyond the cut: the method decides.
            None if cut && !notifies && known.is_some() => Shape::Request,
            _ => Shape::Notification,
        };
        self.known = known;
        self.method = Some(shorten(name, METHOD_BYTES));
        let mut version = None;
        if let Some(members) = params.and_then(Value::members) {
            let (mut arguments, mut reference, mut target) = (None, None, None);
            let wanted: &[u8] = match known.map_or(Target::None, |known| known.target) {
                Target::Name => b"name",
                Target::Uri => b"uri",
                Target::Task => b"taskId",
                Target::Level => b"level",
                Target::Reference | Target::None => b"",
            };
            let mut keys = Vec::new();
            for (key, value) in members {
                match &*key {
                    b"_meta" => {
                        self.meta(value);
                        continue;
                    }
                    b"arguments" => arguments = Some(value),
                    b"ref" => reference = Some(value),
                    b"requestId" => self.cancels = Some(id(value).key),
                    b"requestState" => self.state = Some(hash(value.text)),
                    b"inputResponses" => self.resumes = true,
                    b"protocolVersion" => version = value.string(),
                    b"clientInfo" => self.claims().client_info = peer(value),
                    _ => {}
                }
                if !wanted.is_empty() && *key == *wanted {
                    target = value.string();
                }
                note_key(&mut keys, &key);
            }
            match known.map_or(Target::None, |known| known.target) {
                Target::Reference => target = reference.and_then(reference_target),
                Target::Name => keys.clear(),
                _ => {}
            }
            if let Some(arguments) = arguments.and_then(Value::members) {
                keys.clear();
                arguments.for_each(|(key, _)| note_key(&mut keys, &key));
            }
            keys.sort_unstable();
            keys.dedup();
            self.part.keys = keys;
            self.target = target.map(|target| shorten(target, TARGET_BYTES));
        }
        if self.target.is_none() && self.part.truncated {
            let name = self
                .part
                .http
                .as_ref()
                .and_then(|head| head.mcp_name.clone());
            self.target = name.map(|name| shorten(Cow::Owned(name), TARGET_BYTES));
        }
        let Some(known) = known else { return };
        if known.name != "notifications/cancelled" {
            self.cancels = None;
        }
        let proven = match known.proof {
            Proof::Strong => true,
            Proof::Weak => false,
            Proof::Initialize => version.as_deref().is_some_and(is_revision),
        };
        if known.proof == Proof::Initialize && proven {
            self.claims().protocol_version = version.map(|v| shorten(v, VERSION_BYTES));
        }
        self.strong |= proven;
        if known.sender != Sender::Either {
            self.sender = Some(known.sender);
        }
    }

    fn response(&mut self, result: Option<Value<'_>>, error: Option<Value<'_>>) {
        self.shape = Shape::Response;
        // Some servers write both with one of them null.
        if let Some(error) = error.filter(|error| !error.is_null() || result.is_none()) {
            self.outcome = Outcome::Failure(failure(error));
            return;
        }
        self.outcome = Outcome::Success;
        let Some(members) = result.and_then(Value::members) else {
            return;
        };
        let (mut version, mut server, mut supported) = (None, None, false);
        let mut keys = Vec::new();
        for (key, value) in members {
            match &*key {
                b"_meta" => {
                    self.meta(value);
                    continue;
                }
                b"isError" if value.is_true() => self.outcome = Outcome::Failure(Failure::Tool),
                b"resultType" if value.text == b"\"input_required\"" => {
                    self.outcome = Outcome::InputRequired;
                }
                b"requestState" => self.state = Some(hash(value.text)),
                b"protocolVersion" => version = value.string(),
                b"serverInfo" => server = peer(value),
                b"supportedVersions" => supported = value.text.first() == Some(&b'['),
                b"content" | b"contents" | b"messages" | b"prompts" | b"resourceTemplates"
                | b"resources" | b"roots" | b"tasks" | b"tools" => {
                    if let Some(elements) = value.elements() {
                        self.part.items = Some(elements.count() as u64);
                    }
                }
                b"completion" => self.part.items = completion_values(value),
                _ => {}
            }
            note_key(&mut keys, &key);
        }
        let has = |name: &str| keys.iter().any(|key| key == name);
        if has("capabilities") {
            if let Some(version) = version.filter(|version| is_revision(version)) {
                self.strong = true;
                self.sender = Some(Sender::Server);
                let claims = self.claims();
                claims.protocol_version = Some(shorten(version, VERSION_BYTES));
                claims.server_info = server;
            } else if supported {
                self.strong = true;
                self.sender = Some(Sender::Server);
                if server.is_some() {
                    self.claims().server_info = server;
                }
            }
        }
        keys.sort_unstable();
        keys.dedup();
        self.part.keys = keys;
    }

    /// Reads `_meta` of `params` or of `result`.
    fn meta(&mut self, meta: Value<'_>) {
        for (key, value) in meta.members().into_iter().flatten() {
            if &*key == b"traceparent" {
                self.traceparent = value.string().map(|text| shorten(text, VERSION_BYTES));
            }
            let Some(name) = key.strip_prefix(b"io.modelcontextprotocol/") else {
                continue;
            };
            self.strong = true;
            match name {
                b"protocolVersion" => {
                    self.sender = Some(Sender::Client);
                    self.claims().protocol_version = value
                        .string()
                        .map(|version| shorten(version, VERSION_BYTES));
                }
                b"clientInfo" => {
                    self.sender = Some(Sender::Client);
                    self.claims().client_info = peer(value);
                }
                b"clientCapabilities" => self.sender = Some(Sender::Client),
                b"serverInfo" => {
                    self.sender = Some(Sender::Server);
                    self.claims().server_info = peer(value);
                }
                b"subscriptionId" => self.sender = Some(Sender::Server),
                _ => {}
            }
        }
    }

    fn claims(&mut self) -> &mut Claims {
        self.claims.get_or_insert_with(Box::default)
    }
}

fn completion_values(value: Value<'_>) -> Option<u64> {
    let (_, values) = value.members()?.find(|(key, _)| &**key == b"values")?;
    Some(values.elements()?.count() as u64)
}

fn reference_target(reference: Value<'_>) -> Option<Cow<'_, str>> {
    let mut found = None;
    for (key, value) in reference.members()? {
        if matches!(&*key, b"name" | b"uri") {
            found = value.string();
        }
    }
    found
}

fn failure(error: Value<'_>) -> Failure {
    let (mut code, mut message) = (0, String::new());
    for (key, value) in error.members().into_iter().flatten() {
        match &*key {
            b"code" => code = value.integer().unwrap_or(0),
            b"message" => message = shorten(value.string().unwrap_or_default(), ERROR_BYTES),
            _ => {}
        }
    }
    Failure::Error { code, message }
}

fn peer(value: Value<'_>) -> Option<Peer> {
    let mut peer = Peer::default();
    for (key, value) in value.members()? {
        let field = match &*key {
            b"name" => &mut peer.name,
            b"version" => &mut peer.version,
            _ => continue,
        };
        *field = shorten(value.string().unwrap_or_default(), PEER_BYTES);
    }
    Some(peer)
}

/// Reads an id. Equal strings in different escapes, and 1 and 1.0, get the same key.
fn id(value: Value<'_>) -> Id {
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
    let mark: String = digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let text = shorten(text, ID_BYTES) + "…" + &mark;
    Id {
        key: text.clone().into_boxed_str(),
        text,
    }
}

fn note_key(keys: &mut Vec<String>, key: &[u8]) {
    if keys.len() < KEYS {
        keys.push(shorten(String::from_utf8_lossy(key), KEY_BYTES));
    }
}

/// Whether this looks like a revision of MCP: `2025-11-25`.
fn is_revision(version: &str) -> bool {
    version.len() == 10
        && version.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// Cuts a text to at most `limit` bytes, at the border of a character.
fn shorten(text: Cow<'_, str>, limit: usize) -> String {
    if text.len() <= limit {
        return text.into_owned();
    }
    let end = (0..=limit)
        .rev()
        .find(|&end| text.is_char_boundary(end))
        .unwrap_or(0);
    text.get(..end).unwrap_or_default().to_owned()
}

/// A keyed hash, so that no sender can make two values collide.
fn hash(bytes: &[u8]) -> u64 {
    static STATE: std::sync::OnceLock<std::hash::RandomState> = std::sync::OnceLock::new();
    STATE
        .get_or_init(std::hash::RandomState::new)
        .hash_one(bytes)
}

/// Whether an HTTP head is one that only MCP has.
pub(super) fn is_mcp_head(head: Option<&Arc<HttpHead>>) -> bool {
    head.is_some_and(|head| {
        head.session_id.is_some() || head.protocol_version.is_some() || head.mcp_method.is_some()
    })
}
