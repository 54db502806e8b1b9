//! Links the hops of one call: the same message, passed on by a proxy from one connection to another.
//!
//! Two interactions are linked when the process that answers the one asks the other, the request is the same to the
//! byte, and the one lasted while the other did. Where several fit, none is linked. A gateway that writes messages anew
//! is not linked here. Bound: the last [`HOPS`] interactions.

use std::collections::{HashMap, VecDeque};

use crate::{
    key::{ProcessKey, Time},
    mcp::{InteractionId, Kind},
};

/// Interactions remembered; beyond it the oldest is forgotten.
const HOPS: usize = 16_384;

/// The neighbours of an interaction in one call, as far as they were known when its event was made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Hop {
    /// The same in all linked hops: the one whose event came first.
    pub call: InteractionId,
    /// The hop nearer to who asked.
    pub previous: Option<InteractionId>,
    /// The hop nearer to who answers.
    pub next: Option<InteractionId>,
}

/// What is looked at of an interaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leg {
    pub(super) id: InteractionId,
    pub(super) kind: Kind,
    /// SHA-256 of the request.
    pub(super) request: [u8; 32],
    pub(super) asker: Option<ProcessKey>,
    pub(super) answerer: Option<ProcessKey>,
    /// The request's first byte.
    pub(super) from: Time,
    /// When it was over.
    pub(super) to: Time,
}

/// The last interactions, by their request.
#[derive(Debug, Default)]
pub(super) struct Hops {
    known: HashMap<[u8; 32], Vec<Known>>,
    /// Oldest first.
    order: VecDeque<[u8; 32]>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    leg: Leg,
    call: InteractionId,
    has_previous: bool,
    has_next: bool,
}

impl Leg {
    /// Whether this one passes on what `next` is about.
    fn leads_to(&self, next: &Self) -> bool {
        let is_passed_on = self.answerer.is_some() && self.answerer == next.asker;
        // Nobody answers a notification, so the one that passes it on need not outlast it.
        let outlasts = self.kind == Kind::Notification || next.to <= self.to;
        is_passed_on && self.kind == next.kind && self.from <= next.from && outlasts
    }
}

impl Hops {
    /// Finds the neighbours of an interaction that is over, and remembers it. `None` where none is known.
    pub(super) fn link(&mut self, leg: Leg) -> Option<Hop> {
        let known = self.known.entry(leg.request).or_default();
        let next = only(known, |other| {
            !other.has_previous && leg.leads_to(&other.leg)
        });
        let previous = only(known, |other| !other.has_next && other.leg.leads_to(&leg));
        let mut call = leg.id;
        if let Some(previous) = previous.and_then(|at| known.get_mut(at)) {
            previous.has_next = true;
            call = previous.call;
        }
        if let Some(next) = next.and_then(|at| known.get_mut(at)) {
            next.has_previous = true;
            call = next.call;
        }
        let id = |at: Option<usize>| at.and_then(|at| known.get(at)).map(|known| known.leg.id);
        let hop = Hop {
            call,
            previous: id(previous),
            next: id(next),
        };
        known.push(Known {
            leg,
            call,
            has_previous: previous.is_some(),
            has_next: next.is_some(),
        });
        self.order.push_back(leg.request);
        if self.order.len() > HOPS {
            self.forget_oldest();
        }
        (hop.previous.is_some() || hop.next.is_some()).then_some(hop)
    }

    fn forget_oldest(&mut self) {
        let Some(request) = self.order.pop_front() else {
            return;
        };
        if let Some(known) = self.known.get_mut(&request) {
            known.remove(0);
            if known.is_empty() {
                self.known.remove(&request);
            }
        }
    }
}

/// Where the only one is that fits.
fn only(known: &[Known], fits: impl Fn(&Known) -> bool) -> Option<usize> {
    let mut fitting = (0..known.len()).filter(|at| known.get(*at).is_some_and(&fits));
    let found = fitting.next()?;
    fitting.next().is_none().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32) -> Option<ProcessKey> {
        Some(ProcessKey { pid, start: 1 })
    }

    /// The same request from one process to another, over a stretch of time.
    fn leg(id: u64, (asker, answerer): (u32, u32), (from, to): (u64, u64)) -> Leg {
        Leg {
            id: InteractionId(id),
            kind: Kind::Request,
            request: [7; 32],
            asker: process(asker),
            answerer: process(answerer),
            from: Time(from),
            to: Time(to),
        }
    }

    fn hop(call: u64, previous: Option<u64>, next: Option<u64>) -> Option<Hop> {
        Some(Hop {
            call: InteractionId(call),
            previous: previous.map(InteractionId),
            next: next.map(InteractionId),
        })
    }

    const CLIENT: u32 = 1;
    const PROXY: u32 = 2;
    const SECOND: u32 = 3;
    const SERVER: u32 = 4;

    #[test]
    fn hops_are_one_call_whichever_is_told_first() {
        let outer = leg(1, (CLIENT, PROXY), (10, 50));
        let inner = leg(2, (PROXY, SERVER), (20, 40));
        let mut hops = Hops::default();
        assert_eq!(hops.link(inner), None);
        assert_eq!(hops.link(outer), hop(2, None, Some(2)));
        let mut hops = Hops::default();
        assert_eq!(hops.link(outer), None);
        assert_eq!(hops.link(inner), hop(1, Some(1), None));
    }

    #[test]
    fn two_proxies_make_three_hops_of_one_call() {
        let mut hops = Hops::default();
        assert_eq!(hops.link(leg(3, (SECOND, SERVER), (30, 40))), None);
        assert_eq!(
            hops.link(leg(2, (PROXY, SECOND), (20, 50))),
            hop(3, None, Some(3))
        );
        assert_eq!(
            hops.link(leg(1, (CLIENT, PROXY), (10, 60))),
            hop(3, None, Some(2))
        );
    }

    #[test]
    fn equal_messages_of_calls_that_only_follow_each_other_are_not_linked() {
        let mut hops = Hops::default();
        assert_eq!(hops.link(leg(1, (PROXY, SERVER), (10, 20))), None);
        assert_eq!(hops.link(leg(2, (CLIENT, PROXY), (30, 40))), None);
        assert_eq!(hops.link(leg(3, (CLIENT, PROXY), (12, 18))), None);
    }

    #[test]
    fn where_two_would_fit_none_is_guessed() {
        let mut hops = Hops::default();
        hops.link(leg(1, (PROXY, SERVER), (20, 30)));
        hops.link(leg(2, (PROXY, SERVER), (21, 31)));
        assert_eq!(hops.link(leg(3, (CLIENT, PROXY), (10, 40))), None);
    }

    #[test]
    fn an_unknown_process_links_nothing() {
        let mut hops = Hops::default();
        let nobody = |leg: Leg| Leg {
            asker: None,
            answerer: None,
            ..leg
        };
        hops.link(nobody(leg(1, (0, 0), (20, 30))));
        assert_eq!(hops.link(nobody(leg(2, (0, 0), (10, 40)))), None);
    }

    #[test]
    fn a_notification_is_linked_though_nothing_answers_it() {
        let note = |leg: Leg| Leg {
            kind: Kind::Notification,
            ..leg
        };
        let mut hops = Hops::default();
        hops.link(note(leg(1, (CLIENT, PROXY), (10, 11))));
        assert_eq!(
            hops.link(note(leg(2, (PROXY, SERVER), (20, 21)))),
            hop(1, Some(1), None)
        );
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut hops = Hops::default();
        for id in 0..HOPS as u64 + 10 {
            let mut one = leg(id, (CLIENT, SERVER), (id, id));
            one.request[..8].copy_from_slice(&id.to_le_bytes());
            hops.link(one);
        }
        assert_eq!((hops.order.len(), hops.known.len()), (HOPS, HOPS));
    }
}
