//! Writes a body again without what must not be kept.
//!
//! Keys, order and nesting stay. A value that belongs to a class, or holds something that does
//! (inside JSON, base64 or a query too), is replaced whole: what is left of a text around a secret
//! is a guess that is not made. What cannot be read or scanned to its end is not given at all.

use std::collections::HashMap;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{
    class::{ClassId, Level},
    classifier::Classifier,
    flat::NONE,
    policy::{Action, PathStep, Policy},
    walk::{Event, Walker, unescape_into},
};

/// Redacts bodies and texts under one key.
///
/// A fingerprint is the first 16 hex digits of HMAC-SHA256 over the value's bytes (of a string:
/// unescaped) under the key. Two fingerprints say "same value" or "not the same" only if made
/// under one key, so keep [`key_id`](Self::key_id) beside them and compare only where it is equal;
/// across a change of keys nothing can be compared, which is what the change is for.
#[derive(Clone)]
pub struct Redactor {
    /// Keyed already, to be cloned for each value.
    keyed: Option<Hmac<Sha256>>,
    policy: Policy,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Redactor")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl Redactor {
    /// Redacts under `key`, which is to be secret and to be changed from time to time.
    pub fn new(key: [u8; 32], policy: Policy) -> Self {
        Self {
            keyed: Hmac::new_from_slice(&key).ok(),
            policy,
        }
    }

    /// Names the key: 8 hex digits that do not tell it.
    pub fn key_id(&self) -> String {
        let mut id = self.fingerprint(b"mcp-auditor redaction key id");
        id.truncate(8);
        id
    }

    /// `body` redacted, or `None` if it is no JSON or too much to scan; then it must be dropped.
    pub fn redact(&self, body: &[u8], classifier: &Classifier) -> Option<Vec<u8>> {
        let (flat, hits) = classifier.search(body, true)?;
        // What each event of the body is classified as; the most sensitive class names it.
        let mut verdicts: HashMap<u32, ClassId> = HashMap::new();
        let level = |id: ClassId| classifier.class(id).map(|class| class.level);
        for hit in &hits.list {
            let leaf = flat.leaves.get(hit.leaf)?;
            let event = if hit.in_key {
                leaf.key_owner
            } else {
                leaf.owner
            };
            if event == NONE {
                return None;
            }
            let known = verdicts.entry(event).or_insert(hit.class);
            if level(hit.class) > level(*known) {
                *known = hit.class;
            }
        }
        drop((flat, hits));
        let mut writer = Writer {
            redactor: self,
            classifier,
            out: Vec::with_capacity(body.len()),
            open: Vec::new(),
            path: Vec::new(),
            held: None,
        };
        for (ordinal, event) in (0_u32..).zip(Walker::new(body)) {
            writer.event(event.ok()?, verdicts.get(&ordinal).copied())?;
        }
        Some(writer.out)
    }

    /// `text` with what belongs to a class replaced by `[class:fingerprint]`; all of it is
    /// replaced if it is too much to scan.
    pub fn redact_text(&self, text: &str, classifier: &Classifier) -> String {
        self.redact_from(Level::Internal, text, classifier)
    }

    /// The same of a name of a thing or a program, which is worth nothing without the hosts in it: what is internal, such as
    /// IP addresses, stays.
    pub fn redact_name(&self, text: &str, classifier: &Classifier) -> String {
        self.redact_from(Level::Confidential, text, classifier)
    }

    /// Replaces what belongs to classes of this level and above.
    fn redact_from(&self, level: Level, text: &str, classifier: &Classifier) -> String {
        let Some((flat, hits)) = classifier.search(text.as_bytes(), false) else {
            return format!("[unscanned:{}]", text.len());
        };
        let mut spans: Vec<(usize, usize, ClassId)> = Vec::with_capacity(hits.list.len());
        for hit in &hits.list {
            let Some(leaf) = flat.leaves.get(hit.leaf) else {
                continue;
            };
            let (start, end) = match leaf.source {
                Some(source) => (source.start as usize, source.end as usize),
                None => (hit.span.start, hit.span.end.min(text.len())),
            };
            let class = classifier.class(hit.class);
            if class.is_some_and(|class| class.level < level) {
                continue;
            }
            let is_secret = class.is_some_and(|class| class.name.starts_with("secret."));
            let (start, end) = if is_secret {
                widen(text.as_bytes(), start, end)
            } else {
                (start, end)
            };
            spans.push((floor(text, start), ceiling(text, end), hit.class));
        }
        spans.sort_by_key(|(start, end, _)| (*start, std::cmp::Reverse(*end)));
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        let mut spans = spans.into_iter().peekable();
        while let Some((start, mut end, class)) = spans.next() {
            while let Some((_, further, _)) = spans.next_if(|(next, _, _)| *next < end) {
                end = end.max(further);
            }
            let name = classifier
                .class(class)
                .map_or("unknown", |class| &class.name);
            let value = text.get(start..end).unwrap_or_default();
            out.push_str(text.get(at..start).unwrap_or_default());
            out.push_str(&format!("[{name}:{}]", self.fingerprint(value.as_bytes())));
            at = end;
        }
        out.push_str(text.get(at..).unwrap_or_default());
        out
    }

    fn fingerprint(&self, value: &[u8]) -> String {
        let Some(mut mac) = self.keyed.clone() else {
            return String::new();
        };
        mac.update(value);
        let mut text = hex::encode(mac.finalize().into_bytes());
        text.truncate(16);
        text
    }
}

/// A secret goes on as far as the word does: a rule may end before it.
fn widen(text: &[u8], start: usize, end: usize) -> (usize, usize) {
    let before = text.get(..start).unwrap_or_default();
    let back = before
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+'))
        .count();
    let after = text.get(end..).unwrap_or_default();
    let ahead = after
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || b"_-+/=.~%".contains(byte))
        .count();
    (start - back, end + ahead)
}

fn floor(text: &str, mut at: usize) -> usize {
    while at > 0 && !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn ceiling(text: &str, mut at: usize) -> usize {
    while at < text.len() && !text.is_char_boundary(at) {
        at += 1;
    }
    at.min(text.len())
}

/// An open container of the output.
struct Open {
    is_object: bool,
    /// Elements read, dropped ones too.
    read: u32,
    is_empty: bool,
}

struct Writer<'r> {
    redactor: &'r Redactor,
    classifier: &'r Classifier,
    out: Vec<u8>,
    open: Vec<Open>,
    path: Vec<PathStep>,
    /// A member's key as it will be written, and the event that is its own.
    held: Option<(String, Vec<u8>)>,
}

impl Writer<'_> {
    /// Writes what stands for `event`; `None` if the output would be no JSON.
    fn event(&mut self, event: Event<'_>, class: Option<ClassId>) -> Option<()> {
        match event {
            Event::Key(raw) => {
                let mut key = Vec::new();
                unescape_into(raw, &mut key);
                let shown = match class.and_then(|id| self.classifier.class(id)) {
                    Some(class) => format!("[{}:{}]", class.name, self.redactor.fingerprint(&key)),
                    None => String::from_utf8_lossy(&key).into_owned(),
                };
                self.held = Some((shown, key));
            }
            Event::ObjectStart | Event::ArrayStart => {
                self.begin()?;
                let is_object = event == Event::ObjectStart;
                self.out.push(if is_object { b'{' } else { b'[' });
                self.open.push(Open {
                    is_object,
                    read: 0,
                    is_empty: true,
                });
            }
            Event::ObjectEnd | Event::ArrayEnd => {
                let open = self.open.pop()?;
                self.out.push(if open.is_object { b'}' } else { b']' });
                self.path.pop();
            }
            Event::Text(raw) => {
                let mut value = Vec::new();
                unescape_into(raw, &mut value);
                self.leaf(&value, "string", class)?;
            }
            Event::Scalar(raw) => self.leaf(raw, scalar(raw), class)?,
        }
        Some(())
    }

    /// Writes a comma and key as needed, and steps into the value.
    fn begin(&mut self) -> Option<()> {
        let Some(open) = self.open.last_mut() else {
            return Some(());
        };
        if !std::mem::take(&mut open.is_empty) {
            self.out.push(b',');
        }
        if open.is_object {
            let (shown, key) = self.held.take()?;
            serde_json::to_writer(&mut self.out, &shown).ok()?;
            self.out.push(b':');
            self.path.push(PathStep::Key(key));
        } else {
            self.path.push(PathStep::Index(open.read));
            open.read += 1;
        }
        Some(())
    }

    fn action(&mut self) -> Action {
        let step = match (self.open.last(), &self.held) {
            (Some(open), None) => Some(PathStep::Index(open.read)),
            (Some(_), Some((_, key))) => Some(PathStep::Key(key.clone())),
            (None, _) => None,
        };
        let has_step = step.is_some();
        self.path.extend(step);
        let action = self.redactor.policy.action(&self.path);
        if has_step {
            self.path.pop();
        }
        action
    }

    fn leaf(&mut self, value: &[u8], kind: &str, class: Option<ClassId>) -> Option<()> {
        let action = if class.is_some() {
            Action::Hash
        } else {
            self.action()
        };
        if action == Action::Drop {
            match self.open.last() {
                Some(open) if open.is_object => {
                    self.held = None;
                    return Some(());
                }
                _ => {
                    self.begin()?;
                    self.out.extend_from_slice(b"null");
                }
            }
        } else {
            self.begin()?;
            self.write(value, kind, action, class)?;
        }
        if !self.open.is_empty() {
            self.path.pop();
        }
        Some(())
    }

    fn write(
        &mut self,
        value: &[u8],
        kind: &str,
        action: Action,
        class: Option<ClassId>,
    ) -> Option<()> {
        let written = if let Some(class) = class.and_then(|id| self.classifier.class(id)) {
            serde_json::json!({"class": &*class.name, "len": value.len(), "fp": self.redactor.fingerprint(value)})
        } else {
            match (action, kind) {
                (_, "null") => serde_json::Value::Null,
                (Action::Keep, "string") => String::from_utf8_lossy(value).into(),
                // The number as written: its digits may be more than a number type holds.
                (Action::Keep, "number" | "boolean") => {
                    self.out.extend_from_slice(value);
                    return Some(());
                }
                (Action::Hash, "string") => {
                    serde_json::json!({"type": kind, "len": value.len(), "fp": self.redactor.fingerprint(value)})
                }
                (Action::Hash, "number") => {
                    serde_json::json!({"type": kind, "fp": self.redactor.fingerprint(value)})
                }
                (_, "string") => serde_json::json!({"type": kind, "len": value.len()}),
                _ => serde_json::json!({"type": kind}),
            }
        };
        serde_json::to_writer(&mut self.out, &written).ok()
    }
}

/// The type of what was written without quotes; `other` is no JSON though some write it.
fn scalar(raw: &[u8]) -> &'static str {
    match raw {
        b"null" => "null",
        b"true" | b"false" => "boolean",
        _ if is_number(raw) => "number",
        _ => "other",
    }
}

fn is_number(raw: &[u8]) -> bool {
    let is_digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    let raw = raw.strip_prefix(b"-").unwrap_or(raw);
    let mut parts = raw.splitn(2, |byte| matches!(byte, b'e' | b'E'));
    let mantissa = parts.next().unwrap_or_default();
    let is_power = parts.next().is_none_or(|power| {
        is_digits(
            power
                .strip_prefix(b"+")
                .or(power.strip_prefix(b"-"))
                .unwrap_or(power),
        )
    });
    let mut parts = mantissa.splitn(2, |byte| *byte == b'.');
    let whole = parts.next().unwrap_or_default();
    let is_whole = is_digits(whole) && (whole.len() == 1 || whole.first() != Some(&b'0'));
    is_power && is_whole && parts.next().is_none_or(is_digits)
}

#[cfg(test)]
mod tests;
