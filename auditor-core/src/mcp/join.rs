//! Finds the two pipes (or the two half-used socket pairs) of one stdio session.
//!
//! The writer of one is the reader of the other and the other way round. Where several pipes fit
//! (sessions between the same two processes, or inside one), an answer must also fit an open
//! request in id and time, and threads must agree; what has been ruled out stays ruled out. While
//! more than one pipe fits, answers wait; nothing is paired on a guess. Bound:
//! [`Limits::candidates`](super::Limits) pipes looked at for one answer.

use super::{
    lane::Lane,
    method::Sender,
    session::{Asker, Key, Live, Waiting},
    sessions::Sessions,
};
use crate::{
    audit::World,
    key::{Actor, ChannelId, Time},
};

/// How the processes at the ends of two pipes agree.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fit {
    /// They cannot be the two directions of one session.
    No,
    /// One end agrees, the other is not known yet.
    Half,
    /// Both ends agree.
    Full,
}

impl Sessions {
    /// Whether this is a pipe whose other direction is not known.
    pub(super) fn is_unjoined(&self, channel: ChannelId) -> bool {
        let line = self
            .channels
            .get(&channel)
            .and_then(|chan| chan.line.as_ref());
        line.is_some_and(|line| line.one_way && line.partner.is_none())
    }

    /// Tries to find the pipe whose requests are answered on `answers`.
    pub(super) fn try_join(&mut self, answers: ChannelId, now: Time, world: &impl World) {
        let candidates = self.candidates(answers, world);
        let patience = self.limits.late_request;
        let Some((oldest, newest)) = self.waiting_span(answers) else {
            return;
        };
        let patient = oldest.after(patience) <= now;
        if let [(only, fit)] = candidates.as_slice() {
            // An answer to what was asked before we listened fits nowhere; one that fits is enough.
            let fits = self.answers_fit(*only, answers).contains(&true);
            if fits && (*fit == Fit::Full || patient) {
                self.join(*only, answers, now);
            }
            return;
        }
        let fits: Vec<Vec<bool>> = candidates
            .iter()
            .map(|(asks, _)| self.answers_fit(*asks, answers))
            .collect();
        // What fits no pipe at all says nothing about any of them.
        let telling: Vec<bool> = (0..newest)
            .map(|at| fits.iter().any(|fits| fits.get(at) == Some(&true)))
            .collect();
        let old = self.waiting_longer(answers, now, patience);
        let mut agreeing = Vec::new();
        for ((asks, fit), fits) in candidates.iter().zip(&fits) {
            let misses = |most: usize| {
                let pairs = telling.iter().zip(fits).take(most);
                pairs.filter(|(telling, fits)| **telling && !**fits).count()
            };
            if misses(old) > 0 && self.lane(*asks).is_some_and(|lane| !lane.gap) {
                // Its request would have been processed by now, and was not lost.
                self.exclude(answers, *asks);
                continue;
            }
            let ready = misses(newest) == 0 && telling.contains(&true);
            let agrees = match ready {
                true => self.same_threads(*asks, answers, world),
                false => self.same_last_threads(*asks, answers),
            };
            if agrees {
                agreeing.push((*asks, ready && *fit == Fit::Full));
            }
        }
        if let [(asks, true)] = agreeing.as_slice() {
            self.vote(*asks, answers, newest, patient, now);
        }
    }

    /// Rules out that one pipe asks what another answers.
    fn exclude(&mut self, answers: ChannelId, asks: ChannelId) {
        let limit = self.limits.candidates;
        let mut excluded = match self.lane_mut(answers) {
            Some(lane) => std::mem::take(&mut lane.excluded),
            None => return,
        };
        if excluded.len() >= limit {
            excluded.retain(|pipe| self.unjoined.contains(pipe));
        }
        excluded.push(asks);
        if let Some(lane) = self.lane_mut(answers) {
            lane.excluded = excluded;
        }
    }

    /// Counts an answer whose threads point to one pipe; two answers, or one and no other for a
    /// while, decide.
    fn vote(
        &mut self,
        asks: ChannelId,
        answers: ChannelId,
        answered: usize,
        patient: bool,
        now: Time,
    ) {
        let Some(lane) = self.lane_mut(answers) else {
            return;
        };
        let answered = u32::try_from(answered).unwrap_or(u32::MAX);
        match lane.vote {
            Some((voted, first)) if voted == asks => {
                if answered > first || patient {
                    self.join(asks, answers, now);
                }
            }
            Some(_) => lane.vote = None,
            None => lane.vote = Some((asks, answered)),
        }
    }

    /// The pipes that may carry the requests which `answers` answers.
    fn candidates(&mut self, answers: ChannelId, world: &impl World) -> Vec<(ChannelId, Fit)> {
        let limit = self.limits.candidates;
        // Ends that were unknown when the message came may be known by now.
        let pipes: Vec<ChannelId> = self.unjoined.iter().rev().take(limit).copied().collect();
        self.look_again(answers, world);
        for pipe in &pipes {
            self.look_again(*pipe, world);
        }
        let Some(lane) = self.lane(answers) else {
            return Vec::new();
        };
        let fits = |pipe: &ChannelId| {
            let asks = self.lane(*pipe)?;
            let excluded = *pipe == answers || lane.excluded.contains(pipe);
            let fit = if excluded { Fit::No } else { fit(asks, lane) };
            (fit != Fit::No).then_some((*pipe, fit))
        };
        pipes.iter().filter_map(fits).collect()
    }

    /// Asks again for the ends of messages that were not known when they came.
    fn look_again(&mut self, channel: ChannelId, world: &impl World) {
        let Some(Asker::Lane(_, from)) = self.asker_on(channel) else {
            return;
        };
        let lane = self.lane_mut(channel);
        for range in lane
            .map(|lane| std::mem::take(&mut lane.unseen))
            .unwrap_or_default()
        {
            let seen = world.seen(channel, from, &range);
            self.note_actors(channel, from, [seen.writer, seen.reader], Some(&range));
        }
    }

    /// Since when answers wait on a pipe, and how many of them.
    fn waiting_span(&self, answers: ChannelId) -> Option<(Time, usize)> {
        let waiting = &self.line_live(answers)?.waiting;
        Some((waiting.front()?.since, waiting.len()))
    }

    /// How many of the answers that wait on a pipe do so for longer than this.
    fn waiting_longer(&self, answers: ChannelId, now: Time, patience: u64) -> usize {
        let live = self.line_live(answers);
        let old = |waiting: &&Waiting| waiting.since.after(patience) <= now;
        live.map_or(0, |live| live.waiting.iter().take_while(old).count())
    }

    /// For each answer that waits on `answers`, whether it names an earlier request on `asks`.
    fn answers_fit(&self, asks: ChannelId, answers: ChannelId) -> Vec<bool> {
        let (Some(asking), Some(answering)) = (self.line_live(asks), self.line_live(answers))
        else {
            return Vec::new();
        };
        let asker = self.asker_on(asks);
        let fits = |waiting: &Waiting| {
            let id = waiting.parsed.id.as_ref()?.key.clone();
            let asker = asker?;
            let open = self.open.get(*asking.open.get(&Key { asker, id })?)?;
            let request = open.interaction.request.as_ref()?;
            Some(request.first <= waiting.parsed.part.time)
        };
        answering
            .waiting
            .iter()
            .map(|waiting| fits(waiting).unwrap_or(false))
            .collect()
    }

    /// The session of a channel that carries lines.
    fn line_live(&self, channel: ChannelId) -> Option<&Live> {
        let line = self.channels.get(&channel)?.line.as_ref()?;
        self.live.get(&line.session)
    }

    /// Whether the newest answer was written by the thread that read its request, and read by the
    /// thread that wrote it.
    fn same_threads(&self, asks: ChannelId, answers: ChannelId, world: &impl World) -> bool {
        let ends = || -> Option<bool> {
            let session = self.channels.get(&answers)?.line.as_ref()?.session;
            let answer = &self.live.get(&session)?.waiting.back()?.parsed;
            let session = self.channels.get(&asks)?.line.as_ref()?.session;
            let id = self.open_request(session, self.asker_on(asks)?, answer)?;
            let request = self.open.get(id)?.interaction.request.as_ref()?;
            let asked = world.seen(asks, request.from, &request.range);
            let answered = world.seen(answers, answer.part.from, &answer.part.range);
            let asker: Actor = asked.writer.or(request.writer)?;
            let server: Actor = asked.reader.or(request.reader)?;
            let writer: Actor = answered.writer.or(answer.part.writer)?;
            let reader: Actor = answered.reader.or(answer.part.reader)?;
            Some(asker == reader && server == writer)
        };
        ends().unwrap_or(false)
    }

    /// Whether the threads last seen at the ends of two pipes are the same.
    fn same_last_threads(&self, asks: ChannelId, answers: ChannelId) -> bool {
        let (Some(asks), Some(answers)) = (self.lane(asks), self.lane(answers)) else {
            return false;
        };
        let meet = |a: &[Actor], b: &[Actor]| a.iter().any(|actor| b.contains(actor));
        meet(&asks.readers, &answers.writers) && meet(&asks.writers, &answers.readers)
    }

    /// Makes one session of two pipes.
    fn join(&mut self, asks: ChannelId, answers: ChannelId, now: Time) {
        let session = |id: &ChannelId| Some(self.channels.get(id)?.line.as_ref()?.session);
        let (Some(kept), Some(gone)) = (session(&asks), session(&answers)) else {
            return;
        };
        self.unjoined.remove(&asks);
        self.unjoined.remove(&answers);
        for (pipe, partner) in [(asks, answers), (answers, asks)] {
            let line = self
                .channels
                .get_mut(&pipe)
                .and_then(|chan| chan.line.as_mut());
            let Some(line) = line else { continue };
            line.session = kept;
            line.partner = Some(partner);
            let lane = &mut line.lanes[line.speaks.index()];
            (lane.unseen, lane.excluded) = Default::default();
            lane.vote = None;
        }
        for (pipe, partner) in [(asks, answers), (answers, asks)] {
            if let Some(role) = self.lane(pipe).and_then(|lane| lane.role) {
                let other = match role {
                    Sender::Client => Sender::Server,
                    _ => Sender::Client,
                };
                if let Some(lane) = self.lane_mut(partner) {
                    lane.role.get_or_insert(other);
                }
            }
        }
        let Some(mut from) = self.live.remove(&gone) else {
            return;
        };
        let Some(into) = self.live.get_mut(&kept) else {
            return;
        };
        for id in &from.all {
            if let Some(open) = self.open.get_mut(*id) {
                open.session = kept;
                open.interaction.session = std::sync::Arc::clone(&into.info);
            }
        }
        into.all.append(&mut from.all);
        into.open.extend(from.open);
        let proven = into.proven || from.proven;
        into.held.append(&mut from.held);
        into.dropped.append(&mut from.dropped);
        if proven {
            // Replays what either half held; `prove` does nothing for what is proven already.
            into.proven = false;
            self.prove(kept, now);
        }
        for waiting in from.waiting {
            self.line_answer(kept, waiting.parsed, now);
        }
    }

    fn lane(&self, pipe: ChannelId) -> Option<&Lane> {
        Some(self.channels.get(&pipe)?.line.as_ref()?.lane())
    }

    fn lane_mut(&mut self, pipe: ChannelId) -> Option<&mut Lane> {
        let line = self.channels.get_mut(&pipe)?.line.as_mut()?;
        line.lanes.get_mut(line.speaks.index())
    }
}

/// Whether the processes at the ends of two pipes agree that one answers the other.
fn fit(asks: &Lane, answers: &Lane) -> Fit {
    if asks.role.is_some() && asks.role == answers.role {
        return Fit::No;
    }
    let agree = |a: &[Actor], b: &[Actor]| {
        let known = !a.is_empty() && !b.is_empty();
        known.then(|| a.iter().any(|a| b.iter().any(|b| a.process == b.process)))
    };
    match (
        agree(&asks.readers, &answers.writers),
        agree(&asks.writers, &answers.readers),
    ) {
        (Some(false), _) | (_, Some(false)) | (None, None) => Fit::No,
        (Some(true), Some(true)) => Fit::Full,
        _ => Fit::Half,
    }
}
