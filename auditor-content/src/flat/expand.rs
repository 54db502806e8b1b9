//! Finds what a laid-out value carries inside, and lays that out too.
//!
//! JSON must be the whole value; base64 must be at least [`BASE64`] letters and decode to mostly
//! text; percent-encoding is undone word by word; the pairs of a query are split. What is packed
//! in any other way (compressed, hex, encrypted) is not looked into.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::{Flat, Leaf, MAX_STEPS, Origin, SIGN, Slot, Span};
use crate::keys::KeyTable;

/// Shortest base64 that is decoded, in letters.
const BASE64: usize = 24;
/// Letters that are decoded first, to see whether it is text.
const PROBE: usize = 64;
/// Longest query and longest percent-encoded word, in bytes.
const LONG: usize = 64 << 10;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

impl Flat {
    /// Looks into every leaf, those that it adds included.
    pub(super) fn expand(&mut self, keys: &KeyTable) {
        let mut index = 0;
        while let Some(leaf) = self.leaves.get(index).copied() {
            if leaf.depth < MAX_STEPS && leaf.value.len() >= 6 {
                self.expand_one(index, leaf, keys);
            }
            index += 1;
        }
    }

    fn expand_one(&mut self, index: usize, leaf: Leaf, keys: &KeyTable) {
        let value = self.text.get(leaf.value.range()).unwrap_or_default();
        let first = value.iter().find(|byte| !byte.is_ascii_whitespace());
        if matches!(first, Some(b'{' | b'[')) {
            let inner = value.to_vec();
            let origin = self.inside(leaf, Slot::Json, 0..inner.len());
            if self.walk(&inner, origin, keys).is_ok() {
                if let Some(leaf) = self.leaves.get_mut(index) {
                    leaf.is_covered = true;
                }
                return;
            }
        }
        let value = self.text.get(leaf.value.range()).unwrap_or_default();
        let mut found: Vec<(Slot, std::ops::Range<usize>, Vec<u8>)> = Vec::new();
        each_base64(value, |range| {
            if let Some(inner) = value.get(range.clone()).and_then(decode) {
                found.push((Slot::Base64, range, inner));
            }
        });
        each_percent(value, |range, inner| {
            found.push((Slot::Percent, range, inner))
        });
        let mut pairs = Vec::new();
        each_query(value, |range, name, inner| pairs.push((range, name, inner)));
        for (slot, range, inner) in found {
            let origin = self.inside(leaf, slot, range);
            self.value(&inner, None, origin, keys);
        }
        for (range, name, inner) in pairs {
            let origin = self.inside(leaf, Slot::Query, range);
            self.value(&inner, Some(&name), origin, keys);
        }
    }

    /// Where the leaves from inside `range` of a leaf's value belong.
    fn inside(&mut self, leaf: Leaf, slot: Slot, range: std::ops::Range<usize>) -> Origin {
        let at = if leaf.slot == Slot::Root {
            leaf.parent
        } else {
            self.node(leaf.parent, leaf.slot)
        };
        let start = leaf.value.start as usize;
        Origin {
            node: self.node(at, slot),
            depth: leaf.depth + 1,
            owner: leaf.owner,
            source: leaf
                .source
                .or(Some(Span::new(start + range.start, start + range.end))),
            context: leaf.key.unwrap_or_default(),
        }
    }

    /// Lays out a value found inside another, with the name it has there if any.
    fn value(&mut self, inner: &[u8], name: Option<&[u8]>, origin: Origin, keys: &KeyTable) {
        let start = self.text.len();
        let mut named = None;
        let mut key = None;
        if let Some(name) = name {
            self.text.extend_from_slice(name);
            key = Some(Span::new(start, self.text.len()));
            named = keys.class_of(name, inner, true);
        } else {
            self.repeat(origin.context);
        }
        self.text.extend_from_slice(SIGN);
        let value = self.text.len();
        self.text.extend_from_slice(inner);
        let value = Span::new(value, self.text.len());
        self.text.extend_from_slice(b"\"\n");
        self.push(Leaf {
            hay: Span::new(start, value.end as usize),
            key,
            value,
            parent: origin.node,
            slot: key.map_or(Slot::Root, Slot::Member),
            owner: origin.owner,
            key_owner: origin.owner,
            source: origin.source,
            named,
            depth: origin.depth,
            is_covered: false,
        });
    }
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

/// Gives each run of base64 letters that is long enough.
fn each_base64(text: &[u8], mut found: impl FnMut(std::ops::Range<usize>)) {
    let mut at = 0;
    // Every run of that length covers one of the places looked at.
    while let Some(&byte) = text.get(at + BASE64 - 1) {
        if !is_base64(byte) {
            at += BASE64;
            continue;
        }
        let start = (at..at + BASE64)
            .rev()
            .find(|&at| !text.get(at).is_some_and(|byte| is_base64(*byte)));
        let start = start.map_or(at, |before| before + 1);
        let end =
            (start..text.len()).find(|&at| !text.get(at).is_some_and(|byte| is_base64(*byte)));
        let end = end.unwrap_or(text.len());
        if end - start >= BASE64 {
            found(start..end);
        }
        at = end.max(at + 1);
    }
}

/// What `run` stands for, if that is mostly text.
fn decode(run: &[u8]) -> Option<Vec<u8>> {
    let engine = if run.iter().any(|byte| matches!(byte, b'-' | b'_')) {
        &URL
    } else {
        &STANDARD
    };
    let probe = engine
        .decode(run.get(..PROBE.min(run.len() / 4 * 4))?)
        .ok()?;
    if !is_text(&probe) {
        return None;
    }
    // A last lone letter stands for nothing.
    let whole = if run.len() % 4 == 1 {
        run.len() - 1
    } else {
        run.len()
    };
    engine.decode(run.get(..whole)?).ok()
}

fn is_text(bytes: &[u8]) -> bool {
    let odd = bytes
        .iter()
        .filter(|byte| !matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t'))
        .count();
    let is_utf8 = match std::str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    odd * 10 <= bytes.len() || is_utf8 && !bytes.iter().any(|byte| *byte < 8 || *byte == 127)
}

fn hex(byte: Option<&u8>) -> Option<u8> {
    let digit = char::from(*byte?).to_digit(16)?;
    u8::try_from(digit).ok()
}

fn percent_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = text;
    let mut any = false;
    while let Some(found) = memchr::memchr(b'%', rest) {
        let (plain, tail) = rest.split_at(found);
        out.extend_from_slice(plain);
        let (byte, used) = match (hex(tail.get(1)), hex(tail.get(2))) {
            (Some(high), Some(low)) => {
                any = true;
                (high << 4 | low, 3)
            }
            _ => (b'%', 1),
        };
        out.push(byte);
        rest = tail.get(used..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    any.then_some(out)
}

fn ends_word(byte: u8) -> bool {
    byte <= b' ' || matches!(byte, b'"' | b'\'' | b'<' | b'>' | b'`')
}

/// Gives each word that holds percent-encoded bytes, and what it stands for.
fn each_percent(text: &[u8], mut found: impl FnMut(std::ops::Range<usize>, Vec<u8>)) {
    let mut at = 0;
    while let Some(offset) = text.get(at..).and_then(|rest| memchr::memchr(b'%', rest)) {
        let sign = at + offset;
        let before = text.get(at..sign).unwrap_or_default();
        let start = before
            .iter()
            .rposition(|byte| ends_word(*byte))
            .map_or(at, |space| at + space + 1);
        let end = text.get(sign..).unwrap_or_default();
        let end = end
            .iter()
            .take(LONG)
            .position(|byte| ends_word(*byte))
            .unwrap_or(end.len().min(LONG));
        let range = start..sign + end;
        if let Some(inner) = text.get(range.clone()).and_then(percent_decoded) {
            found(range, inner);
        }
        at = sign + end.max(1);
    }
}

/// Gives each pair of each URL query, or of a form body that is the whole text.
fn each_query(text: &[u8], mut found: impl FnMut(std::ops::Range<usize>, Vec<u8>, Vec<u8>)) {
    let mut at = 0;
    let is_form = text.len() <= LONG && memchr::memchr2(b'?', b' ', text).is_none();
    if is_form && memchr::memchr(b'&', text).is_some() {
        pairs(text, 0..text.len(), &mut found);
        return;
    }
    while let Some(offset) = text.get(at..).and_then(|rest| memchr::memchr(b'?', rest)) {
        let start = at + offset + 1;
        let rest = text.get(start..).unwrap_or_default();
        let length = rest
            .iter()
            .take(LONG)
            .position(|byte| ends_word(*byte))
            .unwrap_or(rest.len().min(LONG));
        pairs(text, start..start + length, &mut found);
        at = start + length;
    }
}

fn pairs(
    text: &[u8],
    range: std::ops::Range<usize>,
    found: &mut impl FnMut(std::ops::Range<usize>, Vec<u8>, Vec<u8>),
) {
    let mut start = range.start;
    for pair in text
        .get(range)
        .unwrap_or_default()
        .split(|byte| matches!(byte, b'&' | b';' | b'#'))
    {
        if let Some(sign) = memchr::memchr(b'=', pair) {
            let (name, value) = pair.split_at(sign);
            let value = value.get(1..).unwrap_or_default();
            if !name.is_empty() && !value.is_empty() {
                let plain = |part: &[u8]| percent_decoded(part).unwrap_or_else(|| part.to_vec());
                found(
                    start + sign + 1..start + pair.len(),
                    plain(name),
                    plain(value),
                );
            }
        }
        start += pair.len() + 1;
    }
}
