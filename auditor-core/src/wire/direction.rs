//! One direction of a channel: decides what it speaks, again and again.
//!
//! Frames nothing itself.

use super::{
    http::Upgrade,
    http1, http2,
    line::{self, LineFramer, looks_like_tail_of_message},
    output::Output,
    websocket,
};
use crate::{
    key::Side,
    stream::{EndCause, GapCause},
};

/// What the two directions share.
#[derive(Debug, Default)]
pub(super) struct Connections {
    /// By the client's side.
    http1: [http1::Connection; 2],
    http2: http2::Connection,
}

impl Connections {
    pub(super) fn buffered(&self) -> usize {
        let http1: usize = self.http1.iter().map(http1::Connection::buffered).sum();
        http1 + self.http2.buffered()
    }

    pub(super) fn shrink_to(&mut self, bytes: usize, out: &mut Output) {
        for connection in &mut self.http1 {
            connection.shrink_to(bytes, out);
        }
        self.http2.shrink_to(bytes, out);
    }

    fn close(&mut self, out: &mut Output) {
        for connection in &mut self.http1 {
            connection.close(out);
        }
        self.http2.close(out);
    }
}

/// One direction.
#[derive(Debug)]
pub(super) struct Direction {
    from: Side,
    /// Position at which the next chunk must begin.
    next: Option<u64>,
    mode: Mode,
}

#[derive(Debug)]
enum Mode {
    Lines(Box<LineFramer>),
    Http1(Box<http1::Receiver>),
    Http2(Box<http2::Receiver>),
    WebSocket(Box<websocket::Receiver>),
    /// A protocol that carries no MCP.
    Deaf,
}

impl Direction {
    pub(super) fn new(from: Side) -> Self {
        Self {
            from,
            next: None,
            mode: Mode::Lines(Box::new(LineFramer::new(from))),
        }
    }

    pub(super) fn buffered(&self) -> usize {
        match &self.mode {
            Mode::Lines(lines) => lines.buffered(),
            Mode::Http1(receiver) => receiver.buffered(),
            Mode::Http2(receiver) => receiver.buffered(),
            Mode::WebSocket(receiver) => receiver.buffered(),
            Mode::Deaf => 0,
        }
    }

    pub(super) fn shrink_to(&mut self, bytes: usize, out: &mut Output) {
        match &mut self.mode {
            Mode::Lines(lines) => lines.shrink_to(bytes, out),
            Mode::WebSocket(receiver) => receiver.shrink_to(bytes, out),
            Mode::Http1(_) | Mode::Http2(_) | Mode::Deaf => {}
        }
    }

    pub(super) fn handle_bytes(
        &mut self,
        bytes: &[u8],
        pos: u64,
        other: &mut Self,
        connections: &mut Connections,
        out: &mut Output,
    ) {
        // Positions near the end of the number range are not real; none may overflow.
        let pos = pos.min(u64::MAX / 2);
        let next = self.next.unwrap_or(0);
        if pos > next {
            let cause = if self.next.is_none() {
                GapCause::Joined
            } else {
                GapCause::Bound
            };
            self.handle_gap(next, pos - next, cause, connections, out);
        }
        // Whatever the chunks say, no byte is taken twice.
        let known = usize::try_from(next.saturating_sub(pos)).unwrap_or(usize::MAX);
        let bytes = bytes.get(known..).unwrap_or_default();
        let pos = pos.max(next);
        self.next = Some(pos + bytes.len() as u64);
        self.feed(bytes, pos, other, connections, out);
    }

    fn feed(
        &mut self,
        mut bytes: &[u8],
        mut pos: u64,
        other: &mut Self,
        connections: &mut Connections,
        out: &mut Output,
    ) {
        if let Mode::Lines(lines) = &self.mode
            && lines.is_between()
            && let Some(start) = http2::find_frame(bytes, lines.is_joined())
        {
            out.discard(self.from, start as u64);
            bytes = bytes.get(start..).unwrap_or_default();
            pos += start as u64;
            self.mode = Mode::Http2(Box::new(http2::Receiver::joined(self.from)));
        }
        while !bytes.is_empty() {
            let used = match &mut self.mode {
                Mode::Deaf => {
                    out.quiet(self.from, bytes.len() as u64);
                    return;
                }
                Mode::WebSocket(receiver) => return receiver.feed(bytes, pos, out),
                Mode::Lines(_) => self.lines(bytes, pos, out),
                Mode::Http1(_) => self.http1(bytes, pos, other, connections, out),
                Mode::Http2(receiver) => {
                    match receiver.feed(bytes, pos, &mut connections.http2, out) {
                        http2::Fed::All => return,
                        http2::Fed::Foreign(used) => {
                            let mut lines = LineFramer::new(self.from);
                            lines.skip_line();
                            self.mode = Mode::Lines(Box::new(lines));
                            used
                        }
                    }
                }
            };
            bytes = bytes.get(used..).unwrap_or_default();
            pos += used as u64;
        }
    }

    /// Feeds the line framer; says how many bytes were used.
    fn lines(&mut self, bytes: &[u8], pos: u64, out: &mut Output) -> usize {
        let Mode::Lines(lines) = &mut self.mode else {
            return 0;
        };
        match lines.feed(bytes, pos, out) {
            line::Fed::All => bytes.len(),
            line::Fed::Foreign(used) => {
                let line = bytes.get(used..).unwrap_or_default();
                if http1::begins(line) {
                    self.mode = Mode::Http1(Box::new(http1::Receiver::new(self.from)));
                } else {
                    lines.skip_line();
                }
                used
            }
            line::Fed::Joined(used, line) => {
                if let Some(start) = http1::start_line_in(&line) {
                    let line = line.get(start..).unwrap_or_default();
                    out.undiscard(self.from, line.len() as u64);
                    let receiver = http1::Receiver::with_line(self.from, line);
                    self.mode = Mode::Http1(Box::new(receiver));
                } else {
                    if looks_like_tail_of_message(&line) {
                        out.discarded_tail_of_message(self.from);
                    }
                    out.flush_gap(self.from);
                }
                used
            }
        }
    }

    /// Feeds the HTTP/1.1 receiver; says how many bytes were used.
    fn http1(
        &mut self,
        bytes: &[u8],
        pos: u64,
        other: &mut Self,
        connections: &mut Connections,
        out: &mut Output,
    ) -> usize {
        let Mode::Http1(receiver) = &mut self.mode else {
            return 0;
        };
        match receiver.feed(bytes, pos, &mut connections.http1, out) {
            http1::Fed::All => bytes.len(),
            http1::Fed::Foreign(used, held) => {
                // Its first line is no start line, so this does not come back here with it.
                let mut lines = LineFramer::new(self.from);
                lines.skip_line();
                self.mode = Mode::Lines(Box::new(lines));
                let start = (pos + used as u64).saturating_sub(held.len() as u64);
                self.feed(&held, start, other, connections, out);
                used
            }
            http1::Fed::Upgraded(used, upgrade) => {
                self.upgrade(upgrade, other, connections, out);
                used
            }
            http1::Fed::Preface(used) => {
                connections.http2.begin(self.from);
                let receiver = http2::Receiver::after_preface_line(self.from);
                self.mode = Mode::Http2(Box::new(receiver));
                other.expect_http2();
                used
            }
        }
    }

    /// The client of this connection speaks HTTP/2, so this side does.
    fn expect_http2(&mut self) {
        if let Mode::Lines(lines) = &self.mode
            && lines.is_between()
        {
            let fresh = self.next.unwrap_or(0) == 0;
            let new = if fresh {
                http2::Receiver::new
            } else {
                http2::Receiver::lost
            };
            self.mode = Mode::Http2(Box::new(new(self.from)));
        }
    }

    /// The connection changes to another protocol, in both directions.
    fn upgrade(
        &mut self,
        upgrade: Upgrade,
        other: &mut Self,
        connections: &mut Connections,
        out: &mut Output,
    ) {
        match upgrade {
            // The client's preface tells its own receiver.
            Upgrade::H2c => {
                let client = self.from.other();
                let [a, b] = &mut connections.http1;
                let connection = if client == Side::A { a } else { b };
                let exchange = connection.take_upgraded();
                connections.http2.upgrade(client, exchange, out);
                self.mode = Mode::Http2(Box::new(http2::Receiver::new(self.from)));
            }
            Upgrade::WebSocket | Upgrade::Other => {
                connections.close(out);
                for direction in [self, other] {
                    if let Mode::Lines(lines) = &mut direction.mode {
                        lines.break_off(false, out);
                    }
                    direction.mode = match upgrade {
                        Upgrade::WebSocket => {
                            Mode::WebSocket(Box::new(websocket::Receiver::new(direction.from)))
                        }
                        _ => Mode::Deaf,
                    };
                }
            }
        }
    }

    pub(super) fn handle_gap(
        &mut self,
        pos: u64,
        bytes: u64,
        cause: GapCause,
        connections: &mut Connections,
        out: &mut Output,
    ) {
        let end = pos.saturating_add(bytes).min(u64::MAX / 2);
        let range = pos.min(end)..end;
        self.next = Some(end);
        match &mut self.mode {
            Mode::Lines(lines) => {
                let lost = lines.break_off(true, out);
                out.begin_gap(self.from, range, cause, lost);
            }
            Mode::Http1(receiver) if receiver.is_established() => {
                out.begin_gap(self.from, range, cause, 0);
                receiver.gap(bytes, &mut connections.http1, out);
            }
            Mode::Http1(receiver) => {
                let lost = receiver.buffered() as u64;
                let mut lines = LineFramer::new(self.from);
                lines.break_off(true, out);
                self.mode = Mode::Lines(Box::new(lines));
                out.begin_gap(self.from, range, cause, lost);
            }
            Mode::Http2(receiver) => {
                out.begin_gap(self.from, range, cause, 0);
                receiver.gap(bytes, &mut connections.http2, out);
            }
            Mode::WebSocket(receiver) => {
                out.begin_gap(self.from, range, cause, 0);
                receiver.gap(pos, bytes, out);
            }
            Mode::Deaf => {}
        }
    }

    pub(super) fn handle_end(
        &mut self,
        cause: EndCause,
        connections: &mut Connections,
        out: &mut Output,
    ) {
        match &mut self.mode {
            Mode::Lines(lines) => lines.end(out),
            Mode::Http1(receiver) => {
                receiver.end(cause == EndCause::Closed, &mut connections.http1, out);
            }
            Mode::WebSocket(receiver) => receiver.end(out),
            Mode::Http2(_) | Mode::Deaf => {}
        }
        connections.close(out);
        out.end(self.from, cause);
    }
}
