//! Finds JSON values among foreign lines: one on a line, or pretty-printed over several.
//!
//! A value begins at the start of a line or right after another value; everything else is
//! skipped to the end of its line. Recognises no HTTP: it stops where a foreign line begins and
//! lets the caller look. Holds one unfinished value, bounded as [`Collector`] says, and the last
//! 4 KiB of a line that was joined in its middle.

use std::ops::Range;

use memchr::{memchr, memrchr};

use super::{
    Framing,
    collect::{Collected, Collector, may_be_json_rpc},
    json_scan::{Scan, Scanner},
    output::Output,
};
use crate::key::{Side, Time};

/// How far [`LineFramer::feed`] came.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Fed {
    /// Everything was used.
    All,
    /// The byte at this offset begins a line that is no JSON. Look, then call
    /// [`LineFramer::skip_line`] to go on.
    Foreign(usize),
    /// Everything up to this offset was used, a newline last; it ends this line (or the end of
    /// it), which was joined in its middle and so was not looked at.
    Joined(usize, Vec<u8>),
}

/// Frames one direction.
#[derive(Debug)]
pub(super) struct LineFramer {
    from: Side,
    state: State,
    scanner: Scanner,
    /// The unfinished value, as far as it came in earlier pieces.
    collector: Collector,
    start: u64,
    first: Time,
    /// The last byte collected.
    last: u8,
    /// The value began right after a gap, so perhaps within another one: only the end of the
    /// line after it proves it.
    unproven: bool,
    /// A whole but unproven value.
    held: Option<(Collected, Range<u64>)>,
}

#[derive(Debug)]
enum State {
    Start { after_gap: bool },
    Value,
    After,
    Skip { joined: Option<Vec<u8>> },
}

/// Bytes kept of a line that was joined in its middle.
const TAIL: usize = 4096;

impl LineFramer {
    pub(super) const fn new(from: Side) -> Self {
        Self {
            from,
            state: State::Start { after_gap: false },
            scanner: Scanner::new(),
            collector: Collector::new(),
            start: 0,
            first: Time(0),
            last: 0,
            unproven: false,
            held: None,
        }
    }

    /// Bytes held apart from the budget's.
    pub(super) fn buffered(&self) -> usize {
        let joined = match &self.state {
            State::Skip { joined: Some(tail) } => tail.len(),
            _ => 0,
        };
        joined + self.held.as_ref().map_or(0, |(text, _)| text.body.len())
    }

    /// Keeps at most `bytes` of the unfinished value from now on.
    pub(super) fn shrink_to(&mut self, bytes: usize, out: &mut Output) {
        self.collector.shrink_to(bytes, &mut out.budget);
    }

    /// Whether no value is under way.
    pub(super) const fn is_between(&self) -> bool {
        !matches!(self.state, State::Value)
    }

    /// Whether the stream was joined, perhaps within a message, and no line end was seen since.
    pub(super) const fn is_joined(&self) -> bool {
        matches!(
            self.state,
            State::Start { after_gap: true } | State::Skip { joined: Some(_) }
        )
    }

    /// The line at hand is not JSON and not of interest.
    pub(super) fn skip_line(&mut self) {
        let joined = matches!(self.state, State::Start { after_gap: true })
            || (self.unproven && matches!(self.state, State::After));
        self.unproven = false;
        self.state = State::Skip {
            joined: joined.then(Vec::new),
        };
    }

    /// Takes the next bytes of the stream; `pos` is the position of the first.
    pub(super) fn feed(&mut self, text: &[u8], pos: u64, out: &mut Output) -> Fed {
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            match &mut self.state {
                State::Start { .. } | State::After => match self.between(rest, out) {
                    Between::Blank(used) => at += used,
                    Between::Value(used) => {
                        at += used;
                        self.start = pos + at as u64;
                        self.first = out.time;
                        self.scanner.reset();
                        self.state = State::Value;
                    }
                    Between::Foreign(used) => return Fed::Foreign(at + used),
                },
                State::Value => match self.scanner.scan(rest) {
                    Scan::More => {
                        self.last = rest.last().copied().unwrap_or(self.last);
                        self.collector
                            .push(rest, out.limits.message, &mut out.budget);
                        return Fed::All;
                    }
                    Scan::Done(used) => {
                        at += used;
                        self.finish(rest.get(..used).unwrap_or(rest), pos + at as u64, out);
                    }
                    Scan::Bad(used) => {
                        at += used;
                        self.reject(rest.get(..used).unwrap_or(rest), pos + at as u64, out);
                    }
                },
                State::Skip { joined } => {
                    let end = memchr(b'\n', rest).map(|newline| newline + 1);
                    let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or(rest);
                    at += line.len();
                    out.quiet(self.from, line.len() as u64);
                    out.discard(self.from, line.len() as u64);
                    if let Some(tail) = joined {
                        keep_tail(tail, line);
                    }
                    if end.is_some() {
                        let joined = joined.take();
                        self.state = State::Start { after_gap: false };
                        if let Some(line) = joined {
                            return Fed::Joined(at, line);
                        }
                        out.flush_gap(self.from);
                    }
                }
            }
        }
        Fed::All
    }

    /// Bytes are missing, or the stream ends here. Says how many captured bytes it cost.
    pub(super) fn break_off(&mut self, after_gap: bool, out: &mut Output) -> u64 {
        let mut lost = 0;
        if let Some((_, range)) = self.held.take() {
            lost += range.end - range.start;
        }
        if matches!(self.state, State::Value) {
            let text = std::mem::take(&mut self.collector);
            lost += text.size();
            let end = memrchr(b'\n', text.kept()).map_or(0, |newline| newline + 1);
            lost =
                lost.saturating_sub(self.rescan(text.kept().get(..end).unwrap_or_default(), out));
            self.collector = text;
            self.collector.clear(&mut out.budget);
        }
        self.unproven = false;
        self.state = State::Start { after_gap };
        lost
    }

    /// The stream ends here: a whole value needs no proof any more.
    pub(super) fn end(&mut self, out: &mut Output) {
        self.prove(out);
        let lost = self.break_off(false, out);
        out.discard(self.from, lost);
    }

    /// Between values: white space, the beginning of a value, or something foreign.
    fn between(&mut self, text: &[u8], out: &mut Output) -> Between {
        let mut at = 0;
        while let Some(&byte) = text.get(at) {
            match byte {
                b'\n' | b'\r' => {
                    self.prove(out);
                    self.state = State::Start { after_gap: false };
                    out.flush_gap(self.from);
                }
                b' ' | b'\t' => {}
                // A byte order mark, perhaps cut; nothing else begins a line of interest so.
                0xef | 0xbb | 0xbf if matches!(self.state, State::Start { .. }) => {}
                b'{' | b'[' => {
                    let proven = match self.state {
                        State::Start { after_gap } => !after_gap,
                        _ => !self.unproven,
                    };
                    self.disprove(out);
                    self.unproven = !proven;
                    return Between::Value(at);
                }
                _ => {
                    self.disprove(out);
                    return Between::Foreign(at);
                }
            }
            at += 1;
        }
        Between::Blank(at)
    }

    /// The value ends with `text`, at `end`.
    fn finish(&mut self, text: &[u8], end: u64, out: &mut Output) {
        self.state = State::After;
        let collected = if self.collector.size() == 0 {
            may_be_json_rpc(text).then(|| Collected::whole(text, out.limits.message))
        } else {
            self.collector
                .push(text, out.limits.message, &mut out.budget);
            self.collector.finish(&mut out.budget)
        };
        let range = self.start..end;
        match collected {
            None => {
                let size = end.saturating_sub(self.start);
                if self.unproven {
                    out.discard(self.from, size);
                }
                out.quiet(self.from, size);
            }
            Some(collected) if self.unproven => self.held = Some((collected, range)),
            Some(collected) => {
                out.message(self.from, range, self.first, collected, Framing::Line);
            }
        }
    }

    /// The line ended right after the held value: it is a message of its own.
    fn prove(&mut self, out: &mut Output) {
        self.unproven = false;
        if let Some((collected, range)) = self.held.take() {
            out.message(self.from, range, self.first, collected, Framing::Line);
        }
    }

    /// The line goes on after the held value: it was part of another one.
    fn disprove(&mut self, out: &mut Output) {
        if let Some((_, range)) = self.held.take() {
            out.discard(self.from, range.end - range.start);
        }
    }

    /// What came since `start` and ends with `text`, before `end`, is no beginning of JSON.
    fn reject(&mut self, text: &[u8], end: u64, out: &mut Output) {
        let size = end.saturating_sub(self.start);
        let limit = out.limits.message;
        let joined = std::mem::take(&mut self.unproven).then(Vec::new);
        let kept = self.kept(text, limit, out);
        let line = memrchr(b'\n', &kept).map_or(0, |newline| newline + 1);
        let (before, line) = kept.split_at_checked(line).unwrap_or((&kept, &[]));
        let found = self.rescan(before, out);
        let whole = kept.len() as u64 == size;
        self.state = if text.last().copied().unwrap_or(self.last) == b'\n' {
            State::Start { after_gap: false }
        } else {
            State::Skip { joined }
        };
        let mut lost = size.saturating_sub(found);
        if whole && !before.is_empty() {
            lost = lost.saturating_sub(line.len() as u64);
            // One line at most: this cannot come back here.
            self.state = State::Start { after_gap: false };
            if !matches!(self.feed(line, end - line.len() as u64, out), Fed::All) {
                self.skip_line();
                lost = lost.saturating_add(line.len() as u64);
            }
        }
        out.quiet(self.from, lost);
        out.discard(self.from, lost);
    }

    /// The beginning, up to `limit` bytes, of the value that ends with `text`.
    fn kept(&mut self, text: &[u8], limit: usize, out: &mut Output) -> Vec<u8> {
        let mut collector = std::mem::take(&mut self.collector);
        let mut kept = collector.kept().to_vec();
        if collector.is_whole() {
            let room = limit.saturating_sub(kept.len());
            kept.extend_from_slice(text.get(..room).unwrap_or(text));
        }
        collector.clear(&mut out.budget);
        kept
    }

    /// Looks for values that begin at the start of a line of a text which was wrongly taken for
    /// one value: a foreign line with an open bracket must not swallow the messages after it.
    /// `text` begins at `start` and ends with a newline. Says how many bytes were of use.
    fn rescan(&mut self, text: &[u8], out: &mut Output) -> u64 {
        let mut scanner = Scanner::new();
        // Values over several lines are looked for as long as this lasts, to stay linear.
        let mut effort = text.len().saturating_mul(4);
        let mut found = 0;
        let mut at = 0;
        while let Some(newline) = memchr(b'\n', text.get(at..).unwrap_or_default()) {
            at += newline + 1;
            let rest = text.get(at..).unwrap_or_default();
            if !matches!(rest.first(), Some(b'{' | b'[')) {
                continue;
            }
            let line = memchr(b'\n', rest).map_or(rest.len(), |newline| newline + 1);
            let window = if effort > 0 {
                rest
            } else {
                rest.get(..line).unwrap_or(rest)
            };
            scanner.reset();
            let used = match scanner.scan(window) {
                Scan::More => window.len(),
                Scan::Bad(used) => used,
                Scan::Done(used) => {
                    let (value, after) = rest.split_at_checked(used).unwrap_or((rest, &[]));
                    let after = after
                        .iter()
                        .find(|byte| !matches!(byte, b' ' | b'\t' | b'\r'));
                    if after == Some(&b'\n') && may_be_json_rpc(value) {
                        let start = self.start + at as u64;
                        let range = start..start + used as u64;
                        let text = Collected::whole(value, out.limits.message);
                        out.message(self.from, range, self.first, text, Framing::Line);
                        found += used as u64;
                    }
                    at += used;
                    used
                }
            };
            effort = effort.saturating_sub(used);
        }
        found
    }
}

enum Between {
    /// So many bytes of white space and nothing else.
    Blank(usize),
    /// A value begins here.
    Value(usize),
    /// Something else begins here.
    Foreign(usize),
}

/// Appends to `tail` and cuts it to its last bytes.
pub(super) fn keep_tail(tail: &mut Vec<u8>, text: &[u8]) {
    let text = text
        .get(text.len().saturating_sub(TAIL)..)
        .unwrap_or_default();
    let surplus = (tail.len() + text.len()).saturating_sub(TAIL);
    tail.drain(..surplus.min(tail.len()));
    tail.extend_from_slice(text);
}

/// Whether a line that was joined in its middle looks like the end of a JSON-RPC message.
pub(super) fn looks_like_tail_of_message(line: &[u8]) -> bool {
    matches!(line.trim_ascii_end().last(), Some(b'}' | b']')) && memchr(b'"', line).is_some()
}

#[cfg(test)]
mod tests;
