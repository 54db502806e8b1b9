//! The streams of an HTTP/2 connection and their exchanges.
//!
//! Frames nothing. Holds at most [`Limits::streams`](crate::wire::Limits) exchanges; at that bound
//! the least recently used is given up.

use std::collections::HashMap;

use super::frame::ANY_STREAM;
use crate::{
    key::Side,
    wire::{
        exchange::Exchange,
        http::{Half, Head},
        output::Output,
    },
};

/// The streams of one connection.
#[derive(Debug, Default)]
pub(in crate::wire) struct Connection {
    /// The client, once that is known.
    client: Option<Side>,
    streams: HashMap<u32, Stream>,
    /// Counts uses of streams.
    uses: u64,
    /// The connection was heard from its beginning, so a stream not above this one is over.
    highest: Option<u32>,
    /// The highest stream that was ever seen.
    seen: u32,
}

#[derive(Debug)]
struct Stream {
    exchange: Exchange,
    used: u64,
}

impl Connection {
    /// The connection begins here, with the preface of its client.
    pub(in crate::wire) fn begin(&mut self, client: Side) {
        self.client = Some(client);
        self.highest.get_or_insert(0);
    }

    /// The connection begins here, with the exchange that asked for it as its first stream
    /// (RFC 7540, section 3.2).
    pub(in crate::wire) fn upgrade(
        &mut self,
        client: Side,
        exchange: Option<Exchange>,
        out: &mut Output,
    ) {
        self.close(out);
        self.begin(client);
        self.highest = Some(1);
        if let Some(exchange) = exchange {
            self.streams.insert(1, Stream { exchange, used: 0 });
        }
    }

    /// Bytes held apart from the budget's.
    pub(in crate::wire) fn buffered(&self) -> usize {
        self.streams
            .values()
            .map(|stream| stream.exchange.buffered())
            .sum()
    }

    /// Keeps at most `bytes` of each unfinished message from now on.
    pub(in crate::wire) fn shrink_to(&mut self, bytes: usize, out: &mut Output) {
        for stream in self.streams.values_mut() {
            stream.exchange.shrink_to(bytes, out);
        }
    }

    /// A whole header block.
    pub(super) fn head(
        &mut self,
        from: Side,
        stream: u32,
        head: Head,
        end_stream: bool,
        out: &mut Output,
    ) {
        if !head.kept.method.is_empty() {
            self.client = Some(from);
        } else if head.kept.status != 0 {
            self.client = Some(from.other());
        }
        if (100..200).contains(&head.kept.status) {
            return;
        }
        let half = self.half(from);
        if let Some(exchange) = self.exchange(stream, half, out)
            && !exchange.has_head(half)
        {
            exchange.head(half, head, out);
        }
        if end_stream {
            self.end(from, stream, out);
        }
    }

    /// The next bytes of a stream.
    pub(super) fn data(
        &mut self,
        from: Side,
        stream: u32,
        bytes: &[u8],
        pos: u64,
        out: &mut Output,
    ) {
        let half = self.half(from);
        if let Some(exchange) = self.exchange(stream, half, out) {
            exchange.data(half, bytes, pos, out);
        }
    }

    /// Bytes of a stream are missing; the gap was begun.
    pub(super) fn gap(&mut self, from: Side, stream: u32, bytes: u64, out: &mut Output) {
        let half = self.half(from);
        if let Some(exchange) = self.exchange(stream, half, out) {
            exchange.gap(half, bytes, out);
        }
    }

    /// One side of a stream ended.
    pub(super) fn end(&mut self, from: Side, stream: u32, out: &mut Output) {
        let half = self.half(from);
        let Some(known) = self.streams.get_mut(&stream) else {
            return;
        };
        known.exchange.end(half, true, out);
        if known.exchange.is_over() {
            self.reset(stream, out);
        }
    }

    /// A stream is over.
    pub(super) fn reset(&mut self, stream: u32, out: &mut Output) {
        if let Some(stream) = self.streams.remove(&stream) {
            stream.exchange.finish(out);
        }
    }

    /// Streams above `last` will not be answered.
    pub(super) fn go_away(&mut self, from: Side, last: u32, out: &mut Output) {
        if self.half(from) == Half::Response {
            self.finish(|stream| stream > last, out);
        }
    }

    /// Frames of this direction may have been missed: bodies that had begun are broken.
    pub(super) fn lose(&mut self, from: Side, out: &mut Output) {
        let half = self.half(from);
        self.highest = None;
        for stream in self.streams.values_mut() {
            if stream.exchange.has_begun(half) {
                stream.exchange.gap(half, 0, out);
            }
        }
    }

    /// The connection is over.
    pub(in crate::wire) fn close(&mut self, out: &mut Output) {
        self.finish(|_| true, out);
    }

    /// The highest stream that is likely to be named next.
    pub(super) const fn plausible_stream(&self) -> u32 {
        if self.seen == 0 {
            ANY_STREAM
        } else {
            self.seen.saturating_add(1000)
        }
    }

    fn finish(&mut self, which: impl Fn(u32) -> bool, out: &mut Output) {
        let mut over: Vec<u32> = self
            .streams
            .keys()
            .copied()
            .filter(|id| which(*id))
            .collect();
        over.sort_unstable();
        for stream in over {
            self.reset(stream, out);
        }
    }

    fn half(&self, from: Side) -> Half {
        if from == self.client.unwrap_or(Side::A) {
            Half::Request
        } else {
            Half::Response
        }
    }

    /// The exchange of a stream; `None` if the stream is over.
    fn exchange(&mut self, stream: u32, half: Half, out: &mut Output) -> Option<&mut Exchange> {
        self.uses += 1;
        self.seen = self.seen.max(stream);
        if !self.streams.contains_key(&stream) {
            if self.highest.is_some_and(|highest| stream <= highest) {
                return None;
            }
            if let Some(highest) = &mut self.highest {
                *highest = stream;
            }
            if self.streams.len() >= out.limits.streams.max(1)
                && let Some(oldest) = self
                    .streams
                    .iter()
                    .min_by_key(|(_, stream)| stream.used)
                    .map(|(id, _)| *id)
            {
                self.reset(oldest, out);
            }
            let mut exchange = Exchange::new(self.client.unwrap_or(Side::A), out);
            exchange.request_done = half == Half::Response;
            self.streams.insert(stream, Stream { exchange, used: 0 });
        }
        let known = self.streams.get_mut(&stream)?;
        known.used = self.uses;
        Some(&mut known.exchange)
    }
}
