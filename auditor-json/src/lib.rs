//! Walks JSON text without building it: members of objects, elements of arrays, strings.
//!
//! An auditor must hear whatever the most lenient receiver would accept, so this reader is
//! tolerant where parsers differ (`NaN`, lone surrogates, trailing commas, any nesting depth) and
//! works on a prefix of a text as well. It validates nothing beyond what it needs to find the
//! borders of values. It never recurses and never allocates but to undo escapes.

use std::borrow::Cow;

/// A value inside a JSON text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Value<'a> {
    /// Its text, without surrounding whitespace.
    pub text: &'a [u8],
    /// Whether its end was seen; `false` when the text around it was cut.
    pub whole: bool,
}

impl<'a> Value<'a> {
    /// The value that `text` begins with, and where it ends.
    pub fn first(text: &'a [u8]) -> Option<(Self, usize)> {
        let start = skip_space(text, 0);
        if start >= text.len() {
            return None;
        }
        let (end, whole) = skip_value(text, start);
        let text = text.get(start..end)?;
        (!text.is_empty()).then_some((Self { text, whole }, end))
    }

    /// Its members, if it is an object.
    pub fn members(self) -> Option<Members<'a>> {
        (self.text.first() == Some(&b'{')).then_some(Members {
            text: self.text,
            at: 1,
            done: false,
        })
    }

    /// Its member of this name; of several the last, as for most receivers.
    pub fn member(self, name: &[u8]) -> Option<Self> {
        let named = self.members()?.filter(|(key, _)| **key == *name);
        named.last().map(|(_, value)| value)
    }

    /// Its elements, if it is an array.
    pub fn elements(self) -> Option<Elements<'a>> {
        (self.text.first() == Some(&b'[')).then_some(Elements {
            text: self.text,
            at: 1,
        })
    }

    /// Its text with escapes undone, if it is a whole string.
    pub fn string(self) -> Option<Cow<'a, str>> {
        let inner = self.text.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        self.whole.then(|| unescape(inner))
    }

    /// Whether it is the literal `true`.
    pub fn is_true(self) -> bool {
        self.whole && self.text == b"true"
    }

    /// Whether it is the literal `null`.
    pub fn is_null(self) -> bool {
        self.whole && self.text == b"null"
    }

    /// Its value, if it is a number that fits; a fraction is cut off.
    pub fn integer(self) -> Option<i64> {
        let text = std::str::from_utf8(self.text).ok()?;
        if let Ok(number) = text.parse::<i64>() {
            return Some(number);
        }
        let number = text.parse::<f64>().ok().filter(|_| self.whole)?;
        // `as` saturates, so bounds are checked in the type where both are exact.
        (number.abs() < 9.007_199_254_740_992e15).then_some(number as i64)
    }
}

/// The members of an object, in order, as far as the text goes.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    text: &'a [u8],
    at: usize,
    done: bool,
}

impl<'a> Iterator for Members<'a> {
    type Item = (Cow<'a, [u8]>, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        // A text that is cut or broken here just ends.
        self.done = true;
        let start = skip_separators(self.text, self.at);
        if self.text.get(start) != Some(&b'"') {
            return None;
        }
        let (end, whole) = skip_string(self.text, start);
        if !whole {
            return None;
        }
        let key = self.text.get(start + 1..end - 1)?;
        let colon = skip_space(self.text, end);
        if self.text.get(colon) != Some(&b':') {
            return None;
        }
        let (value, length) = Value::first(self.text.get(colon + 1..)?)?;
        self.at = colon + 1 + length;
        self.done = false;
        let key = match memchr::memchr(b'\\', key) {
            None => Cow::Borrowed(key),
            Some(_) => Cow::Owned(unescape(key).into_owned().into_bytes()),
        };
        Some((key, value))
    }
}

/// The elements of an array, in order, as far as the text goes.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = skip_separators(self.text, self.at);
        let (value, length) = Value::first(self.text.get(start..)?)?;
        self.at = start + length;
        Some(value)
    }
}

fn skip_space(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\r' | b'\n') = text.get(at) {
        at += 1;
    }
    at
}

fn skip_separators(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\r' | b'\n' | b',') = text.get(at) {
        at += 1;
    }
    at
}

/// The end of the string that starts at `at`, and whether its closing quote was there.
fn skip_string(text: &[u8], at: usize) -> (usize, bool) {
    let mut at = at + 1;
    while let Some(rest) = text.get(at..) {
        match memchr::memchr2(b'"', b'\\', rest) {
            Some(found) if rest.get(found) == Some(&b'"') => return (at + found + 1, true),
            Some(found) => at += found + 2,
            None => break,
        }
    }
    (text.len(), false)
}

/// The end of the value that starts at `at`, and whether it is whole. Empty when there is none.
fn skip_value(text: &[u8], at: usize) -> (usize, bool) {
    match text.get(at) {
        Some(b'"') => skip_string(text, at),
        Some(b'{' | b'[') => skip_nested(text, at),
        _ => {
            let rest = text.get(at..).unwrap_or_default();
            let end = rest.iter().position(|byte| {
                matches!(
                    byte,
                    b' ' | b'\t' | b'\r' | b'\n' | b',' | b'}' | b']' | b':' | b'"'
                )
            });
            end.map_or((text.len(), false), |length| (at + length, true))
        }
    }
}

fn skip_nested(text: &[u8], at: usize) -> (usize, bool) {
    let (mut at, mut depth) = (at, 0_usize);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                at = skip_string(text, at).0;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return (at + 1, true);
                }
            }
            _ => {}
        }
        at += 1;
    }
    (text.len(), false)
}

/// Undoes JSON escapes. What is not a valid escape, or not UTF-8, becomes U+FFFD.
fn unescape(inner: &[u8]) -> Cow<'_, str> {
    let Some(first) = memchr::memchr(b'\\', inner) else {
        return String::from_utf8_lossy(inner);
    };
    let mut out = Vec::with_capacity(inner.len());
    let mut at = first;
    out.extend_from_slice(inner.get(..first).unwrap_or_default());
    while let Some(&byte) = inner.get(at) {
        if byte != b'\\' {
            out.push(byte);
            at += 1;
            continue;
        }
        let (character, length) = escape(inner.get(at + 1..).unwrap_or_default());
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        at += 1 + length;
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

/// The character that the text after a backslash stands for, and how long that text is.
fn escape(text: &[u8]) -> (char, usize) {
    let unit = |at: usize| -> Option<u32> {
        let digits = std::str::from_utf8(text.get(at..at + 4)?).ok()?;
        u32::from_str_radix(digits, 16).ok()
    };
    match text.first() {
        Some(b'n') => ('\n', 1),
        Some(b't') => ('\t', 1),
        Some(b'r') => ('\r', 1),
        Some(b'b') => ('\u{8}', 1),
        Some(b'f') => ('\u{c}', 1),
        Some(b'u') => {
            let Some(high) = unit(1) else {
                return (char::REPLACEMENT_CHARACTER, 1);
            };
            if (0xd800..0xdc00).contains(&high)
                && text.get(5..7) == Some(b"\\u")
                && let Some(low @ 0xdc00..0xe000) = unit(7)
            {
                let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                return (
                    char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER),
                    11,
                );
            }
            (
                char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER),
                5,
            )
        }
        Some(&byte @ (b'"' | b'\\' | b'/')) => (char::from(byte), 1),
        _ => (char::REPLACEMENT_CHARACTER, usize::from(!text.is_empty())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(text: &str) -> Value<'_> {
        Value::first(text.as_bytes()).unwrap().0
    }

    #[test]
    fn members_come_in_order_with_their_text() {
        let members: Vec<_> = value(r#" { "a" : [1,{"b":"]}"}] , "c":null,"d":-1.5e3 }"#)
            .members()
            .unwrap()
            .map(|(key, value)| (key.into_owned(), value.text.to_vec()))
            .collect();
        let expected: [(&[u8], &[u8]); 3] = [
            (b"a", br#"[1,{"b":"]}"}]"#),
            (b"c", b"null"),
            (b"d", b"-1.5e3"),
        ];
        assert_eq!(
            members,
            expected.map(|(key, value)| (key.to_vec(), value.to_vec()))
        );
    }

    #[test]
    fn of_members_with_one_name_the_last_counts() {
        let object = value(r#"{"a":1,"b":2,"a":3}"#);
        assert_eq!(object.member(b"a").unwrap().text, b"3");
        assert_eq!(object.member(b"c"), None);
        assert_eq!(value("[1]").member(b"a"), None);
    }

    #[test]
    fn escapes_are_undone_and_lone_surrogates_replaced() {
        assert_eq!(
            value(r#""a\n\u00e9\ud83d\ude00\"""#).string().unwrap(),
            "a\né😀\""
        );
        assert_eq!(value(r#""x\ud800y""#).string().unwrap(), "x\u{fffd}y");
        assert_eq!(value(r#""\u12""#).string().unwrap(), "\u{fffd}12");
        let (key, _) = value(r#"{"\u0069d":1}"#).members().unwrap().next().unwrap();
        assert_eq!(&*key, b"id");
    }

    #[test]
    fn a_cut_text_gives_what_its_prefix_holds() {
        let mut members = value(r#"{"id":7,"method":"x","params":{"a":"#)
            .members()
            .unwrap();
        assert!(members.next().unwrap().1.whole);
        assert!(members.next().unwrap().1.whole);
        assert!(!members.next().unwrap().1.whole);
        assert!(members.next().is_none());
    }

    #[test]
    fn what_lenient_parsers_accept_is_walked() {
        let text = r#"{"a":NaN,"b":1e999,"c":[1,,2,],}"#;
        assert_eq!(value(text).members().unwrap().count(), 3);
        let deep = "[".repeat(100_000);
        assert!(!value(&deep).whole);
    }

    #[test]
    fn numbers_are_read_when_they_fit() {
        assert_eq!(value("-32601 ").integer(), Some(-32601));
        assert_eq!(value("-32601.0 ").integer(), Some(-32601));
        assert_eq!(value("1e999 ").integer(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_without_panic(text in prop::collection::vec(
            prop_oneof![Just(b'"'), Just(b'\\'), Just(b'{'), Just(b'}'), Just(b'['), Just(b':'), Just(b','), Just(b'u'), any::<u8>()], 0..64,
        )) {
            if let Some((value, end)) = Value::first(&text) {
                prop_assert!(end <= text.len());
                for (_, value) in value.members().into_iter().flatten() { let _ = value.string(); }
                for value in value.elements().into_iter().flatten() { let _ = value.string(); }
            }
        }
    }
}
