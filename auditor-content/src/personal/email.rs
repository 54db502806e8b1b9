//! E-mail addresses: the usual form of RFC 5321, no quoted local parts, no address literals.

use std::ops::Range;

/// Longest local part and longest domain, in bytes (RFC 5321).
const LOCAL: usize = 64;
const DOMAIN: usize = 255;
/// Endings of file names that look like a top-level domain after an `@2x`.
const FILES: [&str; 6] = ["png", "jpg", "jpeg", "gif", "svg", "webp"];

/// The address whose sign stands at `sign`.
pub(super) fn at(text: &[u8], sign: usize, floor: usize) -> Option<Range<usize>> {
    let before = text.get(floor..sign)?;
    let local = before
        .iter()
        .rev()
        .take(LOCAL + 1)
        .take_while(|byte| is_local(**byte))
        .count();
    let mut start = sign - local;
    while text
        .get(start)
        .is_some_and(|byte| matches!(byte, b'.' | b'\'' | b'-'))
        && start < sign
    {
        start += 1;
    }
    let name = text.get(start..sign)?;
    if name.is_empty() || name.len() > LOCAL || name == b"git" || name.last() == Some(&b'.') {
        return None;
    }
    let after = text.get(sign + 1..)?;
    let length = after
        .iter()
        .take(DOMAIN)
        .take_while(|byte| is_domain(**byte))
        .count();
    let domain = after.get(..length)?;
    let trimmed = domain
        .iter()
        .rposition(|byte| byte.is_ascii_alphanumeric() || *byte >= 0x80)?;
    let domain = domain.get(..=trimmed)?;
    is_host(domain).then_some(start..sign + 1 + domain.len())
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || byte >= 0x80
        || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-' | b'\'' | b'&')
}

fn is_domain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || matches!(byte, b'.' | b'-')
}

fn is_host(domain: &[u8]) -> bool {
    let mut labels = domain.split(|byte| *byte == b'.');
    let fine = labels
        .clone()
        .all(|label| !label.is_empty() && label.len() <= 63 && label.first() != Some(&b'-'));
    let top = labels.next_back().unwrap_or_default();
    let is_top = top.len() >= 2
        && top
            .iter()
            .all(|byte| byte.is_ascii_alphabetic() || *byte >= 0x80)
        || top.starts_with(b"xn--");
    fine && is_top
        && labels.next().is_some()
        && !FILES
            .iter()
            .any(|ending| top.eq_ignore_ascii_case(ending.as_bytes()))
}
