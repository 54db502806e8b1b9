//! Joins calls into chains: which request was being answered when a process issued the next one.
//!
//! The evidence, best first: one W3C trace, the same message passed on, the only request that was open in the process,
//! a request that was open when a parent spawned the process. Where several fit, what they were asked and which thread
//! read them may point to one; that is never called proven. Looks at processes and bytes only, and leaves what passes
//! through a database or a file unjoined. Bounds: [`LEGS`] requests, the answered go first; [`DEPTH`] calls deep.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::world::World;
use crate::{
    key::{Actor, ProcessKey, Time},
    mcp::{Begun, Interaction, InteractionId, Progress},
};

/// Requests remembered.
const LEGS: usize = 16_384;
/// Calls that one chain is deep at most; what is deeper begins a chain of its own.
const DEPTH: u8 = 32;
/// Requests with an unknown answerer that are looked at again for one event.
const LOOKS: usize = 32;
/// Parents of a process that may have been answering when they spawned it.
const ANCESTORS: usize = 4;

/// Where an interaction stands in its chain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Chain {
    /// The same in all of the chain.
    pub id: ChainId,
    /// The interaction that led to this one.
    pub parent: Option<InteractionId>,
    /// Number of interactions above it, as far as known.
    pub depth: u8,
    /// What joined it to its parent, or left several to choose from.
    pub basis: Basis,
    /// How far that is proven. `None` where nothing led to it, as far as known.
    pub certainty: Option<Certainty>,
}

/// Names a chain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChainId {
    /// By the interaction that began it.
    Interaction(InteractionId),
    /// By its W3C trace, which other nodes know, too.
    Trace([u8; 16]),
}

/// What joins an interaction to its parent.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Basis {
    /// Nothing does: it begins its chain.
    None,
    /// Both name the same W3C trace, and the parent's server issued it.
    TraceContext,
    /// The parent's server passed on the same message.
    SameMessage,
    /// The parent was being answered by the process that issued it.
    OpenRequest,
    /// The parent was being answered by the process that spawned the one that issued it.
    ProcessLineage,
}

/// How far a join is proven.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Certainty {
    /// No other request fits.
    Proven,
    /// It is the only one that was open.
    OnlyCandidate,
    /// So many were open.
    OneOf(u32),
}

/// The requests that may lead to others, and where they stand in their chains.
#[derive(Debug, Default)]
pub(super) struct Chains {
    legs: BTreeMap<InteractionId, Leg>,
    by_answerer: HashMap<ProcessKey, Answered>,
    /// Those whose answerer is not known.
    unanswered: VecDeque<InteractionId>,
    /// Those that are over, in order of their end.
    ended: VecDeque<InteractionId>,
}

/// What one process was asked.
#[derive(Debug, Default)]
struct Answered {
    open: BTreeSet<InteractionId>,
    /// Those that are over, by their end; with their begin.
    ended: BTreeMap<(Time, InteractionId), Time>,
}

impl Answered {
    /// Those that are over and were not before a time, with begin and end: what a busy server was asked before costs nothing.
    fn ended_since(&self, from: Time) -> impl Iterator<Item = (InteractionId, [Time; 2])> {
        let since = self.ended.range((from, InteractionId(0))..);
        since.map(|((ended, id), begun)| (*id, [*begun, *ended]))
    }
}

#[derive(Debug)]
struct Leg {
    begun: Begun,
    trace: Option<[u8; 16]>,
    asker: Option<Actor>,
    answerer: Option<Actor>,
    ended: Option<Time>,
    chain: Option<Chain>,
}

/// What is asked of the table: who issued what, and when.
#[derive(Clone, Copy, Debug)]
struct Issue<'a> {
    id: InteractionId,
    asker: Actor,
    first: Time,
    sha256: [u8; 32],
    trace: Option<[u8; 16]>,
    values: &'a [u64],
}

impl Basis {
    /// Its name in events.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::TraceContext => "trace_context",
            Self::SameMessage => "same_message",
            Self::OpenRequest => "open_request",
            Self::ProcessLineage => "process_lineage",
        }
    }
}

impl Certainty {
    /// Its name in events.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::OnlyCandidate => "only_candidate",
            Self::OneOf(_) => "one_of_n",
        }
    }

    /// How many fit.
    pub(super) fn candidates(self) -> u32 {
        match self {
            Self::OneOf(several) => several,
            Self::Proven | Self::OnlyCandidate => 1,
        }
    }
}

impl Chains {
    /// Notes that a request was asked or answered.
    pub(super) fn handle_progress(&mut self, progress: Progress, now: Time) {
        match progress {
            Progress::Begun(begun) => {
                if self.legs.len() >= LEGS {
                    self.forget_one();
                }
                let id = begun.id;
                let leg = Leg {
                    trace: begun.traceparent.as_deref().and_then(trace),
                    asker: begun.writer,
                    answerer: None,
                    ended: None,
                    chain: None,
                    begun: *begun,
                };
                let reader = leg.begun.reader;
                if !leg.begun.is_subscription {
                    self.unanswered.push_back(id);
                }
                self.legs.insert(id, leg);
                self.note_answerer(id, reader);
            }
            Progress::Ended {
                id,
                answered,
                answerer,
            } => {
                if let Some(leg) = self.legs.get_mut(&id)
                    && leg.ended.is_none()
                {
                    let ended = answered.unwrap_or(now);
                    leg.ended = Some(ended);
                    self.ended.push_back(id);
                    let known = leg.answerer.map(|actor| actor.process);
                    if let Some(known) = known.and_then(|one| self.by_answerer.get_mut(&one)) {
                        known.open.remove(&id);
                        known.ended.insert((ended, id), leg.begun.time);
                    }
                    self.note_answerer(id, answerer);
                }
            }
        }
    }

    /// Where a request stands. `asker` and `answerer` as far as they are known by now.
    pub(super) fn place_request(
        &mut self,
        id: InteractionId,
        (asker, answerer): (Option<Actor>, Option<Actor>),
        world: &impl World,
    ) -> Chain {
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.asker = leg.asker.or(asker);
        }
        self.note_answerer(id, answerer);
        self.find_answerers(world);
        self.place(id, 0, world)
    }

    /// Where a notification stands, which leads to nothing itself.
    pub(super) fn place_notification(
        &mut self,
        interaction: &Interaction,
        asker: Option<Actor>,
        world: &impl World,
    ) -> Chain {
        let id = interaction.id;
        let trace = interaction.traceparent.as_deref().and_then(trace);
        let (Some(part), Some(asker)) = (&interaction.request, asker) else {
            return root(id, trace);
        };
        self.find_answerers(world);
        let issue = Issue {
            id,
            asker,
            first: part.first,
            sha256: part.sha256,
            trace,
            values: &[],
        };
        let found = self.parent(&issue, world);
        self.join(id, trace, found, 0, world)
    }

    /// Who asked the interactions above one, from its parent on, as far as they are remembered and known.
    pub(super) fn askers_above(
        &self,
        parent: Option<InteractionId>,
    ) -> impl Iterator<Item = Actor> + '_ {
        let leg = |id| self.legs.get(&id);
        let above = std::iter::successors(parent.and_then(leg), move |below| {
            below.chain.and_then(|chain| chain.parent).and_then(leg)
        });
        above.take(usize::from(DEPTH)).filter_map(|leg| leg.asker)
    }

    /// The requests, except one, that a process was answering at some time of a stretch: each with when it was open.
    pub(super) fn open_between(
        &self,
        process: ProcessKey,
        [from, to]: [Time; 2],
        except: InteractionId,
    ) -> Vec<(InteractionId, [Time; 2])> {
        let Some(answered) = self.by_answerer.get(&process) else {
            return Vec::new();
        };
        let legs = answered.open.iter().filter_map(|id| self.legs.get(id));
        legs.map(|leg| (leg.begun.id, [leg.begun.time, Time(u64::MAX)]))
            .chain(answered.ended_since(from))
            .filter(|(id, [begun, _])| *id != except && *begun <= to)
            .collect()
    }

    fn place(&mut self, id: InteractionId, deep: u8, world: &impl World) -> Chain {
        let Some(leg) = self.legs.get_mut(&id) else {
            return root(id, None);
        };
        if let Some(chain) = leg.chain {
            return chain;
        }
        let trace = leg.trace;
        let begun = &leg.begun;
        let asker = leg
            .asker
            .or_else(|| world.seen(begun.channel, begun.from, &begun.range).writer);
        leg.asker = asker;
        let Some(asker) = asker else {
            return root(id, trace);
        };
        // Set first, so that no circle is followed.
        leg.chain = Some(root(id, trace));
        let found = self.legs.get(&id).and_then(|leg| {
            let issue = Issue {
                id,
                asker,
                first: leg.begun.first,
                sha256: leg.begun.sha256,
                trace,
                values: &leg.begun.values,
            };
            self.parent(&issue, world)
        });
        let chain = self.join(id, trace, found, deep, world);
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.chain = Some(chain);
        }
        chain
    }

    /// Where something stands below the parent that was found.
    fn join(
        &mut self,
        id: InteractionId,
        trace: Option<[u8; 16]>,
        found: Option<Found>,
        deep: u8,
        world: &impl World,
    ) -> Chain {
        let Some(found) = found else {
            return root(id, trace);
        };
        let above = found
            .parent
            .filter(|_| deep < DEPTH)
            .map(|parent| self.place(parent, deep + 1, world))
            .filter(|above| above.depth < DEPTH);
        let alone = root(id, trace);
        Chain {
            id: above.map_or(alone.id, |above| above.id),
            parent: above.and(found.parent),
            depth: above.map_or(0, |above| above.depth + 1),
            basis: found.basis,
            certainty: Some(found.certainty),
        }
    }

    /// What led to a request.
    fn parent(&self, issue: &Issue<'_>, world: &impl World) -> Option<Found> {
        let open = self.open_in(issue.asker.process, issue.first, issue.id);
        if !open.is_empty() {
            return Some(choose(issue, open));
        }
        let process = world.process(issue.asker.process)?;
        process.lineage.iter().take(ANCESTORS).find_map(|ancestor| {
            let open = self.open_in(ancestor.key, process.started, issue.id);
            let [only] = open.as_slice() else {
                let several = u32::try_from(open.len()).unwrap_or(u32::MAX);
                return (several > 0).then_some(Found {
                    parent: None,
                    basis: Basis::ProcessLineage,
                    certainty: Certainty::OneOf(several),
                });
            };
            Some(Found {
                parent: Some(only.begun.id),
                basis: Basis::ProcessLineage,
                certainty: Certainty::OnlyCandidate,
            })
        })
    }

    /// The requests that a process was answering at a time.
    fn open_in(&self, process: ProcessKey, at: Time, except: InteractionId) -> Vec<&Leg> {
        let Some(answered) = self.by_answerer.get(&process) else {
            return Vec::new();
        };
        let ended = answered.ended_since(at).map(|(id, _)| id);
        let legs = answered.open.iter().copied().chain(ended);
        legs.filter_map(|id| self.legs.get(&id))
            .filter(|leg| leg.begun.id != except && leg.begun.time <= at)
            .collect()
    }

    /// Asks again for those who read a request after it was processed.
    fn find_answerers(&mut self, world: &impl World) {
        for _ in 0..self.unanswered.len().min(LOOKS) {
            let Some(id) = self.unanswered.pop_front() else {
                break;
            };
            let Some(leg) = self.legs.get(&id).filter(|leg| leg.answerer.is_none()) else {
                continue;
            };
            let begun = &leg.begun;
            let seen = world.seen(begun.channel, begun.from, &begun.range);
            if let Some(reader) = seen.reader {
                self.note_answerer(id, Some(reader));
            } else if seen.local && leg.ended.is_none() {
                self.unanswered.push_back(id);
            }
        }
    }

    fn note_answerer(&mut self, id: InteractionId, answerer: Option<Actor>) {
        let Some(actor) = answerer else { return };
        if let Some(leg) = self.legs.get_mut(&id)
            && leg.answerer.is_none()
            && !leg.begun.is_subscription
        {
            leg.answerer = Some(actor);
            let answered = self.by_answerer.entry(actor.process).or_default();
            match leg.ended {
                None => drop(answered.open.insert(id)),
                Some(ended) => drop(answered.ended.insert((ended, id), leg.begun.time)),
            }
        }
    }

    /// Forgets the request that ended first; where all are open, the oldest.
    fn forget_one(&mut self) {
        let oldest = || self.legs.keys().next().copied();
        let Some(id) = self.ended.pop_front().or_else(oldest) else {
            return;
        };
        let Some(leg) = self.legs.remove(&id) else {
            return;
        };
        if let Some(answerer) = leg.answerer
            && let Some(answered) = self.by_answerer.get_mut(&answerer.process)
        {
            match leg.ended {
                None => drop(answered.open.remove(&id)),
                Some(ended) => drop(answered.ended.remove(&(ended, id))),
            }
            if answered.open.is_empty() && answered.ended.is_empty() {
                self.by_answerer.remove(&answerer.process);
            }
        }
    }
}

/// A parent, or that there are several.
#[derive(Clone, Copy, Debug)]
struct Found {
    parent: Option<InteractionId>,
    basis: Basis,
    certainty: Certainty,
}

/// The one of several open requests that led to another, as far as anything tells them apart.
fn choose(issue: &Issue<'_>, mut open: Vec<&Leg>) -> Found {
    let mut basis = Basis::OpenRequest;
    let in_trace = |leg: &&&Leg| issue.trace.is_some() && leg.trace == issue.trace;
    let is_passed_on = |leg: &&&Leg| leg.begun.sha256 == issue.sha256;
    let traced: Vec<&Leg> = open.iter().filter(in_trace).copied().collect();
    let same: Vec<&Leg> = open.iter().filter(is_passed_on).copied().collect();
    if !traced.is_empty() {
        (basis, open) = (Basis::TraceContext, traced);
    } else if !same.is_empty() {
        (basis, open) = (Basis::SameMessage, same);
    } else {
        // What belongs to another trace did not lead here.
        let other = |leg: &&Leg| issue.trace.is_some() && leg.trace.is_some();
        if open.iter().any(|leg| !other(leg)) {
            open.retain(|leg| !other(leg));
        }
    }
    if let [only] = open.as_slice() {
        return Found {
            parent: Some(only.begun.id),
            basis,
            certainty: match basis {
                Basis::TraceContext | Basis::SameMessage => Certainty::Proven,
                _ => Certainty::OnlyCandidate,
            },
        };
    }
    let shared = |leg: &Leg| {
        let values = issue.values.iter();
        values
            .filter(|value| leg.begun.values.contains(value))
            .count()
    };
    let most = open.iter().map(|leg| shared(leg)).max().unwrap_or(0);
    let by_values = only(&open, |leg| most > 0 && shared(leg) == most);
    let by_thread = || only(&open, |leg| leg.answerer == Some(issue.asker));
    Found {
        parent: by_values.or_else(by_thread),
        basis,
        certainty: Certainty::OneOf(u32::try_from(open.len()).unwrap_or(u32::MAX)),
    }
}

/// The only one that fits.
fn only(open: &[&Leg], fits: impl Fn(&Leg) -> bool) -> Option<InteractionId> {
    let mut fitting = open.iter().filter(|leg| fits(leg));
    let found = fitting.next()?;
    fitting.next().is_none().then_some(found.begun.id)
}

fn root(id: InteractionId, trace: Option<[u8; 16]>) -> Chain {
    Chain {
        id: trace.map_or(ChainId::Interaction(id), ChainId::Trace),
        parent: None,
        depth: 0,
        basis: Basis::None,
        certainty: None,
    }
}

/// The trace id of a `traceparent` (W3C Trace Context, section 3.2).
fn trace(traceparent: &str) -> Option<[u8; 16]> {
    let mut fields = traceparent.split('-');
    let (version, trace) = (fields.next()?, fields.next()?);
    if version.len() != 2 || trace.len() != 32 || !trace.is_ascii() {
        return None;
    }
    let mut id = [0; 16];
    for (at, byte) in id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(trace.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    (id != [0; 16]).then_some(id)
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
