//! Chunks to messages: finds whole JSON-RPC messages in lines, HTTP/1.1, HTTP/2 and SSE.
//!
//! Knows framing, not meaning: what a method is, or which answer belongs to which request,
//! is the next stage's business.

mod item;

pub use item::{
    Encoding, ExchangeEnd, ExchangeId, Framing, Gap, HttpHead, HttpPart, Item, Message,
};
