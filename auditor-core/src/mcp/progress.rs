//! What happens to a request before its interaction is reported: it is asked, it is answered. Types only.

use std::ops::Range;

use super::{interaction::InteractionId, message::Parsed};
use crate::key::{Actor, ChannelId, Side, Time};

/// Told in the order in which it was processed.
#[derive(Clone, Debug)]
pub enum Progress {
    /// A request was asked.
    Begun(Box<Begun>),
    /// It was answered, or will not be.
    Ended {
        /// Which.
        id: InteractionId,
        /// When the first byte of the answer was seen; `None` where there is no answer.
        answered: Option<Time>,
        /// Who wrote the answer, when that was seen.
        answerer: Option<Actor>,
    },
}

/// A request that was asked.
#[derive(Clone, Debug)]
pub struct Begun {
    /// Its interaction.
    pub id: InteractionId,
    /// The channel that carried it.
    pub channel: ChannelId,
    /// The sender's side of that channel.
    pub from: Side,
    /// Where it lies in the sender's stream.
    pub range: Range<u64>,
    /// When its first byte was seen.
    pub first: Time,
    /// When its last byte was seen.
    pub time: Time,
    /// SHA-256 of the message.
    pub sha256: [u8; 32],
    /// Who wrote it, when the write end was seen.
    pub writer: Option<Actor>,
    /// Who read it, when the read end was seen.
    pub reader: Option<Actor>,
    /// `traceparent` of `_meta`, else of the HTTP head.
    pub traceparent: Option<String>,
    /// Keyed hashes of telling values among its arguments.
    pub values: Vec<u64>,
    /// Whether it only stays open to be told news, and causes nothing.
    pub is_subscription: bool,
}

impl Begun {
    pub(super) fn of(id: InteractionId, parsed: &mut Parsed) -> Self {
        let part = &parsed.part;
        Self {
            id,
            channel: part.channel,
            from: part.from,
            range: part.range.clone(),
            first: part.first,
            time: part.time,
            sha256: part.sha256,
            writer: part.writer,
            reader: part.reader,
            traceparent: parsed.traceparent.clone(),
            values: std::mem::take(&mut parsed.values),
            is_subscription: parsed.method.as_deref() == Some("subscriptions/listen"),
        }
    }
}
