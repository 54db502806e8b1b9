//! Which entries of the log are still to be sent, and what is left out when they are too many.
//!
//! Only numbers: it reads and sends nothing. Bounds: the limit it is given, and as many gaps as fit into it, a sixteenth of
//! the limit apart.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::settings::WhenFull;

/// Room is made for, or must be there again for, this part of what may wait.
const PART: u64 = 16;

/// Entries that were left out.
pub(crate) type Shed = std::ops::Range<u64>;

/// What is still to be sent.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Backlog {
    /// All before it was sent, or left out.
    next: u64,
    /// What is left out of what comes then.
    gaps: VecDeque<(u64, u64)>,
    /// All from here on is left out, until there is room.
    closed: Option<u64>,
}

impl Backlog {
    pub(crate) fn new(next: u64) -> Self {
        Self {
            next,
            ..Self::default()
        }
    }

    /// The first entry that is to be sent.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Entries that are to be sent, of a log of so many.
    pub(crate) fn waiting(&self, size: u64) -> u64 {
        let end = self.closed.unwrap_or(size);
        let gaps: u64 = self.gaps.iter().map(|(from, to)| to - from).sum();
        end.saturating_sub(self.next).saturating_sub(gaps)
    }

    /// The first entry from `index` on that is to be sent, of a log of so many; `None` where there is none.
    pub(crate) fn from(&self, index: u64, size: u64) -> Option<u64> {
        let mut index = index.max(self.next);
        for (from, to) in &self.gaps {
            if (*from..*to).contains(&index) {
                index = *to;
            }
        }
        (index < self.closed.unwrap_or(size).min(size)).then_some(index)
    }

    /// The entry behind the last of a run that begins at `index`, without gaps.
    pub(crate) fn until(&self, index: u64, size: u64) -> u64 {
        let end = self.closed.unwrap_or(size).min(size);
        let gap = self.gaps.iter().find(|(from, _)| *from > index);
        gap.map_or(end, |(from, _)| end.min(*from))
    }

    /// The entry behind so many of those that are to be sent.
    fn behind(&self, mut entries: u64, size: u64) -> u64 {
        let mut index = self.next;
        while entries > 0
            && let Some(from) = self.from(index, size)
        {
            index = self.until(from, size).min(from.saturating_add(entries));
            entries = entries.saturating_sub(index - from);
        }
        index
    }

    /// Notes that all before an entry was sent.
    pub(crate) fn handle_sent(&mut self, next: u64) {
        self.next = self.next.max(next);
        // A gap that begins here was left out, too.
        while let Some((from, to)) = self.gaps.front().copied() {
            if from > self.next {
                break;
            }
            self.next = self.next.max(to);
            self.gaps.pop_front();
        }
    }

    /// Notes that entries before `first` are kept no more.
    pub(crate) fn handle_retention(&mut self, first: u64) -> Option<Shed> {
        let from = self.next;
        self.handle_sent(first);
        (from < first).then_some(from..first)
    }

    /// Notes how many entries the log has, and leaves out what is too much.
    pub(crate) fn handle_size(&mut self, size: u64, limit: u64, full: WhenFull) -> Option<Shed> {
        let room = limit - limit / PART;
        match full {
            WhenFull::DropOldest => {
                let waiting = self.waiting(size);
                // Set otherwise before: what was left out then is over.
                self.closed = None;
                if waiting <= limit {
                    return None;
                }
                let from = self.next;
                self.handle_sent(self.behind(waiting - room, size));
                Some(from..self.next)
            }
            WhenFull::DropNewest => match self.closed {
                None if self.waiting(size) > limit => {
                    self.closed = Some(self.behind(limit, size));
                    None
                }
                Some(from) if self.waiting(size) < room => {
                    self.closed = None;
                    if from == size {
                        return None;
                    }
                    self.gaps.push_back((from, size));
                    self.handle_sent(self.next);
                    Some(from..size)
                }
                _ => None,
            },
        }
    }

    /// Entries that are being left out, of a log of so many, before that was told.
    pub(crate) fn leaving_out(&self, size: u64) -> u64 {
        self.closed.map_or(0, |from| size.saturating_sub(from))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_oldest_make_room() {
        let mut backlog = Backlog::new(0);
        assert_eq!(backlog.handle_size(160, 160, WhenFull::DropOldest), None);
        let shed = backlog.handle_size(161, 160, WhenFull::DropOldest);
        assert_eq!(shed, Some(0..11));
        assert_eq!(backlog.waiting(161), 150);
    }

    #[test]
    fn the_newest_are_left_out_until_there_is_room() {
        let mut backlog = Backlog::new(0);
        let full = WhenFull::DropNewest;
        assert_eq!(backlog.handle_size(165, 160, full), None);
        assert_eq!(backlog.handle_size(300, 160, full), None);
        assert_eq!((backlog.waiting(300), backlog.leaving_out(300)), (160, 140));
        backlog.handle_sent(11);
        assert_eq!(backlog.handle_size(310, 160, full), Some(160..310));
        assert_eq!(backlog.from(159, 320), Some(159));
        assert_eq!(backlog.until(11, 320), 160);
        assert_eq!(backlog.from(160, 320), Some(310));
        backlog.handle_sent(160);
        assert_eq!(backlog.next(), 310);
    }

    #[test]
    fn what_retention_removed_is_left_out() {
        let mut backlog = Backlog::new(5);
        assert_eq!(backlog.handle_retention(5), None);
        assert_eq!(backlog.handle_retention(256), Some(5..256));
    }

    proptest! {
        /// Every entry is sent or told to be left out, none is both, and no more wait than may.
        #[test]
        fn nothing_is_forgotten(steps in proptest::collection::vec((0u64..300, 0u64..300), 1..80), newest: bool) {
            let full = if newest { WhenFull::DropNewest } else { WhenFull::DropOldest };
            let mut backlog = Backlog::new(0);
            let (mut size, limit) = (0, 320);
            let mut seen = vec![0u8; 300 * 81];
            let mut mark = |range: Shed| for index in range { seen[index as usize] += 1 };
            for (come, go) in steps {
                size += come;
                if let Some(shed) = backlog.handle_size(size, limit, full) {
                    mark(shed);
                }
                prop_assert!(backlog.waiting(size) <= limit);
                let mut left = go;
                while left > 0 && let Some(from) = backlog.from(backlog.next(), size) {
                    let until = backlog.until(from, size).min(from + left);
                    left -= until - from;
                    mark(from..until);
                    backlog.handle_sent(until);
                }
            }
            while let Some(from) = backlog.from(backlog.next(), size) {
                let until = backlog.until(from, size);
                mark(from..until);
                backlog.handle_sent(until);
            }
            if let Some(shed) = backlog.handle_size(size, limit, full) {
                mark(shed);
            }
            prop_assert!(seen[..size as usize].iter().all(|count| *count == 1));
            prop_assert_eq!(backlog.next(), size);
        }
    }
}
