//! Finds personal data by its shape and its check digits.
//!
//! E-mail addresses, payment cards, IBANs, phone numbers, national ids and IP addresses are found
//! in any text. A shape that common numbers share counts only with a check digit, and where that
//! is weak too only beside a word that names it (`ssn`, `phone`), within [`NEAR`] bytes before.
//! Names and postal addresses of people are not looked for here: see `keys`. One pass, and at each
//! digit or `@` a look at no more than [`REACH`] bytes around.

use std::ops::Range;

mod checks;
mod digits;
mod email;
mod iban;
mod ip;
mod national;
mod phone;

/// How far before a number its naming word may stand, in bytes.
const NEAR: usize = 48;
/// Most bytes of one number, separators included.
const REACH: usize = 48;

/// A kind of personal data found by shape.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Email,
    PaymentCard,
    Iban,
    Phone,
    /// Id of the rule, such as `us-ssn`.
    National(&'static str),
    Ip,
}

impl Kind {
    /// Id of the rule.
    pub(crate) fn rule(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::PaymentCard => "payment-card",
            Self::Iban => "iban",
            Self::Phone => "phone",
            Self::National(rule) => rule,
            Self::Ip => "ip-address",
        }
    }
}

/// Calls `found` for what is found in `text`, in order; spans never overlap.
pub(crate) fn scan(text: &[u8], mut found: impl FnMut(Kind, Range<usize>)) {
    let mut at = 0;
    // What lies before is part of a finding already.
    let mut floor = 0;
    while let Some(offset) = text
        .get(at..)
        .and_then(|rest| rest.iter().position(|byte| is_trigger(*byte)))
    {
        let here = at + offset;
        let (hit, next) = if text.get(here) == Some(&b'@') {
            (
                email::at(text, here, floor).map(|span| (Kind::Email, span)),
                here + 1,
            )
        } else {
            digit(text, here, floor)
        };
        at = next.max(here + 1);
        if let Some((kind, span)) = hit {
            floor = span.end;
            at = at.max(span.end);
            found(kind, span);
        }
    }
}

fn is_trigger(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'@'
}

/// What the digit at `here` is part of, and where to look on if nothing.
fn digit(text: &[u8], here: usize, floor: usize) -> (Option<(Kind, Range<usize>)>, usize) {
    let word = word_around(text, here, floor);
    if word.len() > REACH {
        return (None, word.end);
    }
    if let Some(span) = ip::at(text, here, floor) {
        return (Some((Kind::Ip, span)), here);
    }
    let bytes = text.get(word.clone()).unwrap_or_default();
    if bytes.iter().any(u8::is_ascii_alphabetic) {
        if let Some(span) = iban::at(text, word.start) {
            return (Some((Kind::Iban, span)), here);
        }
        if let Some((rule, span)) = national::word(text, word.clone()) {
            return (Some((Kind::National(rule), span)), here);
        }
        // The part of an address before `@` may end in digits.
        return (None, word.end);
    }
    let Some(number) = digits::Number::at(text, here, floor) else {
        return (None, word.end);
    };
    let hit = number.parts().find_map(|part| {
        let kind = digits::card(text, &part)
            .then_some(Kind::PaymentCard)
            .or_else(|| national::number(text, &part).map(Kind::National))
            .or_else(|| phone::is_one(text, &part).then_some(Kind::Phone))?;
        Some((kind, part.span()))
    });
    (hit, number.end())
}

/// The letters and digits around `here`, not before `floor`; longer than [`REACH`] when cut.
fn word_around(text: &[u8], here: usize, floor: usize) -> Range<usize> {
    let before = text.get(floor..here).unwrap_or_default();
    let back = before
        .iter()
        .rev()
        .take(REACH + 1)
        .take_while(|byte| byte.is_ascii_alphanumeric())
        .count();
    let after = text.get(here..).unwrap_or_default();
    let ahead = after
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric())
        .count();
    here - back..here + ahead
}

/// Whether one of `words` (lower case) stands shortly before `at`.
fn is_near(text: &[u8], at: usize, words: &[&str]) -> bool {
    let window = text.get(at.saturating_sub(NEAR)..at).unwrap_or_default();
    let stands = |start: usize, word: &str| {
        let part = window.get(start..start + word.len());
        let before = start.checked_sub(1).and_then(|before| window.get(before));
        // Short words must stand alone on the left: `tel` is not in `hotel`.
        part.is_some_and(|part| part.eq_ignore_ascii_case(word.as_bytes()))
            && (word.len() > 4 || before.is_none_or(|byte| !byte.is_ascii_alphabetic()))
    };
    window.iter().enumerate().any(|(start, byte)| {
        let first = byte.to_ascii_lowercase();
        byte.is_ascii_alphabetic()
            && words
                .iter()
                .any(|word| word.as_bytes().first() == Some(&first) && stands(start, word))
    })
}

#[cfg(test)]
mod tests;
