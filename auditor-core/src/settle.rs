//! Holds finished interactions for a moment, until both ends of their messages were seen, what was said before them was
//! heard, and their processes are known.
//!
//! The reader of an answer is known only once it has read, and the hash of a program seen for the first time only once
//! it was computed; an event should tell both. Who is at an end of which nothing is known matters more, and a busy
//! host may let it wait for long. Bounds: [`PATIENCE`], [`STRANGER`] and [`LEARNING`], [`WAITING`]; what reaches one goes
//! on with what is known.

use std::collections::VecDeque;

use crate::{
    audit::{World, has_stranger},
    key::Time,
    mcp::{Interaction, Part, Stage},
};

/// Nanoseconds that an interaction waits for its witnesses.
const PATIENCE: u64 = 30_000_000;
/// Nanoseconds that it waits for the first witness of an end on this host.
const STRANGER: u64 = 500_000_000;
/// Nanoseconds after which such interactions are looked at again.
const LOOK_FOR_STRANGERS: u64 = 20_000_000;
/// Nanoseconds that it then waits for what is still being learnt of its processes.
const LEARNING: u64 = 500_000_000;
/// Nanoseconds after which it is looked at again.
const LOOK: u64 = 5_000_000;
/// Interactions that wait at once, for each.
const WAITING: usize = 16_384;

/// Interactions on their way out.
#[derive(Debug, Default)]
pub(crate) struct Settle {
    waiting: VecDeque<(Time, Interaction)>,
    /// Of which one end is wholly unknown.
    strangers: VecDeque<(Time, Interaction)>,
    looked_for_strangers: Time,
    /// Witnessed as far as it will be; only the first is looked at.
    learning: VecDeque<(Time, Interaction)>,
    looked: Time,
    ready: VecDeque<Interaction>,
}

impl Settle {
    /// Takes an interaction.
    pub(crate) fn push(&mut self, interaction: Interaction, now: Time, world: &impl World) {
        if interaction.stage == Stage::Open {
            self.ready.push_back(interaction);
            return;
        }
        if is_witnessed(&interaction, world) {
            self.learn(interaction, now, world);
            return;
        }
        let full = (self.waiting.len() == WAITING).then(|| self.waiting.pop_front());
        self.waiting.push_back((now.after(PATIENCE), interaction));
        if let Some((_, oldest)) = full.flatten() {
            self.learn(oldest, now, world);
        }
    }

    /// Lets go what is witnessed and known by now, or has waited long enough.
    pub(crate) fn handle_timeout(&mut self, now: Time, world: &impl World) {
        for _ in 0..self.waiting.len() {
            let Some((due, interaction)) = self.waiting.pop_front() else {
                break;
            };
            if is_witnessed(&interaction, world) {
                self.learn(interaction, now, world);
            } else if due <= now {
                self.ask_for_stranger(due, interaction, now, world);
            } else {
                self.waiting.push_back((due, interaction));
            }
        }
        if self.look_for_strangers().is_some_and(|look| look <= now) {
            self.looked_for_strangers = now;
            for _ in 0..self.strangers.len() {
                let Some((due, interaction)) = self.strangers.pop_front() else {
                    break;
                };
                if due <= now || !has_stranger(&interaction, world) {
                    self.learn(interaction, now, world);
                } else {
                    self.strangers.push_back((due, interaction));
                }
            }
        }
        self.looked = now;
        self.release_learnt(now, world);
    }

    /// Lets go those of whose processes enough is known by now, up to the first of whom it is not.
    fn release_learnt(&mut self, now: Time, world: &impl World) {
        let is_over =
            |(due, interaction): &mut (Time, _)| *due <= now || !is_learning(interaction, world);
        while let Some((_, interaction)) = self.learning.pop_front_if(is_over) {
            self.ready.push_back(interaction);
        }
    }

    /// When the first has waited long enough, or is to be looked at again.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let look = self.learning.front();
        let look = look.map(|(due, _)| self.looked.after(LOOK).min(*due));
        let waiting = self.waiting.front().map(|(due, _)| *due);
        let times = [waiting, look, self.look_for_strangers()];
        times.into_iter().flatten().min()
    }

    /// The next interaction that may leave.
    #[must_use]
    pub(crate) fn poll(&mut self) -> Option<Interaction> {
        self.ready.pop_front()
    }

    /// Takes an interaction that waited for all witnesses until `due`; it may wait on for the first of an end.
    fn ask_for_stranger(
        &mut self,
        due: Time,
        interaction: Interaction,
        now: Time,
        world: &impl World,
    ) {
        if self.strangers.len() == WAITING || !has_stranger(&interaction, world) {
            self.learn(interaction, now, world);
            return;
        }
        let due = due.after(STRANGER - PATIENCE);
        self.strangers.push_back((due, interaction));
    }

    /// When those with an unknown end are looked at next.
    fn look_for_strangers(&self) -> Option<Time> {
        let (due, _) = self.strangers.front()?;
        Some(
            self.looked_for_strangers
                .after(LOOK_FOR_STRANGERS)
                .min(*due),
        )
    }

    /// Takes an interaction that waits for no witness.
    fn learn(&mut self, interaction: Interaction, now: Time, world: &impl World) {
        // What was said before is to be told before.
        self.release_learnt(now, world);
        if !is_learning(&interaction, world) {
            self.ready.push_back(interaction);
            return;
        }
        if self.learning.len() == WAITING {
            let oldest = self.learning.pop_front();
            self.ready.extend(oldest.map(|(_, oldest)| oldest));
        }
        self.learning.push_back((now.after(LEARNING), interaction));
    }
}

/// Whether more will be known of a process that moved one of its messages.
fn is_learning(interaction: &Interaction, world: &impl World) -> bool {
    let is_unknown = |part: &Part| {
        let seen = world.seen(part.channel, part.from, &part.range);
        [seen.writer.or(part.writer), seen.reader.or(part.reader)]
            .into_iter()
            .flatten()
            .any(|actor| world.is_learning(actor.process))
    };
    [&interaction.request, &interaction.response]
        .into_iter()
        .flatten()
        .any(is_unknown)
}

/// Whether both ends of its messages were seen, and all that was said before them was heard.
fn is_witnessed(interaction: &Interaction, world: &impl World) -> bool {
    let is_seen = |part: &Part| {
        let seen = world.seen(part.channel, part.from, &part.range);
        let is_seen = !seen.local || (seen.writer.is_some() && seen.reader.is_some());
        is_seen && world.is_heard(part.first)
    };
    [&interaction.request, &interaction.response]
        .into_iter()
        .flatten()
        .all(is_seen)
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, ops::Range, sync::Arc};

    use super::*;
    use crate::{
        audit::{Process, Seen, tests::call},
        key::{Actor, ChannelId, ProcessKey, Side},
        mcp::InteractionId,
        stream::Channel,
    };

    const MILLI: u64 = 1_000_000;

    /// Says of everybody whether more will be known, and of every byte who wrote it.
    #[derive(Default)]
    struct Fake {
        is_learning: Cell<bool>,
        reader: Cell<Option<Actor>>,
    }

    impl World for Fake {
        fn process(&self, _key: ProcessKey) -> Option<Arc<Process>> {
            None
        }

        fn is_learning(&self, _process: ProcessKey) -> bool {
            self.is_learning.get()
        }

        fn channel(&self, _id: ChannelId) -> Option<Arc<Channel>> {
            None
        }

        fn seen(&self, _channel: ChannelId, _from: Side, _range: &Range<u64>) -> Seen {
            Seen {
                writer: Some(Actor::default()),
                reader: self.reader.get(),
                local: true,
            }
        }
    }

    #[test]
    fn what_is_witnessed_and_known_leaves_at_once() {
        let (mut settle, world) = (Settle::default(), Fake::default());
        world.reader.set(Some(Actor::default()));
        settle.push(call(), Time(0), &world);
        assert!(settle.poll().is_some());
        assert_eq!(settle.poll_timeout(), None);
    }

    #[test]
    fn a_reader_is_waited_for_up_to_the_bound() {
        let (mut settle, world) = (Settle::default(), Fake::default());
        settle.push(call(), Time(0), &world);
        let due = settle.poll_timeout().unwrap();
        settle.handle_timeout(Time(due.0 - 1), &world);
        assert!(settle.poll().is_none());
        settle.handle_timeout(due, &world);
        assert!(settle.poll().is_some());
    }

    #[test]
    fn what_need_not_be_learnt_does_not_overtake_what_has_been() {
        let (mut settle, world) = (Settle::default(), Fake::default());
        world.reader.set(Some(Actor::default()));
        world.is_learning.set(true);
        settle.push(call(), Time(0), &world);
        world.is_learning.set(false);
        let second = Interaction {
            id: InteractionId(4),
            ..call()
        };
        settle.push(second, Time(1), &world);
        let told = [settle.poll(), settle.poll()].map(|told| told.unwrap().id.0);
        assert_eq!(told, [3, 4]);
    }

    #[test]
    fn an_end_of_which_nobody_is_known_is_waited_for_longer() {
        let notification = || Interaction {
            response: None,
            ..call()
        };
        let (mut settle, world) = (Settle::default(), Fake::default());
        settle.push(notification(), Time(0), &world);
        settle.handle_timeout(Time(STRANGER - 1), &world);
        assert!(settle.poll().is_none());
        assert_eq!(settle.poll_timeout(), Some(Time(STRANGER)));
        settle.handle_timeout(Time(STRANGER), &world);
        assert!(settle.poll().is_some());

        settle.push(notification(), Time(1000 * MILLI), &world);
        settle.handle_timeout(Time(1100 * MILLI), &world);
        assert!(settle.poll().is_none());
        world.reader.set(Some(Actor::default()));
        settle.handle_timeout(settle.poll_timeout().unwrap(), &world);
        assert!(settle.poll().is_some());
    }

    #[test]
    fn what_is_being_learnt_is_waited_for_up_to_the_bound() {
        let (mut settle, world) = (Settle::default(), Fake::default());
        world.is_learning.set(true);
        world.reader.set(Some(Actor::default()));
        settle.push(call(), Time(0), &world);
        settle.handle_timeout(Time(300 * MILLI), &world);
        assert!(settle.poll().is_none());
        assert_eq!(settle.poll_timeout(), Some(Time(305 * MILLI)));
        world.is_learning.set(false);
        settle.handle_timeout(Time(305 * MILLI), &world);
        assert!(settle.poll().is_some());

        world.is_learning.set(true);
        settle.push(call(), Time(1000 * MILLI), &world);
        settle.handle_timeout(Time(1000 * MILLI + LEARNING - 1), &world);
        assert!(settle.poll().is_none());
        settle.handle_timeout(Time(1000 * MILLI + LEARNING), &world);
        assert!(settle.poll().is_some());
    }
}
