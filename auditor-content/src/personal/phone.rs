//! Phone numbers: international form, and national forms that are grouped like phone numbers.
//!
//! A bare run of digits is one only beside a word that says so.

use super::{
    digits::{GROUPS, Part},
    is_near,
};

const WORDS: &[&str] = &[
    "phone", "tel", "mobile", "cell", "call", "fax", "contact", "whatsapp", "sms", "dial",
];

/// Whether `part` is a phone number.
pub(super) fn is_one(text: &[u8], part: &Part<'_>) -> bool {
    let count = part.digits.len();
    let mut lengths = [0; GROUPS];
    let groups = part.shape().count().min(GROUPS);
    for (to, length) in lengths.iter_mut().zip(part.shape()) {
        *to = length;
    }
    let shape = lengths.get(..groups).unwrap_or_default();
    let starts_with = |date: &[usize]| shape.starts_with(date);
    if part.before() == Some(b'.') || count > 15 {
        return false;
    }
    let first = part.digits.first().copied().unwrap_or_default();
    if text.get(part.span().start) == Some(&b'+') {
        return count >= 8 && first != 0;
    }
    // Dates.
    if starts_with(&[4, 2, 2]) || starts_with(&[2, 2, 4]) {
        return false;
    }
    let has_bracket =
        part.before() == Some(b'(') || part.separators().any(|sign| sign.contains(&b'('));
    if is_american(part, shape) {
        return true;
    }
    let is_grouped =
        shape.len() >= 2 && shape.len() <= 6 && shape.iter().all(|length| (1..=8).contains(length));
    if is_grouped && first == 0 {
        let lead = part.digits.starts_with(&[0, 0]);
        // At least two groups of three or more, or a trunk prefix with pairs after it.
        let is_shaped = has_bracket || shape.first().is_some_and(|length| (2..=5).contains(length));
        return is_shaped
            && if lead {
                (10..=17).contains(&count)
            } else {
                (9..=11).contains(&count)
            };
    }
    if has_bracket && is_grouped && (9..=13).contains(&count) {
        return true;
    }
    part.is_first && (7..=15).contains(&count) && is_near(text, part.span().start, WORDS)
}

/// North American: area, exchange, line, perhaps after a 1 or 001.
fn is_american(part: &Part<'_>, shape: &[usize]) -> bool {
    let (prefix, rest) = match shape {
        [1 | 3, 3, 3, 4] => (shape.first().copied().unwrap_or_default(), 10),
        [3, 3, 4] | [3, 7] => (0, 10),
        _ => return false,
    };
    let lead = part.digits.get(..prefix).unwrap_or_default();
    let number = part.digits.get(prefix..prefix + rest).unwrap_or_default();
    let is_lead = matches!(lead, [] | [1] | [0, 0, 1]);
    let is_bracketed = part.before() == Some(b'(');
    is_lead && number.first().is_some_and(|digit| *digit >= 1) && (is_bracketed || shape.len() >= 3)
}
