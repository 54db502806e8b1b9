//! The facts that are kept of a message's content: `params`, `result`, `error`, `_meta`.
//!
//! Walked once, never built; each fact is cut to a stated length.

use std::{borrow::Cow, hash::BuildHasher};

use auditor_json::Value;

use super::{
    interaction::{Failure, LostCause, Outcome, Peer},
    message::{Claims, Parsed, Shape, id},
    method::{self, Proof, Sender, Target},
};

const METHOD_BYTES: usize = 256;
const TARGET_BYTES: usize = 2048;
const ERROR_BYTES: usize = 1024;
const PEER_BYTES: usize = 256;
const VERSION_BYTES: usize = 64;
const KEYS: usize = 64;
const KEY_BYTES: usize = 128;
/// Values of arguments that are remembered, and the bytes a telling one has at least and at most.
const VALUES: usize = 8;
const VALUE_BYTES: std::ops::RangeInclusive<usize> = 6..=4096;

impl Parsed {
    pub(super) fn request(&mut self, name: Cow<'_, str>, params: Option<Value<'_>>, cut: bool) {
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
            let (mut cancels, mut is_late) = (None, false);
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
                    b"requestId" => cancels = Some(id(value).key),
                    b"reason" => is_late = value.string().is_some_and(|text| tells_of_time(&text)),
                    b"requestState" => {
                        self.state = value.string().map(|state| hash(state.as_bytes()))
                    }
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
                for (key, value) in arguments {
                    note_key(&mut keys, &key);
                    note_value(&mut self.values, value);
                }
            }
            if known.is_some_and(|known| known.name == "notifications/cancelled") {
                let cause = if is_late {
                    LostCause::TimedOut
                } else {
                    LostCause::Cancelled
                };
                self.cancels = cancels.map(|key| (key, cause));
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

    pub(super) fn response(&mut self, result: Option<Value<'_>>, error: Option<Value<'_>>) {
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
                b"requestState" => self.state = value.string().map(|state| hash(state.as_bytes())),
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

fn note_key(keys: &mut Vec<String>, key: &[u8]) {
    if keys.len() < KEYS {
        keys.push(shorten(String::from_utf8_lossy(key), KEY_BYTES));
    }
}

/// Notes the hash of a value that hardly occurs by chance: a text or a long number.
fn note_value(values: &mut Vec<u64>, value: Value<'_>) {
    let is_telling = value.whole && VALUE_BYTES.contains(&value.text.len());
    if values.len() == VALUES || !is_telling {
        return;
    }
    match value.text.first() {
        Some(b'"') => values.extend(value.string().map(|text| hash(text.as_bytes()))),
        Some(b'-' | b'0'..=b'9') => values.push(hash(value.text)),
        _ => {}
    }
}

/// Whether the reason of a cancellation says that the time was over: `Request timed out` of the TypeScript SDK, and the like.
fn tells_of_time(reason: &str) -> bool {
    let reason = shorten(Cow::Borrowed(reason), ERROR_BYTES).to_ascii_lowercase();
    ["timed out", "timeout", "deadline exceeded"]
        .iter()
        .any(|words| reason.contains(words))
}

/// Whether this looks like a revision of MCP: `2025-11-25`.
fn is_revision(version: &str) -> bool {
    version.len() == 10
        && version.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// What a text ends with that was cut: what is gone may be what tells that the rest is private.
pub(crate) const CUT: char = '…';

/// Cuts a text to at most `limit` bytes, at the border of a character.
pub(super) fn shorten(text: Cow<'_, str>, limit: usize) -> String {
    if text.len() <= limit {
        return text.into_owned();
    }
    let end = text.floor_char_boundary(limit.saturating_sub(CUT.len_utf8()));
    let mut kept = text.get(..end).unwrap_or_default().to_owned();
    kept.push(CUT);
    kept
}

/// A keyed hash, so that no sender can make two values collide.
fn hash(bytes: &[u8]) -> u64 {
    static STATE: std::sync::OnceLock<std::hash::RandomState> = std::sync::OnceLock::new();
    STATE
        .get_or_init(std::hash::RandomState::new)
        .hash_one(bytes)
}
