//! What the framers of one channel share: the queue of items, pending gaps, the budget.
//!
//! Frames nothing. At most [`Limits::items`](super::Limits) items wait.

use std::{collections::VecDeque, ops::Range};

use super::{
    Framing, Gap, Item, Limits, Message,
    collect::{Budget, Collected},
};
use crate::{
    key::{ChannelId, Side, Time},
    stream::{EndCause, GapCause},
};

/// The shared end of all framers of one channel.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) channel: ChannelId,
    pub(super) limits: Limits,
    pub(super) budget: Budget,
    /// Time of the chunk at hand.
    pub(super) time: Time,
    /// Number of the next HTTP exchange.
    pub(super) exchanges: u64,
    /// Number of decoders at work.
    pub(super) decoders: usize,
    items: VecDeque<Item>,
    /// Bytes of the bodies in `items`.
    queued: usize,
    sides: [PerSide; 2],
}

#[derive(Debug, Default)]
struct PerSide {
    /// A gap whose end, in terms of framing, is not yet found.
    gap: Option<Gap>,
    /// Set while the discarded bytes look like the tail of a JSON-RPC message.
    tail_of_message: bool,
    /// Uninteresting bytes since the last message.
    quiet: u64,
    /// Value of `quiet` at which it is reported.
    report_at: u64,
}

impl Output {
    pub(super) fn new(channel: ChannelId, limits: Limits) -> Self {
        Self {
            channel,
            limits,
            budget: Budget::new(limits.channel),
            time: Time::default(),
            exchanges: 0,
            decoders: 0,
            items: VecDeque::new(),
            queued: 0,
            sides: [
                PerSide {
                    report_at: limits.quiet,
                    ..PerSide::default()
                },
                PerSide {
                    report_at: limits.quiet,
                    ..PerSide::default()
                },
            ],
        }
    }

    /// Takes the oldest item.
    pub(super) fn poll(&mut self) -> Option<Item> {
        let item = self.items.pop_front();
        if let Some(Item::Message(message)) = &item {
            self.queued = self.queued.saturating_sub(message.body.len());
        }
        item
    }

    /// Bytes of messages that wait to be polled.
    pub(super) const fn queued(&self) -> usize {
        self.queued
    }

    /// Hands on a message.
    pub(super) fn message(
        &mut self,
        from: Side,
        range: Range<u64>,
        first: Time,
        text: Collected,
        framing: Framing,
    ) {
        self.flush_gap(from);
        let report_at = self.limits.quiet;
        let side = self.side(from);
        side.quiet = 0;
        side.report_at = report_at;
        let Collected {
            mut body,
            size,
            sha256,
        } = text;
        if self.items.len() >= self.limits.items {
            self.overflow(from, range);
            return;
        }
        // Only compressed bodies can bring so much at once.
        if self.queued.saturating_add(body.len()) > self.limits.message.saturating_mul(4) {
            body.truncate(4096);
        }
        self.queued += body.len();
        self.items.push_back(Item::Message(Message {
            channel: self.channel,
            from,
            range,
            first,
            time: self.time,
            body,
            size,
            sha256,
            framing,
        }));
    }

    /// Hands on anything but a message. Only messages are so many that they need a bound.
    pub(super) fn item(&mut self, item: Item) {
        self.items.push_back(item);
    }

    /// One gap stands for all messages which found no room.
    fn overflow(&mut self, from: Side, range: Range<u64>) {
        let (channel, time) = (self.channel, self.time);
        let bytes = range.end.saturating_sub(range.start);
        match self.items.back_mut() {
            Some(Item::Gap(gap)) if gap.cause == GapCause::Bound && gap.from == from => {
                gap.discarded = gap.discarded.saturating_add(bytes);
            }
            _ => self.items.push_back(Item::Gap(Gap {
                channel,
                from,
                range: range.end..range.end,
                discarded: bytes,
                cause: GapCause::Bound,
                time,
            })),
        }
    }

    /// Notes a gap; it is reported once framing found its footing again.
    pub(super) fn begin_gap(&mut self, from: Side, range: Range<u64>, cause: GapCause, lost: u64) {
        self.flush_gap(from);
        let (channel, time) = (self.channel, self.time);
        let side = self.side(from);
        side.tail_of_message = false;
        side.gap = Some(Gap {
            channel,
            from,
            range,
            discarded: lost,
            cause,
            time,
        });
    }

    /// Notes captured bytes that are of no use because of the pending gap, if there is one.
    pub(super) fn discard(&mut self, from: Side, bytes: u64) {
        if let Some(gap) = &mut self.side(from).gap {
            gap.discarded = gap.discarded.saturating_add(bytes);
        }
    }

    /// Whether a gap waits to be reported.
    pub(super) fn has_gap(&mut self, from: Side) -> bool {
        self.side(from).gap.is_some()
    }

    /// Takes back bytes of which some use was found after all.
    pub(super) fn undiscard(&mut self, from: Side, bytes: u64) {
        if let Some(gap) = &mut self.side(from).gap {
            gap.discarded = gap.discarded.saturating_sub(bytes);
        }
    }

    /// Notes that what is discarded looks like the tail of a JSON-RPC message.
    pub(super) fn discarded_tail_of_message(&mut self, from: Side) {
        self.side(from).tail_of_message = true;
    }

    /// Framing has found its footing (or never will): reports the pending gap, if it is a loss.
    pub(super) fn flush_gap(&mut self, from: Side) {
        let time = self.time;
        let side = self.side(from);
        let Some(mut gap) = side.gap.take() else {
            return;
        };
        let loss = match gap.cause {
            GapCause::Skipped => false,
            GapCause::Joined => side.tail_of_message,
            _ => true,
        };
        if loss {
            gap.time = time;
            self.items.push_back(Item::Gap(gap));
        }
    }

    /// Counts bytes that are of no interest.
    pub(super) fn quiet(&mut self, from: Side, bytes: u64) {
        let (channel, step) = (self.channel, self.limits.quiet);
        let side = self.side(from);
        side.quiet = side.quiet.saturating_add(bytes);
        if side.quiet >= side.report_at {
            let bytes = side.quiet;
            side.report_at = bytes.saturating_add(step);
            self.items.push_back(Item::Quiet {
                channel,
                from,
                bytes,
            });
        }
    }

    /// Reports the end of a direction.
    pub(super) fn end(&mut self, from: Side, cause: EndCause) {
        self.flush_gap(from);
        self.item(Item::End {
            channel: self.channel,
            from,
            cause,
            time: self.time,
        });
    }

    fn side(&mut self, from: Side) -> &mut PerSide {
        let [a, b] = &mut self.sides;
        match from {
            Side::A => a,
            Side::B => b,
        }
    }
}
