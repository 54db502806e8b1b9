//! Who moved which bytes at one end of a stream.
//!
//! Remembers at most [`SEGMENTS`] changes of hands; what is older is forgotten.

use std::collections::VecDeque;

use crate::key::Actor;

/// Changes of hands remembered.
const SEGMENTS: usize = 64;

/// Who moved which bytes, as segments in order of arrival.
#[derive(Clone, Debug, Default)]
pub(super) struct Testimony {
    segments: VecDeque<Segment>,
    seen: Movers,
    has_lost: bool,
}

/// Which processes were ever seen, also in segments that are forgotten.
#[derive(Clone, Copy, Debug, Default)]
enum Movers {
    #[default]
    None,
    One(Actor),
    Many,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    start: u64,
    end: u64,
    actor: Actor,
}

impl Testimony {
    /// Notes that `actor` moved the bytes from `start` to `end`.
    pub(super) fn note(&mut self, start: u64, end: u64, actor: Actor) {
        self.seen = match self.seen {
            Movers::None => Movers::One(actor),
            Movers::One(known) if known.process == actor.process => Movers::One(actor),
            _ => Movers::Many,
        };
        if let Some(last) = self.segments.back_mut()
            && last.actor == actor
            && start <= last.end
            && end >= last.start
        {
            last.start = last.start.min(start);
            last.end = last.end.max(end);
            return;
        }
        if self.segments.len() == SEGMENTS {
            self.segments.pop_front();
        }
        self.segments.push_back(Segment { start, end, actor });
    }

    /// Who moved the byte at `pos`; the latest word counts.
    pub(super) fn who(&self, pos: u64) -> Option<Actor> {
        let holds = |segment: &&Segment| segment.start <= pos && pos < segment.end;
        self.segments
            .iter()
            .rev()
            .find(holds)
            .map(|segment| segment.actor)
    }

    /// Notes that records were lost, so that not every mover is known.
    pub(super) fn note_lost(&mut self) {
        self.has_lost = true;
    }

    /// Where records were lost: the only process that was ever seen at this end.
    pub(super) fn only(&self) -> Option<Actor> {
        match self.seen {
            Movers::One(actor) if self.has_lost => Some(actor),
            _ => None,
        }
    }

    /// Whether anything was seen at this end.
    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::ProcessKey;

    fn actor(pid: u32) -> Actor {
        Actor {
            process: ProcessKey { pid, start: 1 },
            tid: pid,
        }
    }

    #[test]
    fn each_byte_has_its_mover() {
        let mut testimony = Testimony::default();
        testimony.note(0, 10, actor(1));
        testimony.note(10, 20, actor(1));
        testimony.note(20, 30, actor(2));
        assert_eq!(testimony.segments.len(), 2);
        assert_eq!(testimony.who(0), Some(actor(1)));
        assert_eq!(testimony.who(19), Some(actor(1)));
        assert_eq!(testimony.who(20), Some(actor(2)));
        assert_eq!(testimony.who(30), None);
    }

    #[test]
    fn where_records_were_lost_the_only_process_is_known_until_there_is_a_second() {
        let mut testimony = Testimony::default();
        for pos in 0..1000 {
            testimony.note(2 * pos, 2 * pos + 1, actor(1));
        }
        assert_eq!(testimony.only(), None);
        testimony.note_lost();
        assert_eq!(testimony.only(), Some(actor(1)));
        testimony.note(3000, 3001, actor(2));
        assert_eq!(testimony.only(), None);
    }

    #[test]
    fn many_hands_are_remembered_up_to_the_bound() {
        let mut testimony = Testimony::default();
        for pid in 0..1000 {
            testimony.note(u64::from(pid), u64::from(pid) + 1, actor(pid));
        }
        assert_eq!(testimony.segments.len(), SEGMENTS);
        assert_eq!(testimony.who(999), Some(actor(999)));
        assert_eq!(testimony.who(0), None);
    }
}
