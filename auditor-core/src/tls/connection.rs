//! One TLS connection while it is followed: where it is, what its first bytes show, who is at its ends.

use std::{net::SocketAddr, sync::Arc};

use super::{
    basis::Basis,
    certificate::{Chain, Reader},
    hello::CLIENT_HELLO,
    obstacle::Obstacle,
    opening::{Opening, Shown},
    unheard::{Moved, Unheard},
};
use crate::{
    key::{Actor, ChannelId, Side, Time},
    stream::Socket,
};

/// Where a chunk was seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    /// The connection's addresses.
    pub(crate) socket: Option<Socket>,
    /// Keys of its streams, by the sender's side.
    pub(crate) streams: [Option<u64>; 2],
    /// Who wrote it.
    pub(crate) writer: Option<Actor>,
    /// Who read it.
    pub(crate) reader: Option<Actor>,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) place: Place,
    pub(super) begun: Time,
    /// When it was told of.
    pub(super) told: Time,
    pub(super) openings: [Opening; 2],
    /// What is read of certificates, by the side that shows them.
    readers: [Reader; 2],
    /// The certificates that a side showed.
    chains: [Option<Arc<Chain>>; 2],
    /// When it was seen to end.
    ended: Option<Time>,
    pub(super) ends: [Option<Actor>; 2],
    /// Bit per side: its process is being looked at.
    pub(super) asked: u8,
    /// When it will be looked at.
    pub(super) due: Option<Time>,
    /// Heard or reported: nothing more is to be done.
    pub(super) is_settled: bool,
}

/// What is read off a connection's beginning.
pub(super) struct Sight {
    pub(super) client_side: Side,
    pub(super) has_handshake: bool,
    pub(super) server_name: Option<String>,
    pub(super) protocols: Vec<String>,
    pub(super) version: Option<u16>,
    pub(super) moved: Moved,
}

impl Connection {
    pub(super) fn new(begun: Time, told: Time) -> Self {
        Self {
            place: Place::default(),
            begun,
            told,
            openings: [Opening::default(), Opening::default()],
            readers: [Reader::default(), Reader::default()],
            chains: [None, None],
            ended: None,
            ends: [None; 2],
            asked: 0,
            due: None,
            is_settled: false,
        }
    }

    pub(super) fn settle(&mut self) {
        self.is_settled = true;
        self.openings.iter_mut().for_each(Opening::close);
    }

    /// Takes bytes that a side sent.
    pub(super) fn push(&mut self, from: Side, pos: u64, bytes: &[u8]) {
        if !self.is_settled {
            self.openings[from.index()].push(pos, bytes);
        }
        if let Some(chain) = self.readers[from.index()].push(pos, bytes) {
            self.chains[from.index()] = Some(Arc::new(chain));
        }
    }

    /// Whether more of its bytes are wanted.
    pub(super) fn is_reading(&self) -> bool {
        !self.is_settled || self.readers.iter().any(Reader::is_open)
    }

    /// The certificates that a side showed, for what moved at `time`: the keys of its streams may be another's by then.
    pub(super) fn chain(&self, side: Side, time: Time) -> Option<&Arc<Chain>> {
        let is_of_it = self.begun <= time && self.ended.is_none_or(|ended| time <= ended);
        self.chains[side.index()].as_ref().filter(|_| is_of_it)
    }

    /// Notes that it ended.
    pub(super) fn end(&mut self, time: Time) {
        self.ended.get_or_insert(time);
    }

    /// Bytes of certificates that are held.
    pub(super) fn held(&self) -> usize {
        let chains = self.chains.iter().flatten().map(|chain| chain.bytes());
        self.readers.iter().map(Reader::held).chain(chains).sum()
    }

    /// Forgets its certificates.
    pub(super) fn forget_certificates(&mut self) {
        self.readers.iter_mut().for_each(Reader::close);
        self.chains = [None, None];
    }

    pub(super) fn address(&self, side: Side) -> Option<SocketAddr> {
        self.place
            .socket
            .as_ref()
            .map(|socket| address(socket, side))
    }

    /// What its beginning shows.
    pub(super) fn sight(&self) -> Sight {
        let shown = [self.openings[0].shown(), self.openings[1].shown()];
        let has_hello = |side: Side, wanted| matches!(&shown[side.index()].hello, Some((kind, _)) if *kind == wanted);
        let sides = [Side::A, Side::B];
        let by_client = sides
            .into_iter()
            .find(|side| has_hello(*side, CLIENT_HELLO));
        let by_server = sides
            .into_iter()
            .find(|side| shown[side.index()].hello.is_some() && !has_hello(*side, CLIENT_HELLO));
        let client = by_client.or(by_server.map(Side::other));
        let client_side = client.unwrap_or_else(|| self.likely_client());
        let of = |side: Side| -> &Shown { &shown[side.index()] };
        let hello = |side| of(side).hello.as_ref().map(|(_, hello)| hello);
        let version = hello(client_side.other()).and_then(|hello| hello.version);
        let moved = match client {
            Some(client) => of(client).moved(version),
            None => Moved::Yes,
        };
        Sight {
            client_side,
            has_handshake: client.is_some(),
            server_name: hello(client_side).and_then(|hello| hello.server_name.clone()),
            protocols: hello(client_side)
                .map(|hello| hello.protocols.clone())
                .unwrap_or_default(),
            version,
            moved,
        }
    }

    /// The side with the higher port, for clients take theirs from the upper range.
    fn likely_client(&self) -> Side {
        match self.place.socket {
            Some(socket) if socket.b.port() > socket.a.port() => Side::B,
            _ => Side::A,
        }
    }

    pub(super) fn unheard(
        &self,
        id: ChannelId,
        sight: Sight,
        basis: Vec<Basis>,
        obstacles: [Option<Obstacle>; 2],
    ) -> Unheard {
        let [a, b] = obstacles;
        let (client_obstacle, server_obstacle) = match sight.client_side {
            Side::A => (a, b),
            Side::B => (b, a),
        };
        Unheard {
            channel: id,
            socket: self.place.socket,
            begun: self.begun,
            client_side: sight.client_side,
            has_handshake: sight.has_handshake,
            client: self.ends[sight.client_side.index()],
            server: self.ends[sight.client_side.other().index()],
            server_name: sight.server_name,
            protocols: sight.protocols,
            version: sight.version,
            basis,
            client_obstacle,
            server_obstacle,
            moved: sight.moved,
            connections: 1,
        }
    }
}

/// The address of a side.
pub(super) fn address(socket: &Socket, side: Side) -> SocketAddr {
    match side {
        Side::A => socket.a,
        Side::B => socket.b,
    }
}
