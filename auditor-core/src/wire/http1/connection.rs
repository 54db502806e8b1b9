//! Which response belongs to which request on an HTTP/1.1 connection: the oldest unanswered one.
//!
//! Frames nothing. Holds at most [`Limits::pipeline`](crate::wire::Limits) exchanges.

use std::collections::VecDeque;

use crate::{
    key::Side,
    wire::{
        exchange::Exchange,
        http::{Half, Head},
        output::Output,
    },
};

/// How the end of a body is told (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Length {
    Known(u64),
    Chunked,
    UntilClose,
}

/// What a response's head brings.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Answer {
    /// Nothing: the final response is still to come.
    Interim,
    /// A body; `None` if its end cannot be told. And whether it may carry MCP.
    Body(Option<Length>, bool),
    /// The connection changes to another protocol.
    Upgraded,
}

/// The exchanges of one connection whose client is on one given side.
#[derive(Debug, Default)]
pub(in crate::wire) struct Connection {
    exchanges: VecDeque<Exchange>,
    /// Responses may have been lost: the next request says so, for clients hardly ever send it
    /// before they have the answer to the last.
    responses_lost: bool,
}

impl Connection {
    /// Bytes held apart from the budget's.
    pub(in crate::wire) fn buffered(&self) -> usize {
        self.exchanges.iter().map(Exchange::buffered).sum()
    }

    /// Keeps at most `bytes` of each unfinished message from now on.
    pub(in crate::wire) fn shrink_to(&mut self, bytes: usize, out: &mut Output) {
        for exchange in &mut self.exchanges {
            exchange.shrink_to(bytes, out);
        }
    }

    /// A request begins.
    pub(super) fn request(
        &mut self,
        client: Side,
        head: Head,
        out: &mut Output,
    ) -> (Option<Length>, bool) {
        if std::mem::take(&mut self.responses_lost) {
            self.close(out);
        }
        if self.exchanges.len() >= out.limits.pipeline.max(1)
            && let Some(oldest) = self.exchanges.pop_front()
        {
            oldest.finish(out);
        }
        let length = match (head.chunked, head.content_length) {
            _ if head.bad_length || (head.other_coding && !head.chunked) => None,
            (true, _) => Some(Length::Chunked),
            (false, length) => Some(Length::Known(length.unwrap_or(0))),
        };
        let mut exchange = Exchange::new(client, out);
        exchange.head(Half::Request, head, out);
        let relevant = exchange.is_relevant();
        self.exchanges.push_back(exchange);
        (length, relevant)
    }

    /// A response begins.
    pub(super) fn response(&mut self, client: Side, head: Head, out: &mut Output) -> Answer {
        let status = head.kept.status;
        if status == 101 {
            return Answer::Upgraded;
        }
        if (100..200).contains(&status) {
            return Answer::Interim;
        }
        // A response that is still open was cut off.
        if let Some(index) = self
            .exchanges
            .iter()
            .position(|exchange| exchange.is_answering())
            && let Some(exchange) = self.exchanges.remove(index)
        {
            exchange.finish(out);
        }
        if self.exchanges.iter().all(|exchange| exchange.response_done) {
            let mut exchange = Exchange::new(client, out);
            exchange.request_done = true;
            self.exchanges.push_front(exchange);
        }
        let Some(exchange) = self
            .exchanges
            .iter_mut()
            .find(|exchange| !exchange.response_done)
        else {
            return Answer::Interim;
        };
        if exchange.method() == "CONNECT" && (200..300).contains(&status) {
            return Answer::Upgraded;
        }
        let length = if exchange.method() == "HEAD" || matches!(status, 204 | 304) {
            Some(Length::Known(0))
        } else if head.chunked {
            Some(Length::Chunked)
        } else if head.bad_length {
            None
        } else {
            match head.content_length {
                Some(length) if !head.other_coding => Some(Length::Known(length)),
                _ => Some(Length::UntilClose),
            }
        };
        exchange.head(Half::Response, head, out);
        Answer::Body(length, exchange.is_relevant())
    }

    /// The next bytes of the body at hand.
    pub(super) fn data(&mut self, half: Half, bytes: &[u8], pos: u64, out: &mut Output) {
        if let Some(exchange) = self.current(half) {
            exchange.data(half, bytes, pos, out);
        }
    }

    /// Bytes of the body at hand are missing.
    pub(super) fn gap(&mut self, half: Half, bytes: u64, out: &mut Output) {
        if let Some(exchange) = self.current(half) {
            exchange.gap(half, bytes, out);
        }
    }

    /// The body at hand ends.
    pub(super) fn end(&mut self, half: Half, complete: bool, out: &mut Output) {
        if let Some(exchange) = self.current(half) {
            exchange.end(half, complete, out);
        }
        while self.exchanges.front().is_some_and(Exchange::is_over)
            && let Some(exchange) = self.exchanges.pop_front()
        {
            exchange.finish(out);
        }
    }

    /// Framing of this half is lost: the message at hand is broken, others may have been missed.
    pub(super) fn lose(&mut self, half: Half, out: &mut Output) {
        match half {
            Half::Request => self.end(half, false, out),
            Half::Response => {
                self.responses_lost = true;
                if let Some(index) = self.exchanges.iter().position(Exchange::is_answering)
                    && let Some(exchange) = self.exchanges.remove(index)
                {
                    exchange.finish(out);
                }
            }
        }
    }

    /// The connection is over.
    pub(in crate::wire) fn close(&mut self, out: &mut Output) {
        for exchange in std::mem::take(&mut self.exchanges) {
            exchange.finish(out);
        }
    }

    /// The exchange whose answer is the change to HTTP/2.
    pub(in crate::wire) fn take_upgraded(&mut self) -> Option<Exchange> {
        let index = self
            .exchanges
            .iter()
            .position(|exchange| !exchange.response_done)?;
        self.exchanges.remove(index)
    }

    fn current(&mut self, half: Half) -> Option<&mut Exchange> {
        match half {
            Half::Request => self
                .exchanges
                .iter_mut()
                .rev()
                .find(|one| !one.request_done),
            Half::Response => self.exchanges.iter_mut().find(|one| one.is_answering()),
        }
    }
}
