//! The stage itself: takes items, keeps sessions, hands out interactions.
//!
//! Dispatches to [`super::line`] and [`super::http`], which know how messages of one session find
//! each other; owns the tables both share. Every table has its bound in [`Limits`].

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    net::SocketAddr,
    sync::Arc,
};

use super::{
    http::Http,
    interaction::{
        Direction, Failure, Interaction, InteractionId, LostCause, Outcome, Session, Transport,
    },
    limits::Limits,
    line::Line,
    message::{self, Parsed},
    open::{Open, OpenTable},
    session::{Asker, Key, Live, Waiting},
};
use crate::{
    audit::World,
    key::{ChannelId, ProcessKey, Side, Time},
    stream::{Channel, ChannelKind, EndCause},
    wire::{Framing, Gap, Item, Message},
};

/// Pairs requests with their answers, per session, never across sessions.
///
/// Hand over items in the order framing gives them; after each `handle_*` call, poll
/// [`poll_interaction`](Self::poll_interaction) until it returns `None`. Time only moves by what
/// is handed in; call [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout)
/// says so.
pub struct Sessions {
    pub(super) limits: Limits,
    bodies: bool,
    pub(super) live: HashMap<u64, Live>,
    next_session: u64,
    pub(super) open: OpenTable,
    pub(super) channels: HashMap<ChannelId, Chan>,
    /// Channels that carry lines, by the processes seen at their ends.
    pub(super) by_process: HashMap<ProcessKey, Vec<ChannelId>>,
    /// Pipes whose other direction is not known yet.
    pub(super) unjoined: BTreeSet<ChannelId>,
    /// HTTP sessions by server address and session id.
    pub(super) by_name: HashMap<(Option<SocketAddr>, String), u64>,
    pub(super) timers: BTreeSet<(Time, Timer)>,
    trips: RoundTrips,
}

/// What is to be done later.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Timer {
    /// Look at the answers that wait in a session.
    Waiting(u64),
    /// A request ends unless it was answered.
    Expire(InteractionId),
    /// A channel ended a while ago.
    Ended(ChannelId),
    /// A process ended a while ago.
    Exited(ProcessKey),
}

/// A channel while it lives.
#[derive(Debug)]
pub(super) struct Chan {
    pub(super) info: Option<Arc<Channel>>,
    pub(super) line: Option<Line>,
    pub(super) http: Option<Http>,
    pub(super) ended: [Option<EndCause>; 2],
    pub(super) last: Time,
}

impl Sessions {
    /// Creates the stage. With `bodies` the messages' texts are kept in the interactions.
    pub fn new(limits: Limits, bodies: bool) -> Self {
        Self {
            limits,
            bodies,
            live: HashMap::new(),
            next_session: 0,
            open: OpenTable::default(),
            channels: HashMap::new(),
            by_process: HashMap::new(),
            unjoined: BTreeSet::new(),
            by_name: HashMap::new(),
            timers: BTreeSet::new(),
            trips: RoundTrips::default(),
        }
    }

    /// Takes what framing found. `world` says who moved the bytes and what the channel is.
    pub fn handle_item(&mut self, item: Item, world: &impl World) {
        match item {
            Item::Message(message) => self.handle_message(&message, world),
            Item::ExchangeEnd(end) => self.http_exchange_end(&end),
            Item::Gap(gap) => self.handle_gap(gap),
            Item::End {
                channel,
                from,
                cause,
                time,
            } => {
                if let Some(chan) = self.channels.get_mut(&channel) {
                    chan.ended[from.index()] = Some(cause);
                    let due = time.after(self.limits.settle);
                    self.timers.insert((due, Timer::Ended(channel)));
                }
            }
            Item::Quiet { .. } => {}
        }
    }

    /// Notes that a process ended. What it had written is still waited for a while.
    pub fn handle_exit(&mut self, process: ProcessKey, now: Time) {
        if self.by_process.contains_key(&process) {
            self.timers
                .insert((now.after(self.limits.settle), Timer::Exited(process)));
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time, world: &impl World) {
        self.open.report_open(now, &self.limits);
        while let Some(&(due, timer)) = self.timers.first() {
            if due > now {
                break;
            }
            self.timers.remove(&(due, timer));
            match timer {
                Timer::Waiting(session) => self.waiting_due(session, now, world),
                Timer::Expire(id) => self.expire(id),
                Timer::Ended(channel) => self.channel_ended(channel),
                Timer::Exited(process) => self.process_exited(process),
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next.
    pub fn poll_timeout(&self) -> Option<Time> {
        let timer = self.timers.first().map(|(due, _)| *due);
        match (timer, self.open.next_report(&self.limits)) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// The next interaction to report; `None` until there is more input.
    #[must_use]
    pub fn poll_interaction(&mut self) -> Option<Interaction> {
        self.open.pop_ready()
    }

    /// Ends everything: open interactions are reported as abandoned, waiting answers as unpaired.
    pub fn handle_shutdown(&mut self, _now: Time) {
        // What is known to have ended did so, even if the last moment for it is not over.
        while let Some((_, timer)) = self.timers.pop_first() {
            match timer {
                Timer::Ended(channel) => self.channel_ended(channel),
                Timer::Exited(process) => self.process_exited(process),
                Timer::Waiting(_) | Timer::Expire(_) => {}
            }
        }
        let mut sessions: Vec<u64> = self.live.keys().copied().collect();
        sessions.sort_unstable();
        for session in sessions {
            self.flush_waiting(session);
            self.end_session(session, LostCause::Abandoned);
        }
        self.channels.clear();
        self.by_process.clear();
        self.unjoined.clear();
        self.timers.clear();
    }

    /// Number of interactions that wait for their answer.
    pub fn open_interactions(&self) -> usize {
        self.open.len()
    }

    /// Number of sessions held, those not yet known to be MCP included.
    pub fn sessions(&self) -> usize {
        self.live.len()
    }

    fn handle_message(&mut self, message: &Message, world: &impl World) {
        if super::http::is_endpoint_event(message) {
            self.channel(message.channel, message.time, world);
            self.http_endpoint(message);
            return;
        }
        let seen = world.seen(message.channel, message.from, &message.range);
        if message::is_batch(&message.body) {
            let (parsed, rest) = message::batch(message, seen, self.bodies, self.limits.batch);
            for one in parsed {
                self.handle_parsed(message, one, world);
            }
            if rest > 0 {
                self.handle_gap(Gap {
                    channel: message.channel,
                    from: message.from,
                    range: message.range.clone(),
                    discarded: rest,
                    cause: crate::stream::GapCause::Bound,
                    time: message.time,
                });
            }
        } else if let Some(parsed) = message::single(message, seen, self.bodies) {
            self.handle_parsed(message, parsed, world);
        }
    }

    fn handle_parsed(&mut self, message: &Message, parsed: Parsed, world: &impl World) {
        self.channel(message.channel, message.time, world);
        match &message.framing {
            Framing::Line => self.line_message(parsed, message.time, world),
            Framing::Http {
                exchange,
                part,
                request,
                response,
            } => {
                let context = super::http::Context {
                    exchange: *exchange,
                    part,
                    request: request.as_ref(),
                    response: response.as_ref(),
                };
                self.http_message(parsed, &context, message.time);
            }
        }
    }

    /// Makes sure that a channel is known.
    fn channel(&mut self, id: ChannelId, now: Time, world: &impl World) {
        if let Some(chan) = self.channels.get_mut(&id) {
            chan.last = now;
            // Addresses may be told after the first bytes.
            let placeless =
                |info: &Arc<Channel>| info.kind == ChannelKind::Tcp && info.socket.is_none();
            if chan.info.as_ref().is_none_or(placeless) {
                chan.info = world.channel(id);
            }
            return;
        }
        if self.channels.len() >= self.limits.channels {
            let oldest = self
                .channels
                .iter()
                .min_by_key(|(_, chan)| chan.last)
                .map(|(id, _)| *id);
            if let Some(oldest) = oldest {
                self.forget_channel(oldest, LostCause::Abandoned);
            }
        }
        let info = world.channel(id);
        let chan = Chan {
            info,
            line: None,
            http: None,
            ended: [None; 2],
            last: now,
        };
        self.channels.insert(id, chan);
    }

    fn handle_gap(&mut self, gap: Gap) {
        let Some(chan) = self.channels.get(&gap.channel) else {
            return;
        };
        if chan.line.is_some() {
            self.line_gap(gap);
        } else if chan.http.is_some() {
            self.http_gap(gap);
        }
    }

    /// Begins a session. At the bound the least useful one ends.
    pub(super) fn new_session(&mut self, transport: Transport, now: Time) -> u64 {
        if self.live.len() >= self.limits.sessions {
            let least = self
                .live
                .iter()
                .min_by_key(|(_, live)| (live.proven, live.last));
            if let Some(id) = least.map(|(id, _)| *id) {
                self.end_session(id, LostCause::Abandoned);
            }
        }
        self.next_session += 1;
        self.live.insert(
            self.next_session,
            Live::new(self.next_session, transport, now),
        );
        self.next_session
    }

    /// Ends a session and what is open in it.
    pub(super) fn end_session(&mut self, session: u64, cause: LostCause) {
        let Some(live) = self.live.remove(&session) else {
            return;
        };
        for id in live.all {
            if let Some(open) = self.open.take(id) {
                self.open.fail(open, Some(&live.info), Failure::Lost(cause));
            }
        }
        if let Some(name) = &live.info.mcp_session_id {
            self.by_name.remove(&(live.server, name.clone()));
        }
    }

    /// Begins a request in a session.
    pub(super) fn request(
        &mut self,
        session: u64,
        asker: Asker,
        direction: Direction,
        mut parsed: Parsed,
    ) -> Option<InteractionId> {
        let live = self.live.get_mut(&session)?;
        let key = parsed.id.as_ref().map(|id| Key {
            asker,
            id: id.key.clone(),
        });
        let round_trip = self.trips.resume(session, &parsed);
        // On one lane an id can only be in use once; over HTTP the exchange still tells them apart.
        if let (Asker::Lane(..), Some(key)) = (asker, &key)
            && let Some(older) = live.open.get(key).copied()
        {
            self.fail(older, Failure::Lost(LostCause::Abandoned));
        }
        let live = self.live.get_mut(&session)?;
        if live.all.len() >= self.limits.open_per_session
            && let Some(oldest) = live.all.first().copied()
        {
            self.fail(oldest, Failure::Lost(LostCause::Abandoned));
        }
        if self.open.len() >= self.limits.open
            && let Some(oldest) = self.open.oldest()
        {
            self.fail(oldest, Failure::Lost(LostCause::Abandoned));
        }
        let live = self.live.get_mut(&session)?;
        if let Some(claims) = parsed.claims.as_deref() {
            live.learn(claims);
        }
        let early = key
            .as_ref()
            .and_then(|key| take_waiting(live, key, parsed.part.first));
        let info = Arc::clone(&live.info);
        parsed.state = None;
        let id = self
            .open
            .begin(&info, direction, (asker, key.clone()), parsed);
        if let Some(open) = self.open.get_mut(id) {
            open.interaction.round_trip = round_trip;
        }
        if let Some(live) = self.live.get_mut(&session) {
            live.all.insert(id);
            live.open.extend(key.map(|key| (key, id)));
        }
        match early {
            Some(answer) => {
                self.finish(id, answer);
                None
            }
            None => Some(id),
        }
    }

    /// Ends a request with its answer.
    pub(super) fn finish(&mut self, id: InteractionId, answer: Parsed) {
        let Some(mut open) = self.take(id) else {
            return;
        };
        let Some(live) = self.live.get_mut(&open.session) else {
            return;
        };
        if let Some(claims) = answer.claims.as_deref() {
            live.learn(claims);
            if claims.protocol_version.is_some() {
                open.interaction
                    .protocol_version
                    .clone_from(&claims.protocol_version);
            }
        }
        if answer.outcome == Outcome::InputRequired {
            self.trips.remember(&mut open.interaction, answer.state);
        }
        self.open.answer(open, &live.info, answer);
    }

    /// Ends a request without an answer.
    pub(super) fn fail(&mut self, id: InteractionId, failure: Failure) {
        if let Some(open) = self.take(id) {
            let info = self
                .live
                .get(&open.session)
                .map(|live| Arc::clone(&live.info));
            self.open.fail(open, info.as_ref(), failure);
        }
    }

    /// Takes a request out of both tables.
    fn take(&mut self, id: InteractionId) -> Option<Open> {
        let open = self.open.take(id)?;
        if let Some(live) = self.live.get_mut(&open.session) {
            live.all.remove(&id);
            if let Some(key) = &open.key
                && live.open.get(key) == Some(&id)
            {
                live.open.remove(key);
            }
        }
        Some(open)
    }

    /// Keeps an answer until its request shows up, for a while.
    pub(super) fn wait(&mut self, session: u64, parsed: Parsed, now: Time) {
        let limits = self.limits;
        let Some(live) = self.live.get_mut(&session) else {
            return;
        };
        let mut parsed = parsed;
        let size = parsed.part.body.as_ref().map_or(0, bytes::Bytes::len);
        if live.waiting_bytes + size > limits.waiting_bytes {
            parsed.part.body = None;
        } else {
            live.waiting_bytes += size;
        }
        if live.waiting.is_empty() {
            self.timers
                .insert((now.after(limits.late_request / 5), Timer::Waiting(session)));
        }
        live.waiting.push_back(Waiting { parsed, since: now });
        if live.waiting.len() > limits.waiting
            && let Some(oldest) = pop_waiting(live)
        {
            self.stray(session, oldest);
        }
    }

    /// Reports an answer as unpaired, if its session is MCP.
    fn stray(&mut self, session: u64, parsed: Parsed) {
        let Some(live) = self.live.get(&session).filter(|live| live.proven) else {
            return;
        };
        let asked = match self.sender_of(session, &parsed) {
            super::method::Sender::Server => Direction::ClientToServer,
            _ => Direction::ServerToClient,
        };
        self.open.stray(&live.info, asked, parsed);
    }

    fn flush_waiting(&mut self, session: u64) {
        while let Some(parsed) = self.live.get_mut(&session).and_then(pop_waiting) {
            self.stray(session, parsed);
        }
    }

    /// Looks again at the answers that wait in a session, and gives up on old ones.
    fn waiting_due(&mut self, session: u64, now: Time, world: &impl World) {
        let channel = match self
            .live
            .get(&session)
            .and_then(|live| live.waiting.front())
        {
            Some(waiting) => waiting.parsed.part.channel,
            None => return,
        };
        let mut patience = self.limits.late_request;
        if self.is_unjoined(channel) {
            self.try_join(channel, now, world);
            if self.is_unjoined(channel) {
                patience = self.limits.ambiguous;
            }
        }
        while let Some(live) = self.live.get_mut(&session) {
            match live.waiting.front() {
                Some(waiting) if waiting.since.after(patience) <= now => {
                    if let Some(parsed) = pop_waiting(live) {
                        self.stray(session, parsed);
                    }
                }
                Some(_) => {
                    let due = now.after(self.limits.late_request / 5);
                    self.timers.insert((due, Timer::Waiting(session)));
                    return;
                }
                None => return,
            }
        }
    }

    fn expire(&mut self, id: InteractionId) {
        let cause = self
            .open
            .get(id)
            .map_or(LostCause::NoResponse, |open| open.expires);
        self.fail(id, Failure::Lost(cause));
    }

    /// Notes that the asker takes a request back. It ends so unless an answer was under way.
    pub(super) fn cancel(&mut self, session: u64, key: &Key, now: Time) -> bool {
        let id = self
            .live
            .get(&session)
            .and_then(|live| live.open.get(key))
            .copied();
        let Some(open) = id.and_then(|id| self.open.get_mut(id)) else {
            return false;
        };
        if std::mem::replace(&mut open.cancelled, true) {
            return true;
        }
        let due = now.after(self.limits.cancelled);
        self.timers
            .insert((due, Timer::Expire(open.interaction.id)));
        true
    }

    fn channel_ended(&mut self, id: ChannelId) {
        let Some(chan) = self.channels.get(&id) else {
            return;
        };
        if chan.line.is_some() {
            self.line_ended(id);
        } else if let Some(cause) = chan.ended.iter().flatten().next().copied() {
            self.http_ended(id, lost(cause));
        }
    }

    /// Drops a channel, with its session if it has no other.
    pub(super) fn forget_channel(&mut self, id: ChannelId, cause: LostCause) {
        let Some(chan) = self.channels.remove(&id) else {
            return;
        };
        self.unjoined.remove(&id);
        if let Some(line) = chan.line {
            for process in line.processes() {
                if let Some(channels) = self.by_process.get_mut(&process) {
                    channels.retain(|other| *other != id);
                    if channels.is_empty() {
                        self.by_process.remove(&process);
                    }
                }
            }
            if line
                .partner
                .is_none_or(|partner| !self.channels.contains_key(&partner))
            {
                self.flush_waiting(line.session);
                self.end_session(line.session, cause);
            }
        }
        if let Some(http) = chan.http {
            self.forget_http(http, cause);
        }
    }

    /// What is known of a session.
    pub(super) fn info(&self, session: u64) -> Option<&Arc<Session>> {
        self.live.get(&session).map(|live| &live.info)
    }
}

/// Why a request whose channel ended so has no answer.
pub(super) fn lost(cause: EndCause) -> LostCause {
    match cause {
        EndCause::Closed => LostCause::Closed,
        EndCause::Reset => LostCause::Reset,
        EndCause::Exited => LostCause::Exited,
    }
}

fn pop_waiting(live: &mut Live) -> Option<Parsed> {
    let waiting = live.waiting.pop_front()?;
    let size = waiting
        .parsed
        .part
        .body
        .as_ref()
        .map_or(0, bytes::Bytes::len);
    live.waiting_bytes = live.waiting_bytes.saturating_sub(size);
    Some(waiting.parsed)
}

/// The answer to `key` that came before its request was processed, if there is one.
fn take_waiting(live: &mut Live, key: &Key, asked: Time) -> Option<Parsed> {
    let at = live.waiting.iter().position(|waiting| {
        let part = &waiting.parsed.part;
        // Whatever waits in a session and was not sent by the asker was sent by its peer.
        let by_peer = match key.asker {
            Asker::Lane(channel, from) => (part.channel, part.from) != (channel, from),
            Asker::Role(_) => true,
        };
        let named = waiting
            .parsed
            .id
            .as_ref()
            .is_some_and(|id| id.key == key.id);
        by_peer && named && asked <= part.time
    })?;
    let waiting = live.waiting.remove(at)?;
    let size = waiting
        .parsed
        .part
        .body
        .as_ref()
        .map_or(0, bytes::Bytes::len);
    live.waiting_bytes = live.waiting_bytes.saturating_sub(size);
    Some(waiting.parsed)
}

/// Ties the messages of `input_required` round trips together (2026-07-28).
///
/// Remembers the last 1024 answers that asked for more input.
#[derive(Debug, Default)]
struct RoundTrips {
    counts: HashMap<u64, u32>,
    order: VecDeque<u64>,
    hasher: RandomState,
}

impl RoundTrips {
    const LIMIT: usize = 1024;

    /// The number of a request in its chain, if it continues one.
    fn resume(&mut self, session: u64, parsed: &Parsed) -> Option<u32> {
        if parsed.state.is_none() && !parsed.resumes {
            return None;
        }
        let key = self.key(
            session,
            parsed.state,
            parsed.method.as_ref(),
            parsed.target.as_ref(),
        );
        self.counts.get(&key).map(|count| count.saturating_add(1))
    }

    /// Notes that an interaction ended with a request for more input.
    fn remember(&mut self, interaction: &mut Interaction, state: Option<u64>) {
        let count = *interaction.round_trip.get_or_insert(1);
        let (method, target) = (interaction.method.as_ref(), interaction.target.as_ref());
        let key = self.key(interaction.session.id, state, method, target);
        if self.counts.insert(key, count).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > Self::LIMIT
            && let Some(oldest) = self.order.pop_front()
        {
            self.counts.remove(&oldest);
        }
    }

    /// `requestState` names a chain on any connection; without it, method and target do in a session.
    fn key(
        &self,
        session: u64,
        state: Option<u64>,
        method: Option<&String>,
        target: Option<&String>,
    ) -> u64 {
        match state {
            Some(state) => state,
            None => self.hasher.hash_one((session, method, target)),
        }
    }
}

/// The side of a channel that answers what `from` asks.
pub(super) fn answering(from: Side) -> Side {
    from.other()
}
