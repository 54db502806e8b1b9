//! One body of an HTTP exchange: undoes its encoding and finds the messages in it.
//!
//! Knows nothing of how bodies are transferred. Bodies that cannot hold MCP are not looked at.
//! Holds one unfinished message and a decoder; see `Collector` and `Decoder`.

mod sniff;

use std::sync::Arc;

use self::sniff::{Sniffed, sniff};
use super::{
    Encoding, ExchangeId, Framing, HttpHead, HttpPart,
    encoding::{DecodeError, Decoder},
    http::{Half, Head, Media},
    json_text::JsonText,
    output::Output,
    sse::{Parsed, Parser, Place},
};
use crate::{
    key::{Side, Time},
    stream::GapCause,
};

/// What a body needs to know of its exchange.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    pub(super) from: Side,
    pub(super) half: Half,
    pub(super) exchange: ExchangeId,
    pub(super) request: &'a Option<Arc<HttpHead>>,
    pub(super) response: &'a Option<Arc<HttpHead>>,
}

impl Context<'_> {
    fn framing(&self, part: HttpPart) -> Framing {
        let response = match self.half {
            Half::Request => None,
            Half::Response => self.response.clone(),
        };
        Framing::Http {
            exchange: self.exchange,
            part,
            request: self.request.clone(),
            response,
        }
    }
}

/// A body as far as it came.
#[derive(Debug)]
pub(super) struct Body {
    kind: Kind,
    decoder: Option<Decoder>,
    /// Position and time of the first byte.
    began: Option<(u64, Time)>,
    /// Position after the last byte so far, and how many came.
    end: u64,
    moved: u64,
    /// After a gap, until framing found its footing.
    recovering: bool,
    /// Why it cannot be heard, until that is told.
    untold: Option<GapCause>,
    /// Whether its encoding is what its bytes look like, not what its head says.
    is_guessed: bool,
    /// Whether it held a message.
    pub(super) spoke: bool,
}

#[derive(Debug)]
enum Kind {
    /// Of no interest.
    Ignored,
    /// Broken by a gap or a bound.
    Lost,
    /// Its first bytes will tell. With the head unknown the encoding is guessed too.
    Sniff {
        seen: Vec<u8>,
        pos: u64,
        head_known: bool,
    },
    Json(JsonText),
    Events(Box<Parser>),
}

impl Body {
    /// A body whose head is known.
    pub(super) fn new(head: &Head, relevant: bool, out: &mut Output) -> Self {
        let head_known = !head.partial;
        let sniff = || Kind::Sniff {
            seen: Vec::new(),
            pos: 0,
            head_known,
        };
        let is_foreign = head.other_coding || head.kept.encoding == Encoding::Unknown;
        let kind = match head.media {
            Media::Json | Media::EventStream if is_foreign => Kind::Lost,
            _ if is_foreign => Kind::Ignored,
            Media::Json => Kind::Json(JsonText::new()),
            Media::EventStream => Kind::Events(Box::new(Parser::new())),
            Media::Absent | Media::Text => sniff(),
            Media::Other if relevant && head.mcp => sniff(),
            Media::Other => Kind::Ignored,
        };
        let mut body = Self::of(kind);
        match body.kind {
            Kind::Ignored => {}
            Kind::Lost => body.untold = Some(GapCause::Undecodable),
            _ => body.decode(head.kept.encoding, out),
        }
        body
    }

    /// A body whose head was not seen.
    pub(super) fn unknown() -> Self {
        Self::of(Kind::Sniff {
            seen: Vec::new(),
            pos: 0,
            head_known: false,
        })
    }

    const fn of(kind: Kind) -> Self {
        Self {
            kind,
            decoder: None,
            began: None,
            end: 0,
            moved: 0,
            recovering: false,
            untold: None,
            is_guessed: false,
            spoke: false,
        }
    }

    /// Bytes held apart from the budget's.
    pub(super) fn buffered(&self) -> usize {
        match &self.kind {
            Kind::Sniff { seen, .. } => seen.len(),
            Kind::Events(parser) => parser.buffered(),
            _ => 0,
        }
    }

    /// Whether any byte of it was seen.
    pub(super) const fn has_begun(&self) -> bool {
        self.began.is_some()
    }

    /// Keeps at most `bytes` of the message at hand from now on.
    pub(super) fn shrink_to(&mut self, bytes: usize, out: &mut Output) {
        match &mut self.kind {
            Kind::Json(json) => json.shrink_to(bytes, out),
            Kind::Events(parser) => parser.shrink_to(bytes, out),
            _ => {}
        }
    }

    /// Takes the next bytes as transferred.
    pub(super) fn data(&mut self, bytes: &[u8], pos: u64, context: Context<'_>, out: &mut Output) {
        self.began.get_or_insert((pos, out.time));
        let end = pos.saturating_add(bytes.len() as u64);
        self.end = end;
        self.moved = self.moved.saturating_add(bytes.len() as u64);
        match &mut self.kind {
            Kind::Ignored => return out.quiet(context.from, bytes.len() as u64),
            Kind::Lost => {
                if let Some(cause) = self.untold.take() {
                    out.begin_gap(context.from, pos..pos, cause, 0);
                }
                return out.discard(context.from, bytes.len() as u64);
            }
            _ => {}
        }
        let Some(mut decoder) = self.decoder.take() else {
            return self.text(
                bytes,
                Place {
                    start: pos,
                    end,
                    exact: true,
                },
                context,
                out,
            );
        };
        let place = Place {
            start: pos,
            end,
            exact: false,
        };
        let limits = out.limits;
        let result = decoder.decode(bytes, &limits, &mut |text| {
            self.text(text, place, context, out)
        });
        self.decoder = Some(decoder);
        if let Err(error) = result {
            self.lose(out);
            let cause = match error {
                DecodeError::TooLarge { .. } => GapCause::Bound,
                // What only looked encoded is nothing that could be understood.
                DecodeError::Malformed(_) if self.is_guessed => return,
                DecodeError::Malformed(_) => GapCause::Undecodable,
            };
            out.begin_gap(context.from, end..end, cause, self.moved);
        }
    }

    /// Bytes are missing here. Says how many captured bytes that costs.
    pub(super) fn gap(&mut self, out: &mut Output) -> u64 {
        match &mut self.kind {
            Kind::Ignored => 0,
            Kind::Events(parser) if self.decoder.is_none() => {
                self.recovering = true;
                parser.break_off(out)
            }
            Kind::Json(json) if json.is_whole() => 0,
            _ => self.lose(out),
        }
    }

    /// The body ends here, regularly or not: takes what is whole.
    pub(super) fn end(&mut self, context: Context<'_>, out: &mut Output) {
        self.take_json(context, out);
        self.lose(out);
        self.kind = Kind::Ignored;
        out.flush_gap(context.from);
    }

    /// Undoes an encoding from here on.
    fn decode(&mut self, encoding: Encoding, out: &mut Output) {
        if let Some(decoder) = Decoder::new(encoding) {
            if out.decoders >= out.limits.decoders {
                self.kind = Kind::Lost;
                self.untold = Some(GapCause::Bound);
                return;
            }
            out.decoders += 1;
            self.decoder = Some(decoder);
        }
    }

    /// Nothing more can be heard. Says how many collected bytes are dropped.
    fn lose(&mut self, out: &mut Output) -> u64 {
        if self.decoder.take().is_some() {
            out.decoders = out.decoders.saturating_sub(1);
        }
        match std::mem::replace(&mut self.kind, Kind::Lost) {
            Kind::Json(mut json) => json.break_off(out),
            Kind::Events(mut parser) => parser.break_off(out),
            Kind::Sniff { seen, .. } => seen.len() as u64,
            Kind::Ignored | Kind::Lost => 0,
        }
    }

    /// Takes bytes with the encoding undone.
    fn text(&mut self, text: &[u8], place: Place, context: Context<'_>, out: &mut Output) {
        match &mut self.kind {
            Kind::Ignored => out.quiet(context.from, text.len() as u64),
            Kind::Lost => {}
            Kind::Sniff {
                seen,
                pos,
                head_known,
            } => {
                if seen.is_empty() {
                    *pos = place.start;
                }
                // Ten bytes tell; whatever else there is need not be copied.
                let (first, rest) = text.split_at_checked(10).unwrap_or((text, &[]));
                seen.extend_from_slice(first);
                let Some(kind) = sniff(seen, *head_known) else {
                    // Blank so far: keep only a little of it.
                    if seen.len() > 10 {
                        seen.clear();
                    }
                    return if rest.is_empty() {
                    } else {
                        self.text(rest, place, context, out);
                    };
                };
                let (seen, pos) = (std::mem::take(seen), *pos);
                self.sniffed(kind, out);
                let split = seen.len().saturating_sub(first.len());
                let place_of_seen = if place.exact {
                    Place {
                        start: pos,
                        end: place.after(first.len()),
                        exact: split == 0,
                    }
                } else {
                    place
                };
                self.reread(&seen, place_of_seen, context, out);
                let rest_place = Place {
                    start: place.start + first.len() as u64,
                    ..place
                };
                self.reread(
                    rest,
                    if place.exact { rest_place } else { place },
                    context,
                    out,
                );
            }
            Kind::Json(_) => self.json(text, place, context, out),
            Kind::Events(_) => self.events(text, place, context, out),
        }
    }

    /// Takes bytes again after sniffing, when they may turn out to be encoded.
    fn reread(&mut self, bytes: &[u8], place: Place, context: Context<'_>, out: &mut Output) {
        if bytes.is_empty() {
            return;
        }
        match self.decoder.take() {
            None => self.text(bytes, place, context, out),
            Some(mut decoder) => {
                let limits = out.limits;
                let place = Place {
                    exact: false,
                    ..place
                };
                let result = decoder.decode(bytes, &limits, &mut |text| {
                    self.text(text, place, context, out)
                });
                self.decoder = Some(decoder);
                if result.is_err() {
                    self.lose(out);
                }
            }
        }
    }

    fn sniffed(&mut self, sniffed: Sniffed, out: &mut Output) {
        self.kind = match sniffed {
            Sniffed::Json => Kind::Json(JsonText::new()),
            Sniffed::Events => Kind::Events(Box::new(Parser::new())),
            Sniffed::Nothing => Kind::Ignored,
            Sniffed::Encoded(encoding) => {
                self.kind = Kind::Sniff {
                    seen: Vec::new(),
                    pos: 0,
                    head_known: true,
                };
                self.is_guessed = true;
                return self.decode(encoding, out);
            }
        };
    }

    fn json(&mut self, mut text: &[u8], place: Place, context: Context<'_>, out: &mut Output) {
        let mut at = 0;
        while let Kind::Json(json) = &mut self.kind {
            let used = json.push(text, out);
            at += used;
            text = text.get(used..).unwrap_or_default();
            if text.is_empty() {
                return;
            }
            // A second value begins: JSON lines.
            let end = std::mem::replace(&mut self.end, place.after(at));
            self.take_json(context, out);
            self.began = Some((self.end, out.time));
            self.end = end;
        }
    }

    fn take_json(&mut self, context: Context<'_>, out: &mut Output) {
        let Kind::Json(json) = &mut self.kind else {
            return;
        };
        if !json.is_whole() {
            return;
        }
        let (start, first) = self.began.unwrap_or((self.end, out.time));
        match json.finish(out) {
            None => out.quiet(context.from, self.end.saturating_sub(start)),
            Some(text) => {
                self.spoke = true;
                let part = match context.half {
                    Half::Request => HttpPart::Request,
                    Half::Response => HttpPart::Response,
                };
                out.message(
                    context.from,
                    start..self.end,
                    first,
                    text,
                    context.framing(part),
                );
            }
        }
    }

    fn events(&mut self, text: &[u8], place: Place, context: Context<'_>, out: &mut Output) {
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty())
            && let Kind::Events(parser) = &mut self.kind
        {
            let start = if place.exact {
                place.start + at as u64
            } else {
                place.start
            };
            let (used, parsed) = parser.parse(rest, Place { start, ..place }, out);
            at += used;
            match parsed {
                Parsed::Event(event) => {
                    self.recovering = false;
                    self.spoke = true;
                    let framing = context.framing(HttpPart::Event(event.kind));
                    out.message(context.from, event.range, event.first, event.data, framing);
                }
                Parsed::Nothing | Parsed::More if self.recovering => {
                    out.discard(context.from, used as u64);
                    if matches!(parsed, Parsed::Nothing) {
                        self.recovering = false;
                        out.flush_gap(context.from);
                    }
                }
                Parsed::Nothing | Parsed::More => {}
            }
        }
    }
}
