//! Sessions over lines: pipes, Unix sockets, terminals, plain TCP.
//!
//! A channel that speaks in two directions is one session. A pipe speaks in one, and so may a Unix
//! socket: two such become a session when [`super::join`] finds that they belong together; until
//! then answers wait. Which role speaks in a direction is learnt from the first message that only
//! one role sends.

use std::collections::VecDeque;

use super::{
    interaction::{Direction, Failure, InteractionId, LostCause, Transport},
    lane::Line,
    message::{Parsed, Shape},
    method::Sender,
    session::{Asker, Held, Key, direction},
    sessions::{Chan, Sessions, lost},
};
use crate::{
    audit::World,
    key::{ChannelId, Side, Time},
    stream::{ChannelKind, GapCause},
    wire::Gap,
};

/// Bytes of a body that are kept before a session is known to be MCP.
const SMALL: usize = 4096;

impl Sessions {
    /// Takes a message that came without HTTP around it; `transport` where its channel does not tell.
    pub(super) fn line_message(
        &mut self,
        parsed: Parsed,
        now: Time,
        transport: Option<Transport>,
        world: &impl World,
    ) {
        let (channel, from) = (parsed.part.channel, parsed.part.from);
        let Some(session) = self.line_session(channel, from, transport, now) else {
            return;
        };
        if self.is_echo(&parsed) {
            return;
        }
        self.note_two_way(channel, from, session, now);
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

    /// Notes that a channel speaks in both directions, once it does: its answers come on itself.
    fn note_two_way(&mut self, channel: ChannelId, from: Side, session: u64, now: Time) {
        let chan = self.channels.get_mut(&channel);
        let line = chan.and_then(|chan| chan.line.as_mut());
        let alone = |line: &&mut Line| line.one_way && line.partner.is_none();
        let Some(line) = line.filter(alone).filter(|line| line.speaks != from) else {
            return;
        };
        line.one_way = false;
        let (speaks, role) = (line.speaks, line.lane().role);
        self.unjoined.remove(&channel);
        if let Some(role) = role {
            self.note_role(channel, speaks, role);
        }
        let live = self.live.get_mut(&session);
        for waiting in live
            .map(|live| std::mem::take(&mut live.waiting))
            .unwrap_or_default()
        {
            self.line_answer(session, waiting.parsed, now);
        }
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
            let live = self.live.get(&session);
            let waiting = live.map_or(0, |live| live.waiting.len());
            // While it stays ambiguous each answer makes looking dearer: the timer looks, too.
            let is_worth = waiting <= 8 || waiting.is_power_of_two();
            if is_worth && waiting < self.limits.waiting {
                self.try_join(channel, now, world);
            }
        } else if live.proven {
            self.line_proven(session, parsed, now);
        } else {
            // Bodies of what may not be MCP are not kept beyond a small size.
            let mut parsed = parsed;
            parsed.part.body = parsed.part.body.take().filter(|body| body.len() <= SMALL);
            match self.share(parsed) {
                (parsed, Some(share)) => {
                    let parsed = Box::new(parsed);
                    self.hold(
                        session,
                        Held::Message {
                            parsed,
                            _share: share,
                        },
                    );
                }
                (parsed, None) => {
                    if let Some(live) = self.live.get_mut(&session) {
                        live.drop_early(&parsed.part);
                    }
                }
            }
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
                if let Some((id, cause)) = &parsed.cancels {
                    let key = Key {
                        asker,
                        id: id.clone(),
                    };
                    // A server ends a client's `subscriptions/listen` this way, too.
                    if !self.cancel(session, &key, *cause, now)
                        && let Some(asker) = self.asked_by_peer(channel, from)
                    {
                        self.cancel(session, &Key { asker, id: key.id }, *cause, now);
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
            return self.asker_on(line.partner?);
        }
        Some(Asker::Lane(channel, from.other()))
    }

    /// Who asks on a channel that speaks in one direction.
    pub(super) fn asker_on(&self, channel: ChannelId) -> Option<Asker> {
        let line = self.channels.get(&channel)?.line.as_ref()?;
        Some(Asker::Lane(channel, line.speaks))
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
    fn line_session(
        &mut self,
        id: ChannelId,
        from: Side,
        transport: Option<Transport>,
        now: Time,
    ) -> Option<u64> {
        let chan = self.channels.get(&id)?;
        if let Some(line) = &chan.line
            && self.live.contains_key(&line.session)
        {
            return Some(line.session);
        }
        let kind = chan.info.as_ref().map(|info| info.kind);
        let transport = transport.unwrap_or(match kind {
            Some(ChannelKind::Tcp) => Transport::Tcp,
            Some(ChannelKind::NamedUnix) => Transport::Unix,
            _ => Transport::Stdio,
        });
        let session = self.new_session(transport, now);
        let chan = self.channels.get_mut(&id)?;
        let line = chan.line.get_or_insert_with(|| Line {
            session,
            // Some clients give a server's input and output each a socket pair of its own.
            one_way: matches!(
                kind,
                Some(ChannelKind::Pipe | ChannelKind::Unix | ChannelKind::NamedUnix)
            ),
            speaks: from,
            lanes: Default::default(),
            partner: None,
            echo: (kind == Some(ChannelKind::Pty)).then(VecDeque::new),
        });
        if line.one_way {
            self.unjoined.insert(id);
        }
        line.session = session;
        line.partner = None;
        Some(session)
    }

    /// Notes that a session is MCP; what was held so far is reported.
    pub(super) fn prove(&mut self, session: u64, now: Time) {
        let Some(live) = self.live.get_mut(&session).filter(|live| !live.proven) else {
            return;
        };
        live.proven = true;
        let held = std::mem::take(&mut live.held);
        for gap in std::mem::take(&mut live.dropped) {
            self.line_gap(gap);
        }
        for held in held {
            match held {
                Held::Message { parsed, .. } => self.line_proven(session, *parsed, now),
                Held::Gap(gap) => self.report_gap(session, gap),
            }
        }
    }

    /// Keeps something until the session turns out to be MCP. At the bound the oldest goes, and becomes a gap then.
    pub(super) fn hold(&mut self, session: u64, held: Held) {
        let limit = self.limits.waiting;
        let Some(live) = self.live.get_mut(&session) else {
            return;
        };
        live.held.push_back(held);
        if live.held.len() > limit {
            match live.held.pop_front() {
                Some(Held::Message { parsed, .. }) => live.drop_early(&parsed.part),
                Some(Held::Gap(gap)) => live.drop_gap(gap),
                None => {}
            }
        }
    }

    pub(super) fn line_gap(&mut self, gap: Gap) {
        let line = self
            .channels
            .get_mut(&gap.channel)
            .and_then(|chan| chan.line.as_mut());
        let Some(line) = line else {
            return;
        };
        line.lanes[gap.from.index()].gap = true;
        let session = line.session;
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
            // Alone, a socket may still have been answered on its other direction.
            let answers = ended[line.speaks.other().index()].filter(|_| line.partner.is_none());
            let Some(cause) = answers.or(ended[line.speaks.index()]).map(lost) else {
                return;
            };
            let Some(partner) = line.partner else {
                self.forget_channel(id, cause);
                return;
            };
            if let Some(asker) = self.asker_on(partner) {
                self.fail_asked(session, asker, cause);
            }
            let chan = self.channels.get(&partner);
            let speaks = |chan: &Chan| chan.line.as_ref().map_or(Side::A, |line| line.speaks);
            if chan.is_none_or(|chan| chan.ended[speaks(chan).index()].is_some()) {
                self.forget_channel(id, cause);
                self.forget_channel(partner, cause);
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
}
