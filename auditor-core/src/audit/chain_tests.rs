use std::{cell::RefCell, collections::HashMap, ops::Range, sync::Arc};

use super::*;
use crate::{
    audit::{Ancestor, Process, Seen},
    key::{ChannelId, Side},
    stream::Channel,
};

const MILLI: u64 = 1_000_000;
const AGENT: u32 = 10;
const OTHER: u32 = 11;
const SERVER: u32 = 20;
const CHILD: u32 = 30;

/// Knows who moved the message on each channel, and what processes descend from.
#[derive(Default)]
struct Fake {
    moved: RefCell<HashMap<ChannelId, Seen>>,
    processes: HashMap<u32, Process>,
}

impl World for Fake {
    fn process(&self, key: ProcessKey) -> Option<Arc<Process>> {
        self.processes.get(&key.pid).cloned().map(Arc::new)
    }

    fn channel(&self, _id: ChannelId) -> Option<Arc<Channel>> {
        None
    }

    fn seen(&self, channel: ChannelId, _from: Side, _range: &Range<u64>) -> Seen {
        self.moved
            .borrow()
            .get(&channel)
            .copied()
            .unwrap_or_default()
    }
}

/// A host on which requests are asked and answered; time passes by milliseconds.
#[derive(Default)]
struct Host {
    chains: Chains,
    world: Fake,
    next: u64,
}

fn actor(pid: u32) -> Actor {
    thread(pid, pid)
}

fn thread(pid: u32, tid: u32) -> Actor {
    Actor {
        process: ProcessKey { pid, start: 1 },
        tid,
    }
}

impl Host {
    fn ask(&mut self, at: u64, asker: Actor, answerer: Actor) -> InteractionId {
        self.ask_with(at, asker, answerer, |_| ())
    }

    fn ask_with(
        &mut self,
        at: u64,
        asker: Actor,
        answerer: Actor,
        change: impl FnOnce(&mut Begun),
    ) -> InteractionId {
        self.next += 1;
        let id = InteractionId(self.next);
        let mut begun = Begun {
            id,
            channel: ChannelId(self.next),
            from: Side::A,
            range: 0..10,
            first: Time(at * MILLI),
            time: Time(at * MILLI),
            sha256: [self.next as u8; 32],
            writer: Some(asker),
            reader: None,
            traceparent: None,
            values: Vec::new(),
            is_subscription: false,
        };
        change(&mut begun);
        let seen = Seen {
            writer: Some(asker),
            reader: Some(answerer),
            local: true,
        };
        self.world.moved.borrow_mut().insert(begun.channel, seen);
        let progress = Progress::Begun(Box::new(begun));
        self.chains.handle_progress(progress, Time(at * MILLI));
        id
    }

    fn answer(&mut self, at: u64, id: InteractionId) {
        let progress = Progress::Ended {
            id,
            answered: Some(Time(at * MILLI)),
            answerer: None,
        };
        self.chains.handle_progress(progress, Time(at * MILLI));
    }

    fn place(&mut self, id: InteractionId) -> Chain {
        self.chains.place_request(id, (None, None), &self.world)
    }
}

fn below(chain: ChainId, parent: InteractionId, depth: u8, basis: Basis, how: Certainty) -> Chain {
    Chain {
        id: chain,
        parent: Some(parent),
        depth,
        basis,
        certainty: Some(how),
    }
}

fn traced(trace: u8) -> impl FnOnce(&mut Begun) {
    move |begun| begun.traceparent = Some(format!("00-{trace:032x}-00f067aa0ba902b7-01"))
}

#[test]
fn a_call_issued_while_one_is_open_is_below_it_whichever_is_told_first() {
    for inner_first in [true, false] {
        let mut host = Host::default();
        let outer = host.ask(0, actor(AGENT), actor(SERVER));
        let inner = host.ask(10, actor(SERVER), actor(CHILD));
        let deepest = host.ask(20, actor(CHILD), actor(40));
        host.answer(30, deepest);
        host.answer(40, inner);
        host.answer(50, outer);
        let id = ChainId::Interaction(outer);
        let open = (Basis::OpenRequest, Certainty::OnlyCandidate);
        let mut told = [
            (deepest, below(id, inner, 2, open.0, open.1)),
            (inner, below(id, outer, 1, open.0, open.1)),
            (outer, root(outer, None)),
        ];
        if !inner_first {
            told.reverse();
        }
        for (interaction, expected) in told {
            assert_eq!(host.place(interaction), expected);
        }
    }
}

#[test]
fn what_was_answered_before_or_asked_after_leads_to_nothing() {
    let mut host = Host::default();
    let before = host.ask(0, actor(AGENT), actor(SERVER));
    host.answer(5, before);
    let call = host.ask(10, actor(SERVER), actor(CHILD));
    host.ask(20, actor(AGENT), actor(SERVER));
    assert_eq!(host.place(call), root(call, None));
}

#[test]
fn one_trace_in_the_process_that_issued_it_is_proof_among_several() {
    let mut host = Host::default();
    host.ask_with(0, actor(AGENT), actor(SERVER), traced(7));
    let outer = host.ask_with(1, actor(OTHER), actor(SERVER), traced(8));
    let inner = host.ask_with(10, actor(SERVER), actor(CHILD), traced(8));
    let trace = ChainId::Trace(8_u128.to_be_bytes());
    let expected = below(trace, outer, 1, Basis::TraceContext, Certainty::Proven);
    assert_eq!(host.place(inner), expected);
}

#[test]
fn two_open_requests_of_one_trace_prove_nothing() {
    let mut host = Host::default();
    host.ask_with(0, actor(AGENT), actor(SERVER), traced(8));
    host.ask_with(1, actor(AGENT), actor(SERVER), traced(8));
    let inner = host.ask_with(10, actor(SERVER), actor(CHILD), traced(8));
    let chain = host.place(inner);
    assert_eq!((chain.parent, chain.depth), (None, 0));
    assert_eq!(chain.certainty, Some(Certainty::OneOf(2)));
    assert_eq!(chain.id, ChainId::Trace(8_u128.to_be_bytes()));
}

#[test]
fn the_same_message_passed_on_is_proof_unless_two_were_the_same() {
    let mut host = Host::default();
    let outer = host.ask_with(0, actor(AGENT), actor(SERVER), |one| one.sha256 = [9; 32]);
    host.ask(1, actor(OTHER), actor(SERVER));
    let inner = host.ask_with(2, actor(SERVER), actor(CHILD), |one| one.sha256 = [9; 32]);
    let id = ChainId::Interaction(outer);
    let expected = below(id, outer, 1, Basis::SameMessage, Certainty::Proven);
    assert_eq!(host.place(inner), expected);

    host.ask_with(3, actor(OTHER), actor(SERVER), |one| one.sha256 = [9; 32]);
    let inner = host.ask_with(4, actor(SERVER), actor(CHILD), |one| one.sha256 = [9; 32]);
    let chain = host.place(inner);
    assert_eq!(chain.parent, None);
    assert_eq!(chain.certainty, Some(Certainty::OneOf(2)));
}

#[test]
fn of_several_the_one_with_the_same_values_or_else_the_same_thread_is_named_but_not_proven() {
    let mut host = Host::default();
    let first = host.ask_with(0, actor(AGENT), thread(SERVER, 1), |one| {
        one.values = vec![1, 2];
    });
    let second = host.ask_with(1, actor(OTHER), thread(SERVER, 2), |one| {
        one.values = vec![1, 3];
    });
    let one_of_two = |parent| {
        let id = ChainId::Interaction(parent);
        below(id, parent, 1, Basis::OpenRequest, Certainty::OneOf(2))
    };
    let by_values = host.ask_with(2, thread(SERVER, 1), actor(CHILD), |one| {
        one.values = vec![3];
    });
    assert_eq!(host.place(by_values), one_of_two(second));
    let by_thread = host.ask_with(3, thread(SERVER, 1), actor(CHILD), |one| {
        one.values = vec![1];
    });
    assert_eq!(host.place(by_thread), one_of_two(first));
    let by_nothing = host.ask(4, thread(SERVER, 3), actor(CHILD));
    assert_eq!(host.place(by_nothing).parent, None);
}

#[test]
fn a_process_spawned_while_a_request_was_open_issues_what_is_below_it() {
    let mut host = Host::default();
    let process = |pid, started| Process {
        key: actor(pid).process,
        started: Time(started * MILLI),
        lineage: vec![Ancestor {
            key: actor(SERVER).process,
            exe: None,
        }],
        ..Process::default()
    };
    host.world.processes.insert(CHILD, process(CHILD, 5));
    host.world.processes.insert(31, process(31, 15));
    let outer = host.ask(0, actor(AGENT), actor(SERVER));
    host.answer(10, outer);
    let inner = host.ask(20, actor(CHILD), actor(40));
    let id = ChainId::Interaction(outer);
    let expected = below(
        id,
        outer,
        1,
        Basis::ProcessLineage,
        Certainty::OnlyCandidate,
    );
    assert_eq!(host.place(inner), expected);
    let later = host.ask(21, actor(31), actor(40));
    assert_eq!(host.place(later), root(later, None));
}

#[test]
fn a_subscription_that_stays_open_leads_to_nothing() {
    let mut host = Host::default();
    host.ask_with(0, actor(AGENT), actor(SERVER), |one| {
        one.is_subscription = true;
    });
    let call = host.ask(10, actor(SERVER), actor(CHILD));
    assert_eq!(host.place(call), root(call, None));
}

#[test]
fn requests_that_lead_to_each_other_end_somewhere() {
    let mut host = Host::default();
    let first = host.ask(0, actor(AGENT), actor(AGENT));
    let second = host.ask(0, actor(AGENT), actor(AGENT));
    assert!(host.place(first).depth <= DEPTH);
    assert!(host.place(second).depth <= DEPTH);
}

#[test]
fn calls_deeper_than_the_bound_begin_a_chain_of_their_own() {
    let mut host = Host::default();
    let calls: Vec<_> = (0..100)
        .map(|at| host.ask(u64::from(at), actor(1000 + at), actor(1001 + at)))
        .collect();
    for call in &calls {
        assert!(host.place(*call).depth <= DEPTH);
    }
}

#[test]
fn requests_are_remembered_up_to_the_bound_and_the_answered_go_first() {
    let mut host = Host::default();
    let open = host.ask(0, actor(AGENT), actor(SERVER));
    for at in 1..2 * LEGS as u64 {
        let id = host.ask(at, actor(OTHER), actor(CHILD));
        host.place(id);
        host.answer(at, id);
    }
    assert_eq!(host.chains.legs.len(), LEGS);
    let answered = &host.chains.by_answerer[&actor(CHILD).process];
    assert!(answered.open.is_empty() && answered.ended.len() < LEGS);
    let inner = host.ask(3 * LEGS as u64, actor(SERVER), actor(40));
    assert_eq!(host.place(inner).parent, Some(open));
}

#[test]
fn only_whole_trace_ids_count() {
    let whole = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    assert!(trace(whole).is_some());
    for text in [
        "",
        "00",
        "00-4bf92f-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473\u{e9}-00f067aa0ba902b7-01",
    ] {
        assert_eq!(trace(text), None, "{text}");
    }
}
