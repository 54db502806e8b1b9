//! Chunks to messages: finds whole JSON-RPC messages in lines, HTTP/1.1, HTTP/2 and SSE.
//!
//! Knows framing, not meaning: what a method is, or which answer belongs to which request,
//! is the next stage's business. Memory is bounded by [`Limits`].

mod collect;
mod direction;
mod item;
mod json_scan;
mod limits;
mod line;
mod output;
#[cfg(test)]
mod testing;

use self::{direction::Direction, output::Output};
use crate::{
    key::{ChannelId, Side},
    stream::{Chunk, Content},
};

pub use self::{
    item::{Encoding, ExchangeEnd, ExchangeId, Framing, Gap, HttpHead, HttpPart, Item, Message},
    limits::Limits,
};

/// Frames one channel.
///
/// Hand over its chunks, of both directions in the order they happened, with
/// [`handle_chunk`](Self::handle_chunk); after each call, poll until
/// [`poll_item`](Self::poll_item) returns `None`. Where the bytes of a direction were cut into
/// chunks does not change what comes out.
#[derive(Debug)]
pub struct Wire {
    out: Output,
    directions: [Direction; 2],
}

impl Wire {
    /// Creates the framer of one channel.
    pub fn new(channel: ChannelId, limits: Limits) -> Self {
        Self {
            out: Output::new(channel, limits),
            directions: [Direction::new(Side::A), Direction::new(Side::B)],
        }
    }

    /// Takes the next chunk of one of the two directions.
    pub fn handle_chunk(&mut self, chunk: &Chunk) {
        self.out.time = chunk.time;
        let [a, b] = &mut self.directions;
        let direction = match chunk.from {
            Side::A => a,
            Side::B => b,
        };
        match &chunk.content {
            Content::Bytes(bytes) => direction.handle_bytes(bytes, chunk.pos, &mut self.out),
            Content::Gap { bytes, cause } => {
                direction.handle_gap(chunk.pos, *bytes, *cause, &mut self.out);
            }
            Content::End(cause) => direction.handle_end(*cause, &mut self.out),
        }
    }

    /// Returns the next item; `None` asks for more chunks.
    #[must_use]
    pub fn poll_item(&mut self) -> Option<Item> {
        self.out.poll()
    }

    /// Bytes held: of unfinished messages, of heads, and of messages that wait to be polled.
    pub fn buffered(&self) -> usize {
        let directions: usize = self.directions.iter().map(Direction::buffered).sum();
        self.out.budget.held() + self.out.queued() + directions
    }

    /// Keeps at most `bytes` of each unfinished message from now on; its size and digest go on.
    ///
    /// For a daemon which must bound the memory of all channels together.
    pub fn shrink_to(&mut self, bytes: usize) {
        for direction in &mut self.directions {
            direction.shrink_to(bytes, &mut self.out);
        }
    }
}
