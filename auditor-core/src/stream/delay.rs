//! Puts what TLS sessions move into the order in which it moved.
//!
//! A write is told when its call returns, with the time at which it began. A thread may be held up there while another
//! reads the answer: then the answer is told before its request. Bounds: [`DELAY`], and [`BYTES`], beyond which nothing
//! waits longer.

use std::collections::BTreeMap;

use super::unbound::{Waiting, size};
use crate::key::Time;

/// Nanoseconds that a record waits for those that moved before it.
const DELAY: u64 = 8_000_000;
/// Bytes that wait.
const BYTES: usize = 8 << 20;

/// Records that wait, in order of their time; of equal time, of their arrival.
#[derive(Debug, Default)]
pub(super) struct Delay {
    records: BTreeMap<(Time, u64), Waiting>,
    arrived: u64,
    bytes: usize,
}

impl Delay {
    /// Takes a record.
    pub(super) fn push(&mut self, record: Waiting) {
        self.arrived += 1;
        self.bytes += size(&record);
        self.records.insert((record.2, self.arrived), record);
    }

    /// The next record that has waited long enough.
    #[must_use]
    pub(super) fn poll(&mut self, now: Time) -> Option<Waiting> {
        let is_full = self.bytes > BYTES;
        let entry = self.records.first_entry()?;
        if entry.key().0.after(DELAY) > now && !is_full {
            return None;
        }
        let record = entry.remove();
        self.bytes -= size(&record);
        Some(record)
    }

    /// The time of the oldest record that waits.
    pub(super) fn oldest(&self) -> Option<Time> {
        self.records.first_key_value().map(|((time, _), _)| *time)
    }

    /// When [`poll`](Self::poll) has something next.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        let ((time, _), _) = self.records.first_key_value()?;
        Some(time.after(DELAY))
    }

    /// Gives the records of a stream another key.
    pub(super) fn rename(&mut self, from: u64, to: u64, generation: u64) {
        for (header, ..) in self.records.values_mut() {
            if header.stream == from {
                header.stream = to;
                header.generation = generation;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{super::unbound::Told, *};
    use crate::record::Header;

    fn record(stream: u64, len: usize, time: u64) -> Waiting {
        let header = Header {
            stream,
            ..Header::default()
        };
        (header, Told::Data(Bytes::from(vec![0; len])), Time(time))
    }

    #[test]
    fn what_moved_first_comes_first() {
        let mut delay = Delay::default();
        delay.push(record(1, 1, 6));
        delay.push(record(2, 1, 5));
        delay.push(record(3, 1, 6));
        delay.rename(1, 4, 0);
        assert_eq!(delay.poll_timeout(), Some(Time(DELAY + 5)));
        assert!(delay.poll(Time(DELAY + 4)).is_none());
        let streams: Vec<_> = std::iter::from_fn(|| delay.poll(Time(DELAY + 6)))
            .map(|(header, ..)| header.stream)
            .collect();
        assert_eq!(streams, [2, 4, 3]);
        assert_eq!(delay.bytes, 0);
    }

    #[test]
    fn too_many_bytes_do_not_wait() {
        let mut delay = Delay::default();
        for _ in 0..3 {
            delay.push(record(1, BYTES / 2, 0));
        }
        assert!(delay.poll(Time(0)).is_some());
        assert!(delay.poll(Time(0)).is_some());
        assert!(delay.poll(Time(0)).is_none());
    }
}
