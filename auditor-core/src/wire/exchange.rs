//! One HTTP exchange, whatever version: a request and its response become items.
//!
//! Pairs nothing: whoever frames the connection knows which response belongs to which request.

use std::sync::Arc;

use super::{
    ExchangeEnd, ExchangeId, HttpHead, Item,
    body::{Body, Context},
    http::{Half, Head, Media, size_of},
    output::Output,
};
use crate::key::Side;

/// An exchange as far as it came. Must be ended by [`finish`](Self::finish).
#[derive(Debug)]
pub(super) struct Exchange {
    id: ExchangeId,
    client: Side,
    request: Option<Arc<HttpHead>>,
    response: Option<Arc<HttpHead>>,
    /// Whether it may carry MCP.
    relevant: bool,
    request_body: Option<Body>,
    response_body: Option<Body>,
    pub(super) request_done: bool,
    pub(super) response_done: bool,
    response_bytes: u64,
}

impl Exchange {
    pub(super) fn new(client: Side, out: &mut Output) -> Self {
        let id = ExchangeId(out.exchanges);
        out.exchanges += 1;
        Self {
            id,
            client,
            request: None,
            response: None,
            relevant: false,
            request_body: None,
            response_body: None,
            request_done: false,
            response_done: false,
            response_bytes: 0,
        }
    }

    /// The request's method; empty when it was not seen.
    pub(super) fn method(&self) -> &str {
        self.request
            .as_ref()
            .map_or("", |head| head.method.as_str())
    }

    /// Whether its response has begun and not ended.
    pub(super) const fn is_answering(&self) -> bool {
        self.response.is_some() && !self.response_done
    }

    /// Whether both halves ended.
    pub(super) const fn is_over(&self) -> bool {
        self.request_done && self.response_done
    }

    /// Whether it may carry MCP, as far as is known.
    pub(super) const fn is_relevant(&self) -> bool {
        self.relevant
    }

    /// Bytes held apart from the budget's.
    pub(super) fn buffered(&self) -> usize {
        let body = |body: &Option<Body>| body.as_ref().map_or(0, Body::buffered);
        let head = |head: &Option<Arc<HttpHead>>| head.as_ref().map_or(0, |head| size_of(head));
        body(&self.request_body)
            + body(&self.response_body)
            + head(&self.request)
            + head(&self.response)
    }

    /// Keeps at most `bytes` of each unfinished message from now on.
    pub(super) fn shrink_to(&mut self, bytes: usize, out: &mut Output) {
        for body in [&mut self.request_body, &mut self.response_body]
            .into_iter()
            .flatten()
        {
            body.shrink_to(bytes, out);
        }
    }

    /// Whether the head of this half was seen.
    pub(super) const fn has_head(&self, half: Half) -> bool {
        match half {
            Half::Request => self.request.is_some(),
            Half::Response => self.response.is_some(),
        }
    }

    /// Whether bytes of this half's body were seen.
    pub(super) fn has_begun(&self, half: Half) -> bool {
        let body = match half {
            Half::Request => &self.request_body,
            Half::Response => &self.response_body,
        };
        body.as_ref().is_some_and(Body::has_begun)
    }

    /// Takes the head of one half; its body follows.
    pub(super) fn head(&mut self, half: Half, head: Head, out: &mut Output) {
        let carries = matches!(head.media, Media::Json | Media::EventStream);
        self.relevant |= head.mcp || carries;
        // Data may have come before the head, on a connection joined in its middle.
        let (old, context) = self.body(half);
        if let Some(mut body) = old.take() {
            body.end(context, out);
        }
        let body = Body::new(&head, self.relevant, out);
        let kept = Some(Arc::new(head.kept));
        match half {
            Half::Request => (self.request, self.request_body) = (kept, Some(body)),
            Half::Response => (self.response, self.response_body) = (kept, Some(body)),
        }
    }

    /// Takes the next bytes of a body, as transferred.
    pub(super) fn data(&mut self, half: Half, bytes: &[u8], pos: u64, out: &mut Output) {
        if bytes.is_empty() {
            return;
        }
        if half == Half::Response {
            self.response_bytes = self.response_bytes.saturating_add(bytes.len() as u64);
        }
        let (body, context) = self.body(half);
        body.get_or_insert_with(Body::unknown)
            .data(bytes, pos, context, out);
    }

    /// Bytes of a body are missing; the gap was begun.
    pub(super) fn gap(&mut self, half: Half, bytes: u64, out: &mut Output) {
        if half == Half::Response {
            self.response_bytes = self.response_bytes.saturating_add(bytes);
        }
        let (body, context) = self.body(half);
        let lost = body.get_or_insert_with(Body::unknown).gap(out);
        out.discard(context.from, lost);
    }

    /// One half ended, regularly or not.
    pub(super) fn end(&mut self, half: Half, complete: bool, out: &mut Output) {
        let (body, context) = self.body(half);
        if let Some(mut body) = body.take() {
            body.end(context, out);
            self.relevant |= body.spoke;
        }
        match half {
            Half::Request => self.request_done = true,
            Half::Response => self.response_done = complete,
        }
    }

    /// The exchange is over, in order or not.
    pub(super) fn finish(mut self, out: &mut Output) {
        let complete = self.response_done;
        self.end(Half::Request, true, out);
        self.end(Half::Response, complete, out);
        if self.relevant {
            out.item(Item::ExchangeEnd(ExchangeEnd {
                channel: out.channel,
                client: self.client,
                exchange: self.id,
                request: self.request,
                response: self.response,
                response_bytes: self.response_bytes,
                complete,
                time: out.time,
            }));
        }
    }

    fn body(&mut self, half: Half) -> (&mut Option<Body>, Context<'_>) {
        let (from, body) = match half {
            Half::Request => (self.client, &mut self.request_body),
            Half::Response => (self.client.other(), &mut self.response_body),
        };
        let (request, response) = (&self.request, &self.response);
        (
            body,
            Context {
                from,
                half,
                exchange: self.id,
                request,
                response,
            },
        )
    }
}
