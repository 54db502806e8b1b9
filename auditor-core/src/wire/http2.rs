//! HTTP/2 (RFC 9113), one direction: frames, header blocks, data.
//!
//! Flow control, priorities and settings do not matter to a listener. A connection may be joined
//! in its middle: frames are found again at the beginning of a chunk, or where several follow
//! each other. Holds one header block, at most [`Limits::head`](super::Limits) bytes, and the
//! HPACK table.

mod block;
mod connection;
mod frame;
mod hpack;

use self::{
    block::{Block, fragment},
    frame::{END_HEADERS, END_STREAM, Frame, HEADER, Kind, PADDED},
    hpack::Decoder,
};
pub(super) use self::{connection::Connection, frame::find_frame};
use super::{http::Head, output::Output};
use crate::key::Side;

/// The rest of the preface after its first line and the empty line (section 3.4).
const PREFACE_END: u64 = b"SM\r\n\r\n".len() as u64;
/// Frames in order after which guessed HTTP/2 is surely HTTP/2.
const SURE_AFTER: u32 = 4;

/// How far [`Receiver::feed`] came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fed {
    /// Everything was used.
    All,
    /// After so many bytes it turned out not to be HTTP/2.
    Foreign(usize),
}

/// Receives one direction.
#[derive(Debug)]
pub(super) struct Receiver {
    from: Side,
    state: State,
    /// Frames in order so far, up to `SURE_AFTER`.
    frames: u32,
    /// The frame header or payload at hand.
    held: Vec<u8>,
    hpack: Decoder,
    block: Option<Block>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Bytes of no interest.
    Skip {
        left: u64,
    },
    Header,
    /// At the byte that says how long the padding is.
    DataPadding {
        frame: Frame,
    },
    Data {
        stream: u32,
        end_stream: bool,
        left: u64,
        padding: u64,
    },
    /// In a payload that is held until it is whole.
    Payload {
        frame: Frame,
        left: u64,
    },
    /// Looking for a frame.
    Lost,
}

impl Receiver {
    /// A direction that begins with the end of the preface.
    pub(super) const fn after_preface_line(from: Side) -> Self {
        Self::of(
            from,
            State::Skip { left: PREFACE_END },
            SURE_AFTER,
            Decoder::new(),
        )
    }

    /// A direction that begins with a frame.
    pub(super) const fn new(from: Side) -> Self {
        Self::of(from, State::Header, SURE_AFTER, Decoder::new())
    }

    /// A direction that was joined where a frame may begin.
    pub(super) const fn joined(from: Side) -> Self {
        Self::of(from, State::Header, 0, Decoder::joined())
    }

    /// A direction of which the beginning was missed.
    pub(super) const fn lost(from: Side) -> Self {
        Self::of(from, State::Lost, SURE_AFTER, Decoder::joined())
    }

    const fn of(from: Side, state: State, frames: u32, hpack: Decoder) -> Self {
        Self {
            from,
            state,
            frames,
            held: Vec::new(),
            hpack,
            block: None,
        }
    }

    /// Bytes held.
    pub(super) fn buffered(&self) -> usize {
        let block = self.block.as_ref().map_or(0, |block| block.fragments.len());
        self.held.len() + block + self.hpack.buffered()
    }

    /// Takes the next bytes of the direction.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        pos: u64,
        connection: &mut Connection,
        out: &mut Output,
    ) -> Fed {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let part = |left: u64| {
                let size = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                rest.get(..size).unwrap_or(rest)
            };
            match self.state {
                State::Skip { left } => {
                    let size = part(left).len();
                    at += size;
                    self.skip(left - size as u64);
                }
                State::Header => {
                    let part = part((HEADER - self.held.len()) as u64);
                    at += part.len();
                    self.held.extend_from_slice(part);
                    if let Some(header) = self.held.first_chunk::<HEADER>() {
                        let frame = Frame::read(*header);
                        self.held.clear();
                        self.begin(frame, connection, out);
                    }
                }
                State::DataPadding { frame } => {
                    at += 1;
                    let padding = u64::from(rest.first().copied().unwrap_or_default());
                    match u64::from(frame.length).checked_sub(1 + padding) {
                        None => self.lose(connection, out),
                        Some(left) => self.data(frame, left, padding, connection, out),
                    }
                }
                State::Data {
                    stream,
                    end_stream,
                    left,
                    padding,
                } => {
                    let (place, data) = (pos + at as u64, part(left));
                    connection.data(self.from, stream, data, place, out);
                    at += data.len();
                    let left = left - data.len() as u64;
                    self.advance(stream, end_stream, left, padding, connection, out);
                }
                State::Payload { frame, left } => {
                    let part = part(left);
                    at += part.len();
                    let room = out.limits.head.saturating_sub(self.held.len());
                    self.held
                        .extend_from_slice(part.get(..room).unwrap_or(part));
                    let left = left - part.len() as u64;
                    self.state = State::Payload { frame, left };
                    if left == 0 {
                        self.payload(frame, connection, out);
                    }
                }
                State::Lost if self.frames < SURE_AFTER => return Fed::Foreign(at),
                State::Lost => {
                    let start = frame::find(rest, connection.plausible_stream());
                    let used = start.unwrap_or(rest.len());
                    at += used;
                    out.discard(self.from, used as u64);
                    if start.is_some() {
                        self.state = State::Header;
                    }
                }
            }
        }
        Fed::All
    }

    /// Bytes are missing; the gap was begun. Framing goes on if they lie within one frame.
    pub(super) fn gap(&mut self, bytes: u64, connection: &mut Connection, out: &mut Output) {
        match self.state {
            State::Skip { left } if bytes <= left => self.skip(left - bytes),
            State::Data {
                stream,
                end_stream,
                left,
                padding,
            } if bytes <= left + padding => {
                let missing = bytes.min(left);
                connection.gap(self.from, stream, missing, out);
                let padding = padding - (bytes - missing);
                self.advance(stream, end_stream, left - missing, padding, connection, out);
            }
            State::Payload { frame, left } if bytes <= left => {
                out.discard(self.from, self.held.len() as u64);
                if let Some(block) = &mut self.block {
                    block.lost = true;
                }
                self.state = State::Payload {
                    frame,
                    left: left - bytes,
                };
                if left == bytes {
                    self.payload(frame, connection, out);
                }
            }
            _ => {
                out.discard(self.from, self.held.len() as u64);
                self.lose(connection, out);
            }
        }
    }

    /// A frame begins.
    fn begin(&mut self, frame: Frame, connection: &mut Connection, out: &mut Output) {
        let in_order = match &self.block {
            Some(block) => frame.kind == Kind::Continuation && frame.stream == block.stream,
            None => true,
        };
        let sure = self.frames == SURE_AFTER || frame.is_plausible(frame::ANY_STREAM);
        if !frame.is_valid() || !in_order || !sure {
            return self.lose(connection, out);
        }
        self.frames = (self.frames + 1).min(SURE_AFTER);
        if self.frames == SURE_AFTER {
            out.flush_gap(self.from);
        }
        let length = u64::from(frame.length);
        match frame.kind {
            Kind::Data if frame.has(PADDED) && length == 0 => self.lose(connection, out),
            Kind::Data if frame.has(PADDED) => self.state = State::DataPadding { frame },
            Kind::Data => self.data(frame, length, 0, connection, out),
            Kind::Headers | Kind::Push => {
                self.block = Some(Block {
                    stream: frame.stream,
                    end_stream: frame.kind == Kind::Headers && frame.has(END_STREAM),
                    promised: frame.kind == Kind::Push,
                    fragments: Vec::new(),
                    lost: false,
                });
                self.hold(frame, connection, out);
            }
            Kind::Continuation => {
                // The block's beginning was not seen: its stream gets a head of which nothing
                // is known.
                self.block.get_or_insert_with(|| Block {
                    stream: frame.stream,
                    end_stream: false,
                    promised: false,
                    fragments: Vec::new(),
                    lost: true,
                });
                self.hold(frame, connection, out);
            }
            Kind::Reset | Kind::GoAway => self.hold(frame, connection, out),
            _ => self.skip(length),
        }
    }

    fn hold(&mut self, frame: Frame, connection: &mut Connection, out: &mut Output) {
        self.state = State::Payload {
            frame,
            left: u64::from(frame.length),
        };
        if frame.length == 0 {
            self.payload(frame, connection, out);
        }
    }

    /// A held payload is whole, up to the limit.
    fn payload(&mut self, frame: Frame, connection: &mut Connection, out: &mut Output) {
        self.state = State::Header;
        let held = std::mem::take(&mut self.held);
        match frame.kind {
            Kind::Reset => return connection.reset(frame.stream, out),
            Kind::GoAway => {
                if let Some(last) = held.first_chunk::<4>() {
                    connection.go_away(self.from, u32::from_be_bytes(*last) & 0x7fff_ffff, out);
                }
                return;
            }
            _ => {}
        }
        let Some(block) = &mut self.block else { return };
        let fragment = if held.len() < frame.length as usize {
            None
        } else {
            fragment(frame, &held)
        };
        match fragment {
            Some(fragment) if block.fragments.len() + fragment.len() <= out.limits.head => {
                block.fragments.extend_from_slice(fragment);
            }
            _ => block.lost = true,
        }
        if frame.has(END_HEADERS)
            && let Some(block) = self.block.take()
        {
            self.whole_block(&block, connection, out);
        }
    }

    fn whole_block(&mut self, block: &Block, connection: &mut Connection, out: &mut Output) {
        let mut head = Head::http2();
        let limit = out.limits.head;
        let decoded = if block.lost {
            None
        } else {
            let field = &mut |name: &[u8], value: &[u8]| head.field(name, value);
            self.hpack.decode(&block.fragments, limit, field).ok()
        };
        match decoded {
            Some(partial) => head.partial = partial,
            None => {
                // What this block added to the table is unknown, and so is the table.
                self.hpack = Decoder::joined();
                head = Head::http2();
                head.partial = true;
            }
        }
        if !block.promised {
            connection.head(self.from, block.stream, head, block.end_stream, out);
        }
    }

    fn data(
        &mut self,
        frame: Frame,
        left: u64,
        padding: u64,
        connection: &mut Connection,
        out: &mut Output,
    ) {
        let end_stream = frame.has(END_STREAM);
        self.advance(frame.stream, end_stream, left, padding, connection, out);
    }

    /// So much of a DATA frame is left.
    fn advance(
        &mut self,
        stream: u32,
        end_stream: bool,
        left: u64,
        padding: u64,
        connection: &mut Connection,
        out: &mut Output,
    ) {
        if left > 0 {
            self.state = State::Data {
                stream,
                end_stream,
                left,
                padding,
            };
            return;
        }
        self.skip(padding);
        if end_stream {
            connection.end(self.from, stream, out);
        }
    }

    fn skip(&mut self, left: u64) {
        self.state = if left == 0 {
            State::Header
        } else {
            State::Skip { left }
        };
    }

    fn lose(&mut self, connection: &mut Connection, out: &mut Output) {
        self.held = Vec::new();
        self.block = None;
        self.hpack = Decoder::joined();
        self.state = State::Lost;
        connection.lose(self.from, out);
    }
}

/// Decodes the input as header blocks, each after its length in one byte.
pub(super) fn fuzz_hpack(mut input: &[u8]) {
    let mut decoder = Decoder::joined();
    while let Some((length, rest)) = input.split_first() {
        let (block, rest) = rest
            .split_at_checked(usize::from(*length))
            .unwrap_or((rest, &[]));
        input = rest;
        let mut size = 0;
        let _ = decoder.decode(block, 500, &mut |name, value| {
            size += name.len() + value.len()
        });
        assert!(size <= 500 && decoder.buffered() <= hpack::MAX_SIZE);
    }
}

#[cfg(test)]
mod tests;
