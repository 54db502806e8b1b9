//! Sessions over lines: pipes, Unix sockets, terminals, plain TCP.
//!
//! A channel with two directions is one session. A pipe has one: two pipes become a session when
//! [`super::join`] finds that they belong together; until then answers wait. Which role speaks in
//! a direction is learnt from the first message that only one role sends.

use std::{collections::VecDeque, ops::Range};

use super::{
    interaction::{Direction, Failure, InteractionId, LostCause, Transport},
    message::{Parsed, Shape},
    method::Sender,
    session::{Asker, Held, Key, direction},
    sessions::{Sessions, answering, lost},
};
use crate::{
    audit::World,
    key::{Actor, ChannelId, ProcessKey, Side, Time},
    stream::{ChannelKind, GapCause},
    wire::Gap,
};

/// A channel that carries lines.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) session: u64,
    /// Whether it is a pipe: only `A` sends.
    pub(super) one_way: bool,
    pub(super) lanes: [Lane; 2],
    /// For a pipe: the pipe of the other direction.
    pub(super) partner: Option<ChannelId>,
    /// For a terminal: hashes of the last lines, to know their echo.
    echo: Option<VecDeque<(Side, [u8; 32])>>,
}

/// One direction of a channel that carries lines.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) writers: Vec<Actor>,
    pub(super) readers: Vec<Actor>,
    /// The role that sends here.
    pub(super) role: Option<Sender>,
    /// A message of which an end was not seen yet.
    pub(super) unseen: Option<Range<u64>>,
    /// Pipes that cannot be the other direction.
    pub(super) excluded: Vec<ChannelId>,
    /// The pipe that threads point to, and how many answers said so.
    pub(super) vote: Option<(ChannelId, u32)>,
}

/// Processes remembered at one end of a lane; the oldest goes.
const ACTORS: usize = 4;
const ECHOES: usize = 16;

impl Lane {
    /// Notes who moved a message; returns the processes that are new here.
    pub(super) fn note(&mut self, ends: [Option<Actor>; 2]) -> Vec<ProcessKey> {
        let mut new = Vec::new();
        for (actors, actor) in [&mut self.writers, &mut self.readers].into_iter().zip(ends) {
            let Some(actor) = actor else { continue };
            match actors
                .iter_mut()
                .find(|known| known.process == actor.process)
            {
                Some(known) => known.tid = actor.tid,
                None => {
                    if actors.len() == ACTORS {
                        actors.remove(0);
                    }
                    actors.push(actor);
                    new.push(actor.process);
                }
            }
        }
        new
    }
}

impl Line {
    /// Every process seen at an end.
    pub(super) fn processes(&self) -> impl Iterator<Item = ProcessKey> {
        self.lanes
            .iter()
            .flat_map(|lane| lane.writers.iter().chain(&lane.readers))
            .map(|actor| actor.process)
    }
}

impl Sessions {
    pub(super) fn line_message(&mut self, parsed: Parsed, now: Time, world: &impl World) {
        let (channel, from) = (parsed.part.channel, parsed.part.from);
        let Some(session) = self.line_session(channel, now) else {
            return;
        };
        if self.is_echo(&parsed) {
            return;
        }
        let ends = [parsed.part.writer, parsed.part.reader];
        self.note_actors(channel, from, ends, Some(&parsed.part.range));
        let role = parsed
            .sender
            .filter(|sender| parsed.strong && *sender != Sender::Either);
        if let Some(role) = role {
            self.note_role(channel, from, role);
            self.prove(session, now);
        }
        self.line_dispatch(session, parsed, now, world);
    }

    /// Handles a message in a session: reports it, pairs it, or keeps it.
    fn line_dispatch(&mut self, session: u64, parsed: Parsed, now: Time, world: &impl World) {
        let channel = parsed.part.channel;
        let unjoined = self.is_unjoined(channel);
        let Some(live) = self.live.get_mut(&session) else {
            return;
        };
        live.last = now;
        if parsed.shape == Shape::Response && unjoined {
            self.wait(session, parsed, now);
            self.try_join(channel, now, world);
        } else if live.proven {
            self.line_proven(session, parsed, now);
        } else {
            self.hold(session, Held::Message(Box::new(parsed)));
        }
    }

    fn line_proven(&mut self, session: u64, parsed: Parsed, now: Time) {
        let (channel, from) = (parsed.part.channel, parsed.part.from);
        let asker = Asker::Lane(channel, from);
        match parsed.shape {
            Shape::Request => {
                let sender = self.sender_of(session, &parsed);
                self.request(session, asker, direction(sender), parsed);
            }
            Shape::Notification => {
                if let Some(id) = &parsed.cancels {
                    let key = Key {
                        asker,
                        id: id.clone(),
                    };
                    // A server ends a client's `subscriptions/listen` this way, too.
                    if !self.cancel(session, &key, now)
                        && let Some(asker) = self.asked_by_peer(channel, from)
                    {
                        self.cancel(session, &Key { asker, id: key.id }, now);
                    }
                }
                let sender = self.sender_of(session, &parsed);
                let Some(live) = self.live.get_mut(&session) else {
                    return;
                };
                if let Some(claims) = parsed.claims.as_deref() {
                    live.learn(claims);
                }
                self.open.notify(&live.info, direction(sender), parsed);
            }
            Shape::Response => self.line_answer(session, parsed, now),
        }
    }

    /// Pairs an answer with its request, or keeps it until that shows up.
    pub(super) fn line_answer(&mut self, session: u64, answer: Parsed, now: Time) {
        let asker = self.asked_by_peer(answer.part.channel, answer.part.from);
        match asker.and_then(|asker| self.open_request(session, asker, &answer)) {
            Some(id) => self.finish(id, answer),
            None => self.wait(session, answer, now),
        }
    }

    /// The open request that an answer names.
    pub(super) fn open_request(
        &self,
        session: u64,
        asker: Asker,
        answer: &Parsed,
    ) -> Option<InteractionId> {
        let key = Key {
            asker,
            id: answer.id.as_ref()?.key.clone(),
        };
        self.live.get(&session)?.open.get(&key).copied()
    }

    /// Who asks what the sender of this direction answers.
    fn asked_by_peer(&self, channel: ChannelId, from: Side) -> Option<Asker> {
        let line = self.channels.get(&channel)?.line.as_ref()?;
        if line.one_way {
            return line.partner.map(|partner| Asker::Lane(partner, Side::A));
        }
        Some(Asker::Lane(channel, answering(from)))
    }

    /// The role that sent a message.
    pub(super) fn sender_of(&self, session: u64, parsed: &Parsed) -> Sender {
        if let Some(sender) = parsed.sender.filter(|sender| *sender != Sender::Either) {
            return sender;
        }
        let (channel, from) = (parsed.part.channel, parsed.part.from);
        let chan = self.channels.get(&channel);
        let role = chan.and_then(|chan| match (&chan.line, &chan.http) {
            (Some(line), _) => line.lanes[from.index()].role,
            (None, Some(http)) if http.client == from => Some(Sender::Client),
            (None, Some(_)) => Some(Sender::Server),
            (None, None) => None,
        });
        let oriented = self.live.get(&session).filter(|live| live.oriented);
        role.unwrap_or_else(|| match oriented {
            Some(live) if live.info.client_side != from => Sender::Server,
            _ => Sender::Client,
        })
    }

    /// The session of a channel that carries lines; begins one with its first message.
    fn line_session(&mut self, id: ChannelId, now: Time) -> Option<u64> {
        let chan = self.channels.get(&id)?;
        if let Some(line) = &chan.line
            && self.live.contains_key(&line.session)
        {
            return Some(line.session);
        }
        let kind = chan.info.as_ref().map(|info| info.kind);
        let transport = match kind {
            Some(ChannelKind::Tcp) => Transport::Tcp,
            _ => Transport::Stdio,
        };
        let session = self.new_session(transport, now);
        let one_way = kind == Some(ChannelKind::Pipe);
        if one_way {
            self.unjoined.insert(id);
        }
        let chan = self.channels.get_mut(&id)?;
        let line = chan.line.get_or_insert_with(|| Line {
            session,
            one_way,
            lanes: Default::default(),
            partner: None,
            echo: (kind == Some(ChannelKind::Pty)).then(VecDeque::new),
        });
        line.session = session;
        line.partner = None;
        Some(session)
    }

    /// Whether a line on a terminal is the echo of one that went the other way.
    fn is_echo(&mut self, parsed: &Parsed) -> bool {
        let (channel, from) = (parsed.part.channel, parsed.part.from);
        let line = self
            .channels
            .get_mut(&channel)
            .and_then(|chan| chan.line.as_mut());
        let Some(echo) = line.and_then(|line| line.echo.as_mut()) else {
            return false;
        };
        let twin = (from.other(), parsed.part.sha256);
        if let Some(at) = echo.iter().position(|known| *known == twin) {
            echo.remove(at);
            return true;
        }
        if echo.len() == ECHOES {
            echo.pop_front();
        }
        echo.push_back((from, parsed.part.sha256));
        false
    }

    /// Notes who moved bytes of a lane, and indexes processes that are new there.
    pub(super) fn note_actors(
        &mut self,
        channel: ChannelId,
        from: Side,
        ends: [Option<Actor>; 2],
        range: Option<&Range<u64>>,
    ) {
        let line = self
            .channels
            .get_mut(&channel)
            .and_then(|chan| chan.line.as_mut());
        let Some(line) = line else { return };
        let lane = &mut line.lanes[from.index()];
        if let Some(range) = range.filter(|_| line.one_way && line.partner.is_none())
            && (ends[0].is_none() || ends[1].is_none())
        {
            lane.unseen = Some(range.clone());
        }
        for process in lane.note(ends) {
            let channels = self.by_process.entry(process).or_default();
            if !channels.contains(&channel) {
                channels.push(channel);
            }
        }
    }

    /// Learns the role that sends in one direction, and with it the other direction's.
    pub(super) fn note_role(&mut self, channel: ChannelId, from: Side, role: Sender) {
        let line = self
            .channels
            .get_mut(&channel)
            .and_then(|chan| chan.line.as_mut());
        let Some(line) = line else { return };
        line.lanes[from.index()].role.get_or_insert(role);
        let (one_way, session, partner) = (line.one_way, line.session, line.partner);
        let other = if role == Sender::Client {
            Sender::Server
        } else {
            Sender::Client
        };
        if one_way {
            let partner = partner.and_then(|id| self.channels.get_mut(&id));
            if let Some(line) = partner.and_then(|chan| chan.line.as_mut()) {
                line.lanes[Side::A.index()].role.get_or_insert(other);
            }
        } else {
            line.lanes[from.other().index()].role.get_or_insert(other);
            if let Some(live) = self.live.get_mut(&session) {
                live.orient(if role == Sender::Client {
                    from
                } else {
                    from.other()
                });
            }
        }
    }

    /// Notes that a session is MCP; what was held so far is reported.
    pub(super) fn prove(&mut self, session: u64, now: Time) {
        let Some(live) = self.live.get_mut(&session).filter(|live| !live.proven) else {
            return;
        };
        live.proven = true;
        for held in std::mem::take(&mut live.held) {
            match held {
                Held::Message(parsed) => self.line_proven(session, *parsed, now),
                Held::Gap(gap) => self.report_gap(session, gap),
            }
        }
    }

    /// Keeps something until the session turns out to be MCP. At the bound the oldest goes.
    pub(super) fn hold(&mut self, session: u64, held: Held) {
        let limit = self.limits.waiting;
        let Some(live) = self.live.get_mut(&session) else {
            return;
        };
        if live.held.len() >= limit {
            live.held.pop_front();
        }
        let mut held = held;
        if let Held::Message(parsed) = &mut held {
            // Bodies of what may not be MCP are not kept beyond a small size.
            parsed.part.body = parsed.part.body.take().filter(|body| body.len() <= 4096);
        }
        live.held.push_back(held);
    }

    pub(super) fn line_gap(&mut self, gap: Gap) {
        let line = self
            .channels
            .get(&gap.channel)
            .and_then(|chan| chan.line.as_ref());
        let Some(session) = line.map(|line| line.session) else {
            return;
        };
        if let Some(asker) = self.asked_by_peer(gap.channel, gap.from) {
            self.mark_gap(session, asker);
        }
        match self.live.get(&session) {
            Some(live) if live.proven => self.report_gap(session, gap),
            Some(_) => self.hold(session, Held::Gap(gap)),
            None => {}
        }
    }

    /// Notes that answers to this asker may have been lost.
    pub(super) fn mark_gap(&mut self, session: u64, asker: Asker) {
        for id in self.asked(session, asker) {
            if let Some(open) = self.open.get_mut(id) {
                open.gap = true;
            }
        }
    }

    /// The open requests of one asker, the oldest first.
    fn asked(&self, session: u64, asker: Asker) -> Vec<InteractionId> {
        let all = self.live.get(&session).map(|live| live.all.iter().copied());
        let by_asker =
            |id: &InteractionId| self.open.get(*id).is_some_and(|open| open.asker == asker);
        all.into_iter().flatten().filter(by_asker).collect()
    }

    /// Reports a gap in a session that is MCP. Bytes skipped on purpose are no loss.
    pub(super) fn report_gap(&mut self, session: u64, gap: Gap) {
        if gap.cause == GapCause::Skipped && gap.discarded == 0 {
            return;
        }
        let chan = self.channels.get(&gap.channel);
        let role = chan.and_then(|chan| match (&chan.line, &chan.http) {
            (Some(line), _) => line.lanes[gap.from.index()].role,
            (None, Some(http)) if http.client != gap.from => Some(Sender::Server),
            _ => None,
        });
        let Some(info) = self.info(session) else {
            return;
        };
        let info = std::sync::Arc::clone(info);
        self.open.gap(
            &info,
            role.map_or(Direction::ClientToServer, direction),
            gap,
        );
    }

    /// A channel that carries lines ended a while ago, in one direction or both.
    pub(super) fn line_ended(&mut self, id: ChannelId) {
        let Some(chan) = self.channels.get(&id) else {
            return;
        };
        let (Some(line), ended) = (&chan.line, chan.ended) else {
            return;
        };
        let session = line.session;
        if line.one_way {
            let Some(cause) = ended[Side::A.index()].map(lost) else {
                return;
            };
            match line.partner {
                Some(partner) => {
                    self.fail_asked(session, Asker::Lane(partner, Side::A), cause);
                    let over = self
                        .channels
                        .get(&partner)
                        .is_none_or(|chan| chan.ended[0].is_some());
                    if over {
                        self.forget_channel(id, cause);
                        self.forget_channel(partner, cause);
                    }
                }
                None => self.forget_channel(id, cause),
            }
            return;
        }
        for side in [Side::A, Side::B] {
            if let Some(cause) = ended[side.index()] {
                self.fail_asked(session, Asker::Lane(id, side.other()), lost(cause));
            }
        }
        if let [Some(cause), Some(_)] = ended {
            self.forget_channel(id, lost(cause));
        }
    }

    /// Ends every open request of one asker.
    fn fail_asked(&mut self, session: u64, asker: Asker, cause: LostCause) {
        for id in self.asked(session, asker) {
            self.fail(id, Failure::Lost(cause));
        }
    }

    /// A process ended a while ago: where it was the only one at an end, nothing more can come.
    pub(super) fn process_exited(&mut self, process: ProcessKey) {
        for channel in self.by_process.remove(&process).unwrap_or_default() {
            let line = self
                .channels
                .get_mut(&channel)
                .and_then(|chan| chan.line.as_mut());
            let Some(line) = line else { continue };
            let mut deserted = false;
            for actors in line
                .lanes
                .iter_mut()
                .flat_map(|lane| [&mut lane.writers, &mut lane.readers])
            {
                let before = actors.len();
                actors.retain(|actor| actor.process != process);
                deserted |= before > 0 && actors.is_empty();
            }
            if deserted {
                let session = line.session;
                let all = self.live.get(&session).map(|live| live.all.clone());
                for id in all.unwrap_or_default() {
                    self.fail(id, Failure::Lost(LostCause::Exited));
                }
            }
        }
    }
}
