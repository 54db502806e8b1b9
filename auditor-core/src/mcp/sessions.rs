//! The stage itself: takes items, keeps sessions, hands out interactions.
//!
//! Dispatches to [`super::line`] and [`super::http`], which know how messages of one session find
//! each other; owns the tables both share. Every table has its bound in [`Limits`].

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    budget::Budget,
    early::EarlyGaps,
    http::{self, Http},
    interaction::{Failure, Interaction, InteractionId, LostCause, Session, Transport},
    lane::Line,
    limits::Limits,
    message::{self, Parsed},
    open::OpenTable,
    progress::Progress,
    round_trip::RoundTrips,
    session::{Live, Server},
};
use crate::{
    audit::World,
    key::{ChannelId, ProcessKey, Time},
    stream::{Channel, ChannelKind, EndCause, GapCause},
    tls::Unheard,
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
    pub(super) by_name: HashMap<(Option<Server>, String), u64>,
    pub(super) timers: BTreeSet<(Time, Timer)>,
    pub(super) trips: RoundTrips,
    early_gaps: EarlyGaps,
    /// Memory for messages that wait or are held.
    pub(super) held: Budget,
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
            open: OpenTable::new(limits.body_bytes),
            channels: HashMap::new(),
            by_process: HashMap::new(),
            unjoined: BTreeSet::new(),
            by_name: HashMap::new(),
            timers: BTreeSet::new(),
            trips: RoundTrips::default(),
            early_gaps: EarlyGaps::default(),
            held: Budget::new(limits.held_bytes),
        }
    }

    /// Takes what framing found. `world` says who moved the bytes and what the channel is.
    pub fn handle_item(&mut self, item: Item, world: &impl World) {
        match item {
            Item::Message(message) => {
                self.handle_message(&message, world);
                if self.has_session(message.channel) {
                    for gap in self.early_gaps.take(message.channel) {
                        self.handle_gap(gap);
                    }
                }
            }
            Item::ExchangeEnd(end) => self.http_exchange_end(&end),
            Item::Gap(gap) => self.handle_gap(gap),
            Item::End {
                channel,
                from,
                cause,
                time,
            } => {
                self.early_gaps.take(channel);
                if let Some(chan) = self.channels.get_mut(&channel) {
                    chan.ended[from.index()] = Some(cause);
                    let due = time.after(self.limits.settle);
                    self.timers.insert((due, Timer::Ended(channel)));
                }
            }
            Item::Quiet { .. } => {}
        }
    }

    /// Takes a TLS connection that may carry MCP and was not heard.
    pub(crate) fn handle_unheard(&mut self, unheard: Unheard) {
        self.open.unheard(unheard);
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

    /// What happened next to a request; `None` until there is more input.
    #[must_use]
    pub fn poll_progress(&mut self) -> Option<Progress> {
        self.open.pop_progress()
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
        if http::is_endpoint_event(message) {
            self.channel(message.channel, message.time, world);
            self.http_endpoint(message);
            return;
        }
        if message::is_batch(&message.body) {
            let (parsed, rest) = message::batch(message, self.bodies, self.limits.batch);
            for one in parsed {
                self.handle_parsed(message, one, world);
            }
            if rest > 0 {
                self.handle_gap(Gap {
                    channel: message.channel,
                    from: message.from,
                    range: message.range.clone(),
                    discarded: rest,
                    cause: GapCause::Bound,
                    time: message.time,
                });
            }
        } else if let Some(parsed) = message::single(message, self.bodies) {
            self.handle_parsed(message, parsed, world);
        }
    }

    fn handle_parsed(&mut self, message: &Message, mut parsed: Parsed, world: &impl World) {
        self.channel(message.channel, message.time, world);
        let seen = world.seen(message.channel, message.from, &message.range);
        (parsed.part.writer, parsed.part.reader) = (seen.writer, seen.reader);
        match &message.framing {
            Framing::Line => self.line_message(parsed, message.time, None, world),
            Framing::WebSocket => {
                let transport = Some(Transport::WebSocket);
                self.line_message(parsed, message.time, transport, world);
            }
            Framing::Http {
                exchange,
                part,
                request,
                response,
            } => {
                let context = http::Context {
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
        match self.channels.get(&gap.channel) {
            Some(chan) if chan.line.is_some() => self.line_gap(gap),
            Some(chan) if chan.http.is_some() => self.http_gap(gap),
            _ => self.early_gaps.push(gap),
        }
    }

    /// Whether a channel carries anything that may be MCP.
    fn has_session(&self, channel: ChannelId) -> bool {
        let chan = self.channels.get(&channel);
        chan.is_some_and(|chan| chan.line.is_some() || chan.http.is_some())
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
