//! The whole pipeline on one screen: records in, audit events out.
//!
//! Only passes on; each stage keeps its own bounds. What is known of processes is asked of [`Processes`].

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    ops::Range,
    sync::Arc,
};

use auditor_common::record::{flag, object};
use auditor_detect::{Judge, Unreadable};

use crate::{
    audit::{
        AuditEvent, Auditor, DetectionCounts, DetectionEvent, Environment, FindingEvent, Names,
        Party, Privacy, Process, Role, Seen, Settings, World, decision::Policy,
    },
    identity::{Authority, Gateways, Issuers, Keys},
    key::{ChannelId, ProcessKey, Side, Time},
    mcp::{self, Kind, Sessions},
    record::{Header, Record},
    settle::Settle,
    stream::{self, Channel, Content, Revocation, Streams},
    tls::{Chain, Hints, Obstacle, Watch},
    wire::{self, Item, Wire},
};

/// Nanoseconds after which a channel that never carried a message is forgotten.
const IDLE: u64 = 30_000_000_000;
/// Nanoseconds that a gap waits for the next message, which shows how much more was broken by it.
const GAP: u64 = 20_000_000;
/// Bytes without a message after which a channel that carried some is no longer copied.
const QUIET: u64 = 4 << 20;

/// Knows processes. Answers from memory.
pub trait Processes {
    /// What is known of a process.
    fn process(&self, key: ProcessKey) -> Option<Arc<Process>>;
    /// What was known of it at a time: it may run another program since.
    fn process_at(&self, key: ProcessKey, _time: Time) -> Option<Arc<Process>> {
        self.process(key)
    }
    /// Whether more will be known of a process in a moment.
    fn is_learning(&self, _process: ProcessKey) -> bool {
        false
    }
    /// Why TLS of a process is not heard, on a connection that began at `begun`; `None` while that is being found out.
    fn tls_obstacle(&self, _process: ProcessKey, _begun: Time) -> Option<Obstacle> {
        Some(Obstacle::default())
    }
}

/// Bounds of all stages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Of putting records in order.
    pub stream: stream::Limits,
    /// Of framing.
    pub wire: wire::Limits,
    /// Of pairing.
    pub mcp: mcp::Limits,
}

/// What went through so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Totals {
    /// Data records taken.
    pub records: u64,
    /// Their payload in bytes.
    pub bytes: u64,
    /// JSON values framed.
    pub messages: u64,
    /// Events made.
    pub events: u64,
}

/// Records in, audit events out.
pub struct Pipeline {
    limits: Limits,
    streams: Streams,
    lanes: HashMap<ChannelId, Lane>,
    /// Channels with a gap that may not have been reported, in order of when it must be.
    gaps: VecDeque<(Time, ChannelId)>,
    sessions: Sessions,
    settle: Settle,
    auditor: Auditor,
    watch: Watch,
    revocations: Vec<Revocation>,
    totals: Totals,
}

/// Framing of one channel.
struct Lane {
    wire: Wire,
    has_messages: bool,
}

/// The pipeline's knowledge and the processes', as one.
struct View<'a, P> {
    streams: &'a Streams,
    /// Where certificates may be asked for.
    watch: Option<&'a Watch>,
    processes: &'a P,
}

impl Pipeline {
    /// Creates the pipeline.
    pub fn new(limits: Limits, settings: Settings, hints: Hints) -> Self {
        Self {
            limits,
            streams: Streams::new(limits.stream),
            lanes: HashMap::new(),
            gaps: VecDeque::new(),
            // Contents are read by the audit stage, and end there.
            sessions: Sessions::new(limits.mcp, true),
            settle: Settle::default(),
            auditor: Auditor::new(settings),
            watch: Watch::new(hints),
            revocations: Vec::new(),
            totals: Totals::default(),
        }
    }

    /// Takes where the host stands by now, for the events from here on.
    pub fn set_environment(&mut self, environment: &Environment) {
        self.auditor.set_environment(environment);
    }

    /// Takes one record, seen at `time`.
    pub fn handle_record(&mut self, record: &Record<'_>, time: Time, processes: &impl Processes) {
        match record {
            Record::Data(header, payload) => {
                self.totals.records += 1;
                self.totals.bytes += payload.len() as u64;
                if header.object == object::TLS {
                    let is_unbound = header.flags & flag::UNBOUND != 0;
                    self.watch
                        .handle_plaintext(header.stream, is_unbound, process(header), time);
                }
                self.streams.handle_data(header, payload, time);
            }
            Record::Object(header, object) => self.streams.handle_object(header, object, time),
            Record::End(header) => {
                if header.object == object::TLS {
                    self.watch.handle_end(header.stream, time);
                }
                self.streams.handle_end(header, time);
            }
            Record::Bind(header, bind) => {
                self.watch.handle_bind(header.stream, bind.stream);
                self.streams.handle_bind(header, bind, time);
            }
            Record::Exit(header) => self.sessions.handle_exit(process(header), time),
            Record::Deed(header, deed, names) => {
                let view = view(&self.streams, processes);
                self.auditor
                    .deeds()
                    .handle_deed(header, deed, names, time, &view);
                return;
            }
            Record::Serving(header) => {
                let view = view(&self.streams, processes);
                self.auditor.deeds().handle_serving(header, time, &view);
                return;
            }
            Record::Exec(header, _, names) => {
                let view = view(&self.streams, processes);
                self.auditor
                    .deeds()
                    .handle_program(header, names, time, &view);
                return;
            }
            Record::Mapped(_) | Record::Fork(..) | Record::Cgroup(..) => return,
        }
        self.pass_on(time, processes);
    }

    /// Notes that bytes of a stream were lost up to a position.
    pub fn handle_loss(&mut self, stream: u64, generation: u64, end: u64, now: Time) {
        self.streams.handle_loss(stream, generation, end, now);
        self.watch.handle_loss(now);
    }

    /// Does what is due. To be called after each batch of records too.
    pub fn handle_timeout(&mut self, now: Time, processes: &impl Processes) {
        self.streams.handle_timeout(now);
        self.pass_on(now, processes);
        self.flush_gaps(now, processes);
        let view = View {
            streams: &self.streams,
            watch: None,
            processes,
        };
        self.sessions.handle_timeout(now, &view);
        self.watch.handle_timeout(now, processes);
        self.pass_unheard();
        self.pass_interactions(now, processes);
        let view = View {
            streams: &self.streams,
            watch: None,
            processes,
        };
        self.settle.handle_timeout(now, &view);
    }

    /// Forgets what was not used for long. To be called every few seconds.
    pub fn handle_idle(&mut self, now: Time) {
        let before = Time(now.0.saturating_sub(IDLE));
        let lanes = &self.lanes;
        let has_messages = |id| lanes.get(&id).is_some_and(|lane| lane.has_messages);
        for id in self.streams.forget_idle(before, has_messages) {
            self.lanes.remove(&id);
        }
        let streams = &self.streams;
        self.lanes.retain(|id, _| streams.channel(*id).is_some());
    }

    /// Ends everything that is open.
    pub fn handle_shutdown(&mut self, now: Time, processes: &impl Processes) {
        self.streams.handle_timeout(Time(u64::MAX));
        self.pass_on(now, processes);
        self.flush_gaps(Time(u64::MAX), processes);
        self.sessions.handle_shutdown(now);
        self.watch.handle_shutdown(now, processes);
        self.pass_unheard();
        self.pass_interactions(now, processes);
        let view = View {
            streams: &self.streams,
            watch: None,
            processes,
        };
        self.settle.handle_timeout(Time(u64::MAX), &view);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next.
    pub fn poll_timeout(&self) -> Option<Time> {
        let gap = self.gaps.front().map(|(due, _)| *due);
        let times = [
            gap,
            self.streams.poll_timeout(),
            self.sessions.poll_timeout(),
            self.settle.poll_timeout(),
            self.watch.poll_timeout(),
        ];
        times.into_iter().flatten().min()
    }

    /// The next event, logged at `now`; `None` asks for more input.
    #[must_use]
    pub fn poll_event(&mut self, now: Time, processes: &impl Processes) -> Option<AuditEvent> {
        let interaction = self.settle.poll()?;
        self.totals.events += 1;
        let view = View {
            streams: &self.streams,
            watch: Some(&self.watch),
            processes,
        };
        let event = self.auditor.audit(interaction, &view, now);
        if event.interaction.kind != Kind::Gap {
            let process = |party: &Party| party.actor.map(|actor| actor.process);
            let speakers = [process(&event.client), process(&event.server)];
            self.watch.handle_speakers(speakers, server(&event), now);
        }
        Some(event)
    }

    /// The next finding, told at `now`; to be asked after each event.
    #[must_use]
    pub fn poll_finding(&mut self, now: Time) -> Option<FindingEvent> {
        self.auditor.poll_finding(now)
    }

    /// The next rule that events met, told at `now`; to be asked after each event.
    #[must_use]
    pub fn poll_detection(&mut self, now: Time) -> Option<DetectionEvent> {
        self.auditor.poll_detection(now)
    }

    /// Takes what evaluates rules, for the interactions from here on.
    pub fn set_judge(&mut self, judge: Option<Box<dyn Judge>>) {
        self.auditor.set_judge(judge);
    }

    /// What detection learned, for the next run.
    pub fn keep_detection(&self) -> Vec<u8> {
        self.auditor.keep_detection()
    }

    /// Takes up what [`keep_detection`](Self::keep_detection) gave.
    ///
    /// # Errors
    /// When it is something else; nothing is taken up then.
    pub fn take_up_detection(&mut self, kept: &[u8]) -> Result<(), Unreadable> {
        self.auditor.take_up_detection(kept)
    }

    /// What detection holds and lost.
    pub fn detection_counts(&self) -> DetectionCounts {
        self.auditor.detection_counts()
    }

    /// Takes what decides, for the interactions from here on.
    pub fn set_policy(&mut self, policy: Option<Box<dyn Policy>>) {
        self.auditor.set_policy(policy);
    }

    /// Takes what identities are proven by, and who may use other people's.
    pub fn set_identities(
        &mut self,
        issuers: Issuers,
        authorities: Vec<Authority>,
        gateways: Gateways,
    ) {
        self.auditor.set_issuers(issuers);
        self.auditor.set_authorities(authorities);
        self.auditor.set_gateways(gateways);
    }

    /// Takes what classifies contents, and what hides them.
    pub fn set_privacy(&mut self, privacy: Arc<Privacy>) {
        self.auditor.set_privacy(privacy);
    }

    /// Takes what is known of the names of things.
    pub fn set_names(&mut self, names: Arc<Names>) {
        self.auditor.set_names(names);
    }

    /// Takes the keys of an issuer, by its place among them.
    pub fn set_keys(&mut self, issuer: usize, keys: Keys) {
        self.auditor.set_keys(issuer, keys);
    }

    /// The next issuer of which a token named a key that is not known, by its place: its keys may have changed.
    #[must_use]
    pub fn poll_wanted_keys(&mut self) -> Option<usize> {
        self.auditor.poll_wanted_keys()
    }

    /// The next process of which is to be found out soon which TLS libraries it has: see
    /// [`Processes::tls_obstacle`].
    #[must_use]
    pub fn poll_question(&mut self) -> Option<ProcessKey> {
        self.watch.poll_question()
    }

    /// The next process of which it is known now whether it serves MCP: only the deeds of those that do are wanted.
    #[must_use]
    pub fn poll_role(&mut self) -> Option<(ProcessKey, Role)> {
        self.auditor.poll_role()
    }

    /// Notes that records were lost: deeds may be among them.
    pub fn handle_lost_records(&mut self, now: Time) {
        self.auditor.deeds().handle_lost(now);
    }

    /// The next stream that is not worth copying.
    #[must_use]
    pub fn poll_revocation(&mut self) -> Option<Revocation> {
        self.revocations.pop()
    }

    /// What went through so far.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Requests that wait for their answer.
    pub fn open_interactions(&self) -> usize {
        self.sessions.open_interactions()
    }

    /// Channels remembered.
    pub fn channels(&self) -> usize {
        self.streams.channels()
    }

    /// Bytes held by unfinished messages.
    pub fn buffered(&self) -> usize {
        self.lanes.values().map(|lane| lane.wire.buffered()).sum()
    }

    /// Chunks to messages, messages to interactions.
    fn pass_on(&mut self, now: Time, processes: &impl Processes) {
        while let Some(chunk) = self.streams.poll_chunk() {
            if self.watch.wants(&chunk)
                && let Some(place) = self.streams.place(&chunk)
            {
                self.watch.handle_chunk(&chunk, place, processes);
            }
            let lane = self.lanes.entry(chunk.channel).or_insert_with(|| Lane {
                wire: Wire::new(chunk.channel, self.limits.wire),
                has_messages: false,
            });
            lane.wire.handle_chunk(&chunk);
            if matches!(chunk.content, Content::Gap { .. }) {
                self.gaps.push_back((now.after(GAP), chunk.channel));
            }
            self.pass_items(chunk.channel, processes);
        }
        self.pass_interactions(now, processes);
    }

    /// Reports gaps that have waited long enough.
    fn flush_gaps(&mut self, now: Time, processes: &impl Processes) {
        while let Some((_, channel)) = self.gaps.pop_front_if(|(due, _)| *due <= now) {
            if let Some(lane) = self.lanes.get_mut(&channel) {
                lane.wire.flush_gaps();
                self.pass_items(channel, processes);
            }
        }
    }

    /// Messages of one channel to interactions.
    fn pass_items(&mut self, channel: ChannelId, processes: &impl Processes) {
        let Some(lane) = self.lanes.get_mut(&channel) else {
            return;
        };
        let view = View {
            streams: &self.streams,
            watch: None,
            processes,
        };
        while let Some(item) = lane.wire.poll_item() {
            match item {
                Item::Quiet {
                    channel,
                    from,
                    bytes,
                } => {
                    if !lane.has_messages || bytes >= QUIET {
                        self.revocations
                            .extend(self.streams.revocation(channel, from));
                    }
                    continue;
                }
                Item::Message(_) => {
                    lane.has_messages = true;
                    self.totals.messages += 1;
                }
                _ => {}
            }
            self.sessions.handle_item(item, &view);
        }
    }

    /// Connections that were not heard to interactions.
    fn pass_unheard(&mut self) {
        while let Some(unheard) = self.watch.poll() {
            self.sessions.handle_unheard(unheard);
        }
    }

    fn pass_interactions(&mut self, now: Time, processes: &impl Processes) {
        let view = View {
            streams: &self.streams,
            watch: None,
            processes,
        };
        while let Some(progress) = self.sessions.poll_progress() {
            self.auditor.handle_progress(progress, now);
        }
        while let Some(interaction) = self.sessions.poll_interaction() {
            self.settle.push(interaction, now, &view);
        }
    }
}

/// The pipeline's knowledge, where no certificates are asked for.
fn view<'a, P>(streams: &'a Streams, processes: &'a P) -> View<'a, P> {
    View {
        streams,
        watch: None,
        processes,
    }
}

fn process(header: &Header) -> ProcessKey {
    ProcessKey {
        pid: header.tgid,
        start: header.start,
    }
}

/// Where the server of an event listens, for TCP.
fn server(event: &AuditEvent) -> Option<SocketAddr> {
    let socket = event.channel.as_ref()?.socket?;
    Some(match event.interaction.session.client_side {
        Side::A => socket.b,
        Side::B => socket.a,
    })
}

impl<P: Processes> World for View<'_, P> {
    fn process(&self, key: ProcessKey) -> Option<Arc<Process>> {
        self.processes.process(key)
    }

    fn process_at(&self, key: ProcessKey, time: Time) -> Option<Arc<Process>> {
        self.processes.process_at(key, time)
    }

    fn is_learning(&self, process: ProcessKey) -> bool {
        self.processes.is_learning(process)
    }

    fn channel(&self, id: ChannelId) -> Option<Arc<Channel>> {
        self.streams.channel(id)
    }

    fn seen(&self, channel: ChannelId, from: Side, range: &Range<u64>) -> Seen {
        self.streams.seen(channel, from, range)
    }

    fn is_heard(&self, until: Time) -> bool {
        self.streams.is_handed_on(until)
    }

    fn only_seen(&self, channel: ChannelId, from: Side) -> Seen {
        self.streams.only_seen(channel, from)
    }

    fn certificates(&self, channel: ChannelId, side: Side, time: Time) -> Option<Arc<Chain>> {
        self.watch?.chain(self.streams.stream(channel, side)?, time)
    }
}
