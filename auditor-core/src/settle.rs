//! Holds finished interactions for a moment, until both ends of their messages were seen.
//!
//! The reader of an answer is known only once it has read; an event should name it. Bounds: [`PATIENCE`] and
//! [`WAITING`]; what reaches either goes on with what is known.

use std::collections::VecDeque;

use crate::{
    audit::World,
    key::Time,
    mcp::{Interaction, Part, Stage},
};

/// Nanoseconds that an interaction waits for its witnesses.
const PATIENCE: u64 = 25_000_000;
/// Interactions that wait at once.
const WAITING: usize = 16_384;

/// Interactions on their way out.
#[derive(Debug, Default)]
pub(crate) struct Settle {
    waiting: VecDeque<(Time, Interaction)>,
    ready: VecDeque<Interaction>,
}

impl Settle {
    /// Takes an interaction.
    pub(crate) fn push(&mut self, interaction: Interaction, now: Time, world: &impl World) {
        if interaction.stage == Stage::Open || is_witnessed(&interaction, world) {
            self.ready.push_back(interaction);
            return;
        }
        if self.waiting.len() == WAITING {
            self.ready
                .extend(self.waiting.pop_front().map(|(_, oldest)| oldest));
        }
        self.waiting.push_back((now.after(PATIENCE), interaction));
    }

    /// Lets go what is witnessed by now, or has waited long enough.
    pub(crate) fn handle_timeout(&mut self, now: Time, world: &impl World) {
        for _ in 0..self.waiting.len() {
            let Some((due, interaction)) = self.waiting.pop_front() else {
                break;
            };
            if due <= now || is_witnessed(&interaction, world) {
                self.ready.push_back(interaction);
            } else {
                self.waiting.push_back((due, interaction));
            }
        }
    }

    /// When the first has waited long enough.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.waiting.front().map(|(due, _)| *due)
    }

    /// The next interaction that may leave.
    #[must_use]
    pub(crate) fn poll(&mut self) -> Option<Interaction> {
        self.ready.pop_front()
    }
}

fn is_witnessed(interaction: &Interaction, world: &impl World) -> bool {
    let is_seen = |part: &Part| {
        let seen = world.seen(part.channel, part.from, &part.range);
        !seen.local || (seen.writer.is_some() && seen.reader.is_some())
    };
    [&interaction.request, &interaction.response]
        .into_iter()
        .flatten()
        .all(is_seen)
}
