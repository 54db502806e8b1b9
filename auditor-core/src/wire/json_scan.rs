//! Finds the end of a JSON value (RFC 8259) that arrives in pieces, and rejects what is none.
//!
//! Checks the whole grammar except that strings are UTF-8, and keeps no text. Only objects and
//! arrays are taken as values, for no JSON-RPC message is anything else. Holds at most 8 KiB:
//! a value nested deeper than [`MAX_DEPTH`] is rejected.

/// Levels of nesting that are followed.
pub(super) const MAX_DEPTH: u32 = 64 * 1024;

/// What a piece of text brought.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Scan {
    /// All of it belongs to the value, which goes on.
    More,
    /// The value ended; this many bytes of the piece belong to it.
    Done(usize),
    /// This is not JSON: the byte at this offset cannot stand here.
    Bad(usize),
}

/// An incremental scanner of one value. It is reused by [`reset`](Self::reset).
#[derive(Debug)]
pub(super) struct Scanner {
    state: State,
    depth: u32,
    /// Kinds of the innermost up to 64 levels, the innermost in bit 0; 1 is an object.
    kinds: u64,
    /// Full words of the levels further out.
    outer: Vec<u64>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
    Text { key: bool },
    Escape { key: bool },
    Hex { key: bool, left: u8 },
    Literal { rest: &'static [u8] },
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

impl Scanner {
    pub(super) const fn new() -> Self {
        Self {
            state: State::Value,
            depth: 0,
            kinds: 0,
            outer: Vec::new(),
        }
    }

    /// Prepares for the next value.
    pub(super) fn reset(&mut self) {
        self.state = State::Value;
        self.depth = 0;
        self.kinds = 0;
        self.outer = Vec::new();
    }

    /// Takes the next piece of the value's text. After `Done` or `Bad` a reset is due.
    pub(super) fn scan(&mut self, text: &[u8]) -> Scan {
        let mut at = 0;
        while let Some(&byte) = text.get(at) {
            match self.state {
                State::Text { key } => {
                    at += plain_text(text.get(at..).unwrap_or_default());
                    match text.get(at) {
                        None => return Scan::More,
                        Some(b'"') if key => self.state = State::Colon,
                        Some(b'"') => self.state = State::CommaOrEnd,
                        Some(b'\\') => self.state = State::Escape { key },
                        Some(_) => return Scan::Bad(at),
                    }
                }
                State::Colon if byte == b':' => self.state = State::Value,
                State::Key | State::KeyOrEnd if byte == b'"' => {
                    self.state = State::Text { key: true };
                }
                State::CommaOrEnd if byte == b',' => {
                    self.state = if self.kinds & 1 == 1 {
                        State::Key
                    } else {
                        State::Value
                    };
                }
                State::Value | State::ValueOrEnd if byte == b'"' => {
                    if self.depth == 0 {
                        return Scan::Bad(at);
                    }
                    self.state = State::Text { key: false };
                }
                State::Escape { key } => {
                    self.state = match byte {
                        b'u' => State::Hex { key, left: 4 },
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {
                            State::Text { key }
                        }
                        _ => return Scan::Bad(at),
                    }
                }
                State::Hex { key, left } => {
                    if !byte.is_ascii_hexdigit() {
                        return Scan::Bad(at);
                    }
                    self.state = match left {
                        0 | 1 => State::Text { key },
                        left => State::Hex {
                            key,
                            left: left - 1,
                        },
                    };
                }
                State::Literal { rest } => {
                    self.state = match rest {
                        [only] if *only == byte => State::CommaOrEnd,
                        [next, rest @ ..] if *next == byte => State::Literal { rest },
                        _ => return Scan::Bad(at),
                    }
                }
                _ if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') => {
                    if !self.end_number_or_stay() {
                        return Scan::Bad(at);
                    }
                }
                _ => match self.structural(byte) {
                    Step::On => {}
                    Step::Done => return Scan::Done(at + 1),
                    Step::Bad => return Scan::Bad(at),
                },
            }
            at += 1;
        }
        Scan::More
    }

    /// White space: ends a number, is otherwise without effect.
    fn end_number_or_stay(&mut self) -> bool {
        match self.state {
            State::Zero | State::Integer | State::Fraction | State::ExponentDigits => {
                self.state = State::CommaOrEnd;
                true
            }
            State::Minus | State::Point | State::Exponent | State::ExponentSign => false,
            _ => true,
        }
    }

    /// The rarer transitions: brackets, numbers, beginnings of literals.
    fn structural(&mut self, byte: u8) -> Step {
        self.state = match (self.state, byte) {
            (State::Value | State::ValueOrEnd, b'{') => return self.open(true),
            (State::Value | State::ValueOrEnd, b'[') => return self.open(false),
            (State::ValueOrEnd, b']') | (State::KeyOrEnd, b'}') => return self.close(),
            (State::CommaOrEnd, b'}') if self.kinds & 1 == 1 => return self.close(),
            (State::CommaOrEnd, b']') if self.kinds & 1 == 0 => return self.close(),
            (State::Value | State::ValueOrEnd, _) if self.depth > 0 => match byte {
                b't' => State::Literal { rest: b"rue" },
                b'f' => State::Literal { rest: b"alse" },
                b'n' => State::Literal { rest: b"ull" },
                b'-' => State::Minus,
                b'0' => State::Zero,
                b'1'..=b'9' => State::Integer,
                _ => return Step::Bad,
            },
            (State::Minus, b'0') => State::Zero,
            (State::Minus | State::Integer, b'0'..=b'9') => State::Integer,
            (State::Zero | State::Integer, b'.') => State::Point,
            (State::Point | State::Fraction, b'0'..=b'9') => State::Fraction,
            (State::Zero | State::Integer | State::Fraction, b'e' | b'E') => State::Exponent,
            (State::Exponent, b'+' | b'-') => State::ExponentSign,
            (State::Exponent | State::ExponentSign | State::ExponentDigits, b'0'..=b'9') => {
                State::ExponentDigits
            }
            (
                State::Zero | State::Integer | State::Fraction | State::ExponentDigits,
                b',' | b']' | b'}',
            ) => {
                self.state = State::CommaOrEnd;
                if byte != b',' {
                    return self.structural(byte);
                }
                if self.kinds & 1 == 1 {
                    State::Key
                } else {
                    State::Value
                }
            }
            _ => return Step::Bad,
        };
        Step::On
    }

    fn open(&mut self, object: bool) -> Step {
        if self.depth >= MAX_DEPTH {
            return Step::Bad;
        }
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.kinds);
        }
        self.kinds = self.kinds << 1 | u64::from(object);
        self.depth += 1;
        self.state = if object {
            State::KeyOrEnd
        } else {
            State::ValueOrEnd
        };
        Step::On
    }

    fn close(&mut self) -> Step {
        self.depth = self.depth.saturating_sub(1);
        self.kinds >>= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.kinds = self.outer.pop().unwrap_or_default();
        }
        self.state = State::CommaOrEnd;
        if self.depth == 0 {
            Step::Done
        } else {
            Step::On
        }
    }
}

enum Step {
    On,
    Done,
    Bad,
}

/// Number of leading bytes that are neither a quote, a backslash nor a control character.
fn plain_text(text: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    let mut at = 0;
    // Eight bytes at a time: the lowest flagged byte of each of the three tests is exact.
    while let Some(word) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*word);
        let quote = word ^ (ONES * b'"' as u64);
        let backslash = word ^ (ONES * b'\\' as u64);
        let found = (word.wrapping_sub(ONES * 0x20) & !word)
            | (quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash);
        let found = found & HIGH;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = text.get(at..).unwrap_or_default();
    at + rest
        .iter()
        .position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\')
        .unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan(text: &[u8]) -> Scan {
        Scanner::new().scan(text)
    }

    fn scan_cut(text: &[u8], size: usize) -> Scan {
        let mut scanner = Scanner::new();
        let mut at = 0;
        for piece in text.chunks(size) {
            match scanner.scan(piece) {
                Scan::More => at += piece.len(),
                Scan::Done(used) => return Scan::Done(at + used),
                Scan::Bad(used) => return Scan::Bad(at + used),
            }
        }
        Scan::More
    }

    #[test]
    fn the_end_of_a_value_is_found() {
        assert_eq!(
            scan(br#"{"a":[1,-0.5e+3,true,null,"}\"\u00e9"]} tail"#),
            Scan::Done(39)
        );
        assert_eq!(scan(b"[]"), Scan::Done(2));
        assert_eq!(scan(b"[ {} , [ ] ,0]x"), Scan::Done(14));
        assert_eq!(scan(b"{\n  \"a\": 1\n}"), Scan::Done(12));
        assert_eq!(scan(br#"{"a":"#), Scan::More);
    }

    #[test]
    fn what_is_not_json_is_rejected_at_the_first_wrong_byte() {
        for (text, at) in [
            (&b"[INFO] x"[..], 1),
            (b"[2026-11-23] x", 5),
            (b"[12:00:00]", 3),
            (b"{a:1}", 1),
            (b"{\n{", 2),
            (b"{\"a\n", 3),
            (b"{\"a\":1,}", 7),
            (b"[1 2]", 3),
            (b"[01]", 2),
            (b"[-]", 2),
            (b"[1.]", 3),
            (b"[1e ]", 3),
            (b"[truE]", 4),
            (b"[\"\\x\"]", 3),
            (b"[\"\\u00g0\"]", 6),
            (b"{]", 1),
            (b"[}", 1),
            (b"[1}", 2),
            (b"{\"a\":1]", 6),
            (b"1", 0),
            (b"\"a\"", 0),
        ] {
            assert_eq!(
                scan(text),
                Scan::Bad(at),
                "{}",
                String::from_utf8_lossy(text)
            );
        }
    }

    #[test]
    fn kinds_of_brackets_are_followed_to_the_depth_limit_and_rejected_beyond() {
        let depth = MAX_DEPTH as usize;
        let open: Vec<u8> = (0..depth).map(|_| b'[').collect();
        let mut value = open.clone();
        value.extend((0..depth).map(|_| b']'));
        assert_eq!(scan(&value), Scan::Done(2 * depth));
        value[depth + 100] = b'}';
        assert_eq!(scan(&value), Scan::Bad(depth + 100));
        let mut deeper = open;
        deeper.push(b'[');
        assert_eq!(scan(&deeper), Scan::Bad(depth));
    }

    #[test]
    fn objects_and_arrays_mixed_over_many_levels_keep_their_kinds() {
        let mut value = Vec::new();
        for level in 0..300 {
            value.extend_from_slice(if level % 3 == 0 { b"[" } else { b"{\"k\":" });
        }
        value.push(b'1');
        for level in (0..300).rev() {
            value.push(if level % 3 == 0 { b']' } else { b'}' });
        }
        assert_eq!(scan(&value), Scan::Done(value.len()));
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            ".{0,12}".prop_map(Into::into),
        ];
        leaf.prop_recursive(6, 64, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                proptest::collection::vec((".{0,6}", inner), 0..6)
                    .prop_map(|pairs| serde_json::Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_accepts_what_serde_json_writes(value in json(), pretty: bool, size in 1usize..9) {
            let value = serde_json::json!([value]);
            let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) };
            let text = text.unwrap();
            prop_assert_eq!(scan(&text), Scan::Done(text.len()));
            prop_assert_eq!(scan_cut(&text, size), Scan::Done(text.len()));
        }

        #[test]
        fn it_agrees_with_serde_json_on_damaged_text(
            value in json(), at: proptest::sample::Index, with in prop_oneof![Just(b'"'), Just(b'{'), Just(b'\n'), 0x20u8..0x7f], size in 1usize..9,
        ) {
            let mut text = serde_json::to_vec(&serde_json::json!([value])).unwrap();
            let at = at.index(text.len());
            text[at] = with;
            let whole = scan(&text);
            prop_assert_eq!(scan_cut(&text, size), whole);
            if let Ok(text) = std::str::from_utf8(&text) {
                let valid = serde_json::from_str::<Box<serde_json::value::RawValue>>(text).is_ok();
                let container = text.starts_with(['[', '{']);
                prop_assert_eq!(whole == Scan::Done(text.len()), valid && container);
            }
        }
    }
}
