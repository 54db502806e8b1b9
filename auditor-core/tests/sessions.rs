//! Whole sessions as bytes on their channels: framing and pairing together.

use std::{cell::RefCell, collections::HashMap, ops::Range, sync::Arc};

use auditor_core::{
    audit::{Process, Seen, World},
    key::{Actor, ChannelId, ProcessKey, Side, Time},
    mcp::{Interaction, Limits, Outcome, Sessions, Transport},
    stream::{Channel, ChannelKind, Chunk, Content, EndCause, Socket},
    wire::{self, Wire},
};
use bytes::Bytes;

/// A client, process 10, and a server, process 20, with their channels.
#[derive(Default)]
struct Host {
    channels: RefCell<HashMap<ChannelId, Channel>>,
}

impl World for Host {
    fn process(&self, _key: ProcessKey) -> Option<Arc<Process>> {
        None
    }

    fn channel(&self, id: ChannelId) -> Option<Arc<Channel>> {
        self.channels.borrow().get(&id).cloned().map(Arc::new)
    }

    fn seen(&self, channel: ChannelId, from: Side, _range: &Range<u64>) -> Seen {
        let actor = |pid| {
            Some(Actor {
                process: ProcessKey { pid, start: 1 },
                tid: pid,
            })
        };
        // Channel 2 is the server's standard output.
        let by_client = (from == Side::A) != (channel.0 == 2);
        let (writer, reader) = if by_client { (10, 20) } else { (20, 10) };
        Seen {
            writer: actor(writer),
            reader: actor(reader),
            local: true,
        }
    }
}

struct Play {
    host: Host,
    wires: HashMap<ChannelId, Wire>,
    sessions: Sessions,
    position: HashMap<(ChannelId, Side), u64>,
    now: Time,
    piece: usize,
}

impl Play {
    fn new(piece: usize) -> Self {
        Self {
            host: Host::default(),
            wires: HashMap::new(),
            sessions: Sessions::new(Limits::default(), false),
            position: HashMap::new(),
            now: Time(1_800_000_000_000_000_000),
            piece,
        }
    }

    fn channel(&mut self, id: u64, kind: ChannelKind) -> ChannelId {
        let id = ChannelId(id);
        let address = |port| ([127, 0, 0, 1], port).into();
        let socket = (kind == ChannelKind::Tcp).then(|| Socket {
            a: address(40_000 + id.0 as u16),
            b: address(8000),
            netns: 1,
        });
        let channel = Channel {
            id,
            kind,
            inode: None,
            peer_inode: None,
            socket,
            tls: None,
        };
        self.host.channels.borrow_mut().insert(id, channel);
        id
    }

    fn chunk(&mut self, channel: ChannelId, from: Side, content: Content) {
        self.now = self.now.after(1000);
        let pos = self.position.entry((channel, from)).or_default();
        let chunk = Chunk {
            channel,
            from,
            pos: *pos,
            time: self.now,
            content,
        };
        if let Content::Bytes(bytes) = &chunk.content {
            *pos += bytes.len() as u64;
        }
        let new = || Wire::new(channel, wire::Limits::default());
        let wire = self.wires.entry(channel).or_insert_with(new);
        wire.handle_chunk(&chunk);
        while let Some(item) = wire.poll_item() {
            self.sessions.handle_item(item, &self.host);
        }
    }

    fn send(&mut self, channel: ChannelId, from: Side, text: &str) {
        self.send_bytes(channel, from, Bytes::copy_from_slice(text.as_bytes()));
    }

    fn send_bytes(&mut self, channel: ChannelId, from: Side, bytes: Bytes) {
        let mut at = 0;
        while at < bytes.len() {
            let end = bytes.len().min(at + self.piece);
            self.chunk(channel, from, Content::Bytes(bytes.slice(at..end)));
            at = end;
        }
    }

    fn post(&mut self, channel: ChannelId, target: &str, session: Option<&str>, body: &str) {
        let session = session.map_or(String::new(), |id| format!("Mcp-Session-Id: {id}\r\n"));
        let length = body.len();
        let text = format!(
            "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n{session}Content-Length: {length}\r\n\r\n{body}"
        );
        self.send(channel, Side::A, &text);
    }

    fn json(&mut self, channel: ChannelId, head: &str, body: &str) {
        let length = body.len();
        let text = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{head}Content-Length: {length}\r\n\r\n{body}"
        );
        self.send(channel, Side::B, &text);
    }

    fn accepted(&mut self, channel: ChannelId) {
        self.send(
            channel,
            Side::B,
            "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
        );
    }

    fn stream(&mut self, channel: ChannelId) {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        self.send(channel, Side::B, head);
    }

    fn event(&mut self, channel: ChannelId, name: &str, data: &str) {
        let event = format!(": ping\r\nevent: {name}\r\ndata: {data}\r\n\r\n");
        self.send(
            channel,
            Side::B,
            &format!("{:x}\r\n{event}\r\n", event.len()),
        );
    }

    fn told(&mut self) -> Vec<Interaction> {
        std::iter::from_fn(|| self.sessions.poll_interaction()).collect()
    }
}

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"s","version":"2"}}}"#;
const READY: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
const CALL: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","arguments":{"a":1}}}"#;
const RESULT: &str =
    r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"2"}]}}"#;
const ASK: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"elicitation/create","params":{"message":"m"}}"#;
const ANSWER: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"action":"accept"}}"#;

fn methods(told: &[Interaction]) -> Vec<(&str, bool)> {
    let ok = |one: &Interaction| one.outcome == Outcome::Success;
    told.iter()
        .map(|one| (one.method.as_deref().unwrap_or("-"), ok(one)))
        .collect()
}

#[test]
fn stdio_with_log_lines_between() {
    for piece in [1, 7, 10_000] {
        let mut play = Play::new(piece);
        let (stdin, stdout) = (
            play.channel(1, ChannelKind::Pipe),
            play.channel(2, ChannelKind::Pipe),
        );
        play.send(stdin, Side::A, &format!("{INITIALIZE}\n"));
        play.send(
            stdout,
            Side::A,
            &format!("server starting...\n{INITIALIZED}\n"),
        );
        play.send(stdin, Side::A, &format!("{READY}\n{CALL}\n"));
        play.send(
            stdout,
            Side::A,
            &format!("{{\"level\":\"info\",\"method\":\"x\"}}\n{ASK}\n"),
        );
        play.send(stdin, Side::A, &format!("{ANSWER}\n"));
        play.send(stdout, Side::A, &format!("{RESULT}\n"));
        let told = play.told();
        assert_eq!(
            methods(&told),
            [
                ("initialize", true),
                ("notifications/initialized", false),
                ("elicitation/create", true),
                ("tools/call", true),
            ],
            "in pieces of {piece}"
        );
        assert!(told.iter().all(|one| one.session.id == told[0].session.id));
    }
}

#[test]
fn a_websocket_that_began_as_http() {
    let frame = |text: &str| {
        let size = u16::try_from(text.len()).unwrap().to_be_bytes();
        let header = [&[0x81, 126], &size[..]].concat();
        [&header, text.as_bytes()].concat()
    };
    for piece in [1, 7, 10_000] {
        let mut play = Play::new(piece);
        let socket = play.channel(3, ChannelKind::Tcp);
        let hello = "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: mcp\r\n\r\n";
        let welcome = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
        play.send(socket, Side::A, hello);
        play.send(socket, Side::B, welcome);
        for (from, text) in [
            (Side::A, INITIALIZE),
            (Side::B, INITIALIZED),
            (Side::A, READY),
            (Side::A, CALL),
            (Side::B, ASK),
            (Side::A, ANSWER),
            (Side::B, RESULT),
        ] {
            play.send_bytes(socket, from, frame(text).into());
        }
        let told = play.told();
        assert_eq!(
            methods(&told),
            [
                ("initialize", true),
                ("notifications/initialized", false),
                ("elicitation/create", true),
                ("tools/call", true),
            ],
            "in pieces of {piece}"
        );
        assert!(
            told.iter()
                .all(|one| one.session.transport == Transport::WebSocket)
        );
    }
}

#[test]
fn streamable_http_with_a_session() {
    for piece in [1, 7, 10_000] {
        let mut play = Play::new(piece);
        let (one, two) = (
            play.channel(3, ChannelKind::Tcp),
            play.channel(4, ChannelKind::Tcp),
        );
        play.post(one, "/mcp", None, INITIALIZE);
        play.json(one, "mcp-session-id: abc\r\n", INITIALIZED);
        play.post(one, "/mcp", Some("abc"), READY);
        play.accepted(one);
        play.post(one, "/mcp", Some("abc"), CALL);
        play.stream(one);
        play.event(one, "message", ASK);
        play.post(two, "/mcp", Some("abc"), ANSWER);
        play.accepted(two);
        play.event(one, "message", RESULT);
        play.send(one, Side::B, "0\r\n\r\n");
        let told = play.told();
        assert_eq!(
            methods(&told),
            [
                ("initialize", true),
                ("notifications/initialized", false),
                ("elicitation/create", true),
                ("tools/call", true),
            ],
            "in pieces of {piece}"
        );
        assert!(told.iter().all(|one| one.session.id == told[0].session.id));
        assert_eq!(told[3].session.mcp_session_id.as_deref(), Some("abc"));
        assert_eq!(play.sessions.open_interactions(), 0);
    }
}

#[test]
fn legacy_http_with_an_event_stream() {
    for piece in [1, 7, 10_000] {
        let mut play = Play::new(piece);
        let (sse, posts) = (
            play.channel(3, ChannelKind::Tcp),
            play.channel(4, ChannelKind::Tcp),
        );
        play.send(
            sse,
            Side::A,
            "GET /sse HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n",
        );
        play.stream(sse);
        play.event(
            sse,
            "endpoint",
            "/messages/?session_id=0123456789abcdef0123456789abcdef",
        );
        let target = "/messages/?session_id=0123456789abcdef0123456789abcdef";
        play.post(posts, target, None, INITIALIZE);
        play.accepted(posts);
        play.event(sse, "message", INITIALIZED);
        play.post(posts, target, None, CALL);
        play.accepted(posts);
        play.event(sse, "message", RESULT);
        let told = play.told();
        let expected = [("initialize", true), ("tools/call", true)];
        assert_eq!(methods(&told), expected, "in pieces of {piece}");
        assert!(
            told.iter()
                .all(|one| one.session.transport == Transport::Sse)
        );
    }
}

#[test]
fn an_http_call_that_is_cut_off_is_lost() {
    let mut play = Play::new(10_000);
    let tcp = play.channel(3, ChannelKind::Tcp);
    play.post(tcp, "/mcp", None, CALL);
    play.chunk(tcp, Side::B, Content::End(EndCause::Closed));
    play.chunk(tcp, Side::A, Content::End(EndCause::Closed));
    play.sessions
        .handle_timeout(play.now.after(1_000_000_000), &play.host);
    let told = play.told();
    assert_eq!(methods(&told), [("tools/call", false)]);
    assert!(matches!(told[0].outcome, Outcome::Failure(_)));
    assert_eq!(play.sessions.sessions(), 0);
}
