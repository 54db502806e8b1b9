//! WebSocket (RFC 6455), one direction, with compressed messages (RFC 7692): each message is one JSON text.
//!
//! Sees nothing of the handshake. Once bytes between frames are missing it cannot find its footing again, and everything
//! after is a gap. Holds one unfinished message, a frame's header, and the window of a decoder (32 KiB).

use super::{
    Framing,
    encoding::{DecodeError, Decoder},
    json_text::JsonText,
    output::Output,
};
use crate::{
    key::{Side, Time},
    stream::GapCause,
};

/// Bytes of the longest header: two, eight of length, four of mask.
const HEADER: usize = 14;
/// What a sender leaves out at the end of a compressed message (RFC 7692, section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Receives one direction.
#[derive(Debug)]
pub(super) struct Receiver {
    from: Side,
    state: State,
    /// The header at hand.
    header: Vec<u8>,
    message: Option<Message>,
    text: JsonText,
    /// Kept from message to message, for later ones may refer to earlier ones.
    decoder: Option<Decoder>,
    /// Whether part of what later messages may refer to is missing.
    is_window_broken: bool,
    /// Whether any message was one.
    spoke: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Header,
    Payload(Frame),
    /// Framing is lost.
    Lost,
}

/// A frame whose header was understood.
#[derive(Clone, Copy, Debug)]
struct Frame {
    /// Payload that is still to come.
    left: u64,
    mask: [u8; 4],
    /// Bytes of the payload so far, which say where in the mask it is.
    at: u64,
    is_control: bool,
    /// Whether the message ends with it.
    is_last: bool,
}

/// The message at hand, in one frame or several.
#[derive(Clone, Copy, Debug)]
struct Message {
    start: u64,
    first: Time,
    is_compressed: bool,
    /// Nothing of it can be used any more.
    is_broken: bool,
    /// Values found in it, and bytes transferred.
    values: u64,
    bytes: u64,
}

impl Receiver {
    /// Begins after the handshake.
    pub(super) fn new(from: Side) -> Self {
        Self {
            from,
            state: State::Header,
            header: Vec::with_capacity(HEADER),
            message: None,
            text: JsonText::new(),
            decoder: None,
            is_window_broken: false,
            spoke: false,
        }
    }

    /// Bytes held apart from the budget's.
    pub(super) fn buffered(&self) -> usize {
        self.header.len()
    }

    /// Keeps at most `bytes` of the message at hand from now on.
    pub(super) fn shrink_to(&mut self, bytes: usize, out: &mut Output) {
        self.text.shrink_to(bytes, out);
    }

    /// Takes the next bytes of the direction.
    pub(super) fn feed(&mut self, bytes: &[u8], pos: u64, out: &mut Output) {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let place = pos + at as u64;
            match self.state {
                State::Header => {
                    self.header.extend(rest.first());
                    at += 1;
                    match header(&self.header) {
                        Header::Partial => {}
                        Header::Whole(first, frame) if self.begin(first, place + 1, out) => {
                            self.header.clear();
                            self.advance(frame, place + 1, out);
                        }
                        Header::Whole(..) | Header::Malformed => self.lose(out),
                    }
                }
                State::Payload(frame) => {
                    let size = usize::try_from(frame.left).unwrap_or(usize::MAX);
                    let part = rest.get(..size).unwrap_or(rest);
                    at += part.len();
                    if !frame.is_control {
                        self.payload(part, frame, out);
                    }
                    let moved = part.len() as u64;
                    self.advance(frame.after(moved), place + moved, out);
                }
                State::Lost => return self.waste(rest.len() as u64, place, out),
            }
        }
    }

    /// Bytes are missing; the gap was begun. Framing goes on if they lie within one payload.
    pub(super) fn gap(&mut self, pos: u64, bytes: u64, out: &mut Output) {
        match self.state {
            State::Payload(frame) if bytes <= frame.left => {
                if !frame.is_control {
                    self.break_off(out);
                }
                self.advance(frame.after(bytes), pos + bytes, out);
            }
            _ => self.lose(out),
        }
    }

    /// The direction ends here.
    pub(super) fn end(&mut self, out: &mut Output) {
        self.text.break_off(out);
        self.forget_decoder(out);
        self.message = None;
    }

    /// A frame begins whose first byte is `first`; false where none such may be.
    fn begin(&mut self, first: u8, start: u64, out: &mut Output) -> bool {
        let is_compressed = first & 0x40 != 0;
        match (first & 0x0f, self.message) {
            // Ping, pong, close.
            (8..=10, _) => true,
            (0, Some(_)) => !is_compressed,
            (1 | 2, None) => {
                self.message = Some(Message {
                    start,
                    first: out.time,
                    is_compressed,
                    is_broken: is_compressed && !self.make_decoder(out),
                    values: 0,
                    bytes: 0,
                });
                if self.message.is_some_and(|message| message.is_broken) {
                    out.begin_gap(self.from, start..start, GapCause::Bound, 0);
                }
                true
            }
            _ => false,
        }
    }

    fn make_decoder(&mut self, out: &mut Output) -> bool {
        if self.decoder.is_none() && out.decoders < out.limits.decoders {
            out.decoders += 1;
            self.decoder = Some(Decoder::raw_deflate());
        }
        self.decoder.is_some()
    }

    fn forget_decoder(&mut self, out: &mut Output) {
        if self.decoder.take().is_some() {
            out.decoders = out.decoders.saturating_sub(1);
        }
    }

    /// Takes part of a message's payload.
    fn payload(&mut self, part: &[u8], frame: Frame, out: &mut Output) {
        let Some(message) = &mut self.message else {
            return;
        };
        message.bytes = message.bytes.saturating_add(part.len() as u64);
        if message.is_broken {
            return out.discard(self.from, part.len() as u64);
        }
        let offset = (frame.at % 4) as usize;
        let mask = frame.mask.iter().cycle().skip(offset);
        let text: Vec<u8> = part
            .iter()
            .zip(mask)
            .map(|(byte, key)| byte ^ key)
            .collect();
        if message.is_compressed {
            self.inflate(&text, out);
        } else {
            self.text(&text, out);
        }
    }

    fn inflate(&mut self, bytes: &[u8], out: &mut Output) {
        let Some(mut decoder) = self.decoder.take() else {
            return;
        };
        let limits = out.limits;
        let result = decoder.decode(bytes, &limits, &mut |text| self.text(text, out));
        self.decoder = Some(decoder);
        if let Err(error) = result {
            self.break_off(out);
            let (start, bytes) = self
                .message
                .map_or((0, 0), |message| (message.start, message.bytes));
            let cause = match error {
                DecodeError::TooLarge { .. } => GapCause::Bound,
                DecodeError::Malformed(_) => GapCause::Undecodable,
            };
            out.begin_gap(self.from, start..start, cause, bytes);
        }
    }

    /// Takes text of the message.
    fn text(&mut self, mut text: &[u8], out: &mut Output) {
        loop {
            let used = self.text.push(text, out);
            text = text.get(used..).unwrap_or_default();
            if text.is_empty() {
                return;
            }
            // A second value begins.
            self.take_value(self.message.map_or(0, |message| message.start), out);
        }
    }

    fn take_value(&mut self, end: u64, out: &mut Output) {
        let (Some(message), Some(text)) = (&mut self.message, self.text.finish(out)) else {
            return;
        };
        message.values += 1;
        self.spoke = true;
        let range = message.start..end.max(message.start);
        out.message(self.from, range, message.first, text, Framing::WebSocket);
    }

    /// `frame` is what is left of the frame at hand, of which everything before `end` was taken.
    fn advance(&mut self, frame: Frame, end: u64, out: &mut Output) {
        if frame.left > 0 {
            self.state = State::Payload(frame);
            return;
        }
        self.state = State::Header;
        if frame.is_control || !frame.is_last {
            return;
        }
        if self
            .message
            .is_some_and(|message| message.is_compressed && !message.is_broken)
        {
            self.inflate(&TAIL, out);
        }
        self.take_value(end, out);
        let Some(message) = self.message.take() else {
            return;
        };
        let is_understood = message.values > 0;
        if message.is_broken {
            return;
        }
        if !is_understood && message.is_compressed && self.is_window_broken {
            let start = message.start;
            out.begin_gap(
                self.from,
                start..start,
                GapCause::Undecodable,
                message.bytes,
            );
        } else if !is_understood {
            out.quiet(self.from, message.bytes);
        }
    }

    /// Nothing more of the message at hand can be used.
    fn break_off(&mut self, out: &mut Output) {
        if let Some(message) = &mut self.message {
            message.is_broken = true;
            if message.is_compressed {
                self.is_window_broken = true;
                self.forget_decoder(out);
            }
        }
        self.text.break_off(out);
    }

    fn lose(&mut self, out: &mut Output) {
        self.break_off(out);
        self.forget_decoder(out);
        self.message = None;
        self.header = Vec::new();
        self.state = State::Lost;
    }

    /// Bytes came that cannot be understood any more.
    fn waste(&mut self, bytes: u64, pos: u64, out: &mut Output) {
        if !self.spoke {
            return out.quiet(self.from, bytes);
        }
        if !out.has_gap(self.from) {
            out.begin_gap(self.from, pos..pos, GapCause::Undecodable, 0);
        }
        out.discard(self.from, bytes);
    }
}

impl Frame {
    fn after(self, bytes: u64) -> Self {
        Self {
            left: self.left.saturating_sub(bytes),
            at: self.at.wrapping_add(bytes),
            ..self
        }
    }
}

enum Header {
    Partial,
    /// The first byte, and the frame.
    Whole(u8, Frame),
    Malformed,
}

/// Reads a frame's header (RFC 6455, section 5.2).
fn header(bytes: &[u8]) -> Header {
    let [first, second, rest @ ..] = bytes else {
        return Header::Partial;
    };
    let is_control = first & 0x08 != 0;
    let is_last = first & 0x80 != 0;
    let (length, rest) = match (second & 0x7f, rest) {
        (126, [a, b, rest @ ..]) => (u64::from(u16::from_be_bytes([*a, *b])), rest),
        (127, [a, b, c, d, e, f, g, h, rest @ ..]) => {
            (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), rest)
        }
        (126 | 127, _) if is_control => return Header::Malformed,
        (126 | 127, _) => return Header::Partial,
        (length, rest) => (u64::from(length), rest),
    };
    if first & 0x30 != 0 || (is_control && (!is_last || length > 125)) || length >> 63 != 0 {
        return Header::Malformed;
    }
    let mask = match (second & 0x80 != 0, rest) {
        (false, _) => [0; 4],
        (true, [a, b, c, d]) => [*a, *b, *c, *d],
        (true, _) => return Header::Partial,
    };
    let frame = Frame {
        left: length,
        mask,
        at: 0,
        is_control,
        is_last,
    };
    Header::Whole(*first, frame)
}

#[cfg(test)]
mod tests;
