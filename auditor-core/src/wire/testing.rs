//! Helpers of this stage's tests: scripts of chunks, cut and holed at will.

use std::ops::Range;

use bytes::Bytes;

use super::{Gap, Item, Limits, Wire};
use crate::{
    key::{ChannelId, Side, Time},
    stream::{Chunk, Content, EndCause, GapCause},
};

/// Chunks of one channel, in causal order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    chunks: Vec<Chunk>,
    next: [u64; 2],
}

impl Script {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A script in which `side` begins at `pos`.
    pub(crate) fn at(side: Side, pos: u64) -> Self {
        let mut script = Self::new();
        script.next[side.index()] = pos;
        script
    }

    pub(crate) fn bytes(mut self, from: Side, bytes: &[u8]) -> Self {
        if !bytes.is_empty() {
            let content = Content::Bytes(Bytes::copy_from_slice(bytes));
            self.push(from, bytes.len() as u64, content);
        }
        self
    }

    pub(crate) fn end(mut self, from: Side) -> Self {
        self.push(from, 0, Content::End(EndCause::Closed));
        self
    }

    fn push(&mut self, from: Side, len: u64, content: Content) {
        let pos = self.next[from.index()];
        self.chunks.push(Chunk {
            channel: ChannelId(1),
            from,
            pos,
            time: Time(1),
            content,
        });
        self.next[from.index()] += len;
    }

    pub(crate) fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// The same bytes in chunks of at most `size` bytes.
    pub(crate) fn cut(&self, size: usize) -> Self {
        let mut chunks = Vec::new();
        for chunk in &self.chunks {
            let Content::Bytes(bytes) = &chunk.content else {
                chunks.push(chunk.clone());
                continue;
            };
            for (number, piece) in bytes.chunks(size).enumerate() {
                let pos = chunk.pos + (number * size) as u64;
                let content = Content::Bytes(bytes.slice_ref(piece));
                chunks.push(Chunk {
                    pos,
                    content,
                    ..chunk.clone()
                });
            }
        }
        Self {
            chunks,
            next: self.next,
        }
    }

    /// The same script with the bytes `from..to` of one direction missing.
    pub(crate) fn gap(&self, side: Side, from: u64, to: u64, cause: GapCause) -> Self {
        let mut chunks = Vec::new();
        let mut gap = Some(Chunk {
            channel: ChannelId(1),
            from: side,
            pos: from,
            time: Time(1),
            content: Content::Gap {
                bytes: to - from,
                cause,
            },
        });
        for chunk in &self.chunks {
            let Content::Bytes(bytes) = &chunk.content else {
                chunks.push(chunk.clone());
                continue;
            };
            let end = chunk.pos + bytes.len() as u64;
            if chunk.from != side || end <= from || to <= chunk.pos {
                chunks.push(chunk.clone());
                continue;
            }
            let part = |range: Range<u64>| {
                let slice = (range.start - chunk.pos) as usize..(range.end - chunk.pos) as usize;
                let content = Content::Bytes(bytes.slice(slice));
                Chunk {
                    pos: range.start,
                    content,
                    ..chunk.clone()
                }
            };
            if chunk.pos < from {
                chunks.push(part(chunk.pos..from));
            }
            chunks.extend(gap.take());
            if to < end {
                chunks.push(part(to..end));
            }
        }
        Self {
            chunks,
            next: self.next,
        }
    }
}

/// What a wire makes of a script. Asserts the stated bound on the way.
pub(crate) fn items(limits: Limits, script: &Script) -> Vec<Item> {
    let mut wire = Wire::new(ChannelId(1), limits);
    let mut items = Vec::new();
    for chunk in script.chunks() {
        wire.handle_chunk(chunk);
        while let Some(item) = wire.poll_item() {
            items.push(item);
        }
        assert!(wire.buffered() <= limits.bound());
    }
    items
}

/// Bodies of the messages among the items, as text.
pub(crate) fn bodies(items: &[Item]) -> Vec<String> {
    items
        .iter()
        .filter_map(|item| match item {
            Item::Message(message) => Some(String::from_utf8_lossy(&message.body).into_owned()),
            _ => None,
        })
        .collect()
}

/// The gaps among the items.
pub(crate) fn gaps(items: &[Item]) -> Vec<&Gap> {
    items
        .iter()
        .filter_map(|item| {
            if let Item::Gap(gap) = item {
                Some(gap)
            } else {
                None
            }
        })
        .collect()
}

/// Start and end of each line of a text.
pub(crate) fn pieces(text: &str) -> Vec<(u64, u64)> {
    let mut at = 0;
    let mut pieces = Vec::new();
    for line in text.split_inclusive('\n') {
        pieces.push((at, at + line.trim_end().len() as u64));
        at += line.len() as u64;
    }
    pieces
}
