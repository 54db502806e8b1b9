//! Connections as they come, from their first bytes to what is told of them.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use auditor_common::record::LAYER;
use bytes::Bytes;

use super::{
    Basis, Hints, Moved, Obstacle, Reason, Unheard,
    certificate::message,
    connection::Place,
    hello::{CLIENT_HELLO, SERVER_HELLO, client_hello, name_extension, server_hello},
    opening::{hello_record, record},
    watch::{CERTIFICATES, WINDOW, Watch},
};
use crate::{
    Processes,
    audit::Process,
    key::{Actor, ChannelId, ProcessKey, Side, Time},
    stream::{Chunk, Content, Socket},
};

const SECOND: u64 = 1_000_000_000;
const START: Time = Time(1_800_000_000_000_000_000);

/// Processes with these command lines, whose TLS is Java's unless said otherwise; `None` while that is being found out.
#[derive(Default)]
struct Host {
    lines: HashMap<u32, &'static str>,
    is_learning: RefCell<bool>,
    reason: Option<Reason>,
}

impl Processes for Host {
    fn process(&self, key: ProcessKey) -> Option<Arc<Process>> {
        let line = self.lines.get(&key.pid)?;
        Some(Arc::new(Process {
            key,
            cmdline: Some(line.split(' ').map(str::to_owned).collect()),
            ..Process::default()
        }))
    }

    fn tls_obstacle(&self, _process: ProcessKey, begun: Time) -> Option<Obstacle> {
        assert!(begun >= START);
        (!*self.is_learning.borrow()).then(|| Obstacle {
            reason: self.reason.unwrap_or(Reason::JavaJsse),
            ..Obstacle::default()
        })
    }
}

fn process(pid: u32) -> ProcessKey {
    ProcessKey { pid, start: 1 }
}

fn actor(pid: u32) -> Option<Actor> {
    Some(Actor {
        process: process(pid),
        tid: pid,
    })
}

/// A connection of process `pid` to 10.0.0.9:443, numbered, with its streams `2 * id` and `2 * id + 1`.
fn place(id: u64, pid: u32, from: Side) -> Place {
    let socket = Socket {
        a: ([10, 0, 0, 1], 40_000 + id as u16).into(),
        b: ([10, 0, 0, 9], 443).into(),
        netns: 1,
    };
    let (writer, reader) = match from {
        Side::A => (actor(pid), None),
        Side::B => (None, actor(pid)),
    };
    Place {
        socket: Some(socket),
        streams: [Some(2 * id), Some(2 * id + 1)],
        writer,
        reader,
    }
}

struct Play {
    watch: Watch,
    host: Host,
    now: Time,
}

impl Play {
    fn new(lines: &[(u32, &'static str)]) -> Self {
        Self {
            watch: Watch::new(Hints::default()),
            host: Host {
                lines: lines.iter().copied().collect(),
                ..Host::default()
            },
            now: START,
        }
    }

    fn chunk(&mut self, id: u64, pid: u32, from: Side, pos: u64, bytes: &[u8]) {
        let chunk = Chunk {
            channel: ChannelId(id),
            from,
            pos,
            time: self.now,
            content: Content::Bytes(Bytes::copy_from_slice(bytes)),
        };
        if self.watch.wants(&chunk) {
            self.watch
                .handle_chunk(&chunk, place(id, pid, from), &self.host);
        }
    }

    /// A handshake of TLS 1.3 with a request behind it.
    fn connect(&mut self, id: u64, pid: u32, name: &str) {
        let hello = hello_record(CLIENT_HELLO, &client_hello(&[name_extension(name)]));
        self.chunk(id, pid, Side::A, 100, &hello);
        let answer = hello_record(SERVER_HELLO, &server_hello(&[(43, vec![3, 4])]));
        self.chunk(id, pid, Side::B, 500, &answer);
        let finished = [record(23, &[0; 53]), record(23, &[0; 200])].concat();
        self.chunk(id, pid, Side::A, 100 + hello.len() as u64, &finished);
    }

    /// A handshake of TLS 1.2 in which both ends show certificates, its bytes in chunks of `size`.
    fn connect_mutually(&mut self, id: u64, size: usize, shown: [&[u8]; 2]) {
        let hello = hello_record(CLIENT_HELLO, &client_hello(&[name_extension("x")]));
        let [client, server] = shown.map(|certificate| record(22, &message(&[certificate])));
        let answer = hello_record(SERVER_HELLO, &server_hello(&[]));
        for (from, bytes) in [
            (Side::A, [hello, client].concat()),
            (Side::B, [answer, server].concat()),
        ] {
            let mut pos = 100;
            for piece in bytes.chunks(size) {
                self.chunk(id, 7, from, pos, piece);
                pos += piece.len() as u64;
            }
        }
    }

    /// The certificate of who sends a stream.
    fn certificate(&self, stream: u64) -> Option<Vec<u8>> {
        let chain = self.watch.chain(stream, self.now)?;
        chain.certificates.first().cloned()
    }

    fn pass(&mut self, nanos: u64) -> Vec<Unheard> {
        self.now = self.now.after(nanos);
        self.watch.handle_timeout(self.now, &self.host);
        std::iter::from_fn(|| self.watch.poll()).collect()
    }

    fn question(&mut self) -> Option<u32> {
        self.watch.poll_question().map(|process| process.pid)
    }
}

#[test]
fn a_connection_that_may_carry_mcp_is_told_with_what_is_known_of_it() {
    let mut play = Play::new(&[(7, "java -jar mcp-client.jar")]);
    play.connect(1, 7, "tools.example.com");
    assert_eq!(play.question(), Some(7));
    assert_eq!(play.question(), None);
    assert_eq!(play.pass(SECOND - 1), []);
    let [told] = &play.pass(1)[..] else { panic!() };
    assert_eq!(
        (told.client_side, told.client, told.server),
        (Side::A, actor(7), None)
    );
    assert_eq!(told.server_name.as_deref(), Some("tools.example.com"));
    assert_eq!(
        (told.version, told.has_handshake, told.moved),
        (Some(0x304), true, Moved::Yes)
    );
    assert_eq!(told.basis, [Basis::CommandLine]);
    let reason = told
        .client_obstacle
        .as_ref()
        .map(|obstacle| obstacle.reason);
    assert_eq!(
        (reason, &told.server_obstacle),
        (Some(Reason::JavaJsse), &None)
    );
    assert_eq!(play.pass(10 * SECOND), []);
    assert_eq!(
        play.watch.poll_timeout(),
        Some(START.after(SECOND + WINDOW))
    );
}

#[test]
fn what_was_heard_is_not_told() {
    let mut play = Play::new(&[(7, "mcp")]);
    play.connect(1, 7, "x");
    play.watch
        .handle_plaintext(2 ^ LAYER, false, process(7), play.now);
    play.connect(2, 7, "x");
    play.watch.handle_bind(99, 5 ^ LAYER);
    assert_eq!(play.pass(5 * SECOND), []);
}

#[test]
fn certificates_are_those_of_the_connection_and_of_the_plaintext_on_it() {
    let mut play = Play::new(&[(7, "mcp")]);
    // It is heard before its server's certificate was told.
    play.connect_mutually(1, 4_096, [b"client", b"server"]);
    play.watch.handle_bind(99, 2 ^ LAYER);
    play.connect_mutually(2, 11, [b"other", b"peer"]);
    play.pass(5 * SECOND);
    for (stream, expected) in [(2, "client"), (3, "server"), (4, "other"), (5, "peer")] {
        let expected = Some(expected.as_bytes().to_vec());
        assert_eq!(play.certificate(stream), expected);
        assert_eq!(play.certificate(stream ^ LAYER), expected);
    }
    assert_eq!(play.certificate(6), None);
}

#[test]
fn certificates_are_read_after_the_session_was_heard() {
    let mut play = Play::new(&[]);
    let hello = hello_record(CLIENT_HELLO, &client_hello(&[]));
    play.chunk(1, 7, Side::A, 100, &hello);
    play.watch.handle_bind(99, 2 ^ LAYER);
    let shown = record(22, &message(&[b"client"]));
    play.chunk(1, 7, Side::A, 100 + hello.len() as u64, &shown);
    assert_eq!(play.certificate(2), Some(b"client".to_vec()));
}

#[test]
fn what_moves_before_or_after_a_connection_has_not_its_certificates() {
    let mut play = Play::new(&[]);
    play.connect_mutually(1, 4_096, [b"client", b"server"]);
    assert!(play.watch.chain(2, Time(START.0 - 1)).is_none());
    play.watch.handle_end(2 ^ LAYER, play.now);
    assert!(play.watch.chain(2, play.now).is_some());
    assert!(play.watch.chain(2, play.now.after(1)).is_none());
}

#[test]
fn beyond_the_bound_the_oldest_certificates_are_forgotten() {
    let mut play = Play::new(&[]);
    let large = vec![7; 7_000];
    let most = CERTIFICATES / (2 * large.len());
    for id in 1..=most as u64 {
        play.connect_mutually(id, 9_000, [&large, &large]);
    }
    assert!(play.certificate(2).is_some());
    play.connect_mutually(most as u64 + 1, 9_000, [&large, &large]);
    assert!(play.certificate(2).is_none() && play.certificate(4).is_some());
}

#[test]
fn a_connection_that_is_forgotten_holds_no_certificates() {
    let mut play = Play::new(&[]);
    let torn = [&message(&[b"c"])[..3], &[9, 0, 0, 1]].concat();
    for id in 1..10_000 {
        play.connect_mutually(id, 4_096, [b"client", b"server"]);
        // Begun, and malformed at its end.
        let hello = hello_record(CLIENT_HELLO, &client_hello(&[]));
        play.chunk(id + 12_000, 7, Side::A, 1, &hello);
        let pos = 1 + hello.len() as u64;
        play.chunk(id + 12_000, 7, Side::A, pos, &record(22, &torn));
        play.chunk(id + 12_000, 7, Side::A, pos + 12, &record(22, &[1; 20]));
    }
    let (connections, bytes) = play.watch.holding();
    assert!(
        connections <= 4 * 4_096 && bytes <= 12 * 4_096,
        "{connections} {bytes}"
    );
    assert_eq!(play.certificate(2), None);
}

#[test]
fn a_session_that_was_heard_and_not_bound_explains_one_connection() {
    let mut play = Play::new(&[(7, "mcp")]);
    play.watch
        .handle_plaintext(98, true, process(7), Time(START.0 - 1));
    play.connect(1, 7, "x");
    play.connect(2, 7, "x");
    play.watch.handle_plaintext(99, true, process(7), play.now);
    play.watch.handle_plaintext(99, true, process(7), play.now);
    assert_eq!(play.pass(SECOND).len(), 1);
}

#[test]
fn a_browser_is_left_alone_until_it_is_known_for_mcp() {
    let mut play = Play::new(&[(7, "firefox")]);
    play.connect(1, 7, "example.com");
    assert_eq!(play.question(), None);
    assert_eq!(play.pass(20 * SECOND), []);
    play.watch
        .handle_speakers([Some(process(7)), None], None, play.now);
    let told = play.pass(0);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].basis, [Basis::Process]);
    assert_eq!(play.question(), Some(7));
}

#[test]
fn the_same_server_as_in_a_session_that_was_heard_is_a_basis() {
    let mut play = Play::new(&[]);
    let server = "10.0.0.9:443".parse().ok();
    play.watch.handle_speakers([None, None], server, play.now);
    play.connect(1, 7, "example.com");
    assert_eq!(play.pass(SECOND)[0].basis, [Basis::ServerAddress]);
}

#[test]
fn a_handshake_without_a_request_is_not_told_until_one_follows() {
    let mut play = Play::new(&[(7, "mcp")]);
    let hello = hello_record(CLIENT_HELLO, &client_hello(&[]));
    play.chunk(1, 7, Side::A, 0, &hello);
    assert_eq!(play.pass(30 * SECOND), []);
    let request = [record(23, &[0; 53]), record(23, &[0; 200])].concat();
    play.chunk(1, 7, Side::A, hello.len() as u64, &request);
    assert_eq!(play.pass(SECOND).len(), 1);
}

#[test]
fn a_connection_on_which_nothing_is_seen_to_move_is_unused_where_its_program_is_heard_on_others() {
    for (reason, is_heard, told) in [
        (Reason::NothingHeard, true, 0),
        (Reason::NothingHeard, false, 1),
        (Reason::NotProbedYet, true, 1),
    ] {
        let mut play = Play::new(&[(7, "mcp")]);
        play.host.reason = Some(reason);
        if is_heard {
            play.watch
                .handle_plaintext(98 ^ LAYER, false, process(7), play.now);
        }
        let hello = hello_record(CLIENT_HELLO, &client_hello(&[]));
        play.chunk(1, 7, Side::A, 0, &hello);
        // So long that what comes behind it is not seen.
        let long = record(22, &[0; 2000]);
        play.chunk(1, 7, Side::A, hello.len() as u64, &long);
        assert_eq!(play.pass(SECOND).len(), told, "{reason:?} {is_heard}");
    }
}

#[test]
fn a_connection_that_was_joined_is_told_without_its_handshake() {
    let mut play = Play::new(&[(7, "mcp")]);
    play.chunk(1, 7, Side::B, 9_000, &record(23, &[0; 300]));
    let [told] = &play.pass(SECOND)[..] else {
        panic!()
    };
    assert!(!told.has_handshake);
    // By the ports.
    assert_eq!((told.client_side, told.client), (Side::A, actor(7)));
}

#[test]
fn the_reason_is_waited_for_up_to_the_bound() {
    let mut play = Play::new(&[(7, "mcp")]);
    *play.host.is_learning.borrow_mut() = true;
    play.connect(1, 7, "x");
    assert_eq!(play.pass(SECOND), []);
    assert_eq!(play.pass(SECOND), []);
    let [told] = &play.pass(SECOND)[..] else {
        panic!()
    };
    let reason = told
        .client_obstacle
        .as_ref()
        .map(|obstacle| obstacle.reason);
    assert_eq!(reason, Some(Reason::Unknown));
}

#[test]
fn records_that_come_late_are_waited_for_from_when_they_came() {
    let mut play = Play::new(&[(7, "mcp")]);
    let late = play.now.after(10 * SECOND);
    play.watch.handle_timeout(late, &play.host);
    play.connect(1, 7, "x");
    play.now = late;
    assert_eq!(play.pass(SECOND / 2), []);
    play.watch
        .handle_plaintext(2 ^ LAYER, false, process(7), START);
    assert_eq!(play.pass(10 * SECOND), []);
}

#[test]
fn where_records_were_lost_that_is_the_reason() {
    let mut play = Play::new(&[(7, "mcp")]);
    play.watch.handle_loss(Time(START.0 - 1));
    play.connect(1, 7, "x");
    let reason = |told: &[Unheard]| told[0].client_obstacle.as_ref().map(|why| why.reason);
    assert_eq!(reason(&play.pass(SECOND)), Some(Reason::JavaJsse));
    play.pass(2 * WINDOW);
    play.connect(2, 7, "x");
    play.watch.handle_loss(play.now);
    assert_eq!(reason(&play.pass(SECOND)), Some(Reason::RecordsLost));
}

#[test]
fn connections_of_one_process_to_one_server_are_told_together() {
    let mut play = Play::new(&[(7, "mcp"), (8, "mcp")]);
    for id in 0..10 {
        play.connect(id, 7, "x");
    }
    play.connect(10, 8, "x");
    let told = play.pass(SECOND);
    assert_eq!(
        told.iter().map(|told| told.connections).collect::<Vec<_>>(),
        [1, 1]
    );
    let told = play.pass(WINDOW);
    assert_eq!(
        told.iter().map(|told| told.connections).collect::<Vec<_>>(),
        [9]
    );
    assert_eq!(play.pass(2 * WINDOW), []);
}

#[test]
fn what_is_held_back_is_told_at_the_end() {
    let mut play = Play::new(&[(7, "mcp")]);
    for id in 0..3 {
        play.connect(id, 7, "x");
    }
    assert_eq!(play.pass(SECOND).len(), 1);
    play.connect(4, 7, "x");
    play.now = play.now.after(SECOND / 2);
    play.watch.handle_shutdown(play.now, &play.host);
    let told: Vec<_> = std::iter::from_fn(|| play.watch.poll()).collect();
    assert_eq!(told.iter().map(|told| told.connections).sum::<u32>(), 3);
}

#[test]
fn more_connections_than_the_bound_are_settled_in_order() {
    let mut play = Play::new(&[(7, "mcp"), (8, "firefox")]);
    play.connect(0, 7, "x");
    for id in 1..=5_000 {
        play.connect(id, 8, "example.com");
    }
    // It had to go, and was told on the way.
    let told = play.pass(0);
    assert_eq!((told.len(), told[0].channel), (1, ChannelId(0)));
    assert_eq!(play.pass(SECOND), []);
}
