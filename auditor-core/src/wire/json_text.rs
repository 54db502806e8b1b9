//! Collects JSON values out of a text that holds nothing else: an HTTP body, an event's data.
//!
//! Finds no boundaries in foreign text; what is not JSON is dropped. Bounded as [`Collector`].

use super::{
    collect::{Collected, Collector},
    json_scan::{Scan, Scanner},
    output::Output,
};

/// The value at hand.
#[derive(Debug)]
pub(super) struct JsonText {
    scanner: Scanner,
    collector: Collector,
    state: State,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Before the value.
    Blank,
    Inside,
    /// The value is whole.
    Whole,
    /// What came is no JSON.
    Bad,
}

impl JsonText {
    pub(super) const fn new() -> Self {
        Self {
            scanner: Scanner::new(),
            collector: Collector::new(),
            state: State::Blank,
        }
    }

    /// Takes the next bytes; stops where a second value begins and says how many it took.
    pub(super) fn push(&mut self, text: &[u8], out: &mut Output) -> usize {
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            match self.state {
                State::Bad => return text.len(),
                State::Blank | State::Whole => {
                    let Some(blank) = rest.iter().position(|byte| !is_blank(*byte)) else {
                        return text.len();
                    };
                    at += blank;
                    if self.state == State::Whole {
                        if matches!(rest.get(blank), Some(b'{' | b'[')) {
                            return at;
                        }
                        self.spoil(out);
                        return text.len();
                    }
                    self.scanner.reset();
                    self.state = State::Inside;
                }
                State::Inside => {
                    let used = match self.scanner.scan(rest) {
                        Scan::More => rest.len(),
                        Scan::Done(used) => {
                            self.state = State::Whole;
                            used
                        }
                        Scan::Bad(_) => {
                            self.spoil(out);
                            return text.len();
                        }
                    };
                    let value = rest.get(..used).unwrap_or(rest);
                    self.collector
                        .push(value, out.limits.message, &mut out.budget);
                    at += used;
                }
            }
        }
        at
    }

    /// What came cannot be used; says how much of it was collected. Begins anew.
    pub(super) fn break_off(&mut self, out: &mut Output) -> u64 {
        self.state = State::Blank;
        self.collector.clear(&mut out.budget)
    }

    /// What came is no message after all, nor is what still comes before it begins anew.
    pub(super) fn spoil(&mut self, out: &mut Output) {
        self.break_off(out);
        self.state = State::Bad;
    }

    /// Takes the value if it is whole and may be JSON-RPC. Begins anew.
    pub(super) fn finish(&mut self, out: &mut Output) -> Option<Collected> {
        let whole = self.state == State::Whole;
        self.state = State::Blank;
        if whole {
            self.collector.finish(&mut out.budget)
        } else {
            self.collector.clear(&mut out.budget);
            None
        }
    }

    /// Whether a whole value waits to be taken.
    pub(super) fn is_whole(&self) -> bool {
        self.state == State::Whole
    }

    /// Keeps at most `bytes` of the value from now on.
    pub(super) fn shrink_to(&mut self, bytes: usize, out: &mut Output) {
        self.collector.shrink_to(bytes, &mut out.budget);
    }
}

/// White space, and the bytes of a byte order mark: no JSON begins with them.
const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | 0xef | 0xbb | 0xbf)
}
