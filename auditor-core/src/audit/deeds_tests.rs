use std::{ops::Range, sync::Arc};

use super::*;
use crate::{
    audit::{Ancestor, Process, Seen, tests::call},
    key::ChannelId,
    mcp::{Begun, Progress},
    stream::Channel,
};

const MILLI: u64 = 1_000_000;
const BOOT: u64 = 1_800_000_000_000_000_000;
const SERVER: u32 = 20;
const CHILD: u32 = 30;

/// The child descends from the server.
struct Fake;

impl World for Fake {
    fn process(&self, key: ProcessKey) -> Option<Arc<Process>> {
        let parent = Ancestor {
            key: process(SERVER),
            exe: None,
        };
        Some(Arc::new(Process {
            key,
            lineage: (key.pid == CHILD).then_some(parent).into_iter().collect(),
            ..Process::default()
        }))
    }

    fn channel(&self, _id: ChannelId) -> Option<Arc<Channel>> {
        None
    }

    fn seen(&self, _channel: ChannelId, _from: Side, _range: &Range<u64>) -> Seen {
        Seen::default()
    }
}

fn process(pid: u32) -> ProcessKey {
    ProcessKey { pid, start: 5 }
}

fn at(millis: u64) -> Time {
    Time(BOOT + millis * MILLI)
}

fn header(pid: u32, kind: u8) -> Header {
    Header {
        tgid: pid,
        start: 5,
        end: kind,
        ..Header::default()
    }
}

/// A server of which all is told, with calls open from 0 ms on; [`call`] is the first and answered at 12 ms.
#[derive(Default)]
struct Host {
    deeds: Deeds,
    chains: Chains,
}

impl Host {
    fn new() -> Self {
        let mut host = Self::default();
        host.deeds.handle_serving(&header(SERVER, 0), at(0), &Fake);
        host.begin(SERVER, call().id.0, 0);
        host
    }

    fn begin(&mut self, server: u32, id: u64, millis: u64) {
        let reader = Some(Actor {
            process: process(server),
            tid: server,
        });
        let begun = Begun {
            id: InteractionId(id),
            channel: ChannelId(id),
            from: Side::A,
            range: 0..10,
            first: at(millis),
            time: at(millis),
            sha256: [0; 32],
            writer: None,
            reader,
            traceparent: None,
            values: Vec::new(),
            is_subscription: false,
        };
        let progress = Progress::Begun(Box::new(begun));
        self.chains.handle_progress(progress, at(millis));
    }

    /// Opens a file, as `file_mode` says.
    fn open(&mut self, pid: u32, path: &str, file_mode: u32, millis: u64) {
        let path: String = path.rsplit('/').map(|name| format!("{name}\0")).collect();
        let mut bytes = vec![auditor_common::record::DEED, deed::OPEN, 0, 0];
        bytes.resize(size_of::<Header>() + size_of::<Deed>(), 0);
        // Where `file_mode` and `path_len` are.
        for (place, value) in [(36, file_mode), (48, path.len() as u32)] {
            let place = size_of::<Header>() + place;
            bytes.splice(place..place + 4, value.to_ne_bytes());
        }
        bytes.extend(path.bytes());
        let Ok(crate::record::Record::Deed(_, told, names)) = crate::record::decode(&bytes) else {
            panic!("no deed")
        };
        let header = header(pid, deed::OPEN);
        self.deeds
            .handle_deed(&header, &told, &names, at(millis), &Fake);
    }

    fn attach(&self) -> Option<Activity> {
        let answerer = Actor {
            process: process(SERVER),
            tid: SERVER,
        };
        self.deeds
            .attach(&call(), Some(answerer), &self.chains, at(20))
    }
}

fn files(activity: &Activity) -> Vec<(&str, Access, Certainty)> {
    let entries = activity.entries.iter();
    let file = entries.filter_map(|entry| match &entry.what {
        What::File { path, access, .. } => Some((path.as_str(), *access, entry.certainty)),
        _ => None,
    });
    file.collect()
}

#[test]
fn what_is_done_while_one_call_is_open_is_its_own() {
    let mut host = Host::new();
    host.open(SERVER, "/home/a/x", 1, 5);
    host.open(SERVER, "/home/a/y", FMODE_WRITE | FMODE_CREATED, 6);
    host.open(SERVER, "/usr/lib/x.so", 1, 7);
    host.open(SERVER, "/home/a/late", 1, 13);
    let activity = host.attach().unwrap();
    let only = Certainty::OnlyCandidate;
    assert_eq!(
        files(&activity),
        [
            ("/home/a/x", Access::Read, only),
            ("/home/a/y", Access::Create, only)
        ]
    );
    assert_eq!((activity.runtime, activity.lost), (1, 0));
    assert!(activity.is_complete);
}

#[test]
fn a_process_is_followed_from_its_first_deed_on() {
    let mut host = Host::default();
    host.begin(SERVER, call().id.0, 0);
    assert!(host.attach().is_none());
    host.open(SERVER, "/home/a/x", 1, 5);
    let activity = host.attach().unwrap();
    assert_eq!(files(&activity).len(), 1);
    assert!(!activity.is_complete, "what it did before was not told");
}

#[test]
fn what_is_done_while_two_are_open_is_one_of_twos() {
    let mut host = Host::new();
    host.open(SERVER, "/home/a/x", 1, 5);
    host.begin(SERVER, 77, 6);
    host.open(SERVER, "/home/a/y", 1, 7);
    let activity = host.attach().unwrap();
    let certainties: Vec<_> = files(&activity).iter().map(|one| one.2).collect();
    assert_eq!(certainties, [Certainty::OnlyCandidate, Certainty::OneOf(2)]);
    assert_eq!(activity.others, [InteractionId(77)]);
}

#[test]
fn a_childs_deeds_are_its_servers_unless_it_serves_itself() {
    let mut host = Host::new();
    host.open(CHILD, "/home/a/x", 1, 5);
    host.begin(CHILD, 78, 6);
    host.open(CHILD, "/home/a/y", 1, 7);
    let activity = host.attach().unwrap();
    assert_eq!(files(&activity).len(), 1);
    assert_eq!(activity.entries[0].basis, Basis::ProcessLineage);
    assert!(activity.others.is_empty());
}

#[test]
fn a_write_is_never_a_runtimes_own() {
    let mut host = Host::new();
    host.open(SERVER, "/usr/lib/x.so", FMODE_WRITE | FMODE_CREATED, 5);
    host.open(SERVER, "/usr/lib/y.so", FMODE_WRITE, 5);
    let activity = host.attach().unwrap();
    assert_eq!((files(&activity).len(), activity.runtime), (2, 0));
}

#[test]
fn losses_are_told() {
    let mut host = Host::new();
    let mut lost = header(SERVER, 0);
    lost.lost = 7;
    host.deeds.handle_serving(&lost, at(5), &Fake);
    let activity = host.attach().unwrap();
    assert_eq!((activity.lost, activity.is_complete), (7, false));

    let mut host = Host::new();
    host.deeds.handle_lost(at(500));
    assert!(!host.attach().unwrap().is_complete);
    host.deeds.handle_lost(at(5_000));
    assert!(host.attach().unwrap().is_complete);
}

#[test]
fn what_is_remembered_and_listed_is_bounded() {
    let mut host = Host::new();
    for number in 0..DEEDS + 10 {
        host.open(SERVER, &format!("/home/a/{number}"), 1, 5);
    }
    let activity = host.attach().unwrap();
    assert_eq!(activity.entries.len(), ENTRIES);
    assert_eq!(activity.further[1], (DEEDS - ENTRIES) as u64);
    assert_eq!((activity.lost, activity.is_complete), (10, false));
    for pid in 100..100 + 2 * PROCESSES as u32 {
        host.open(pid, "/home/a/x", 1, 6);
    }
    assert_eq!(host.deeds.acts.len(), PROCESSES);
    assert!(host.deeds.order.len() <= DEEDS + PROCESSES);
}

#[test]
fn a_client_is_told_once_and_forgotten_and_may_become_a_server() {
    let mut host = Host::new();
    host.open(SERVER, "/home/a/x", 1, 5);
    let one = process(SERVER);
    host.deeds.note_role(one, Role::Client, at(6));
    host.deeds.note_role(one, Role::Client, at(7));
    assert!(host.attach().is_none());
    host.deeds.note_role(one, Role::Server, at(8));
    host.deeds.note_role(one, Role::Client, at(9));
    let told: Vec<_> = std::iter::from_fn(|| host.deeds.poll_role()).collect();
    assert_eq!(told, [(one, Role::Client), (one, Role::Server)]);
}
