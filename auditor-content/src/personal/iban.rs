//! International bank account numbers: country, length and mod 97 (ISO 13616).

use std::ops::Range;

use super::checks::remainder;

/// Lengths of the registry, by country.
const LENGTHS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
    (b"YE", 30),
];

/// The account number that begins at `start`, in one piece or in groups.
pub(super) fn at(text: &[u8], start: usize) -> Option<Range<usize>> {
    let head = text.get(start..start + 4)?;
    if !head.get(2..)?.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let country = [
        head.first()?.to_ascii_uppercase(),
        head.get(1)?.to_ascii_uppercase(),
    ];
    let (_, length) = LENGTHS.iter().find(|(known, _)| **known == country)?;
    let mut symbols = [0_u8; 34];
    let mut count = 0;
    let mut end = start;
    let mut after_gap = true;
    while count < *length {
        let byte = *text.get(end)?;
        end += 1;
        match byte {
            b' ' | b'-' if !after_gap => after_gap = true,
            _ if byte.is_ascii_alphanumeric() => {
                *symbols.get_mut(count)? = byte.to_ascii_uppercase();
                count += 1;
                after_gap = false;
            }
            _ => return None,
        }
    }
    if text.get(end).is_some_and(u8::is_ascii_alphanumeric) {
        return None;
    }
    let symbols = symbols.get(..count)?;
    let (head, body) = symbols.split_at_checked(4)?;
    let digits: Vec<u8> = body
        .iter()
        .chain(head)
        .flat_map(|symbol| value(*symbol))
        .collect();
    (remainder(&digits, 97) == 1).then_some(start..end)
}

/// A letter counts as a number of two digits.
fn value(symbol: u8) -> impl Iterator<Item = u8> {
    let (tens, ones) = match symbol {
        b'A'..=b'Z' => (Some((symbol - b'A' + 10) / 10), (symbol - b'A') % 10),
        _ => (None, symbol.wrapping_sub(b'0')),
    };
    tens.into_iter().chain([ones])
}
