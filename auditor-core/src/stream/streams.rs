//! The stage itself: takes records, keeps channels and their directions, hands out chunks.
//!
//! Bounds are in [`Limits`]; at each, what is oldest or would not fit is handed on with a gap, never dropped silently.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::Range,
    sync::Arc,
};

use auditor_common::record::{binding, end, flag, object};
use bytes::Bytes;

use super::{
    chunk::{Binding, Channel, ChannelKind, Chunk, EndCause, GapCause, Socket},
    delay::Delay,
    flow::{Before, Flow, Output, Piece},
    testimony::Testimony,
    unbound::{Told, Unbound},
};
use crate::{
    audit::Seen,
    key::{Actor, ChannelId, ProcessKey, Side, Time},
    record::{Header, Object},
    tls::Place,
};

/// Bounds of the stage.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Channels remembered; beyond it the least recently used are forgotten.
    pub channels: usize,
    /// Bytes of one direction that wait for what is before them; beyond it they are handed on with a gap.
    pub waiting: usize,
    /// Nanoseconds that a hole may wait to be filled from the other end of its stream.
    pub patience: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            channels: 65_536,
            waiting: 1 << 20,
            patience: 50_000_000,
        }
    }
}

/// A decision of the kernel side to copy a stream, which may be revoked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Revocation {
    /// Key of the stream.
    pub stream: u64,
    /// The decision.
    pub epoch: u32,
}

/// Puts records in order.
pub struct Streams {
    limits: Limits,
    /// By the kernel's key.
    pub(super) flows: HashMap<u64, Flow>,
    pub(super) channels: HashMap<ChannelId, Entry>,
    last_channel: u64,
    /// Keys of flows with a deadline.
    late: Vec<u64>,
    pub(super) unbound: Unbound,
    pub(super) delay: Delay,
    ready: VecDeque<Chunk>,
    out: Output,
    /// The latest time that was told.
    reached: Time,
}

/// A channel, and the keys of its directions.
pub(super) struct Entry {
    channel: Arc<Channel>,
    pub(super) keys: [Option<u64>; 2],
    /// Who wrote and who read in each direction, once its key belongs to another channel.
    past: [Option<[Testimony; 2]>; 2],
    pub(super) last_used: Time,
}

impl Streams {
    /// Creates the stage.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            flows: HashMap::new(),
            channels: HashMap::new(),
            last_channel: 0,
            late: Vec::new(),
            unbound: Unbound::default(),
            delay: Delay::default(),
            ready: VecDeque::new(),
            out: Vec::new(),
            reached: Time(0),
        }
    }

    /// Takes a data record; `time` is its time.
    pub fn handle_data(&mut self, header: &Header, payload: &[u8], time: Time) {
        self.reached = self.reached.max(time);
        let bytes = Bytes::copy_from_slice(payload);
        if header.object == object::TLS {
            self.wait((*header, Told::Data(bytes), time));
        } else {
            self.take_data(header, bytes, time);
        }
    }

    /// Takes a record of a stream's end.
    pub fn handle_end(&mut self, header: &Header, time: Time) {
        if header.object == object::TLS {
            self.wait((*header, Told::End, time));
        } else {
            self.take_end(header, time);
        }
    }

    pub(super) fn take_data(&mut self, header: &Header, bytes: Bytes, time: Time) {
        // A write is told with the time at which it began, which may be long before those that came before it in the stream.
        let due = self.reached.max(time).after(self.limits.patience);
        let (flow, out) = self.flow(header, time);
        let actor = actor(header);
        let span = u64::from(header.span);
        let testimony = if header.end == end::WRITE {
            &mut flow.writers
        } else {
            &mut flow.readers
        };
        if header.object == object::TLS && header.flags & flag::UNALIGNED != 0 && bytes.is_empty() {
            // Which bytes these are is not known; but an end of a session is one process's.
            testimony.note(0, u64::MAX, actor);
        } else {
            testimony.note(header.pos, header.pos.saturating_add(span), actor);
        }
        let is_counted = matches!(header.object, object::PIPE | object::UNIX | object::PTY);
        if is_counted && header.flags & flag::SKIPPED == 0 {
            // The ends count from 0, and what was left out would have been told.
            flow.begin_at_0();
        }
        flow.epoch = header.epoch;
        let content = if header.flags & flag::UNREADABLE != 0 {
            Err(GapCause::Unreadable)
        } else if !bytes.is_empty() {
            Ok(bytes)
        } else if header.flags & flag::UNHEARD != 0 {
            Err(GapCause::Unheard)
        } else {
            return;
        };
        let before = Before {
            is_skipped: header.flags & flag::SKIPPED != 0,
            lost: if header.flags & flag::LOST != 0 {
                header.lost
            } else {
                0
            },
        };
        flow.insert(
            header.pos,
            Piece {
                time,
                span,
                content,
                before,
            },
            due,
            out,
        );
        self.settle(header.stream);
    }

    pub(super) fn take_end(&mut self, header: &Header, time: Time) {
        let patience = self.limits.patience;
        let cause = if header.flags & flag::RESET != 0 {
            EndCause::Reset
        } else {
            EndCause::Closed
        };
        let (flow, out) = self.flow(header, time);
        let lost = if header.flags & flag::LOST != 0 {
            header.lost
        } else {
            0
        };
        flow.note_end(
            header.pos,
            Before {
                is_skipped: header.flags & flag::SKIPPED != 0,
                lost,
            },
            time,
        );
        flow.finish(cause, time, patience, out);
        let (channel, side) = (flow.channel, flow.side);
        self.settle(header.stream);
        let is_socket_closed = header.object == object::TCP && header.tgid == 0;
        if is_socket_closed
            && let Some(twin) = self
                .channels
                .get(&channel)
                .and_then(|entry| entry.keys[side.other().index()])
        {
            // Nobody can read what would still come.
            if let Some(flow) = self.flows.get_mut(&twin) {
                flow.finish(cause, time, patience, &mut self.out);
            }
            self.settle(twin);
        }
    }

    /// Takes a description of a stream.
    pub fn handle_object(&mut self, header: &Header, told: &Object, time: Time) {
        if self.is_held(header) {
            self.unbound.hold((*header, Told::Object(*told), time));
        } else {
            self.take_object(header, told, time);
        }
    }

    pub(super) fn take_object(&mut self, header: &Header, told: &Object, time: Time) {
        if self.is_stale(header.stream, told) {
            self.open(header, time);
        }
        let (flow, _) = self.flow(header, time);
        let (id, side) = (flow.channel, flow.side);
        if told.twin != 0 {
            self.join_twin(told.twin, id, side);
        }
        let Some(entry) = self.channels.get_mut(&id) else {
            return;
        };
        let channel = Arc::make_mut(&mut entry.channel);
        if told.inode != 0 {
            // A TCP end tells its own inode, the others that of the sender.
            let teller = if header.object == object::TCP && header.end == end::READ {
                side.other()
            } else {
                side
            };
            match teller {
                Side::A => channel.inode = Some(told.inode),
                Side::B => channel.peer_inode = Some(told.inode),
            }
        }
        if told.named != 0 && channel.kind == ChannelKind::Unix {
            channel.kind = ChannelKind::NamedUnix;
        }
        if let Some(tls) = &mut channel.tls {
            *tls = binding(told.binding).unwrap_or(*tls);
        }
        if let (Some(source), Some(destination)) = (
            address(told.ip, told.source, told.source_port),
            address(told.ip, told.destination, told.destination_port),
        ) {
            let (a, b) = if side == Side::A {
                (source, destination)
            } else {
                (destination, source)
            };
            channel.socket = Some(Socket {
                a,
                b,
                netns: told.netns,
            });
        }
    }

    /// Notes that bytes of a stream were lost up to a position.
    pub fn handle_loss(&mut self, stream: u64, generation: u64, end: u64, now: Time) {
        if let Some(flow) = self.flows.get_mut(&stream)
            && flow.generation == Some(generation)
        {
            flow.note_loss(end, now, self.limits.patience);
            self.settle(stream);
        }
    }

    /// Hands on what has waited long enough.
    pub fn handle_timeout(&mut self, now: Time) {
        self.reached = self.reached.max(now);
        self.release_waiting(now);
        for key in std::mem::take(&mut self.late) {
            let Some(flow) = self.flows.get_mut(&key) else {
                continue;
            };
            if flow.deadline().is_some_and(|deadline| deadline <= now) {
                flow.give_up(&mut self.out);
            }
            self.settle(key);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.late
            .iter()
            .filter_map(|key| self.flows.get(key)?.deadline())
            .chain(self.unbound.poll_timeout())
            .chain(self.delay.poll_timeout())
            .min()
    }

    /// The next chunk; `None` asks for more input.
    #[must_use]
    pub fn poll_chunk(&mut self) -> Option<Chunk> {
        self.ready.pop_front()
    }

    /// What is known of a channel.
    pub fn channel(&self, id: ChannelId) -> Option<Arc<Channel>> {
        self.channels
            .get(&id)
            .map(|entry| Arc::clone(&entry.channel))
    }

    /// Who moved the bytes of `range`.
    pub fn seen(&self, channel: ChannelId, from: Side, range: &Range<u64>) -> Seen {
        let Some(entry) = self.channels.get(&channel) else {
            return Seen::default();
        };
        let testimony = |side| self.testimony(entry, side);
        let Some((writers, readers)) = testimony(from) else {
            return Seen::default();
        };
        let last = range.end.saturating_sub(1);
        let is_seen_twice = |(writers, readers): (&Testimony, &Testimony)| {
            !writers.is_empty() && !readers.is_empty()
        };
        Seen {
            writer: writers.who(last),
            reader: readers.who(last),
            local: entry.channel.kind != ChannelKind::Tcp
                || entry
                    .channel
                    .socket
                    .is_some_and(|socket| socket.b.ip().is_loopback())
                || is_seen_twice((writers, readers))
                || testimony(from.other()).is_some_and(is_seen_twice),
        }
    }

    /// Where a chunk of a TCP connection was seen; `None` on anything else.
    pub(crate) fn place(&self, chunk: &Chunk) -> Option<Place> {
        let entry = self.channels.get(&chunk.channel)?;
        let is_tcp = entry.channel.kind == ChannelKind::Tcp && entry.channel.tls.is_none();
        let (writers, readers) = self.testimony(entry, chunk.from).filter(|_| is_tcp)?;
        Some(Place {
            socket: entry.channel.socket,
            streams: entry.keys,
            writer: writers.who(chunk.pos),
            reader: readers.who(chunk.pos),
        })
    }

    /// Key of the stream that a side sends.
    pub(crate) fn stream(&self, channel: ChannelId, side: Side) -> Option<u64> {
        self.channels.get(&channel)?.keys[side.index()]
    }

    /// The only processes that were seen at the ends of a direction of which records were lost.
    pub fn only_seen(&self, channel: ChannelId, from: Side) -> Seen {
        let entry = self.channels.get(&channel);
        let testimony = entry.and_then(|entry| self.testimony(entry, from));
        testimony.map_or_else(Seen::default, |(writers, readers)| Seen {
            writer: writers.only(),
            reader: readers.only(),
            local: false,
        })
    }

    /// Whether everything that moved up to a time and was taken in has been handed on: what TLS sessions move waits.
    pub fn is_handed_on(&self, until: Time) -> bool {
        let waiting = [self.unbound.oldest(), self.delay.oldest()];
        waiting.into_iter().flatten().all(|oldest| oldest > until)
    }

    /// Who wrote and who read in one direction of a channel.
    fn testimony<'a>(
        &'a self,
        entry: &'a Entry,
        side: Side,
    ) -> Option<(&'a Testimony, &'a Testimony)> {
        let past = entry.past[side.index()].as_ref();
        let past = past.map(|[writers, readers]| (writers, readers));
        let flow = entry.keys[side.index()].and_then(|key| self.flows.get(&key));
        let flow = flow.filter(|flow| flow.channel == entry.channel.id);
        past.or_else(|| flow.map(|flow| (&flow.writers, &flow.readers)))
    }

    /// The kernel side's decision to copy this direction.
    pub fn revocation(&self, channel: ChannelId, from: Side) -> Option<Revocation> {
        let stream = self.channels.get(&channel)?.keys[from.index()]?;
        let epoch = self.flows.get(&stream)?.epoch;
        Some(Revocation { stream, epoch })
    }

    /// Forgets channels that were not used since `before` and that `keep` does not hold; returns which.
    pub fn forget_idle(
        &mut self,
        before: Time,
        keep: impl Fn(ChannelId) -> bool,
    ) -> Vec<ChannelId> {
        let is_idle = |(id, entry): &(&ChannelId, &Entry)| entry.last_used < before && !keep(**id);
        let idle: Vec<_> = self
            .channels
            .iter()
            .filter(is_idle)
            .map(|(id, _)| *id)
            .collect();
        for id in &idle {
            self.forget(*id);
        }
        idle
    }

    /// Number of channels remembered.
    pub fn channels(&self) -> usize {
        self.channels.len()
    }

    fn forget(&mut self, id: ChannelId) {
        let Some(entry) = self.channels.remove(&id) else {
            return;
        };
        for key in entry.keys.into_iter().flatten() {
            if self.flows.get(&key).is_some_and(|flow| flow.channel == id) {
                self.flows.remove(&key);
            }
        }
    }

    /// The flow that a record belongs to; new when its key is new or was reused.
    fn flow(&mut self, header: &Header, time: Time) -> (&mut Flow, &mut Output) {
        let is_known = self.flows.get(&header.stream).is_some_and(|flow| {
            flow.generation
                .is_none_or(|generation| generation == header.generation)
        });
        if !is_known {
            self.open(header, time);
        }
        let fresh = || Flow::new(ChannelId(self.last_channel), Side::A);
        let flow = self.flows.entry(header.stream).or_insert_with(fresh);
        flow.generation = Some(header.generation);
        if let Some(entry) = self.channels.get_mut(&flow.channel) {
            entry.last_used = time;
        }
        (flow, &mut self.out)
    }

    /// Whether a key is known only as the other direction of an object that is gone.
    fn is_stale(&self, stream: u64, told: &Object) -> bool {
        let Some(flow) = self
            .flows
            .get(&stream)
            .filter(|flow| flow.generation.is_none())
        else {
            return false;
        };
        let Some(entry) = self.channels.get(&flow.channel) else {
            return true;
        };
        let inode = match flow.side {
            Side::A => entry.channel.peer_inode,
            Side::B => entry.channel.inode,
        };
        let is_other_inode =
            told.twin_inode != 0 && inode.is_some_and(|inode| inode as u32 != told.twin_inode);
        entry.keys[flow.side.other().index()] != Some(told.twin) || is_other_inode
    }

    /// Opens a channel for a stream that is not known.
    fn open(&mut self, header: &Header, time: Time) {
        if self.channels.len() >= self.limits.channels {
            self.forget_oldest_half();
        }
        self.last_channel += 1;
        let id = ChannelId(self.last_channel);
        let kind = match header.object {
            object::UNIX => ChannelKind::Unix,
            object::PTY => ChannelKind::Pty,
            object::TCP | object::TLS => ChannelKind::Tcp,
            _ => ChannelKind::Pipe,
        };
        let channel = Arc::new(Channel {
            id,
            kind,
            inode: None,
            peer_inode: None,
            socket: None,
            tls: (header.object == object::TLS).then_some(Binding::None),
        });
        self.channels.insert(
            id,
            Entry {
                channel,
                keys: [Some(header.stream), None],
                past: [None, None],
                last_used: time,
            },
        );
        self.replace(header.stream, Flow::new(id, Side::A));
    }

    fn forget_oldest_half(&mut self) {
        let mut ages: Vec<_> = self
            .channels
            .iter()
            .map(|(id, entry)| (entry.last_used, *id))
            .collect();
        ages.sort_unstable();
        for (_, id) in ages.iter().take(ages.len() / 2) {
            self.forget(*id);
        }
    }

    /// Makes the stream `twin` the other direction of the channel, unless it is that already.
    ///
    /// What else is known by that key belongs to an object that is gone, or was opened on its own.
    fn join_twin(&mut self, twin: u64, id: ChannelId, side: Side) {
        let other = side.other();
        let Some(entry) = self.channels.get_mut(&id) else {
            return;
        };
        if entry.keys[other.index()] != Some(twin) {
            entry.keys[other.index()] = Some(twin);
            self.replace(twin, Flow::new(id, other));
        }
    }

    /// Gives a key to another channel. What the one before still held is handed on.
    fn replace(&mut self, key: u64, flow: Flow) {
        if let Some(old) = self.flows.get_mut(&key) {
            old.give_up(&mut self.out);
            self.settle(key);
        }
        let Some(old) = self.flows.insert(key, flow) else {
            return;
        };
        if let Some(entry) = self.channels.get_mut(&old.channel) {
            entry.past[old.side.index()] = Some([old.writers, old.readers]);
        }
    }

    /// Hands on what a flow put out, and remembers its deadline.
    fn settle(&mut self, key: u64) {
        let Some(flow) = self.flows.get_mut(&key) else {
            self.out.clear();
            return;
        };
        if flow.waiting() > self.limits.waiting {
            flow.give_up(&mut self.out);
        }
        if flow.deadline().is_some() && !self.late.contains(&key) {
            self.late.push(key);
        }
        let (channel, from) = (flow.channel, flow.side);
        let chunk = |(pos, time, content)| Chunk {
            channel,
            from,
            pos,
            time,
            content,
        };
        self.ready.extend(self.out.drain(..).map(chunk));
    }
}

fn actor(header: &Header) -> Actor {
    Actor {
        process: ProcessKey {
            pid: header.tgid,
            start: header.start,
        },
        tid: header.tid,
    }
}

fn binding(told: u8) -> Option<Binding> {
    match told {
        binding::OBJECT => Some(Binding::Object),
        binding::CALL => Some(Binding::Call),
        binding::RECORD => Some(Binding::Record),
        _ => None,
    }
}

fn address(ip: u8, bytes: [u8; 16], port: u16) -> Option<SocketAddr> {
    let [a, b, c, d, ..] = bytes;
    let ip = match ip {
        4 => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
        6 => IpAddr::V6(Ipv6Addr::from(bytes)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}
