//! Lays the texts of a message out side by side, ready to be searched.
//!
//! Each string or number becomes a [`Leaf`] over one buffer, written as `key="value"` so that
//! rules which ask for a name before a value work on JSON as they do on source text. What a value
//! carries inside (JSON, base64, percent-encoding, the pairs of a URL's query) is laid out as
//! further leaves, at most [`MAX_STEPS`] deep. A value that is split over several strings is not
//! put together. Bounded by [`MAX_LEAVES`], [`MAX_NODES`] and [`GROWTH`] times the input.

use crate::{
    keys::KeyTable,
    walk::{Broken, Event, Walker, unescape_into},
};

mod expand;
mod leaf;

pub(crate) use leaf::{Leaf, NONE, Node, Slot, Span};

/// Most strings and numbers that are laid out.
const MAX_LEAVES: usize = 1 << 18;
/// Most containers that are kept to tell places.
const MAX_NODES: usize = 1 << 18;
/// Most steps inside strings.
const MAX_STEPS: u8 = 4;
/// Size of all that is laid out, as a multiple of the input's size.
const GROWTH: usize = 6;
/// Part of a key that is repeated before each element of its array, in bytes.
const CONTEXT: usize = 64;
/// Shortest key that may hold anything by itself, in bytes.
const SHORT_KEY: usize = 6;
/// Shortest value that may hold anything by itself, in bytes.
const SHORT_VALUE: usize = 5;
/// The same of a number: the shortest phone number.
const SHORT_NUMBER: usize = 7;

/// What stands between a key and its value: both are quoted for rules that ask for it.
const SIGN: &[u8] = b"\"=\"";

/// Whether a key is unlike a name, so that it is searched with its end as the text's end.
fn needs_own_leaf(key: &[u8]) -> bool {
    let is_name =
        |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-' | b'.' | b' ');
    key.len() > CONTEXT / 2 || key.len() >= SHORT_KEY && !key.iter().all(is_name)
}

/// A message, laid out.
#[derive(Debug, Default)]
pub(crate) struct Flat {
    pub(crate) text: Vec<u8>,
    pub(crate) leaves: Vec<Leaf>,
    pub(crate) nodes: Vec<Node>,
    /// The input was one JSON value to its end.
    pub(crate) is_json: bool,
    /// Nothing was left out at a bound.
    pub(crate) is_complete: bool,
    most: usize,
}

/// An open container while walking.
struct Frame {
    node: u32,
    next: u32,
    /// Key that the elements of an array are named by.
    context: Span,
    /// Value of a member `name` or `key`, which names the member `value` beside it.
    name: Option<Span>,
}

/// What the leaves of one walk have in common.
#[derive(Clone, Copy)]
struct Origin {
    node: u32,
    depth: u8,
    /// The outer event that holds the text, or `NONE` when walking the outer text itself.
    owner: u32,
    source: Option<Span>,
    context: Span,
}

impl Flat {
    /// Lays out `input`, read as JSON as far as it is JSON and as plain text from there.
    pub(crate) fn json(input: &[u8], keys: &KeyTable) -> Self {
        let mut flat = Self::sized(input);
        let origin = flat.root();
        match flat.walk(input, origin, keys) {
            Ok(()) => flat.is_json = true,
            Err(broken) => {
                let mut rest = Vec::new();
                unescape_into(input.get(broken.at..).unwrap_or_default(), &mut rest);
                flat.plain(&rest, NONE);
            }
        }
        flat.expand(keys);
        flat
    }

    /// Lays out `input` as one plain text; offsets of its leaf are offsets of the input.
    pub(crate) fn plain_text(input: &[u8], keys: &KeyTable) -> Self {
        let mut flat = Self::sized(input);
        flat.root();
        flat.plain(input, 0);
        flat.expand(keys);
        flat
    }

    fn sized(input: &[u8]) -> Self {
        Self {
            text: Vec::with_capacity(input.len() + input.len() / 4),
            is_complete: true,
            most: input.len().saturating_mul(GROWTH) + (64 << 10),
            ..Self::default()
        }
    }

    fn root(&mut self) -> Origin {
        self.nodes.push(Node {
            parent: NONE,
            slot: Slot::Root,
        });
        Origin {
            node: 0,
            depth: 0,
            owner: NONE,
            source: None,
            context: Span::default(),
        }
    }

    fn plain(&mut self, text: &[u8], owner: u32) {
        let start = self.text.len();
        self.text.extend_from_slice(text);
        let span = Span::new(start, self.text.len());
        self.text.push(b'\n');
        self.push(Leaf {
            hay: span,
            key: None,
            value: span,
            parent: 0,
            slot: Slot::Root,
            owner,
            key_owner: NONE,
            source: None,
            named: None,
            depth: 0,
            is_covered: false,
        });
    }

    fn push(&mut self, leaf: Leaf) {
        if self.leaves.len() >= MAX_LEAVES || self.text.len() > self.most {
            self.is_complete = false;
        } else {
            self.leaves.push(leaf);
        }
    }

    fn node(&mut self, parent: u32, slot: Slot) -> u32 {
        if self.nodes.len() >= MAX_NODES {
            self.is_complete = false;
            return parent;
        }
        self.nodes.push(Node { parent, slot });
        Span::new(self.nodes.len() - 1, 0).start
    }

    fn walk(&mut self, input: &[u8], origin: Origin, keys: &KeyTable) -> Result<(), Broken> {
        let mut frames: Vec<Frame> = Vec::new();
        // The member's key whose value comes next, and its event.
        let mut pending: Option<(Span, u32)> = None;
        for (ordinal, event) in (0_u32..).zip(Walker::new(input)) {
            if !self.is_complete {
                return Ok(());
            }
            match event? {
                Event::Key(escaped) => {
                    let start = self.text.len();
                    unescape_into(escaped, &mut self.text);
                    pending = Some((Span::new(start, self.text.len()), ordinal));
                }
                Event::ObjectStart | Event::ArrayStart => {
                    let slot = Self::slot(&mut frames, pending);
                    let (parent, mut context) = frames
                        .last()
                        .map_or((origin.node, origin.context), |frame| {
                            (frame.node, frame.context)
                        });
                    if let Some((key, event)) = pending.take() {
                        context = key;
                        self.text.push(b'\n');
                        self.key_alone(key, event, parent, slot, origin);
                    }
                    let is_root = slot == Slot::Root;
                    let node = if is_root {
                        parent
                    } else {
                        self.node(parent, slot)
                    };
                    frames.push(Frame {
                        node,
                        next: 0,
                        context,
                        name: None,
                    });
                }
                Event::ObjectEnd | Event::ArrayEnd => {
                    frames.pop();
                }
                Event::Text(raw) => self.leaf(
                    raw,
                    true,
                    ordinal,
                    &mut frames,
                    pending.take(),
                    origin,
                    keys,
                ),
                Event::Scalar(raw) => self.leaf(
                    raw,
                    false,
                    ordinal,
                    &mut frames,
                    pending.take(),
                    origin,
                    keys,
                ),
            }
        }
        Ok(())
    }

    fn slot(frames: &mut [Frame], pending: Option<(Span, u32)>) -> Slot {
        match (frames.last_mut(), pending) {
            (_, Some((key, _))) => Slot::Member(key),
            (Some(frame), None) => {
                frame.next += 1;
                Slot::Element(frame.next - 1)
            }
            (None, None) => Slot::Root,
        }
    }

    fn key_alone(&mut self, key: Span, event: u32, parent: u32, slot: Slot, origin: Origin) {
        if key.len() >= SHORT_KEY {
            self.push(Leaf {
                hay: key,
                key: Some(key),
                value: Span {
                    start: key.end,
                    end: key.end,
                },
                parent,
                slot,
                owner: NONE,
                key_owner: if origin.depth == 0 {
                    event
                } else {
                    origin.owner
                },
                source: origin.source,
                named: None,
                depth: origin.depth,
                is_covered: false,
            });
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the walk's state, in one place only"
    )]
    fn leaf(
        &mut self,
        raw: &[u8],
        is_text: bool,
        ordinal: u32,
        frames: &mut [Frame],
        pending: Option<(Span, u32)>,
        origin: Origin,
        keys: &KeyTable,
    ) {
        let slot = Self::slot(frames, pending);
        let frame = frames.last_mut();
        let parent = frame.as_ref().map_or(origin.node, |frame| frame.node);
        let own_key = pending.map(|(key, _)| key);
        let is_value = own_key.is_some_and(|key| self.text.get(key.range()) == Some(b"value"));
        let context = match (&frame, own_key) {
            (Some(frame), Some(_)) if is_value && frame.name.is_some() => frame.name,
            (_, Some(key)) => Some(key),
            (Some(frame), None) => Some(frame.context),
            (None, None) => Some(origin.context),
        };
        let named = context.and_then(|key| {
            keys.class_of(self.text.get(key.range()).unwrap_or_default(), raw, is_text)
        });
        let is_short = if is_text {
            raw.len() < SHORT_VALUE
        } else {
            raw.len() < SHORT_NUMBER || !raw.iter().any(u8::is_ascii_digit)
        };
        let (key_owner, owner) = match (origin.depth, pending) {
            (0, Some((_, event))) => (event, ordinal),
            (0, None) => (NONE, ordinal),
            _ => (origin.owner, origin.owner),
        };
        if is_short && named.is_none() && own_key.is_none_or(|key| key.len() < SHORT_KEY) {
            if let Some(key) = own_key {
                self.text.truncate(key.start as usize);
            }
            return;
        }
        let (start, key) = match (context, own_key) {
            (Some(name), Some(key)) if name != key => {
                if key.len() >= SHORT_KEY {
                    self.text.push(b'\n');
                    self.key_alone(key, key_owner, parent, slot, origin);
                }
                (self.repeat(name), None)
            }
            (Some(context), None) => (self.repeat(context), None),
            (_, Some(key)) if needs_own_leaf(self.text.get(key.range()).unwrap_or_default()) => {
                self.text.push(b'\n');
                self.key_alone(key, key_owner, parent, slot, origin);
                (self.repeat(key), None)
            }
            (_, key) => (key.map_or(self.text.len(), |key| key.start as usize), key),
        };
        self.text.extend_from_slice(SIGN);
        let value = self.text.len();
        unescape_into(raw, &mut self.text);
        let value = Span::new(value, self.text.len());
        self.text.extend_from_slice(b"\"\n");
        if let Some(frame) = frame
            && let Some(key) = own_key
            && matches!(
                self.text.get(key.range()),
                Some(b"name" | b"key" | b"header")
            )
            && value.len() <= CONTEXT
        {
            frame.name = Some(value);
        }
        self.push(Leaf {
            hay: Span::new(start, value.end as usize),
            key,
            value,
            parent,
            slot,
            owner,
            key_owner,
            source: origin.source,
            named,
            depth: origin.depth,
            is_covered: false,
        });
    }

    /// Writes the end of a key again, before a value that it names from afar.
    fn repeat(&mut self, context: Span) -> usize {
        let start = self.text.len();
        let mut range = context.range();
        range.start = range.start.max(range.end.saturating_sub(CONTEXT));
        if range.end <= start {
            self.text.extend_from_within(range);
        }
        start
    }
}
