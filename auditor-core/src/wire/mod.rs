//! Chunks to messages: finds whole JSON-RPC messages in lines, HTTP/1.1, HTTP/2, SSE and WebSocket.
//!
//! Knows framing, not meaning: what a method is, or which answer belongs to which request,
//! is the next stage's business. Memory is bounded by [`Limits`].

mod body;
#[cfg(test)]
mod bounds_tests;
mod collect;
mod direction;
mod encoding;
mod exchange;
#[doc(hidden)]
pub mod fuzz;
mod http;
mod http1;
mod http2;
mod item;
mod json_scan;
mod json_text;
mod limits;
mod line;
mod output;
mod sse;
#[cfg(test)]
mod testing;
mod websocket;

use self::{
    direction::{Connections, Direction},
    output::Output,
};
use crate::{
    key::{ChannelId, Side},
    stream::{Chunk, Content},
};

pub use self::{
    item::{
        Encoding, ExchangeEnd, ExchangeId, Framing, Gap, HttpHead, HttpPart, Item, Message, Secret,
    },
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
    connections: Connections,
    directions: [Direction; 2],
}

impl Wire {
    /// Creates the framer of one channel.
    pub fn new(channel: ChannelId, limits: Limits) -> Self {
        Self {
            out: Output::new(channel, limits),
            connections: Connections::default(),
            directions: [Direction::new(Side::A), Direction::new(Side::B)],
        }
    }

    /// Takes the next chunk of one of the two directions.
    pub fn handle_chunk(&mut self, chunk: &Chunk) {
        self.out.time = chunk.time;
        let [a, b] = &mut self.directions;
        let (direction, other) = match chunk.from {
            Side::A => (a, b),
            Side::B => (b, a),
        };
        let (connections, out) = (&mut self.connections, &mut self.out);
        match &chunk.content {
            Content::Bytes(bytes) => {
                direction.handle_bytes(bytes, chunk.pos, other, connections, out);
            }
            Content::Gap { bytes, cause } => {
                direction.handle_gap(chunk.pos, *bytes, *cause, connections, out);
            }
            Content::End(cause) => direction.handle_end(*cause, connections, out),
        }
    }

    /// Returns the next item; `None` asks for more chunks.
    #[must_use]
    pub fn poll_item(&mut self) -> Option<Item> {
        self.out.poll()
    }

    /// Reports gaps now that would else wait for the next message, which may never come.
    pub fn flush_gaps(&mut self) {
        self.out.flush_gap(Side::A);
        self.out.flush_gap(Side::B);
    }

    /// Bytes held: of unfinished messages, of heads, and of messages that wait to be polled.
    pub fn buffered(&self) -> usize {
        let directions: usize = self.directions.iter().map(Direction::buffered).sum();
        self.out.budget.held() + self.out.queued() + self.connections.buffered() + directions
    }

    /// Keeps at most `bytes` of each unfinished message from now on; its size and digest go on.
    ///
    /// For a daemon which must bound the memory of all channels together.
    pub fn shrink_to(&mut self, bytes: usize) {
        self.connections.shrink_to(bytes, &mut self.out);
        for direction in &mut self.directions {
            direction.shrink_to(bytes, &mut self.out);
        }
    }
}
