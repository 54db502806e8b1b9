//! Walks JSON text event by event, without building it.
//!
//! It never recurses: open containers are kept as bits, at most [`MAX_DEPTH`] of them. It is
//! strict about structure, so that a re-written text means the same, and lenient about scalars
//! (`NaN`, lone surrogates), as real receivers are. Strings are handed out escaped; see
//! [`unescape_into`].

/// Deepest nesting that is walked; deeper text counts as broken.
pub(crate) const MAX_DEPTH: usize = 128;

/// One step through a JSON text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Event<'a> {
    /// `{`
    ObjectStart,
    /// `}`
    ObjectEnd,
    /// `[`
    ArrayStart,
    /// `]`
    ArrayEnd,
    /// A member's key: the bytes between the quotes, escapes not undone.
    Key(&'a [u8]),
    /// A string value: the bytes between the quotes, escapes not undone.
    Text(&'a [u8]),
    /// A number or a literal, as written.
    Scalar(&'a [u8]),
}

/// The text is not JSON from here on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Broken {
    /// Offset at which the last unbroken event ended.
    pub(crate) at: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Expect {
    Value,
    FirstKey,
    FirstElement,
    Key,
    Colon,
    Next,
    End,
    Nothing,
}

/// Gives the events of one text; ends with `None`, or with one [`Broken`].
#[derive(Clone, Debug)]
pub(crate) struct Walker<'a> {
    text: &'a [u8],
    at: usize,
    /// Whether each open container is an object, innermost in the lowest bit.
    objects: u128,
    depth: usize,
    expect: Expect,
}

impl<'a> Walker<'a> {
    /// Walks `text`, which holds one value and nothing else.
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 0,
            objects: 0,
            depth: 0,
            expect: Expect::Value,
        }
    }

    fn step(&mut self) -> Result<Option<Event<'a>>, ()> {
        loop {
            while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.text.get(self.at) {
                self.at += 1;
            }
            let Some(&byte) = self.text.get(self.at) else {
                return if self.expect == Expect::End {
                    Ok(None)
                } else {
                    Err(())
                };
            };
            match (self.expect, byte) {
                (Expect::Colon, b':') => self.expect = Expect::Value,
                (Expect::Next, b',') => {
                    self.expect = if self.objects & 1 == 1 {
                        Expect::Key
                    } else {
                        Expect::Value
                    };
                }
                (Expect::Next | Expect::FirstKey, b'}') if self.objects & 1 == 1 => {
                    return Ok(Some(self.close(Event::ObjectEnd)));
                }
                (Expect::Next | Expect::FirstElement, b']') if self.objects & 1 == 0 => {
                    return Ok(Some(self.close(Event::ArrayEnd)));
                }
                (Expect::FirstKey | Expect::Key, b'"') => {
                    let key = self.quoted()?;
                    self.expect = Expect::Colon;
                    return Ok(Some(Event::Key(key)));
                }
                (Expect::Value | Expect::FirstElement, _) => return self.value(byte).map(Some),
                _ => return Err(()),
            }
            self.at += 1;
        }
    }

    fn value(&mut self, byte: u8) -> Result<Event<'a>, ()> {
        match byte {
            b'{' => self.open(true, Expect::FirstKey, Event::ObjectStart),
            b'[' => self.open(false, Expect::FirstElement, Event::ArrayStart),
            b'"' => {
                let text = self.quoted()?;
                self.after_value();
                Ok(Event::Text(text))
            }
            _ => {
                let rest = self.text.get(self.at..).unwrap_or_default();
                let length = rest
                    .iter()
                    .position(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'+' | b'-' | b'.'))
                    .unwrap_or(rest.len());
                let (scalar, _) = rest.split_at(length);
                if scalar.is_empty() {
                    return Err(());
                }
                self.at += length;
                self.after_value();
                Ok(Event::Scalar(scalar))
            }
        }
    }

    fn open(&mut self, object: bool, expect: Expect, event: Event<'a>) -> Result<Event<'a>, ()> {
        if self.depth >= MAX_DEPTH {
            return Err(());
        }
        self.objects = self.objects << 1 | u128::from(object);
        self.depth += 1;
        self.at += 1;
        self.expect = expect;
        Ok(event)
    }

    fn close(&mut self, event: Event<'a>) -> Event<'a> {
        self.objects >>= 1;
        self.depth = self.depth.saturating_sub(1);
        self.at += 1;
        self.after_value();
        event
    }

    fn after_value(&mut self) {
        self.expect = if self.depth == 0 {
            Expect::End
        } else {
            Expect::Next
        };
    }

    /// The string at `at`, without its quotes.
    fn quoted(&mut self) -> Result<&'a [u8], ()> {
        let start = self.at + 1;
        let mut end = start;
        loop {
            let rest = self.text.get(end..).ok_or(())?;
            let found = memchr::memchr2(b'"', b'\\', rest).ok_or(())?;
            end += found;
            if self.text.get(end) == Some(&b'"') {
                self.at = end + 1;
                return self.text.get(start..end).ok_or(());
            }
            end += 2;
        }
    }
}

impl<'a> Iterator for Walker<'a> {
    type Item = Result<Event<'a>, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.expect == Expect::Nothing {
            return None;
        }
        let before = self.at;
        match self.step() {
            Ok(event) => event.map(Ok),
            Err(()) => {
                self.expect = Expect::Nothing;
                Some(Err(Broken { at: before }))
            }
        }
    }
}

/// Appends `escaped` with its JSON escapes undone; what is no escape stays as it is.
pub(crate) fn unescape_into(escaped: &[u8], out: &mut Vec<u8>) {
    let mut rest = escaped;
    while let Some(found) = memchr::memchr(b'\\', rest) {
        let (plain, tail) = rest.split_at(found);
        out.extend_from_slice(plain);
        let (byte, used) = match tail.get(1) {
            Some(b'n') => (b'\n', 2),
            Some(b't') => (b'\t', 2),
            Some(b'r') => (b'\r', 2),
            Some(b'b') => (8, 2),
            Some(b'f') => (12, 2),
            Some(&byte @ (b'"' | b'\\' | b'/')) => (byte, 2),
            Some(b'u') => {
                let (letter, used) = unicode(tail);
                let mut buffer = [0; 4];
                out.extend_from_slice(letter.encode_utf8(&mut buffer).as_bytes());
                rest = tail.get(used..).unwrap_or_default();
                continue;
            }
            _ => (b'\\', 1),
        };
        out.push(byte);
        rest = tail.get(used..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// The letter of the `\u` escape that `text` begins with, and the escape's length.
fn unicode(text: &[u8]) -> (char, usize) {
    let Some(first) = hex4(text.get(2..6)) else {
        return ('\\', 1);
    };
    if (0xd800..0xdc00).contains(&first)
        && text.get(6..8) == Some(b"\\u")
        && let Some(second) = hex4(text.get(8..12))
        && (0xdc00..0xe000).contains(&second)
    {
        let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return (
            char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER),
            12,
        );
    }
    (
        char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER),
        6,
    )
}

fn hex4(digits: Option<&[u8]>) -> Option<u32> {
    digits?.iter().try_fold(0, |code, digit| {
        Some(code << 4 | char::from(*digit).to_digit(16)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(text: &[u8]) -> bool {
        Walker::new(text).all(|event| event.is_ok())
    }

    #[test]
    fn agrees_with_serde_json_on_structure() {
        let texts = [
            r#"{"a":[1,"x",{"b":null}],"c":true}"#,
            "[]",
            "{}",
            "[[],{}]",
            "1",
            "\"x\"",
            "[1,]",
            "{,}",
            "[1 2]",
            "{\"a\"}",
            "{\"a\":}",
            "[}",
            "{]",
            "",
            "]",
            "{\"a\":1,}",
            "[1]]",
            "{1:2}",
            "[\"a\\\"]",
            " [ 1 , 2 ] ",
        ];
        for text in texts {
            let expected = serde_json::from_str::<serde_json::Value>(text).is_ok();
            assert_eq!(accepts(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        assert!(accepts(
            format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH)).as_bytes()
        ));
        assert!(!accepts(
            format!("{}{}", "[".repeat(129), "]".repeat(129)).as_bytes()
        ));
    }

    #[test]
    fn escapes_are_undone_and_broken_ones_kept() {
        let mut out = Vec::new();
        unescape_into(br"a\n\u00e9\ud83d\ude00\ud800\q\u12", &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "a\n\u{e9}\u{1f600}\u{fffd}\\q\\u12"
        );
    }

    #[test]
    fn cut_text_tells_where_it_broke() {
        let events: Vec<_> = Walker::new(br#"{"a":"b","c":"de"#).collect();
        assert_eq!(events.last(), Some(&Err(Broken { at: 12 })));
        assert_eq!(events.len(), 5);
    }
}
