//! The interactions that wait for their answer, and the queue of those that are reported.
//!
//! Knows nothing of channels and processes. Interactions are numbered as they begin, so the
//! smallest number is the oldest. Bounds: [`Limits::open`] in all, one entry a request, and
//! [`Limits::body_bytes`]; the queues of reports and progress are drained by the caller after every input.

use std::collections::{BTreeMap, VecDeque};

use super::{
    budget::{Budget, Share},
    interaction::{
        Failure, Interaction, InteractionId, Kind, LostCause, Outcome, Session, Stage, Transport,
    },
    limits::Limits,
    message::{Parsed, Shape},
    progress::{Begun, Progress},
    session::{Asker, Key},
};
use crate::{key::Time, stream::GapCause, tls::Unheard, wire::Gap};
use std::sync::Arc;

/// An interaction that waits for its answer.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) interaction: Interaction,
    /// The session that holds its key.
    pub(super) session: u64,
    /// Who asked.
    pub(super) asker: Asker,
    /// Its name in the session; `None` if its id lies beyond the cut of a truncated message.
    pub(super) key: Option<Key>,
    /// Whether part of the answering direction was lost since.
    pub(super) gap: bool,
    /// Why the asker cancelled it, if it did.
    pub(super) cancelled: Option<LostCause>,
    /// Why it has no answer, when its time is over.
    pub(super) expires: LostCause,
    _share: Option<Share>,
}

/// All open interactions, and the reports that are ready.
#[derive(Debug)]
pub(super) struct OpenTable {
    open: BTreeMap<InteractionId, Open>,
    bodies: Budget,
    ready: VecDeque<Interaction>,
    progress: VecDeque<Progress>,
    next: u64,
    /// All before this one were reported as open, or will not be.
    reported: u64,
}

impl OpenTable {
    /// Creates the table; bodies of open requests take at most `body_bytes`.
    pub(super) fn new(body_bytes: usize) -> Self {
        Self {
            open: BTreeMap::new(),
            bodies: Budget::new(body_bytes),
            ready: VecDeque::new(),
            progress: VecDeque::new(),
            next: 0,
            reported: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn get_mut(&mut self, id: InteractionId) -> Option<&mut Open> {
        self.open.get_mut(&id)
    }

    pub(super) fn get(&self, id: InteractionId) -> Option<&Open> {
        self.open.get(&id)
    }

    pub(super) fn oldest(&self) -> Option<InteractionId> {
        self.open.keys().next().copied()
    }

    /// The newest open interactions first.
    pub(super) fn newest(&self) -> impl Iterator<Item = (InteractionId, &Open)> {
        self.open.iter().rev().map(|(id, open)| (*id, open))
    }

    pub(super) fn pop_ready(&mut self) -> Option<Interaction> {
        self.ready.pop_front()
    }

    pub(super) fn pop_progress(&mut self) -> Option<Progress> {
        self.progress.pop_front()
    }

    fn number(&mut self) -> InteractionId {
        self.next += 1;
        InteractionId(self.next)
    }

    /// Begins an interaction that waits for its answer.
    pub(super) fn begin(
        &mut self,
        session: &Arc<Session>,
        direction: super::Direction,
        (asker, key): (Asker, Option<Key>),
        mut parsed: Parsed,
    ) -> InteractionId {
        let size = parsed.part.body.as_ref().map_or(0, bytes::Bytes::len);
        let share = self.bodies.take(size);
        if share.is_none() {
            parsed.part.body = None;
        }
        let mut interaction = blank(self.number(), Kind::Request, session, direction);
        interaction.stage = Stage::Open;
        let id = interaction.id;
        let begun = Box::new(Begun::of(id, &mut parsed));
        self.progress.push_back(Progress::Begun(begun));
        fill(&mut interaction, parsed);
        let open = Open {
            interaction,
            session: session.id,
            asker,
            key,
            gap: false,
            cancelled: None,
            expires: LostCause::NoResponse,
            _share: share,
        };
        self.open.insert(id, open);
        id
    }

    /// Reports a notification.
    pub(super) fn notify(
        &mut self,
        session: &Arc<Session>,
        direction: super::Direction,
        parsed: Parsed,
    ) {
        let mut interaction = blank(self.number(), Kind::Notification, session, direction);
        fill(&mut interaction, parsed);
        self.ready.push_back(interaction);
    }

    /// Reports an answer whose request was not seen.
    pub(super) fn stray(
        &mut self,
        session: &Arc<Session>,
        direction: super::Direction,
        parsed: Parsed,
    ) {
        let mut interaction = blank(self.number(), Kind::UnpairedResponse, session, direction);
        fill(&mut interaction, parsed);
        self.ready.push_back(interaction);
    }

    /// Reports a gap.
    pub(super) fn gap(&mut self, session: &Arc<Session>, direction: super::Direction, gap: Gap) {
        let mut interaction = blank(self.number(), Kind::Gap, session, direction);
        interaction.gap = Some(gap);
        self.ready.push_back(interaction);
    }

    /// Reports a TLS connection that was not heard: a gap of unknown size.
    pub(super) fn unheard(&mut self, unheard: Unheard) {
        let session = Session {
            id: 0,
            transport: Transport::Tcp,
            client_side: unheard.client_side,
            mcp_session_id: None,
            protocol_version: None,
            client_info: None,
            server_info: None,
        };
        let direction = super::Direction::ClientToServer;
        let mut interaction = blank(self.number(), Kind::Gap, &Arc::new(session), direction);
        interaction.gap = Some(Gap {
            channel: unheard.channel,
            from: unheard.client_side,
            range: 0..0,
            discarded: 0,
            cause: GapCause::TlsUnheard,
            time: unheard.begun,
        });
        interaction.unheard = Some(Arc::new(unheard));
        self.ready.push_back(interaction);
    }

    /// Takes an interaction out, to be finished with [`finish`](Self::finish).
    pub(super) fn take(&mut self, id: InteractionId) -> Option<Open> {
        self.open.remove(&id)
    }

    /// Reports an interaction as answered.
    pub(super) fn answer(&mut self, open: Open, answer: Parsed) {
        let mut interaction = open.interaction;
        self.progress.push_back(Progress::Ended {
            id: interaction.id,
            answered: Some(answer.part.first),
            answerer: answer.part.writer,
        });
        interaction.stage = Stage::Final;
        interaction.response = Some(answer.part);
        interaction.outcome = answer.outcome;
        self.ready.push_back(interaction);
    }

    /// Reports an interaction as failed without an answer.
    pub(super) fn fail(&mut self, open: Open, session: Option<&Arc<Session>>, failure: Failure) {
        let mut interaction = open.interaction;
        if let Some(session) = session {
            interaction.session = Arc::clone(session);
        }
        self.progress.push_back(Progress::Ended {
            id: interaction.id,
            answered: None,
            answerer: None,
        });
        interaction.stage = Stage::Final;
        interaction.outcome = Outcome::Failure(match failure {
            Failure::Lost(cause) if open.cancelled.is_some() => {
                Failure::Lost(open.cancelled.unwrap_or(cause))
            }
            Failure::Lost(cause) if open.gap && cause != LostCause::Abandoned => {
                Failure::Lost(LostCause::Gap)
            }
            other => other,
        });
        self.ready.push_back(interaction);
    }

    /// When the next interaction is to be reported as open.
    pub(super) fn next_report(&self, limits: &Limits) -> Option<Time> {
        let (_, open) = self.open.range(InteractionId(self.reported)..).next()?;
        Some(began(&open.interaction).after(limits.open_report))
    }

    /// Reports, once each, the interactions that are open for too long.
    pub(super) fn report_open(&mut self, now: Time, limits: &Limits) {
        for (id, open) in self.open.range(InteractionId(self.reported)..) {
            if began(&open.interaction).after(limits.open_report) > now {
                self.reported = id.0;
                return;
            }
            // A cancelled one is about to end.
            if open.cancelled.is_none() {
                self.ready.push_back(open.interaction.clone());
            }
        }
        self.reported = self.next + 1;
    }
}

fn began(interaction: &Interaction) -> Time {
    interaction
        .request
        .as_ref()
        .map_or(Time(0), |part| part.time)
}

fn blank(
    id: InteractionId,
    kind: Kind,
    session: &Arc<Session>,
    direction: super::Direction,
) -> Interaction {
    Interaction {
        id,
        kind,
        stage: Stage::Final,
        direction,
        session: Arc::clone(session),
        method: None,
        rpc_id: None,
        target: None,
        protocol_version: None,
        traceparent: None,
        batch: None,
        round_trip: None,
        request: None,
        response: None,
        answer_head: None,
        outcome: Outcome::Pending,
        gap: None,
        unheard: None,
    }
}

fn fill(interaction: &mut Interaction, parsed: Parsed) {
    interaction.method = parsed.method;
    interaction.rpc_id = parsed.id.map(|id| id.text);
    interaction.target = parsed.target;
    interaction.traceparent = parsed.traceparent;
    interaction.batch = parsed.batch;
    let header = parsed
        .part
        .http
        .as_ref()
        .and_then(|head| head.protocol_version.clone());
    let claimed = parsed.claims.and_then(|claims| claims.protocol_version);
    interaction.protocol_version = claimed
        .or(header)
        .or_else(|| interaction.session.protocol_version.clone());
    if parsed.shape == Shape::Response {
        interaction.response = Some(parsed.part);
        interaction.outcome = parsed.outcome;
    } else {
        interaction.request = Some(parsed.part);
    }
}
