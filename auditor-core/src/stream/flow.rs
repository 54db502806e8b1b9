//! One direction of one channel: puts pieces in order and finds what is missing.
//!
//! A piece that is ahead waits a moment, for the other end may still deliver what is before it. Bound: the bytes
//! that wait, by [`Flow::waiting`], which the caller limits.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{
    chunk::{Content, EndCause, GapCause},
    testimony::Testimony,
};
use crate::key::{ChannelId, Side, Time};

/// One direction of one channel.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) channel: ChannelId,
    pub(super) side: Side,
    /// The kernel's; `None` until its first record.
    pub(super) generation: Option<u64>,
    pub(super) epoch: u32,
    pub(super) writers: Testimony,
    pub(super) readers: Testimony,
    /// Position of the next byte to hand on; `None` before the first.
    next: Option<u64>,
    ahead: BTreeMap<u64, Piece>,
    waiting: usize,
    /// What the kernel side said of bytes that it did not deliver, and no gap has told yet.
    told: Before,
    /// When what is ahead is handed on with a gap before it.
    deadline: Option<Time>,
    /// An end that waits for what is before it.
    end: Option<(EndCause, Time)>,
}

/// A stretch of a stream.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) time: Time,
    /// How many bytes of the stream it stands for.
    pub(super) span: u64,
    /// Its bytes, or why there are none.
    pub(super) content: Result<Bytes, GapCause>,
    /// What the kernel says of a hole before it.
    pub(super) before: Before,
}

/// What the kernel side said of bytes before a piece.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Before {
    /// Some were left out on purpose.
    pub(super) is_skipped: bool,
    /// This many were lost for want of room in the ring.
    pub(super) lost: u64,
}

/// Ordered content that a flow hands on: position, time, content.
pub(super) type Output = Vec<(u64, Time, Content)>;

impl Flow {
    pub(super) fn new(channel: ChannelId, side: Side) -> Self {
        Self {
            channel,
            side,
            generation: None,
            epoch: 0,
            writers: Testimony::default(),
            readers: Testimony::default(),
            next: None,
            ahead: BTreeMap::new(),
            waiting: 0,
            told: Before::default(),
            deadline: None,
            end: None,
        }
    }

    /// Bytes that wait for what is before them.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// When [`give_up`](Self::give_up) is due.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.deadline
    }

    /// Misses everything before the first piece, unless there was one.
    pub(super) fn begin_at_0(&mut self) {
        self.next.get_or_insert(0);
    }

    /// Takes a piece; a hole before it may wait until `due` to be filled.
    pub(super) fn insert(&mut self, pos: u64, piece: Piece, due: Time, out: &mut Output) {
        // Bytes that were lost before the first piece are missed too.
        let next = *self
            .next
            .get_or_insert(pos.saturating_sub(piece.before.lost));
        let is_planned = piece.before.is_skipped && piece.before.lost == 0;
        self.note_told(piece.before);
        if pos > next && is_planned && self.ahead.is_empty() {
            // Nobody will fill it.
            out.push((next, piece.time, gap(pos - next, GapCause::Skipped)));
            self.next = Some(pos);
        }
        if pos <= self.next.unwrap_or(pos) && piece.content.is_ok() {
            self.hand_on(pos, piece, out);
        } else {
            self.deadline = Some(self.deadline.map_or(due, |deadline| deadline.min(due)));
            self.wait(pos, piece);
        }
        self.drain(out);
    }

    /// Notes the direction's end, which comes after everything that waits.
    pub(super) fn finish(&mut self, cause: EndCause, time: Time, patience: u64, out: &mut Output) {
        self.end = Some((cause, time));
        self.deadline = self.deadline.or(Some(time.after(patience)));
        self.drain(out);
    }

    /// Notes that bytes up to `end` were lost, although no later record says so.
    pub(super) fn note_loss(&mut self, end: u64, now: Time, patience: u64) {
        if let Some(next) = self.next.filter(|next| *next < end) {
            self.told.lost = self.told.lost.max(end - next);
            self.note_lost_testimony();
            self.mark(end, now);
            self.deadline = self.deadline.or(Some(now.after(patience)));
        }
    }

    /// Notes that the stream went up to `end`, and what the kernel side says of what it did not deliver.
    pub(super) fn note_end(&mut self, end: u64, told: Before, now: Time) {
        self.note_told(told);
        if self.next.is_some_and(|next| next < end) {
            self.mark(end, now);
        }
    }

    fn note_told(&mut self, told: Before) {
        self.told.lost = self.told.lost.saturating_add(told.lost);
        self.told.is_skipped |= told.is_skipped;
        if told.lost != 0 {
            self.note_lost_testimony();
        }
    }

    /// With a record is lost who moved its bytes, and the kernel side does not say at which end.
    fn note_lost_testimony(&mut self) {
        self.writers.note_lost();
        self.readers.note_lost();
    }

    /// Waits for everything before `end`.
    fn mark(&mut self, end: u64, time: Time) {
        if !self.ahead.contains_key(&end) {
            let content = Err(GapCause::RingFull);
            self.wait(
                end,
                Piece {
                    time,
                    span: 0,
                    content,
                    before: Before::default(),
                },
            );
        }
    }

    /// Hands on everything that waits, with gaps for what did not come.
    pub(super) fn give_up(&mut self, out: &mut Output) {
        while let Some((pos, piece)) = self.ahead.pop_first() {
            self.waiting -= held(&piece);
            let next = self.next.unwrap_or(pos);
            if pos > next {
                self.explain(next, pos, piece.time, out);
                self.next = Some(pos);
            }
            self.hand_on(pos, piece, out);
        }
        self.drain(out);
    }

    /// Says of a hole how much of it was lost and how much was left out.
    ///
    /// The kernel side may have told of a loss with an earlier record, from the other end.
    fn explain(&mut self, from: u64, to: u64, time: Time, out: &mut Output) {
        let hole = to - from;
        let lost = self.told.lost.min(hole);
        let rest = if self.told.is_skipped {
            GapCause::Skipped
        } else {
            GapCause::Unheard
        };
        if hole > lost {
            out.push((from, time, gap(hole - lost, rest)));
            self.told.is_skipped = false;
        }
        if lost != 0 {
            out.push((to - lost, time, gap(lost, GapCause::RingFull)));
            self.told.lost -= lost;
        }
    }

    /// Puts a piece where it waits; of two for one position the one with bytes stays.
    fn wait(&mut self, pos: u64, piece: Piece) {
        let is_better = self.ahead.get(&pos).is_none_or(|old| {
            (piece.content.is_ok(), piece.span) > (old.content.is_ok(), old.span)
        });
        if is_better {
            self.waiting += held(&piece);
            if let Some(old) = self.ahead.insert(pos, piece) {
                self.waiting -= held(&old);
            }
        }
    }

    /// Hands on a piece that begins at or before the next position, without what was handed on before.
    fn hand_on(&mut self, pos: u64, piece: Piece, out: &mut Output) {
        let next = self.next.unwrap_or(pos);
        let end = pos.saturating_add(piece.span);
        if end <= next {
            return;
        }
        let known = next.saturating_sub(pos);
        let content = match piece.content {
            Ok(bytes) => {
                let known = usize::try_from(known)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                Content::Bytes(bytes.slice(known..))
            }
            Err(cause) => gap(end - next, cause),
        };
        out.push((next, piece.time, content));
        self.next = Some(end);
    }

    /// Hands on what waits and has its turn now.
    fn drain(&mut self, out: &mut Output) {
        while let Some(entry) = self.ahead.first_entry() {
            let pos = *entry.key();
            let next = self.next.unwrap_or(pos);
            let is_covered = pos.saturating_add(entry.get().span) <= next;
            if !is_covered && (pos > next || entry.get().content.is_err()) {
                break;
            }
            let piece = entry.remove();
            self.waiting -= held(&piece);
            self.hand_on(pos, piece, out);
        }
        if self.ahead.is_empty() {
            self.deadline = None;
            if let Some((cause, time)) = self.end.take() {
                out.push((self.next.unwrap_or(0), time, Content::End(cause)));
            }
        }
    }
}

/// Bytes that a waiting piece costs.
fn held(piece: &Piece) -> usize {
    size_of::<Piece>() + piece.content.as_ref().map_or(0, Bytes::len)
}

fn gap(bytes: u64, cause: GapCause) -> Content {
    Content::Gap { bytes, cause }
}
