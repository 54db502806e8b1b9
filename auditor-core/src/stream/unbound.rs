//! Records of TLS sessions that are not bound to their connection yet.
//!
//! The other end may tell the same bytes as part of the connection, so they wait for [`PATIENCE`]. Bound: [`BYTES`]
//! in all; beyond it the oldest session's go on.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use crate::{
    key::Time,
    record::{Header, Object},
};

/// Nanoseconds that a session's records wait.
const PATIENCE: u64 = 20_000_000;
/// Bytes that wait.
const BYTES: usize = 8 << 20;

/// A record that waits, with its time.
pub(super) type Waiting = (Header, Told, Time);

/// What a record tells.
#[derive(Debug)]
pub(super) enum Told {
    /// That these bytes moved.
    Data(Bytes),
    /// What the stream is.
    Object(Object),
    /// That it has ended.
    End,
}

/// Records that wait, by stream.
#[derive(Debug, Default)]
pub(super) struct Unbound {
    streams: HashMap<u64, Vec<Waiting>>,
    /// Streams in order of when they go on.
    due: VecDeque<(Time, u64)>,
    bytes: usize,
}

impl Unbound {
    /// Takes a record.
    pub(super) fn hold(&mut self, record: Waiting) {
        let (key, time) = (record.0.stream, record.2);
        self.bytes += size(&record);
        let stream = self.streams.entry(key).or_default();
        if stream.is_empty() {
            self.due.push_back((time.after(PATIENCE), key));
        }
        stream.push(record);
    }

    /// The records of a stream, which no longer wait.
    pub(super) fn take(&mut self, stream: u64) -> Vec<Waiting> {
        let taken = self.streams.remove(&stream).unwrap_or_default();
        self.bytes -= taken.iter().map(size).sum::<usize>();
        taken
    }

    /// The next stream whose records have waited long enough, or are too many.
    #[must_use]
    pub(super) fn poll(&mut self, now: Time) -> Option<Vec<Waiting>> {
        loop {
            let is_full = self.bytes > BYTES;
            let (_, stream) = self.due.pop_front_if(|(due, _)| *due <= now || is_full)?;
            let taken = self.take(stream);
            if !taken.is_empty() {
                return Some(taken);
            }
        }
    }

    /// The time of the oldest record that waits.
    pub(super) fn oldest(&self) -> Option<Time> {
        let waits = |(_, stream): &&(Time, u64)| self.streams.contains_key(stream);
        let (_, stream) = self.due.iter().find(waits)?;
        self.streams.get(stream)?.first().map(|(.., time)| *time)
    }

    /// When [`poll`](Self::poll) has something next.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.due.front().map(|(due, _)| *due)
    }
}

/// Bytes that a record costs while it waits.
pub(super) fn size((_, told, _): &Waiting) -> usize {
    let bytes = match told {
        Told::Data(bytes) => bytes.len(),
        Told::Object(_) | Told::End => 0,
    };
    size_of::<Waiting>() + bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(unbound: &mut Unbound, stream: u64, len: usize, time: u64) {
        let header = Header {
            stream,
            ..Header::default()
        };
        unbound.hold((header, Told::Data(Bytes::from(vec![0; len])), Time(time)));
    }

    #[test]
    fn records_wait_until_they_are_bound() {
        let mut unbound = Unbound::default();
        hold(&mut unbound, 1, 10, 0);
        hold(&mut unbound, 2, 10, 5);
        hold(&mut unbound, 1, 10, 6);
        assert_eq!(unbound.oldest(), Some(Time(0)));
        assert_eq!(unbound.take(1).len(), 2);
        assert_eq!(unbound.oldest(), Some(Time(5)));
        assert!(unbound.poll(Time(PATIENCE)).is_none());
        assert_eq!(
            unbound.poll(Time(PATIENCE + 5)).map(|taken| taken.len()),
            Some(1)
        );
        assert_eq!((unbound.bytes, unbound.poll_timeout()), (0, None));
    }

    #[test]
    fn too_many_bytes_do_not_wait() {
        let mut unbound = Unbound::default();
        for stream in 0..3 {
            hold(&mut unbound, stream, BYTES / 2, 0);
        }
        assert!(unbound.poll(Time(0)).is_some());
        assert!(unbound.poll(Time(0)).is_some());
        assert!(unbound.poll(Time(0)).is_none());
    }
}
