//! One MCP session while it lives: what is known of it, its open requests, what waits in it.
//!
//! A plain record; the rules that fill it are in [`super::sessions`], [`super::line`] and
//! [`super::http`]. Bounds: [`Limits::open_per_session`](super::Limits), `waiting`.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
};

use super::{
    budget::Share,
    interaction::{Direction, InteractionId, Part, Session, Transport},
    message::{Claims, Parsed},
    method::Sender,
};
use crate::{
    key::{ChannelId, Side, Time},
    stream::GapCause,
    wire::Gap,
};

/// The address of an HTTP server, and the network namespace in which it was seen.
pub(super) type Server = (SocketAddr, u32);

/// Who asked: ids are unique per asker only.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Asker {
    /// The sender of one direction of a channel that carries lines.
    Lane(ChannelId, Side),
    /// A role, where HTTP spreads a session over channels.
    Role(Sender),
}

/// Names one open request of a session.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Key {
    pub(super) asker: Asker,
    pub(super) id: Box<str>,
}

/// Something that cannot be reported yet.
#[derive(Debug)]
pub(super) enum Held {
    Message { parsed: Box<Parsed>, _share: Share },
    Gap(Gap),
}

/// An answer that waits for its request.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) parsed: Parsed,
    pub(super) since: Time,
    pub(super) _share: Share,
}

/// A session while it lives.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) info: Arc<Session>,
    /// Whether it is known to be MCP.
    pub(super) proven: bool,
    /// Whether it is known which side is the client.
    pub(super) oriented: bool,
    /// Open requests by name; of those of equal name (over HTTP) the newest.
    pub(super) open: HashMap<Key, InteractionId>,
    /// All open requests, the oldest first.
    pub(super) all: BTreeSet<InteractionId>,
    /// Messages before the first proof that this is MCP, in order.
    pub(super) held: VecDeque<Held>,
    /// What had to go before that proof, one gap a direction.
    pub(super) dropped: Vec<Gap>,
    /// Answers whose request is not known, in order.
    pub(super) waiting: VecDeque<Waiting>,
    /// When something was last heard.
    pub(super) last: Time,
    /// The server's address, for sessions over TCP.
    pub(super) server: Option<Server>,
    /// For HTTP without a session id: the path that was proven to be MCP.
    pub(super) path: Option<String>,
}

impl Live {
    pub(super) fn new(id: u64, transport: Transport, now: Time) -> Self {
        Self {
            info: Arc::new(Session {
                id,
                transport,
                client_side: Side::A,
                mcp_session_id: None,
                protocol_version: None,
                client_info: None,
                server_info: None,
            }),
            proven: false,
            oriented: false,
            open: HashMap::new(),
            all: BTreeSet::new(),
            held: VecDeque::new(),
            dropped: Vec::new(),
            waiting: VecDeque::new(),
            last: now,
            server: None,
            path: None,
        }
    }

    /// Takes over what a message says about its session.
    pub(super) fn learn(&mut self, claims: &Claims) {
        let Claims {
            protocol_version,
            client_info,
            server_info,
        } = claims;
        // Most messages repeat what is known; only news costs a copy.
        if protocol_version.is_some() && *protocol_version != self.info.protocol_version {
            Arc::make_mut(&mut self.info)
                .protocol_version
                .clone_from(protocol_version);
        }
        if client_info.is_some() && *client_info != self.info.client_info {
            Arc::make_mut(&mut self.info)
                .client_info
                .clone_from(client_info);
        }
        if server_info.is_some() && *server_info != self.info.server_info {
            Arc::make_mut(&mut self.info)
                .server_info
                .clone_from(server_info);
        }
    }

    /// Notes that a message could not be kept until its session is known to be MCP.
    pub(super) fn drop_early(&mut self, part: &Part) {
        self.drop_gap(Gap {
            channel: part.channel,
            from: part.from,
            // Nothing was lost on the way.
            range: part.range.end..part.range.end,
            discarded: part.bytes,
            cause: GapCause::Bound,
            time: part.time,
        });
    }

    /// Notes the same of a gap: what was dropped around it and it are one.
    pub(super) fn drop_gap(&mut self, gap: Gap) {
        let is_same = |known: &&mut Gap| known.channel == gap.channel && known.from == gap.from;
        let Some(known) = self.dropped.iter_mut().find(is_same) else {
            self.dropped.push(gap);
            return;
        };
        let lost = |gap: &Gap| gap.range.end - gap.range.start;
        let start = gap.range.end.saturating_sub(lost(&gap) + lost(known));
        known.range = start..gap.range.end;
        known.discarded = known.discarded.saturating_add(gap.discarded);
        known.time = gap.time;
    }

    /// Fixes which side of the channel the client is on, once.
    pub(super) fn orient(&mut self, client: Side) {
        if !self.oriented {
            self.oriented = true;
            if self.info.client_side != client {
                Arc::make_mut(&mut self.info).client_side = client;
            }
        }
    }
}

/// The direction of a request or notification that `sender` sends.
pub(super) fn direction(sender: Sender) -> Direction {
    match sender {
        Sender::Server => Direction::ServerToClient,
        Sender::Client | Sender::Either => Direction::ClientToServer,
    }
}
