//! What is special to TLS sessions: their records wait, to be bound to a connection, and for their turn.
//!
//! Keeps nothing of its own: what waits is in [`super::unbound`] and [`super::delay`], which have the bounds.

use auditor_common::record::flag;

use super::{
    streams::Streams,
    unbound::{Told, Waiting},
};
use crate::{
    key::Time,
    record::{Bind, Header},
};

impl Streams {
    /// Lets a record of a TLS session wait: to be bound, else for its turn.
    pub(super) fn wait(&mut self, record: Waiting) {
        if self.is_held(&record.0) {
            self.unbound.hold(record);
        } else {
            self.delay.push(record);
        }
    }

    /// Lets the stream of a TLS session go on as that of its connection.
    pub fn handle_bind(&mut self, header: &Header, bind: &Bind, time: Time) {
        for (mut header, told, time) in self.unbound.take(header.stream) {
            header.stream = bind.stream;
            header.generation = bind.generation;
            // The connection is told as such in a moment; the session's object names only the other direction.
            if !matches!(told, Told::Object(_)) {
                self.delay.push((header, told, time));
            }
        }
        self.delay
            .rename(header.stream, bind.stream, bind.generation);
        if self.flows.contains_key(&bind.stream) {
            return;
        }
        // It waited too long: its channel becomes the connection's.
        if let Some(mut flow) = self.flows.remove(&header.stream) {
            flow.generation = Some(bind.generation);
            if let Some(entry) = self.channels.get_mut(&flow.channel) {
                entry.keys[flow.side.index()] = Some(bind.stream);
                entry.last_used = time;
            }
            self.flows.insert(bind.stream, flow);
        }
    }

    /// Whether a record waits for its TLS session to be bound.
    pub(super) fn is_held(&self, header: &Header) -> bool {
        header.flags & flag::UNBOUND != 0 && !self.flows.contains_key(&header.stream)
    }

    /// Takes the records that have waited long enough.
    pub(super) fn release_waiting(&mut self, now: Time) {
        while let Some(record) = self.delay.poll(now) {
            self.take_waiting(record);
        }
        while let Some(waiting) = self.unbound.poll(now) {
            for record in waiting {
                self.take_waiting(record);
            }
        }
    }

    fn take_waiting(&mut self, (header, told, time): Waiting) {
        match told {
            Told::Data(bytes) => self.take_data(&header, bytes, time),
            Told::Object(object) => self.take_object(&header, &object, time),
            Told::End => self.take_end(&header, time),
        }
    }
}
