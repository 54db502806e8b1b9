//! Numbers written in groups, and payment cards among them.

use std::ops::Range;

use super::{checks::luhn, is_near};

/// Most groups of a number and most of its bytes.
pub(super) const GROUPS: usize = 8;
const BYTES: usize = 44;
/// Most digits of a number that is looked at.
const DIGITS: usize = 24;

#[derive(Clone, Copy, Debug, Default)]
struct Group {
    start: usize,
    end: usize,
    /// Digits before it.
    before: usize,
}

/// Groups of digits with separators between them.
#[derive(Debug)]
pub(super) struct Number<'a> {
    text: &'a [u8],
    groups: [Group; GROUPS],
    count: usize,
    digits: [u8; BYTES],
    end: usize,
}

/// Some groups of a number that stand side by side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'n> {
    text: &'n [u8],
    groups: &'n [Group],
    /// Values of the digits.
    pub(super) digits: &'n [u8],
    /// Whether it begins with the number's first group.
    pub(super) is_first: bool,
}

impl<'a> Number<'a> {
    /// The number that begins at `here`; `None` if it is part of a word or too short.
    pub(super) fn at(text: &'a [u8], here: usize, floor: usize) -> Option<Self> {
        let before = here
            .checked_sub(1)
            .filter(|at| *at >= floor)
            .and_then(|at| text.get(at));
        if before.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') {
            return None;
        }
        let mut number = Self {
            text,
            groups: Default::default(),
            count: 0,
            digits: [0; BYTES],
            end: here,
        };
        let (mut at, mut total) = (here, 0);
        while number.count < GROUPS {
            let rest = text.get(at..)?;
            let length = rest
                .iter()
                .take(BYTES)
                .take_while(|byte| byte.is_ascii_digit())
                .count();
            if length == 0 || at + length - here > BYTES {
                break;
            }
            let is_word = rest
                .get(length)
                .is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
            if is_word
                && !rest
                    .get(length)
                    .is_some_and(|byte| matches!(byte, b'x' | b'e'))
            {
                break;
            }
            for (to, byte) in number
                .digits
                .get_mut(total..)?
                .iter_mut()
                .zip(rest.get(..length)?)
            {
                *to = byte - b'0';
            }
            *number.groups.get_mut(number.count)? = Group {
                start: at,
                end: at + length,
                before: total,
            };
            number.count += 1;
            total += length;
            at += length;
            number.end = at;
            if is_word {
                break;
            }
            let gap = text
                .get(at..)?
                .iter()
                .take(3)
                .take_while(|byte| is_separator(**byte))
                .count();
            if gap == 0 || gap > 2 {
                break;
            }
            at += gap;
        }
        number.end = number.end.max(here + 1);
        (number.count > 0 && total >= 7).then_some(number)
    }

    /// Where it ends.
    pub(super) fn end(&self) -> usize {
        self.end
    }

    /// Its parts, from the first group on, long ones first.
    pub(super) fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        (0..self.count).flat_map(move |first| {
            (first..self.count)
                .rev()
                .filter_map(move |last| self.part(first, last))
        })
    }

    fn part(&self, first: usize, last: usize) -> Option<Part<'_>> {
        let groups = self.groups.get(first..=last)?;
        let tail = groups.last()?;
        let digits = self
            .digits
            .get(groups.first()?.before..tail.before + (tail.end - tail.start))?;
        (7..=DIGITS).contains(&digits.len()).then_some(Part {
            text: self.text,
            groups,
            digits,
            is_first: first == 0,
        })
    }
}

impl Part<'_> {
    /// Its place, with a `+` or `(` before it.
    pub(super) fn span(&self) -> Range<usize> {
        let start = self.start();
        let end = self.groups.last().map_or(start, |group| group.end);
        let signs = self.text.get(..start).unwrap_or_default();
        let signs = signs
            .iter()
            .rev()
            .take(2)
            .take_while(|byte| matches!(byte, b'+' | b'('))
            .count();
        start - signs..end
    }

    /// Place of its first digit.
    pub(super) fn start(&self) -> usize {
        self.groups.first().map_or(0, |group| group.start)
    }

    /// The byte before its first digit.
    pub(super) fn before(&self) -> Option<u8> {
        self.text.get(self.start().checked_sub(1)?).copied()
    }

    /// The byte after its last digit.
    pub(super) fn after(&self) -> Option<u8> {
        self.text.get(self.groups.last()?.end).copied()
    }

    /// The lengths of its groups.
    pub(super) fn shape(&self) -> impl Iterator<Item = usize> {
        self.groups.iter().map(|group| group.end - group.start)
    }

    /// Whether its groups have these lengths.
    pub(super) fn is_shaped(&self, shape: &[usize]) -> bool {
        self.shape().eq(shape.iter().copied())
    }

    /// The separators between its groups.
    pub(super) fn separators(&self) -> impl Iterator<Item = &[u8]> {
        self.groups.windows(2).filter_map(|pair| match pair {
            [one, two] => self.text.get(one.end..two.start),
            _ => None,
        })
    }

    /// Whether all separators are the same single one of `allowed`.
    pub(super) fn is_separated_by(&self, allowed: &[u8]) -> bool {
        let first = self.separators().next();
        first.is_none_or(|sign| sign.len() == 1 && sign.iter().all(|byte| allowed.contains(byte)))
            && self.separators().all(|sign| Some(sign) == first)
    }
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'-' | b'.' | b'/' | b'(' | b')')
}

/// Whether it is a payment card's number: issuer or a naming word, length, groups, check digit.
pub(super) fn card(text: &[u8], part: &Part<'_>) -> bool {
    let digits = part.digits;
    if digits.len() < 12 || !part.is_separated_by(b" -") || !luhn(digits) {
        return false;
    }
    let lead = |length: usize| {
        digits
            .iter()
            .take(length)
            .fold(0_u32, |sum, digit| sum * 10 + u32::from(*digit))
    };
    let is_issued = match digits.len() {
        13 => lead(1) == 4,
        14 => matches!(lead(2), 36 | 38 | 39) || matches!(lead(3), 300..=305),
        15 => matches!(lead(2), 34 | 37) || matches!(lead(4), 2131 | 1800),
        16 => {
            lead(1) == 4
                || matches!(lead(2), 51..=55 | 60 | 62 | 64 | 65 | 81 | 82)
                || matches!(lead(4), 2200..=2204 | 2221..=2720 | 3528..=3589)
                || matches!(lead(2), 50 | 56..=59 | 63 | 67)
        }
        12 | 17 | 18 => matches!(
            lead(4),
            5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763
        ),
        19 => lead(1) == 4 || matches!(lead(2), 62 | 63 | 64 | 65 | 67),
        _ => false,
    };
    let is_same = digits.iter().all(|digit| Some(digit) == digits.first());
    let is_whole = part.groups.len() == 1
        || part.groups.len() >= 3 && part.shape().all(|length| (2..=7).contains(&length));
    let is_fraction = part.before() == Some(b'.')
        || part.after() == Some(b'.') && part.groups.len() == 1 && {
            let next = part
                .groups
                .last()
                .and_then(|group| part.text.get(group.end + 1));
            next.is_some_and(u8::is_ascii_digit)
        };
    let is_card = is_whole && !is_same && !is_fraction;
    is_card
        && (is_issued
            || digits.len() <= 19
                && is_near(
                    text,
                    part.start(),
                    &["card", "visa", "amex", "cc", "mastercard"],
                ))
}
