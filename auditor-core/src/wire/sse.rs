//! Parses `text/event-stream` (WHATWG HTML, section 9.2.6) in pieces.
//!
//! `id` and `retry` are ignored, and data that is not JSON is dropped, except that of an event
//! `endpoint`. Holds one event's data, bounded as `Collector` says, and 2 KiB of an endpoint.

use std::ops::Range;

use super::{collect::Collected, json_text::JsonText, output::Output};
use crate::key::Time;

/// Bytes kept of an event's type.
const MAX_TYPE: usize = 256;
/// Longer than any field's name that is known.
const MAX_NAME: usize = 8;
/// Bytes kept of the data of an event `endpoint`.
const MAX_ENDPOINT: usize = 2048;

/// Bytes held apart from an event's data.
pub(super) const MAX_HELD: usize = MAX_TYPE + MAX_NAME + MAX_ENDPOINT;

/// Where a piece of a stream lies in the transferred bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) start: u64,
    pub(super) end: u64,
    /// Whether the piece is as it was transferred, so that each byte's position is known.
    pub(super) exact: bool,
}

impl Place {
    /// Position of the byte at this offset.
    const fn of(&self, offset: usize) -> u64 {
        if self.exact {
            self.start.saturating_add(offset as u64)
        } else {
            self.start
        }
    }

    /// Position after the bytes before this offset.
    pub(super) const fn after(&self, offset: usize) -> u64 {
        if self.exact {
            self.start.saturating_add(offset as u64)
        } else {
            self.end
        }
    }
}

/// What [`Parser::parse`] came to.
#[derive(Debug)]
pub(super) enum Parsed {
    /// The end of the piece.
    More,
    /// An empty line that ended no event of interest.
    Nothing,
    /// An event.
    Event(Event),
}

/// A whole event whose data is JSON that may be JSON-RPC, or an endpoint.
#[derive(Debug)]
pub(super) struct Event {
    /// Its type, `message` when it names none.
    pub(super) kind: String,
    /// Its data.
    pub(super) data: Collected,
    /// From its first byte to the line end which completes it.
    pub(super) range: Range<u64>,
    /// When its first byte was seen.
    pub(super) first: Time,
}

/// Parses one stream.
#[derive(Debug)]
pub(super) struct Parser {
    state: State,
    /// Bytes of a byte order mark seen at the very beginning.
    mark: u8,
    /// The last byte was CR, so that a LF belongs to the same line end.
    after_cr: bool,
    name: Vec<u8>,
    kind: Vec<u8>,
    data: JsonText,
    endpoint: Vec<u8>,
    /// Number of data lines of the event; only 0, 1 and more matter.
    lines: u8,
    began: Option<(u64, Time)>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Line,
    Name,
    /// After the colon: one space is not part of the value.
    Space(Field),
    Value(Field),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Field {
    Data,
    Event,
    Other,
}

impl Parser {
    pub(super) const fn new() -> Self {
        Self {
            state: State::Line,
            mark: 0,
            after_cr: false,
            name: Vec::new(),
            kind: Vec::new(),
            data: JsonText::new(),
            endpoint: Vec::new(),
            lines: 0,
            began: None,
        }
    }

    /// Bytes held apart from the budget's.
    pub(super) fn buffered(&self) -> usize {
        self.name.len() + self.kind.len() + self.endpoint.len()
    }

    /// Keeps at most `bytes` of the event's data from now on.
    pub(super) fn shrink_to(&mut self, bytes: usize, out: &mut Output) {
        self.data.shrink_to(bytes, out);
    }

    /// Bytes are missing: the event at hand is lost. What follows is taken for the beginning of
    /// a line; if it is none, it names no field, and half an event's data is no JSON.
    pub(super) fn break_off(&mut self, out: &mut Output) -> u64 {
        let lost = self.data.break_off(out);
        let mark = 3;
        *self = Self {
            mark,
            ..Self::new()
        };
        lost
    }

    /// Takes bytes up to the next empty line; says how many, and what it ended.
    pub(super) fn parse(&mut self, text: &[u8], place: Place, out: &mut Output) -> (usize, Parsed) {
        let mut at = 0;
        while let Some(&byte) = text.get(at) {
            if self.mark < 3 {
                if b"\xef\xbb\xbf".get(usize::from(self.mark)) == Some(&byte) {
                    self.mark += 1;
                    at += 1;
                    continue;
                }
                self.mark = 3;
            }
            if std::mem::take(&mut self.after_cr) && byte == b'\n' {
                at += 1;
                continue;
            }
            let line_end = matches!(byte, b'\n' | b'\r');
            match self.state {
                State::Line if line_end => {
                    self.after_cr = byte == b'\r';
                    at += 1;
                    return (at, self.dispatch(place.after(at), out));
                }
                State::Line => {
                    if byte != b':' && self.began.is_none() {
                        self.began = Some((place.of(at), out.time));
                    }
                    self.name.clear();
                    self.state = State::Name;
                }
                State::Name if line_end || byte == b':' => {
                    let field = self.begin_value(out);
                    self.state = if line_end {
                        State::Value(field)
                    } else {
                        State::Space(field)
                    };
                    at += usize::from(!line_end);
                }
                State::Name => {
                    if self.name.len() < MAX_NAME {
                        self.name.push(byte);
                    }
                    at += 1;
                }
                State::Space(field) => {
                    self.state = State::Value(field);
                    at += usize::from(byte == b' ');
                }
                State::Value(_) if line_end => {
                    self.state = State::Line;
                    self.after_cr = byte == b'\r';
                    at += 1;
                }
                State::Value(field) => {
                    let rest = text.get(at..).unwrap_or_default();
                    let end = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
                    self.value(field, rest.get(..end).unwrap_or(rest), out);
                    at += end;
                }
            }
        }
        (at, Parsed::More)
    }

    fn begin_value(&mut self, out: &mut Output) -> Field {
        match self.name.as_slice() {
            b"data" => {
                if self.lines > 0 {
                    self.value(Field::Data, b"\n", out);
                }
                self.lines = self.lines.saturating_add(1);
                Field::Data
            }
            b"event" => {
                self.kind.clear();
                Field::Event
            }
            _ => Field::Other,
        }
    }

    fn value(&mut self, field: Field, value: &[u8], out: &mut Output) {
        let cut = |vec: &[u8], limit: usize| limit.saturating_sub(vec.len()).min(value.len());
        match field {
            Field::Other => {}
            Field::Event => {
                let room = cut(&self.kind, MAX_TYPE);
                self.kind
                    .extend_from_slice(value.get(..room).unwrap_or_default());
            }
            Field::Data if self.kind == b"endpoint" => {
                let room = cut(&self.endpoint, MAX_ENDPOINT);
                self.endpoint
                    .extend_from_slice(value.get(..room).unwrap_or_default());
            }
            Field::Data => {
                if self.data.push(value, out) < value.len() {
                    // Two values in one event: no message.
                    self.data.spoil(out);
                }
            }
        }
    }

    /// An empty line: the event at hand is whole.
    fn dispatch(&mut self, end: u64, out: &mut Output) -> Parsed {
        let kind = std::mem::take(&mut self.kind);
        let endpoint = std::mem::take(&mut self.endpoint);
        let lines = std::mem::take(&mut self.lines);
        let began = self.began.take();
        let data = self.data.finish(out);
        let data = if kind == b"endpoint" && lines > 0 {
            Some(Collected::whole(&endpoint, MAX_ENDPOINT))
        } else {
            data
        };
        let (Some(data), Some((start, first))) = (data, began) else {
            return Parsed::Nothing;
        };
        let kind = match kind.as_slice() {
            b"" => "message".to_owned(),
            kind => String::from_utf8_lossy(kind).into_owned(),
        };
        Parsed::Event(Event {
            kind,
            data,
            range: start..end,
            first,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{key::ChannelId, wire::Limits};

    /// Type, data and range of each event.
    fn events(text: &[u8], size: usize) -> Vec<(String, String, Range<u64>)> {
        let mut out = Output::new(ChannelId(1), Limits::default());
        let mut parser = Parser::new();
        let mut events = Vec::new();
        let mut pos = 0;
        for mut piece in text.chunks(size) {
            while !piece.is_empty() {
                let end = pos + piece.len() as u64;
                let place = Place {
                    start: pos,
                    end,
                    exact: true,
                };
                let (used, parsed) = parser.parse(piece, place, &mut out);
                assert!(parser.buffered() <= MAX_HELD);
                if let Parsed::Event(event) = parsed {
                    let data = String::from_utf8_lossy(&event.data.body).into_owned();
                    events.push((event.kind, data, event.range));
                }
                piece = &piece[used..];
                pos += used as u64;
            }
        }
        events
    }

    fn event(kind: &str, data: &str, range: Range<u64>) -> (String, String, Range<u64>) {
        (kind.to_owned(), data.to_owned(), range)
    }

    #[test]
    fn fields_comments_and_line_ends_are_as_the_standard_says() {
        let text = b"\xef\xbb\xbf: comment\nid: 7\r\nevent: message\rdata:{\"jsonrpc\":\ndata: 1}\r\nretry: 3\n\ndata\n\ndata: {}\n\n:\n\nevent: x\n\ndata: [\"jsonrpc\"]\n\n";
        for size in 1..text.len() {
            assert_eq!(
                events(text, size),
                [
                    event("message", "{\"jsonrpc\":\n1}", 13..72),
                    event("message", "[\"jsonrpc\"]", 101..120)
                ],
                "{size}"
            );
        }
    }

    #[test]
    fn an_endpoint_is_handed_on_as_it_is() {
        let text = b"event: endpoint\ndata: /messages?sessionId=1\n\n";
        assert_eq!(
            events(text, 5),
            [event("endpoint", "/messages?sessionId=1", 0..45)]
        );
    }

    #[test]
    fn an_unfinished_event_is_no_event() {
        assert!(events(b"data: {\"jsonrpc\":1}\n", 3).is_empty());
    }

    #[test]
    fn data_that_is_no_json_or_more_than_one_value_is_dropped() {
        assert!(
            events(
                b"data: jsonrpc\n\ndata: {\"jsonrpc\"\n\ndata: [\"jsonrpc\"][]\n\n",
                3
            )
            .is_empty()
        );
    }

    #[test]
    fn types_and_endpoints_are_cut_at_their_limits() {
        let text = format!(
            "event: {}\ndata: [\"jsonrpc\"]\n\nevent: endpoint\ndata: {0}\n\n",
            "x".repeat(5000)
        );
        let all = events(text.as_bytes(), 11);
        assert_eq!((all[0].0.len(), all[1].1.len()), (MAX_TYPE, MAX_ENDPOINT));
    }

    proptest! {
        #[test]
        fn cutting_the_input_never_changes_the_output(
            lines in proptest::collection::vec(prop_oneof![
                Just("data: {\"jsonrpc\":1}"), Just("data:"), Just("data: ["), Just("data: ]"), Just(": x"),
                Just("event: endpoint"), Just("event: e"), Just(""), Just("\r"), Just("data: \"jsonrpc\""),
            ], 0..20),
            size in 1usize..20,
        ) {
            let text = lines.join("\n") + "\n\n";
            prop_assert_eq!(events(text.as_bytes(), size), events(text.as_bytes(), text.len()));
        }
    }
}
