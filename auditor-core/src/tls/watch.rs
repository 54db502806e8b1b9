//! The stage itself: follows TLS connections from their first bytes until their plaintext was heard, or is missing.
//!
//! A connection is looked at [`PATIENCE`] after its bytes moved; it is reported when it may carry MCP and no TLS session
//! that was heard belongs to it. Connections of one process to one server make one event in [`WINDOW`]. Bounds:
//! [`CONNECTIONS`], [`UNBOUND`], [`WINDOWS`], [`QUESTIONS`]; at each the oldest is settled on the spot. Certificates are kept
//! with their connection, up to [`CERTIFICATES`].

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
};

use auditor_common::record::LAYER;

use super::{
    basis::{Basis, Hints, Known},
    certificate::Chain,
    connection::{Connection, Place, Sight, address},
    obstacle::{Obstacle, Reason},
    opening,
    unheard::{Moved, Unheard},
};
use crate::{
    Processes,
    key::{Actor, ChannelId, ProcessKey, Side, Time},
    stream::{Chunk, Content},
};

/// Connections followed.
const CONNECTIONS: usize = 4_096;
/// Sessions remembered that were heard and are not bound to a connection.
const UNBOUND: usize = 1_024;
/// Processes and servers whose connections are told together.
const WINDOWS: usize = 1_024;
/// Questions that wait to be polled.
const QUESTIONS: usize = 1_024;
/// Bytes of certificates that are held for all connections; beyond it those of the oldest are forgotten.
pub(super) const CERTIFICATES: usize = 16 << 20;
/// Nanoseconds that a connection may go unheard: its first bytes are the handshake's, and plaintext is told late.
const PATIENCE: u64 = 1_000_000_000;
/// Nanoseconds after that until the reason must be known.
const LEARNING: u64 = 2_000_000_000;
/// Nanoseconds after which it is asked again.
const AGAIN: u64 = 100_000_000;
/// Nanoseconds in which connections of one process to one server make one event.
pub(super) const WINDOW: u64 = 60_000_000_000;

/// Follows TLS connections.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    known: Known,
    connections: HashMap<ChannelId, Connection>,
    /// In order of their begin.
    order: VecDeque<ChannelId>,
    by_stream: HashMap<u64, ChannelId>,
    due: BTreeSet<(Time, ChannelId)>,
    /// Sessions that were heard and not bound, by stream; and since when.
    unbound: VecDeque<(u64, ProcessKey, Time)>,
    windows: HashMap<Alike, Window>,
    windows_due: VecDeque<(Time, Alike)>,
    questions: VecDeque<ProcessKey>,
    /// Connections that hold certificates, the oldest first, and how many bytes these are.
    holders: VecDeque<ChannelId>,
    held: usize,
    /// The time as last told: records may come long after theirs.
    now: Time,
    /// When records were lost last.
    lost: Option<Time>,
    ready: VecDeque<Unheard>,
}

/// What connections have in common that are told together.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Alike {
    ends: [Option<ProcessKey>; 2],
    server: Option<SocketAddr>,
}

#[derive(Debug, Default)]
struct Window {
    /// The last of those that were not told, with their number.
    held: Option<Unheard>,
}

impl Watch {
    /// Creates the stage.
    pub(crate) fn new(hints: Hints) -> Self {
        Self {
            known: Known::new(hints),
            ..Self::default()
        }
    }

    /// Whether a chunk of TCP is to be handed over.
    pub(crate) fn wants(&self, chunk: &Chunk) -> bool {
        let Content::Bytes(bytes) = &chunk.content else {
            return false;
        };
        match self.connections.get(&chunk.channel) {
            Some(connection) => connection.is_reading(),
            None => opening::is_tls(bytes),
        }
    }

    /// Takes a chunk of a TCP connection.
    pub(crate) fn handle_chunk(&mut self, chunk: &Chunk, place: Place, processes: &impl Processes) {
        let Content::Bytes(bytes) = &chunk.content else {
            return;
        };
        let id = chunk.channel;
        if !self.connections.contains_key(&id) {
            self.begin(id, chunk.time, processes);
        }
        for stream in place.streams.into_iter().flatten() {
            self.by_stream.insert(stream, id);
        }
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.place = place;
        let held = connection.held();
        connection.push(chunk.from, chunk.pos, bytes);
        let holds = connection.held();
        let is_settled = connection.is_settled;
        for (side, actor) in [
            (chunk.from, place.writer),
            (chunk.from.other(), place.reader),
        ] {
            let end = &mut connection.ends[side.index()];
            *end = actor.or(*end);
        }
        self.note_held(id, held, holds);
        if !is_settled {
            self.ask(id, processes);
            self.schedule(id, chunk.time.max(self.now).after(PATIENCE));
        }
    }

    /// Notes that nothing more is sent on the stream of a session: its key may be another's from now on.
    pub(crate) fn handle_end(&mut self, stream: u64, time: Time) {
        if let Some(id) = self.by_stream.get(&(stream ^ LAYER))
            && let Some(connection) = self.connections.get_mut(id)
        {
            connection.end(time);
        }
    }

    /// The certificates of the side that sent something at `time` on this stream: a connection's, or the plaintext's on it.
    pub(crate) fn chain(&self, stream: u64, time: Time) -> Option<Arc<Chain>> {
        let streams = [stream, stream ^ LAYER];
        let (tcp, id) = streams
            .into_iter()
            .find_map(|tcp| Some((tcp, self.by_stream.get(&tcp)?)))?;
        let connection = self.connections.get(id)?;
        let streams = connection.place.streams;
        let mut sides = [Side::A, Side::B].into_iter();
        let side = sides.find(|side| streams[side.index()] == Some(tcp))?;
        connection.chain(side, time).cloned()
    }

    /// Connections noted for certificates, and bytes that these hold: for tests.
    #[cfg(test)]
    pub(super) fn holding(&self) -> (usize, usize) {
        (self.holders.len(), self.held)
    }

    /// Counts what a connection holds of certificates.
    fn note_held(&mut self, id: ChannelId, before: usize, now: usize) {
        self.held = self.held.saturating_sub(before).saturating_add(now);
        if before == 0 && now > 0 {
            self.holders.push_back(id);
        }
        while self.held > CERTIFICATES
            && let Some(oldest) = self.holders.pop_front()
        {
            if let Some(connection) = self.connections.get_mut(&oldest) {
                self.held = self.held.saturating_sub(connection.held());
                connection.forget_certificates();
            }
        }
    }

    /// Notes that plaintext of a session passed, which is the stream of its connection once it is bound.
    pub(crate) fn handle_plaintext(
        &mut self,
        stream: u64,
        is_unbound: bool,
        process: ProcessKey,
        time: Time,
    ) {
        self.known.note_heard(process);
        if self.is_connection(stream) {
            return;
        }
        if is_unbound
            && !self
                .unbound
                .iter()
                .rev()
                .any(|(known, ..)| *known == stream)
        {
            if self.unbound.len() == UNBOUND {
                self.unbound.pop_front();
            }
            self.unbound.push_back((stream, process, time));
        }
    }

    /// Notes that records were lost, perhaps those that tell of plaintext.
    pub(crate) fn handle_loss(&mut self, now: Time) {
        self.lost = Some(now);
    }

    /// Notes that a session was bound to its connection.
    pub(crate) fn handle_bind(&mut self, before: u64, stream: u64) {
        self.unbound.retain(|(known, ..)| *known != before);
        self.is_connection(stream);
    }

    /// Settles the connection whose plaintext this stream is; false where that is not known.
    fn is_connection(&mut self, stream: u64) -> bool {
        let Some(id) = self.by_stream.get(&(stream ^ LAYER)) else {
            return false;
        };
        if let Some(connection) = self.connections.get_mut(id) {
            connection.settle();
        }
        true
    }

    /// Notes that processes were heard speaking MCP, and with which server.
    pub(crate) fn handle_speakers(
        &mut self,
        speakers: [Option<ProcessKey>; 2],
        server: Option<SocketAddr>,
        now: Time,
    ) {
        let mut is_new = false;
        for speaker in speakers.into_iter().flatten() {
            is_new |= self.known.note_speaker(speaker);
        }
        is_new |= server.is_some_and(|server| self.known.note_server(server));
        if !is_new {
            return;
        }
        // What did not look like MCP before may do so now.
        let waiting = self
            .connections
            .iter()
            .filter(|(_, connection)| !connection.is_settled && connection.due.is_none());
        let waiting: Vec<_> = waiting
            .map(|(id, connection)| (*id, connection.begun))
            .collect();
        for (id, begun) in waiting {
            self.schedule(id, begun.after(PATIENCE).max(now));
        }
    }

    /// Looks at what is due.
    pub(crate) fn handle_timeout(&mut self, now: Time, processes: &impl Processes) {
        self.now = self.now.max(now);
        while let Some((time, id)) = self.due.first().copied().filter(|(time, _)| *time <= now) {
            self.due.remove(&(time, id));
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.due = None;
                self.look(id, now, false, processes);
            }
        }
        while let Some((_, alike)) = self.windows_due.pop_front_if(|(due, _)| *due <= now) {
            let held = self.windows.remove(&alike).and_then(|window| window.held);
            if let Some(held) = held {
                self.ready.push_back(held);
                self.open_window(alike, now);
            }
        }
    }

    /// Settles what waits: the auditor stops.
    pub(crate) fn handle_shutdown(&mut self, now: Time, processes: &impl Processes) {
        // What is younger may be heard in a moment.
        let before = Time(now.0.saturating_sub(PATIENCE / 5));
        for (_, id) in std::mem::take(&mut self.due) {
            if self
                .connections
                .get(&id)
                .is_some_and(|connection| connection.begun <= before)
            {
                self.look(id, now, true, processes);
            }
        }
        let held = std::mem::take(&mut self.windows).into_values();
        self.ready.extend(held.filter_map(|window| window.held));
        self.windows_due.clear();
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let window = self.windows_due.front().map(|(due, _)| *due);
        self.due
            .first()
            .map(|(due, _)| *due)
            .into_iter()
            .chain(window)
            .min()
    }

    /// The next process of which is to be found out which TLS libraries it has, as long as it is there.
    #[must_use]
    pub(crate) fn poll_question(&mut self) -> Option<ProcessKey> {
        self.questions.pop_front()
    }

    /// The next connection that was not heard.
    #[must_use]
    pub(crate) fn poll(&mut self) -> Option<Unheard> {
        self.ready.pop_front()
    }

    fn begin(&mut self, id: ChannelId, begun: Time, processes: &impl Processes) {
        if self.order.len() == CONNECTIONS
            && let Some(oldest) = self.order.pop_front()
        {
            self.look(oldest, begun, true, processes);
            if let Some(connection) = self.connections.remove(&oldest) {
                self.held = self.held.saturating_sub(connection.held());
                // Connections go in the order of their begin, so those behind follow.
                while self
                    .holders
                    .pop_front_if(|holder| !self.connections.contains_key(holder))
                    .is_some()
                {}
                if let Some(due) = connection.due {
                    self.due.remove(&(due, oldest));
                }
                for stream in connection.place.streams.into_iter().flatten() {
                    if self.by_stream.get(&stream) == Some(&oldest) {
                        self.by_stream.remove(&stream);
                    }
                }
            }
        }
        self.order.push_back(id);
        self.connections
            .insert(id, Connection::new(begun, begun.max(self.now)));
    }

    fn schedule(&mut self, id: ChannelId, time: Time) {
        if let Some(connection) = self.connections.get_mut(&id)
            && !connection.is_settled
            && connection.due.is_none()
        {
            connection.due = Some(time);
            self.due.insert((time, id));
        }
    }

    /// Asks for the libraries of the processes of a connection that may carry MCP, once.
    fn ask(&mut self, id: ChannelId, processes: &impl Processes) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        if self
            .basis(connection, &connection.sight(), processes)
            .is_empty()
        {
            return;
        }
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        for side in [Side::A, Side::B] {
            let bit = 1 << side.index();
            if let Some(actor) = connection.ends[side.index()]
                && connection.asked & bit == 0
            {
                connection.asked |= bit;
                if self.questions.len() < QUESTIONS {
                    self.questions.push_back(actor.process);
                }
            }
        }
    }

    /// Why a connection may carry MCP.
    fn basis(
        &self,
        connection: &Connection,
        sight: &Sight,
        processes: &impl Processes,
    ) -> Vec<Basis> {
        let server = connection.address(sight.client_side.other());
        let mut basis =
            self.known
                .of_server(server, sight.server_name.as_deref(), &sight.protocols);
        for actor in connection.ends.into_iter().flatten() {
            let process = processes.process(actor.process);
            basis.extend(self.known.of_process(actor.process, process.as_deref()));
        }
        basis.sort_unstable();
        basis.dedup();
        basis
    }

    /// Judges a connection; `is_last` when it will not be looked at again.
    fn look(&mut self, id: ChannelId, now: Time, is_last: bool, processes: &impl Processes) {
        let Some(connection) = self
            .connections
            .get(&id)
            .filter(|connection| !connection.is_settled)
        else {
            return;
        };
        let sight = connection.sight();
        let basis = self.basis(connection, &sight, processes);
        if basis.is_empty() || sight.moved == Moved::No {
            return;
        }
        self.ask(id, processes);
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        let begun = connection.begun;
        if let Some(at) = self.explanation(connection) {
            // Heard, though nobody knows on which of the process's connections.
            self.unbound.remove(at);
            return self.settle(id);
        }
        let is_patient = !is_last && now < connection.told.after(PATIENCE + LEARNING);
        let mut obstacles = [None, None];
        for side in [Side::A, Side::B] {
            let Some(actor) = connection.ends[side.index()] else {
                continue;
            };
            match processes.tls_obstacle(actor.process, begun) {
                None if is_patient => return self.schedule(id, now.after(AGAIN)),
                obstacle => obstacles[side.index()] = Some(obstacle.unwrap_or_default()),
            }
        }
        if self.lost.is_some_and(|lost| lost >= begun) {
            let lost = Obstacle {
                reason: Reason::RecordsLost,
                ..Obstacle::default()
            };
            obstacles = obstacles.map(|obstacle| obstacle.map(|_| lost.clone()));
        }
        if sight.moved == Moved::Unknown && self.is_unused(connection, &obstacles) {
            return self.settle(id);
        }
        let unheard = connection.unheard(id, sight, basis, obstacles);
        self.settle(id);
        self.report(unheard, now);
    }

    /// Whether its programs are heard on other connections, so that on this one nothing was said.
    fn is_unused(&self, connection: &Connection, obstacles: &[Option<Obstacle>; 2]) -> bool {
        let mut ends = connection.ends.iter().zip(obstacles);
        let is_heard = |(actor, obstacle): (&Option<Actor>, &Option<Obstacle>)| {
            let reason = obstacle.as_ref().map(|obstacle| obstacle.reason);
            actor.is_none_or(|actor| {
                reason == Some(Reason::NothingHeard) && self.known.is_heard(actor.process)
            })
        };
        connection.ends.iter().any(Option::is_some) && ends.all(is_heard)
    }

    /// A session of one of its processes that was heard since and belongs to no other connection.
    fn explanation(&self, connection: &Connection) -> Option<usize> {
        let is_end = |process| {
            connection
                .ends
                .into_iter()
                .flatten()
                .any(|actor| actor.process == process)
        };
        self.unbound
            .iter()
            .position(|(_, process, since)| *since >= connection.begun && is_end(*process))
    }

    fn settle(&mut self, id: ChannelId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.settle();
        }
    }

    /// Tells of a connection at once, or together with others like it.
    fn report(&mut self, unheard: Unheard, now: Time) {
        let process = |actor: Option<Actor>| actor.map(|actor| actor.process);
        let alike = Alike {
            ends: [process(unheard.client), process(unheard.server)],
            server: unheard
                .socket
                .map(|socket| address(&socket, unheard.client_side.other())),
        };
        if let Some(window) = self.windows.get_mut(&alike) {
            let connections = 1 + window.held.as_ref().map_or(0, |held| held.connections);
            window.held = Some(Unheard {
                connections,
                ..unheard
            });
            return;
        }
        self.ready.push_back(unheard);
        self.open_window(alike, now);
    }

    fn open_window(&mut self, alike: Alike, now: Time) {
        if self.windows.len() == WINDOWS
            && let Some((_, oldest)) = self.windows_due.pop_front()
        {
            let held = self.windows.remove(&oldest).and_then(|window| window.held);
            self.ready.extend(held);
        }
        self.windows.insert(alike, Window::default());
        self.windows_due.push_back((now.after(WINDOW), alike));
    }
}
