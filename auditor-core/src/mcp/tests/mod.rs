//! What the tests of this stage share: a small world, and messages as framing gives them.

use std::{cell::RefCell, collections::HashMap, ops::Range, sync::Arc};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{Interaction, Limits, Sessions};
use crate::{
    audit::{Process, Seen, World},
    key::{Actor, ChannelId, ProcessKey, Side, Time},
    stream::{Channel, ChannelKind, EndCause, Socket},
    wire::{ExchangeEnd, ExchangeId, Framing, HttpHead, HttpPart, Item, Message},
};

mod bounds;
mod http;
mod message;
mod property;
mod sockets;
mod stdio;

pub(super) const MILLISECOND: u64 = 1_000_000;

/// Channels, and who is at their ends.
#[derive(Default)]
pub(super) struct Fake {
    pub(super) channels: RefCell<HashMap<ChannelId, Channel>>,
    /// Writer and reader of a direction, for messages not named in `moved`.
    pub(super) ends: RefCell<HashMap<(ChannelId, Side), Seen>>,
    pub(super) moved: RefCell<HashMap<(ChannelId, Side, u64), Seen>>,
}

impl World for Fake {
    fn process(&self, _key: ProcessKey) -> Option<Arc<Process>> {
        None
    }

    fn channel(&self, id: ChannelId) -> Option<Arc<Channel>> {
        self.channels.borrow().get(&id).cloned().map(Arc::new)
    }

    fn seen(&self, channel: ChannelId, from: Side, range: &Range<u64>) -> Seen {
        let moved = self
            .moved
            .borrow()
            .get(&(channel, from, range.start))
            .copied();
        moved
            .or_else(|| self.ends.borrow().get(&(channel, from)).copied())
            .unwrap_or_default()
    }
}

pub(super) fn actor(pid: u32) -> Actor {
    thread(pid, pid)
}

pub(super) fn thread(pid: u32, tid: u32) -> Actor {
    Actor {
        process: ProcessKey {
            pid,
            start: u64::from(pid) * 1000,
        },
        tid,
    }
}

/// A host with programs that talk: the stage, the world it asks, and time.
pub(super) struct Host {
    pub(super) sessions: Sessions,
    pub(super) world: Fake,
    pub(super) now: Time,
    position: HashMap<(ChannelId, Side), u64>,
}

impl Host {
    pub(super) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(super) fn with(limits: Limits) -> Self {
        Self {
            sessions: Sessions::new(limits, true),
            world: Fake::default(),
            now: Time(1_800_000_000_000_000_000),
            position: HashMap::new(),
        }
    }

    pub(super) fn channel(&self, id: u64, kind: ChannelKind) -> ChannelId {
        let id = ChannelId(id);
        let channel = Channel {
            id,
            kind,
            inode: None,
            peer_inode: None,
            socket: None,
            tls: None,
        };
        self.world.channels.borrow_mut().insert(id, channel);
        id
    }

    /// A pipe between two threads that are both seen.
    pub(super) fn pipe(&self, id: u64, writer: Actor, reader: Actor) -> ChannelId {
        let channel = self.channel(id, ChannelKind::Pipe);
        self.seen_on(channel, writer, reader);
        channel
    }

    /// Whom the bytes of a pipe are seen to be moved by.
    pub(super) fn seen_on(&self, pipe: ChannelId, writer: Actor, reader: Actor) {
        let seen = Seen {
            writer: Some(writer),
            reader: Some(reader),
            local: true,
        };
        self.world.ends.borrow_mut().insert((pipe, Side::A), seen);
    }

    /// A TCP connection to a server at this port.
    pub(super) fn tcp(&self, id: u64, port: u16) -> ChannelId {
        let channel = self.channel(id, ChannelKind::Tcp);
        let a = ([127, 0, 0, 1], 40_000 + id as u16).into();
        let socket = Some(Socket {
            a,
            b: ([127, 0, 0, 1], port).into(),
            netns: 1,
        });
        self.world
            .channels
            .borrow_mut()
            .entry(channel)
            .and_modify(|known| known.socket = socket);
        channel
    }

    /// Whom the bytes of a TCP connection are seen to be moved by.
    pub(super) fn seen(&self, channel: ChannelId, client: Actor, server: Actor) {
        let seen = |writer, reader| Seen {
            writer: Some(writer),
            reader: Some(reader),
            local: true,
        };
        let mut ends = self.world.ends.borrow_mut();
        ends.insert((channel, Side::A), seen(client, server));
        ends.insert((channel, Side::B), seen(server, client));
    }

    pub(super) fn message(&mut self, channel: ChannelId, from: Side, text: &str) -> Message {
        let position = self.position.entry((channel, from)).or_default();
        let start = *position;
        *position += text.len() as u64 + 1;
        self.now = self.now.after(10_000);
        Message {
            channel,
            from,
            range: start..start + text.len() as u64,
            first: self.now,
            time: self.now,
            body: Bytes::copy_from_slice(text.as_bytes()),
            size: text.len() as u64,
            sha256: Sha256::digest(text).into(),
            framing: Framing::Line,
        }
    }

    pub(super) fn item(&mut self, item: Item) {
        self.sessions.handle_item(item, &self.world);
    }

    /// A line is sent.
    pub(super) fn line(&mut self, channel: ChannelId, from: Side, text: &str) {
        let message = self.message(channel, from, text);
        self.item(Item::Message(message));
    }

    /// A message is sent in a part of an HTTP exchange.
    pub(super) fn http(
        &mut self,
        (channel, exchange): (ChannelId, u64),
        part: HttpPart,
        heads: (&HttpHead, Option<&HttpHead>),
        text: &str,
    ) {
        let from = if part == HttpPart::Request {
            Side::A
        } else {
            Side::B
        };
        let mut message = self.message(channel, from, text);
        message.framing = Framing::Http {
            exchange: ExchangeId(exchange),
            part,
            request: Some(Arc::new(heads.0.clone())),
            response: heads.1.cloned().map(Arc::new),
        };
        self.item(Item::Message(message));
    }

    pub(super) fn exchange_end(
        &mut self,
        (channel, exchange): (ChannelId, u64),
        request: &HttpHead,
        response: Option<&HttpHead>,
        complete: bool,
    ) {
        self.now = self.now.after(10_000);
        let end = ExchangeEnd {
            channel,
            client: Side::A,
            exchange: ExchangeId(exchange),
            request: Some(Arc::new(request.clone())),
            response: response.cloned().map(Arc::new),
            response_bytes: 0,
            complete,
            time: self.now,
        };
        self.item(Item::ExchangeEnd(end));
    }

    pub(super) fn end(&mut self, channel: ChannelId, from: Side, cause: EndCause) {
        self.item(Item::End {
            channel,
            from,
            cause,
            time: self.now,
        });
    }

    /// Time passes; everything due is done when it is due.
    pub(super) fn pass(&mut self, nanos: u64) {
        let until = self.now.after(nanos);
        while let Some(due) = self.sessions.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.sessions.handle_timeout(self.now, &self.world);
        }
        self.now = until;
    }

    pub(super) fn drain(&mut self) -> Vec<Interaction> {
        std::iter::from_fn(|| self.sessions.poll_interaction()).collect()
    }

    /// What was reported, in short: `tools/call 1 → Success`.
    pub(super) fn told(&mut self) -> Vec<String> {
        self.drain().iter().map(short).collect()
    }
}

pub(super) fn short(interaction: &Interaction) -> String {
    let method = interaction.method.as_deref().unwrap_or("-");
    let id = interaction.rpc_id.as_deref().unwrap_or("-");
    let outcome = match &interaction.outcome {
        super::Outcome::Failure(failure) => format!("{failure:?}"),
        other => format!("{other:?}"),
    };
    let stage = match interaction.stage {
        super::Stage::Open => "open ",
        super::Stage::Final => "",
    };
    let kind = match interaction.kind {
        super::Kind::Request | super::Kind::Notification => "",
        super::Kind::UnpairedResponse => "stray ",
        super::Kind::Gap => "gap ",
    };
    format!("{stage}{kind}{method} {id} {outcome}")
}

/// The head of a POST, with a session id.
pub(super) fn post(session: Option<&str>) -> HttpHead {
    HttpHead {
        version: 11,
        method: "POST".into(),
        target: "/mcp".into(),
        session_id: session.map(str::to_owned),
        ..HttpHead::default()
    }
}

pub(super) fn status(status: u16, content_type: &str, session: Option<&str>) -> HttpHead {
    HttpHead {
        version: 11,
        status,
        content_type: Some(content_type.into()),
        session_id: session.map(str::to_owned),
        ..HttpHead::default()
    }
}

pub(super) const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}"#;
pub(super) const INITIALIZED: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"s","version":"2"}}}"#;

pub(super) fn call(id: u32) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"echo","arguments":{{"b":1,"a":2}}}}}}"#
    )
}

pub(super) fn result(id: u32) -> String {
    format!(
        r#"{{"result":{{"content":[{{"type":"text","text":"x"}}]}},"id":{id},"jsonrpc":"2.0"}}"#
    )
}
