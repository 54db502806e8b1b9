//! One direction of a channel: decides what it speaks, again and again.
//!
//! Frames nothing itself.

use super::{
    line::{Fed, LineFramer, looks_like_tail_of_message},
    output::Output,
};
use crate::{
    key::Side,
    stream::{EndCause, GapCause},
};

/// One direction.
#[derive(Debug)]
pub(super) struct Direction {
    from: Side,
    /// Position at which the next chunk must begin.
    next: Option<u64>,
    lines: LineFramer,
}

impl Direction {
    pub(super) const fn new(from: Side) -> Self {
        Self {
            from,
            next: None,
            lines: LineFramer::new(from),
        }
    }

    pub(super) fn buffered(&self) -> usize {
        self.lines.buffered()
    }

    pub(super) fn shrink_to(&mut self, bytes: usize, out: &mut Output) {
        self.lines.shrink_to(bytes, out);
    }

    pub(super) fn handle_bytes(&mut self, bytes: &[u8], pos: u64, out: &mut Output) {
        let (bytes, pos) = self.align(bytes, pos, out);
        self.next = Some(pos.saturating_add(bytes.len() as u64));
        self.feed_lines(bytes, pos, out);
    }

    /// Makes sure that positions go on without a hole, whatever the chunks say.
    fn align<'a>(&mut self, bytes: &'a [u8], pos: u64, out: &mut Output) -> (&'a [u8], u64) {
        // Positions near the end of the number range are not real; none may overflow.
        let pos = pos.min(u64::MAX / 2);
        let next = self.next.unwrap_or(0);
        if pos > next {
            let cause = if self.next.is_none() {
                GapCause::Joined
            } else {
                GapCause::Bound
            };
            self.handle_gap(next, pos - next, cause, out);
        }
        let known = next.saturating_sub(pos).min(bytes.len() as u64);
        let bytes = bytes
            .get(usize::try_from(known).unwrap_or(usize::MAX)..)
            .unwrap_or_default();
        (bytes, pos + known)
    }

    fn feed_lines(&mut self, mut bytes: &[u8], mut pos: u64, out: &mut Output) {
        loop {
            let used = match self.lines.feed(bytes, pos, out) {
                Fed::All => return,
                Fed::Foreign(used) => {
                    self.lines.skip_line();
                    used
                }
                Fed::Joined(used, line) => {
                    if looks_like_tail_of_message(&line) {
                        out.discarded_tail_of_message(self.from);
                    }
                    out.flush_gap(self.from);
                    used
                }
            };
            bytes = bytes.get(used..).unwrap_or_default();
            pos += used as u64;
        }
    }

    pub(super) fn handle_gap(&mut self, pos: u64, bytes: u64, cause: GapCause, out: &mut Output) {
        let end = pos.saturating_add(bytes).min(u64::MAX / 2);
        self.next = Some(end);
        let lost = self.lines.break_off(true, out);
        out.begin_gap(self.from, pos.min(end)..end, cause, lost);
    }

    pub(super) fn handle_end(&mut self, cause: EndCause, out: &mut Output) {
        self.lines.end(out);
        out.end(self.from, cause);
    }
}
