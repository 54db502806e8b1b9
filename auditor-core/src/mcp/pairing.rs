//! Requests and answers of one session: begin, finish, fail, wait, cancel.
//!
//! What both [`super::line`] and [`super::http`] do once they know the session and who asked.

use std::sync::Arc;

use super::{
    budget::Share,
    interaction::{Direction, Failure, InteractionId, LostCause, Outcome},
    message::Parsed,
    method::Sender,
    open::Open,
    session::{Asker, Key, Live, Waiting},
    sessions::{Sessions, Timer},
};
use crate::{audit::World, key::Time};

/// What a message without its body is reckoned at, in bytes.
const MESSAGE: usize = 1024;

impl Sessions {
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
            return self.open.answer(open, answer);
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
        open.interaction.session = Arc::clone(&live.info);
        self.open.answer(open, answer);
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
        let (parsed, share) = self.share(parsed);
        let Some(share) = share else {
            self.stray(session, parsed);
            return;
        };
        let Some(live) = self.live.get_mut(&session) else {
            return;
        };
        if live.waiting.is_empty() {
            let due = now.after(self.limits.late_request / 5);
            self.timers.insert((due, Timer::Waiting(session)));
        }
        live.waiting.push_back(Waiting {
            parsed,
            since: now,
            _share: share,
        });
        if live.waiting.len() > self.limits.waiting
            && let Some(oldest) = live.waiting.pop_front()
        {
            self.stray(session, oldest.parsed);
        }
    }

    /// Takes the memory that keeping a message needs; without its body if that is too much.
    pub(super) fn share(&self, mut parsed: Parsed) -> (Parsed, Option<Share>) {
        let size = parsed.part.body.as_ref().map_or(0, bytes::Bytes::len);
        let share = self.held.take(MESSAGE + size).or_else(|| {
            parsed.part.body = None;
            self.held.take(MESSAGE)
        });
        (parsed, share)
    }

    /// Reports an answer as unpaired, if its session is MCP; else notes its loss, should it turn out to be.
    pub(super) fn stray(&mut self, session: u64, parsed: Parsed) {
        let Some(live) = self.live.get_mut(&session) else {
            return;
        };
        if !live.proven {
            live.drop_early(&parsed.part);
            return;
        }
        let info = Arc::clone(&live.info);
        let asked = match self.sender_of(session, &parsed) {
            Sender::Server => Direction::ClientToServer,
            _ => Direction::ServerToClient,
        };
        self.open.stray(&info, asked, parsed);
    }

    pub(super) fn flush_waiting(&mut self, session: u64) {
        while let Some(waiting) = self
            .live
            .get_mut(&session)
            .and_then(|live| live.waiting.pop_front())
        {
            self.stray(session, waiting.parsed);
        }
    }

    /// Looks again at the answers that wait in a session, and gives up on old ones.
    pub(super) fn waiting_due(&mut self, session: u64, now: Time, world: &impl World) {
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
                    if let Some(waiting) = live.waiting.pop_front() {
                        self.stray(session, waiting.parsed);
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

    pub(super) fn expire(&mut self, id: InteractionId) {
        let cause = self
            .open
            .get(id)
            .map_or(LostCause::NoResponse, |open| open.expires);
        self.fail(id, Failure::Lost(cause));
    }

    /// Notes that the asker takes a request back. It ends so unless an answer was under way.
    pub(super) fn cancel(&mut self, session: u64, key: &Key, cause: LostCause, now: Time) -> bool {
        let id = self
            .live
            .get(&session)
            .and_then(|live| live.open.get(key))
            .copied();
        let Some(open) = id.and_then(|id| self.open.get_mut(id)) else {
            return false;
        };
        if open.cancelled.replace(cause).is_some() {
            return true;
        }
        let due = now.after(self.limits.cancelled);
        self.timers
            .insert((due, Timer::Expire(open.interaction.id)));
        true
    }
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
    live.waiting.remove(at).map(|waiting| waiting.parsed)
}
