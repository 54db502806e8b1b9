//! The one walk over the attributes of a question, and who goes along: what writes them with serde, and as a key.
//!
//! Knows no attribute by name. Bounds are those of the question.

use std::collections::BTreeSet;

use auditor_core::audit::decision::Question;
use serde::{
    Serialize, Serializer,
    ser::{Error as _, SerializeMap},
};

use crate::{actions::Actions, request::Prepared};

/// Takes attributes, always the same in the same order.
pub(crate) trait Walk {
    /// A record, whose members `fill` gives.
    fn record(&mut self, name: &'static str, fill: &dyn Fn(&mut dyn Walk));
    /// A text; absent where it is `None`, as with the others.
    fn text(&mut self, name: &'static str, value: Option<&str>);
    /// A number.
    fn long(&mut self, name: &'static str, value: Option<i64>);
    /// A truth.
    fn bool(&mut self, name: &'static str, value: Option<bool>);
    /// A set of texts.
    fn set(&mut self, name: &'static str, value: Option<&BTreeSet<&str>>);
}

/// A record of attributes, to be written with serde.
pub(crate) struct Record<F>(pub(crate) F);

impl<F: Fn(&mut dyn Walk)> Serialize for Record<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = Members(Ok(serializer.serialize_map(None)?));
        (self.0)(&mut members);
        members.0.map_err(S::Error::custom)?.end()
    }
}

/// The members of a record so far, or what went wrong with one.
struct Members<M: SerializeMap>(Result<M, M::Error>);

impl<M: SerializeMap> Members<M> {
    fn entry(&mut self, name: &'static str, value: Option<impl Serialize>) {
        if let (Ok(map), Some(value)) = (&mut self.0, value)
            && let Err(error) = map.serialize_entry(name, &value)
        {
            self.0 = Err(error);
        }
    }
}

impl<M: SerializeMap> Walk for Members<M> {
    fn record(&mut self, name: &'static str, fill: &dyn Fn(&mut dyn Walk)) {
        self.entry(name, Some(Record(fill)));
    }

    fn text(&mut self, name: &'static str, value: Option<&str>) {
        self.entry(name, value);
    }

    fn long(&mut self, name: &'static str, value: Option<i64>) {
        self.entry(name, value);
    }

    fn bool(&mut self, name: &'static str, value: Option<bool>) {
        self.entry(name, value);
    }

    fn set(&mut self, name: &'static str, value: Option<&BTreeSet<&str>>) {
        self.entry(name, value);
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
    fn record(&mut self, name: &'static str, fill: &dyn Fn(&mut dyn Walk)) {
        self.path.push(name);
        fill(self);
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
    fn record(&mut self, _: &'static str, fill: &dyn Fn(&mut dyn Walk)) {
        fill(self);
    }

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
