//! Ties the messages of `input_required` round trips together (revision 2026-07-28).

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
};

use super::{interaction::Interaction, message::Parsed};

/// Chains of `input_required` answers and the requests that continue them.
///
/// Remembers the last 1024 answers that asked for more input.
#[derive(Debug, Default)]
pub(super) struct RoundTrips {
    counts: HashMap<u64, u32>,
    order: VecDeque<u64>,
    hasher: RandomState,
}

impl RoundTrips {
    const LIMIT: usize = 1024;

    /// The number of a request in its chain, if it continues one.
    pub(super) fn resume(&mut self, session: u64, parsed: &Parsed) -> Option<u32> {
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
    pub(super) fn remember(&mut self, interaction: &mut Interaction, state: Option<u64>) {
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
