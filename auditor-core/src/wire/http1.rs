//! HTTP/1.1 (RFC 9112), one direction: heads, body lengths, chunks.
//!
//! Finds its footing again after anything that is not HTTP, at the next request or status line.
//! Holds one head, at most [`Limits::head`](super::Limits) bytes.

mod connection;
mod start_line;

use memchr::memchr;

pub(super) use self::{
    connection::Connection,
    start_line::{begins, start_line_in},
};
use self::{
    connection::{Answer, Length},
    start_line::{PREFACE_LINE, is_blank, is_field, is_start_line},
};
use super::{
    http::{Half, Head, Upgrade},
    line::keep_tail,
    output::Output,
};
use crate::key::Side;

/// Bytes of one chunk's size line, or of one trailer.
const MAX_CHUNK_LINE: usize = 16 << 10;
/// Fields of one head.
const MAX_FIELDS: usize = 256;

/// How far [`Receiver::feed`] came.
#[derive(Debug)]
pub(super) enum Fed {
    /// Everything was used.
    All,
    /// So many bytes were used, but they are not HTTP: here they are, with those before.
    Foreign(usize, Vec<u8>),
    /// After so many bytes the connection, in both directions, changes to another protocol.
    Upgraded(usize, Upgrade),
    /// So many bytes were used, the last of them being the empty line in the HTTP/2 preface.
    Preface(usize),
}

enum Stop {
    Foreign,
    Upgraded(Upgrade),
    Preface,
}

/// Receives one direction.
#[derive(Debug)]
pub(super) struct Receiver {
    from: Side,
    state: State,
    half: Half,
    /// Whether a whole head was understood: this is surely HTTP.
    established: bool,
    /// The head or line at hand.
    held: Vec<u8>,
    /// Where in `held` the line at hand begins.
    line: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Head,
    Length {
        left: u64,
    },
    UntilClose,
    ChunkSize,
    Chunk {
        left: u64,
    },
    ChunkEnd,
    Trailers,
    /// Looking for the next request or status line.
    Lost,
}

impl Receiver {
    pub(super) const fn new(from: Side) -> Self {
        Self {
            from,
            state: State::Head,
            half: Half::Request,
            established: false,
            held: Vec::new(),
            line: 0,
        }
    }

    /// Begins with a request or status line that was found elsewhere.
    pub(super) fn with_line(from: Side, line: &[u8]) -> Self {
        Self {
            held: line.to_vec(),
            line: line.len(),
            ..Self::new(from)
        }
    }

    /// Bytes held.
    pub(super) fn buffered(&self) -> usize {
        self.held.len()
    }

    /// Whether this is surely HTTP.
    pub(super) const fn is_established(&self) -> bool {
        self.established
    }

    /// Takes the next bytes of the direction.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        pos: u64,
        connections: &mut [Connection; 2],
        out: &mut Output,
    ) -> Fed {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            match self.state {
                State::Head => {
                    let (used, stop) = self.head(rest, connections, out);
                    at += used;
                    match stop {
                        None => {}
                        Some(Stop::Preface) => return Fed::Preface(at),
                        Some(Stop::Upgraded(upgrade)) => return Fed::Upgraded(at, upgrade),
                        Some(Stop::Foreign) => {
                            let held = std::mem::take(&mut self.held);
                            self.line = 0;
                            if !self.established {
                                return Fed::Foreign(at, held);
                            }
                            out.quiet(self.from, held.len() as u64);
                            self.lose(connections, out);
                        }
                    }
                }
                State::Length { left } | State::Chunk { left } => {
                    let size = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    let part = rest.get(..size).unwrap_or(rest);
                    let place = pos + at as u64;
                    at += size;
                    self.connection(connections)
                        .data(self.half, part, place, out);
                    self.advance(left - size as u64, connections, out);
                }
                State::UntilClose => {
                    let place = pos + at as u64;
                    self.connection(connections)
                        .data(self.half, rest, place, out);
                    return Fed::All;
                }
                State::ChunkSize | State::ChunkEnd | State::Trailers => {
                    let (line, whole) = take_line(rest);
                    at += line.len();
                    self.held.extend_from_slice(line);
                    if self.held.len() > MAX_CHUNK_LINE {
                        self.lose(connections, out);
                    } else if whole {
                        self.chunk_line(connections, out);
                    }
                }
                State::Lost => {
                    let (line, whole) = take_line(rest);
                    at += line.len();
                    keep_tail(&mut self.held, line);
                    out.discard(self.from, line.len() as u64);
                    if whole {
                        self.look_for_head(out);
                    }
                }
            }
        }
        Fed::All
    }

    /// Bytes are missing; the gap was begun. Framing goes on if they lie within one body.
    pub(super) fn gap(&mut self, bytes: u64, connections: &mut [Connection; 2], out: &mut Output) {
        match self.state {
            State::Length { left } | State::Chunk { left } if bytes <= left => {
                self.connection(connections).gap(self.half, bytes, out);
                self.advance(left - bytes, connections, out);
            }
            State::UntilClose => self.connection(connections).gap(self.half, bytes, out),
            _ => {
                out.discard(self.from, self.held.len() as u64);
                self.connection(connections).gap(self.half, 0, out);
                self.lose(connections, out);
            }
        }
    }

    /// The direction ends here; a body that goes on until then is complete if it was `closed`.
    pub(super) fn end(
        &mut self,
        closed: bool,
        connections: &mut [Connection; 2],
        out: &mut Output,
    ) {
        if self.state == State::UntilClose {
            self.connection(connections).end(self.half, closed, out);
        }
        self.held = Vec::new();
    }

    fn connection<'a>(&self, connections: &'a mut [Connection; 2]) -> &'a mut Connection {
        let [a, b] = connections;
        match (self.from, self.half) {
            (Side::A, Half::Request) | (Side::B, Half::Response) => a,
            (Side::B, Half::Request) | (Side::A, Half::Response) => b,
        }
    }

    /// Collects a head line by line. Says how many bytes it used.
    fn head(
        &mut self,
        bytes: &[u8],
        connections: &mut [Connection; 2],
        out: &mut Output,
    ) -> (usize, Option<Stop>) {
        let mut used = 0;
        while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
            let (part, whole) = take_line(rest);
            used += part.len();
            self.held.extend_from_slice(part);
            let line = self.held.get(self.line..).unwrap_or_default();
            let fits = self.held.len() <= out.limits.head
                && match self.line {
                    0 if !whole => begins(line),
                    0 => is_blank(line) || is_start_line(line),
                    _ => !whole || is_blank(line) || is_field(line),
                };
            if !fits {
                return (used, Some(Stop::Foreign));
            }
            if !whole {
                break;
            }
            if !is_blank(line) {
                self.line = self.held.len();
            } else if self.line == 0 {
                // Empty lines before a request line are ignored (RFC 9112, section 2.2).
                self.held.clear();
            } else {
                return (used, self.whole_head(connections, out));
            }
        }
        (used, None)
    }

    /// `held` is a whole head.
    fn whole_head(&mut self, connections: &mut [Connection; 2], out: &mut Output) -> Option<Stop> {
        if self.held.starts_with(PREFACE_LINE) {
            self.held.clear();
            return Some(Stop::Preface);
        }
        let Some((half, head)) = parse(&self.held) else {
            return Some(Stop::Foreign);
        };
        let size = self.held.len() as u64;
        self.held.clear();
        self.line = 0;
        self.half = half;
        self.established = true;
        out.flush_gap(self.from);
        let upgrade = head.upgrade;
        let connection = self.connection(connections);
        let (length, relevant) = match half {
            Half::Request => connection.request(self.from, head, out),
            Half::Response => match connection.response(self.from.other(), head, out) {
                Answer::Interim => return None,
                Answer::Upgraded => {
                    return Some(Stop::Upgraded(upgrade.unwrap_or(Upgrade::Other)));
                }
                Answer::Body(length, relevant) => (length, relevant),
            },
        };
        if !relevant {
            out.quiet(self.from, size);
        }
        self.state = match length {
            Some(Length::Known(left)) => State::Length { left },
            Some(Length::Chunked) => State::ChunkSize,
            Some(Length::UntilClose) => State::UntilClose,
            None => {
                self.lose(connections, out);
                return None;
            }
        };
        if self.state == (State::Length { left: 0 }) {
            self.advance(0, connections, out);
        }
        None
    }

    /// So much of the body or chunk is left.
    fn advance(&mut self, left: u64, connections: &mut [Connection; 2], out: &mut Output) {
        self.state = match self.state {
            State::Chunk { .. } if left == 0 => State::ChunkEnd,
            State::Chunk { .. } => State::Chunk { left },
            _ if left == 0 => {
                self.connection(connections).end(self.half, true, out);
                State::Head
            }
            _ => State::Length { left },
        };
    }

    /// `held` is a whole line between chunks.
    fn chunk_line(&mut self, connections: &mut [Connection; 2], out: &mut Output) {
        let line = self.held.trim_ascii();
        let next = match self.state {
            State::ChunkEnd => line.is_empty().then_some(State::ChunkSize),
            State::Trailers if line.is_empty() => {
                self.connection(connections).end(self.half, true, out);
                Some(State::Head)
            }
            State::Trailers => is_field(&self.held).then_some(State::Trailers),
            _ => match chunk_size(line) {
                Some(0) => Some(State::Trailers),
                size => size.map(|left| State::Chunk { left }),
            },
        };
        self.held.clear();
        match next {
            Some(next) => self.state = next,
            None => self.lose(connections, out),
        }
    }

    /// `held` is the end of a line in which the next head may begin.
    fn look_for_head(&mut self, out: &mut Output) {
        match start_line_in(&self.held) {
            None => self.held.clear(),
            Some(start) => {
                self.held.drain(..start);
                self.line = self.held.len();
                self.state = State::Head;
                out.undiscard(self.from, self.held.len() as u64);
            }
        }
    }

    fn lose(&mut self, connections: &mut [Connection; 2], out: &mut Output) {
        self.held.clear();
        self.line = 0;
        self.state = State::Lost;
        self.connection(connections).lose(self.half, out);
    }
}

/// The first line of some bytes, and whether it is whole.
fn take_line(bytes: &[u8]) -> (&[u8], bool) {
    match memchr(b'\n', bytes) {
        Some(newline) => (bytes.get(..=newline).unwrap_or(bytes), true),
        None => (bytes, false),
    }
}

/// Size of a chunk; extensions are ignored.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii();
    let digits = std::str::from_utf8(digits)
        .ok()
        .filter(|digits| !digits.starts_with('+'))?;
    u64::from_str_radix(digits, 16).ok()
}

fn parse(text: &[u8]) -> Option<(Half, Head)> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let (half, mut head) = if text.starts_with(b"HTTP/") {
        let mut response = httparse::Response::new(&mut fields);
        if !response.parse(text).ok()?.is_complete() {
            return None;
        }
        (Half::Response, Head::response(11, response.code?))
    } else {
        let mut request = httparse::Request::new(&mut fields);
        if !request.parse(text).ok()?.is_complete() {
            return None;
        }
        let (method, path) = (request.method?, request.path?);
        (
            Half::Request,
            Head::request(11, method.as_bytes(), path.as_bytes()),
        )
    };
    for field in fields.iter().take_while(|field| !field.name.is_empty()) {
        head.field(field.name.as_bytes(), field.value);
    }
    Some((half, head))
}

#[cfg(test)]
pub(super) mod tests;
