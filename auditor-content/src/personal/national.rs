//! National ids, each by its shape and check digit.
//!
//! Where the shape is common and the check weak, a naming word must stand before it.

use std::ops::Range;

use super::{
    checks::{luhn, mod_11_10, remainder, verhoeff, weighted},
    digits::Part,
    is_near,
};

/// The rule that a number of digits and separators fits.
pub(super) fn number(text: &[u8], part: &Part<'_>) -> Option<&'static str> {
    let digits = part.digits;
    let near = |words: &[&str]| is_near(text, part.start(), words);
    let plain = part.is_separated_by(b" -.");
    let rules: &[(&'static str, &dyn Fn() -> bool)] = match digits.len() {
        9 => &[
            ("us-ssn", &|| {
                us_ssn(part)
                    && (part.is_shaped(&[3, 2, 4]) && plain || near(&["ssn", "social security"]))
            }),
            ("us-itin", &|| {
                part.is_shaped(&[3, 2, 4]) && plain && us_itin(digits)
            }),
            ("nl-bsn", &|| {
                nl_bsn(digits) && near(&["bsn", "burgerservice", "sofi"])
            }),
            ("ca-sin", &|| {
                luhn(digits) && near(&["sin", "social insurance"])
            }),
            ("au-tfn", &|| {
                weighted(digits, &[1, 4, 3, 7, 5, 8, 6, 9, 10]).is_multiple_of(11)
                    && near(&["tfn", "tax file"])
            }),
        ],
        10 => &[
            ("uk-nhs", &|| {
                uk_nhs(digits) && near(&["nhs", "national health"])
            }),
            ("se-personnummer", &|| {
                part.is_shaped(&[6, 4])
                    && near(&["personnummer", "personal number"])
                    && luhn(digits)
            }),
        ],
        11 => &[
            ("br-cpf", &|| {
                br_cpf(digits) && (part.is_shaped(&[3, 3, 3, 2]) || near(&["cpf"]))
            }),
            ("de-steuer-id", &|| {
                de_steuer(digits) && near(&["steuer", "tax id", "tax-id", "taxid", "idnr", "tin"])
            }),
            ("pl-pesel", &|| {
                weighted(digits, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]).is_multiple_of(10)
                    && near(&["pesel"])
            }),
            ("au-medicare", &|| {
                weighted(digits, &[1, 3, 7, 9, 1, 3, 7, 9]) % 10 == u32::from(digits[8])
                    && near(&["medicare"])
            }),
        ],
        12 => &[("in-aadhaar", &|| {
            digits[0] >= 2
                && verhoeff(digits)
                && (part.is_shaped(&[4, 4, 4]) && plain || near(&["aadhaar", "aadhar", "uidai"]))
        })],
        13 => &[("kr-rrn", &|| {
            part.is_shaped(&[6, 7]) && plain && kr_rrn(digits)
        })],
        15 => &[("fr-nir", &|| fr_nir(digits))],
        18 => &[("cn-id", &|| part.is_shaped(&[18]) && cn_id(digits, None))],
        _ => &[],
    };
    rules
        .iter()
        .find(|(_, holds)| holds())
        .map(|(rule, _)| *rule)
}

/// The rule that a word of letters and digits fits, and the place of the id.
pub(super) fn word(text: &[u8], word: Range<usize>) -> Option<(&'static str, Range<usize>)> {
    if word.start.checked_sub(1).and_then(|at| text.get(at)) == Some(&b'_')
        || text.get(word.end) == Some(&b'_')
    {
        return None;
    }
    let bytes = text.get(word.clone())?;
    let near = |words: &[&str]| is_near(text, word.start, words);
    let rule = match bytes.len() {
        9 => nine(bytes, &near),
        10 => {
            (in_pan(bytes) && near(&["pan", "permanent account", "income tax"])).then_some("in-pan")
        }
        16 => it_codice(bytes).then_some("it-codice-fiscale"),
        18 => {
            let (check, body) = bytes.split_last()?;
            let digits = values(body)?;
            (check.eq_ignore_ascii_case(&b'X') && cn_id(&digits, Some(10))).then_some("cn-id")
        }
        _ => None,
    };
    if let Some(rule) = rule {
        return Some((rule, word));
    }
    spaced_nino(text, word.start)
}

fn nine(bytes: &[u8], near: &dyn Fn(&[&str]) -> bool) -> Option<&'static str> {
    if uk_nino(bytes) {
        return Some("uk-nino");
    }
    if es_dni(bytes) {
        return Some("es-dni");
    }
    if sg_nric(bytes)
        && (near(&["nric", "fin", "singapore"])
            || bytes.iter().all(|byte| !byte.is_ascii_lowercase()))
    {
        return Some("sg-nric");
    }
    (near(&["passport"]) && bytes.iter().skip(2).all(u8::is_ascii_digit)).then_some("passport")
}

fn values(bytes: &[u8]) -> Option<Vec<u8>> {
    bytes
        .iter()
        .map(|byte| byte.is_ascii_digit().then(|| byte - b'0'))
        .collect()
}

fn us_ssn(part: &Part<'_>) -> bool {
    let number = |range: Range<usize>| {
        part.digits
            .get(range)
            .map_or(0, |digits| remainder(digits, 100_000))
    };
    let area = number(0..3);
    area != 0 && area != 666 && area < 900 && number(3..5) != 0 && number(5..9) != 0
}

fn us_itin(digits: &[u8]) -> bool {
    digits.first() == Some(&9) && matches!(digits.get(3), Some(5..=9))
}

fn nl_bsn(digits: &[u8]) -> bool {
    let Some((last, body)) = digits.split_last() else {
        return false;
    };
    let sum = weighted(body, &[9, 8, 7, 6, 5, 4, 3, 2]);
    sum > 0 && (sum + 11 - u32::from(*last)).is_multiple_of(11)
}

fn uk_nhs(digits: &[u8]) -> bool {
    let check = (11 - weighted(digits, &[10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11) % 11;
    check < 10 && digits.last().is_some_and(|last| u32::from(*last) == check)
}

fn br_cpf(digits: &[u8]) -> bool {
    let check = |length: u32| {
        let weights: Vec<u32> = (2..=length + 1).rev().collect();
        weighted(digits, &weights) * 10 % 11 % 10
    };
    let is_same = digits.iter().all(|digit| Some(digit) == digits.first());
    !is_same
        && matches!(digits.get(9..), Some([one, two]) if check(9) == u32::from(*one) && check(10) == u32::from(*two))
}

fn de_steuer(digits: &[u8]) -> bool {
    digits.first().is_some_and(|digit| *digit != 0) && mod_11_10(digits)
}

fn kr_rrn(digits: &[u8]) -> bool {
    let month = digits.get(2..4).map_or(0, |month| remainder(month, 100));
    let check = (11 - weighted(digits, &[2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]) % 11) % 10;
    (1..=12).contains(&month) && digits.last().is_some_and(|last| u32::from(*last) == check)
}

fn fr_nir(digits: &[u8]) -> bool {
    let (Some(body), Some(key)) = (digits.get(..13), digits.get(13..)) else {
        return false;
    };
    let month = digits.get(3..5).map_or(0, |month| remainder(month, 100));
    matches!(digits.first(), Some(1 | 2))
        && matches!(month, 1..=12 | 20 | 30..=42)
        && 97 - remainder(body, 97) == remainder(key, 100)
}

fn cn_id(digits: &[u8], last: Option<u32>) -> bool {
    let sum = weighted(
        digits,
        &[7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2],
    );
    let year = digits.get(6..10).map_or(0, |year| remainder(year, 10_000));
    let month = digits.get(10..12).map_or(0, |month| remainder(month, 100));
    let last = last.or(digits.get(17).map(|digit| u32::from(*digit)));
    (1900..2100).contains(&year) && (1..=12).contains(&month) && last == Some((12 - sum % 11) % 11)
}

fn uk_nino(bytes: &[u8]) -> bool {
    let [first, second, middle @ .., last] = bytes else {
        return false;
    };
    let prefix = [first.to_ascii_uppercase(), second.to_ascii_uppercase()];
    let is_letter = |letter: u8| letter.is_ascii_uppercase() && !b"DFIQUV".contains(&letter);
    is_letter(prefix[0])
        && is_letter(prefix[1])
        && prefix[1] != b'O'
        && ![*b"BG", *b"GB", *b"NK", *b"KN", *b"TN", *b"NT", *b"ZZ"].contains(&prefix)
        && middle.len() == 6
        && middle.iter().all(u8::is_ascii_digit)
        && matches!(last.to_ascii_uppercase(), b'A'..=b'D')
}

/// A national insurance number in groups whose first begins with its letters: `AB12 34 56C`.
fn spaced_nino(text: &[u8], start: usize) -> Option<(&'static str, Range<usize>)> {
    let mut bytes = Vec::with_capacity(9);
    let mut end = start;
    while bytes.len() < 9 && end < start + 14 {
        let byte = *text.get(end)?;
        match byte {
            b' ' | b'-' => {}
            _ if byte.is_ascii_alphanumeric() => bytes.push(byte),
            _ => return None,
        }
        end += 1;
    }
    let is_whole = !text.get(end).is_some_and(u8::is_ascii_alphanumeric);
    (bytes.len() == 9 && is_whole && uk_nino(&bytes)).then_some(("uk-nino", start..end))
}

fn es_dni(bytes: &[u8]) -> bool {
    let Some((letter, body)) = bytes.split_last() else {
        return false;
    };
    let mut digits = body.to_vec();
    if let Some(first) = digits.first_mut() {
        *first = match *first {
            b'X' => b'0',
            b'Y' => b'1',
            b'Z' => b'2',
            other => other,
        };
    }
    let index = values(&digits).map(|digits| remainder(&digits, 23));
    index.and_then(|index| b"TRWAGMYFPDXBNJZSQVHLCKE".get(usize::try_from(index).ok()?))
        == Some(letter)
}

fn sg_nric(bytes: &[u8]) -> bool {
    let [kind, middle @ .., letter] = bytes else {
        return false;
    };
    let Some(digits) = values(middle) else {
        return false;
    };
    let sum = weighted(&digits, &[2, 7, 6, 5, 4, 3, 2]);
    let (extra, letters) = match kind {
        b'S' => (0, b"JZIHGFEDCBA"),
        b'T' => (4, b"JZIHGFEDCBA"),
        b'F' => (0, b"XWUTRQPNMLK"),
        b'G' => (4, b"XWUTRQPNMLK"),
        _ => return false,
    };
    letters.get((sum as usize + extra) % 11) == Some(letter)
}

fn in_pan(bytes: &[u8]) -> bool {
    let shape = |range: Range<usize>, is: fn(&u8) -> bool| {
        bytes.get(range).is_some_and(|part| part.iter().all(is))
    };
    shape(0..5, u8::is_ascii_alphabetic)
        && shape(5..9, u8::is_ascii_digit)
        && shape(9..10, u8::is_ascii_alphabetic)
        && bytes
            .get(3)
            .is_some_and(|letter| b"PCHFATBLJG".contains(&letter.to_ascii_uppercase()))
}

fn it_codice(bytes: &[u8]) -> bool {
    /// Values of the letters at odd places, A to Z; digits count as A to J.
    const ODD: [u32; 26] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24,
        23,
    ];
    let Some((check, body)) = bytes.split_last() else {
        return false;
    };
    let is_shaped = body
        .iter()
        .zip(b"LLLLLLNNLNNLNNN")
        .all(|(byte, kind)| match kind {
            b'L' => byte.is_ascii_alphabetic(),
            // Digits may be letters where two people would have the same code.
            _ => byte.is_ascii_digit() || b"LMNPQRSTUV".contains(&byte.to_ascii_uppercase()),
        });
    if !is_shaped || body.len() != 15 {
        return false;
    }
    let sum: u32 = (0..)
        .zip(body)
        .map(|(index, byte)| {
            let value = if byte.is_ascii_digit() {
                byte - b'0'
            } else {
                byte.to_ascii_uppercase() - b'A'
            };
            if index % 2 == 0 {
                ODD.get(usize::from(value)).copied().unwrap_or_default()
            } else {
                u32::from(value)
            }
        })
        .sum();
    u32::from(check.to_ascii_uppercase()) == u32::from(b'A') + sum % 26
}
