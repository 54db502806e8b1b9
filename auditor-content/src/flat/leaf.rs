//! Types of a laid-out message: spans, places and leaves. They hold offsets, no text.

use crate::class::ClassId;

/// No leaf, event or node.
pub(crate) const NONE: u32 = u32::MAX;

/// A span of the buffer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Self {
        let cap = |at| u32::try_from(at).unwrap_or(u32::MAX);
        Self {
            start: cap(start),
            end: cap(end),
        }
    }

    pub(crate) fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    pub(super) fn len(self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }
}

/// How a value hangs on what holds it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Slot {
    Root,
    /// The key's span.
    Member(Span),
    Element(u32),
    Json,
    Base64,
    Percent,
    Query,
}

/// A place that holds leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub(crate) parent: u32,
    pub(crate) slot: Slot,
}

/// A key with its value, a key alone (empty value), or a value alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaf {
    /// All that is searched: key, sign, opening quote and value. It ends with the value, so that
    /// a rule sees the end of the text there.
    pub(crate) hay: Span,
    /// The key, if this is its own occurrence and not a repetition before an element.
    pub(crate) key: Option<Span>,
    pub(crate) value: Span,
    /// What holds it, and how it hangs there.
    pub(crate) parent: u32,
    pub(crate) slot: Slot,
    /// The outer document's event that is this value's or holds it; `NONE` in a broken rest.
    pub(crate) owner: u32,
    /// The outer document's event that is this leaf's key.
    pub(crate) key_owner: u32,
    /// For what came from inside a value: the part of the outermost value that it came from.
    pub(crate) source: Option<Span>,
    /// What the key's name says of the value.
    pub(crate) named: Option<ClassId>,
    /// Steps inside strings.
    pub(super) depth: u8,
    /// Its whole content is laid out again as other leaves.
    pub(crate) is_covered: bool,
}
