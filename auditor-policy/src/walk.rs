//! The one walk over the attributes of a question, and who goes along: what writes them as JSON, and as a key.
//!
//! Knows no attribute by name. Bounds are those of the question.

use std::{borrow::Cow, collections::BTreeSet};

use auditor_core::audit::decision::Question;

use crate::{actions::Actions, request::Prepared};

/// Takes attributes, always the same in the same order.
pub(crate) trait Walk {
    /// A record begins.
    fn enter(&mut self, name: &'static str);
    /// It ends.
    fn leave(&mut self);
    /// A text; absent where it is `None`, as with the others.
    fn text(&mut self, name: &'static str, value: Option<&str>);
    /// A number.
    fn long(&mut self, name: &'static str, value: Option<i64>);
    /// A truth.
    fn bool(&mut self, name: &'static str, value: Option<bool>);
    /// A set of texts.
    fn set(&mut self, name: &'static str, value: Option<&BTreeSet<&str>>);
}

/// Writes the three records of attributes as JSON.
#[derive(Default)]
pub(crate) struct Json {
    pub(crate) text: String,
    /// Whether a member comes before the next.
    has_member: bool,
    depth: usize,
    done: usize,
    pub(crate) records: [String; 3],
}

impl Json {
    pub(crate) fn of_capacity(bytes: usize) -> Self {
        Self {
            text: String::with_capacity(bytes),
            ..Self::default()
        }
    }

    pub(crate) fn raw(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn string(&mut self, text: &str) {
        // Most names need no escape.
        if text
            .bytes()
            .all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\')
        {
            self.text.push('"');
            self.text.push_str(text);
            self.text.push('"');
        } else {
            self.text
                .push_str(&serde_json::Value::from(text).to_string());
        }
    }

    pub(crate) fn uid(&mut self, kind: &str, id: &str) {
        self.raw("{\"type\":\"");
        self.raw(kind);
        self.raw("\",\"id\":");
        self.string(id);
        self.raw("}");
    }

    /// The rest of an entity, after its uid.
    pub(crate) fn entity<'b>(
        &mut self,
        attributes: &str,
        parents: impl Iterator<Item = (&'static str, Cow<'b, str>)>,
    ) {
        self.raw(",\"attrs\":");
        self.raw(attributes);
        self.raw(",\"parents\":[");
        for (number, (kind, id)) in parents.enumerate() {
            if number > 0 {
                self.raw(",");
            }
            self.uid(kind, &id);
        }
        self.raw("]}");
    }

    fn member(&mut self, name: &str) {
        if self.has_member {
            self.text.push(',');
        }
        self.has_member = true;
        self.text.push('"');
        self.text.push_str(name);
        self.text.push_str("\":");
    }
}

impl Walk for Json {
    fn enter(&mut self, name: &'static str) {
        if self.depth > 0 {
            self.member(name);
        }
        self.depth += 1;
        self.has_member = false;
        self.text.push('{');
    }

    fn leave(&mut self) {
        self.depth -= 1;
        self.has_member = true;
        self.text.push('}');
        if self.depth == 0 {
            let whole = std::mem::replace(&mut self.text, String::with_capacity(512));
            if let Some(place) = self.records.get_mut(self.done) {
                *place = whole;
            }
            self.done += 1;
        }
    }

    fn text(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.member(name);
            self.string(value);
        }
    }

    fn long(&mut self, name: &'static str, value: Option<i64>) {
        use std::fmt::Write as _;
        if let Some(value) = value {
            self.member(name);
            // Writing to memory cannot fail.
            let _ = write!(self.text, "{value}");
        }
    }

    fn bool(&mut self, name: &'static str, value: Option<bool>) {
        if let Some(value) = value {
            self.member(name);
            self.raw(if value { "true" } else { "false" });
        }
    }

    fn set(&mut self, name: &'static str, value: Option<&BTreeSet<&str>>) {
        if let Some(value) = value {
            self.member(name);
            self.text.push('[');
            for (number, one) in value.iter().enumerate() {
                if number > 0 {
                    self.text.push(',');
                }
                self.string(one);
            }
            self.text.push(']');
        }
    }
}

/// Which attributes are read, by their number in the walk.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Reads(u64);

impl Reads {
    /// All of them.
    pub(crate) const ALL: Self = Self(u64::MAX);

    /// Those that `is_read` says of, by their paths.
    pub(crate) fn of(is_read: impl Fn(&str) -> bool) -> Self {
        let question = Question::default();
        let mut names = Names::default();
        if let Ok(prepared) = Prepared::new(&question, &Actions::default()) {
            prepared.walk(&mut names);
        }
        // Numbers from 63 on share a bit.
        names
            .all
            .iter()
            .enumerate()
            .fold(Self(0), |reads, (number, name)| {
                Self(reads.0 | u64::from(is_read(name)) << number.min(63))
            })
    }

    fn has(self, number: u32) -> bool {
        self.0 >> number.min(63) & 1 == 1
    }
}

/// The paths of all attributes, in order.
#[derive(Default)]
struct Names {
    path: Vec<&'static str>,
    all: Vec<String>,
}

impl Names {
    fn note(&mut self, name: &'static str) {
        let path: Vec<_> = self.path.iter().copied().chain([name]).collect();
        self.all.push(path.join("."));
    }
}

impl Walk for Names {
    fn enter(&mut self, name: &'static str) {
        self.path.push(name);
    }

    fn leave(&mut self) {
        self.path.pop();
    }

    fn text(&mut self, name: &'static str, _: Option<&str>) {
        self.note(name);
    }

    fn long(&mut self, name: &'static str, _: Option<i64>) {
        self.note(name);
    }

    fn bool(&mut self, name: &'static str, _: Option<bool>) {
        self.note(name);
    }

    fn set(&mut self, name: &'static str, _: Option<&BTreeSet<&str>>) {
        self.note(name);
    }
}

/// Writes what is read, each part with its length.
pub(crate) struct Key {
    reads: Reads,
    at: u32,
    pub(crate) out: Vec<u8>,
}

impl Key {
    /// Of these attributes.
    pub(crate) fn new(reads: Reads) -> Self {
        Self {
            reads,
            at: 0,
            out: Vec::with_capacity(256),
        }
    }

    /// A part with its length.
    pub(crate) fn part(&mut self, bytes: &[u8]) {
        self.out.extend((bytes.len() as u64).to_le_bytes());
        self.out.extend(bytes);
    }

    /// Whether the next attribute is read.
    fn is_next(&mut self) -> bool {
        let at = self.at;
        self.at += 1;
        self.reads.has(at)
    }
}

impl Walk for Key {
    fn enter(&mut self, _: &'static str) {}

    fn leave(&mut self) {}

    fn text(&mut self, _: &'static str, value: Option<&str>) {
        if self.is_next() {
            self.out.push(value.is_some().into());
            self.part(value.unwrap_or_default().as_bytes());
        }
    }

    fn long(&mut self, _: &'static str, value: Option<i64>) {
        if self.is_next() {
            self.out.push(value.is_some().into());
            self.out.extend(value.unwrap_or_default().to_le_bytes());
        }
    }

    fn bool(&mut self, _: &'static str, value: Option<bool>) {
        if self.is_next() {
            self.out.push(match value {
                None => 2,
                Some(value) => value.into(),
            });
        }
    }

    fn set(&mut self, _: &'static str, value: Option<&BTreeSet<&str>>) {
        if self.is_next() {
            let count = value.map_or(u64::MAX, |set| set.len() as u64);
            self.out.extend(count.to_le_bytes());
            for one in value.into_iter().flatten() {
                self.part(one.as_bytes());
            }
        }
    }
}
