//! IP addresses. Versions of four numbers look alike; after a letter and `/`, or `v`, they are
//! not taken. Loopback, unspecified and broadcast addresses name no one.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::Range,
};

/// Longest text of an address, in bytes.
const LONGEST: usize = 45;

/// The address that the digit at `here` is part of.
pub(super) fn at(text: &[u8], here: usize, floor: usize) -> Option<Range<usize>> {
    let ahead = text.get(here..here + 5.min(text.len() - here))?;
    let near = text.get(here.saturating_sub(5).max(floor)..here)?;
    // A group has at most four digits, so one of the signs is near.
    let sign = near
        .iter()
        .rev()
        .chain(ahead)
        .find(|byte| matches!(byte, b'.' | b':'))?;
    if *sign == b'.' && !near.contains(&b':') {
        four(text, here)
    } else {
        six(text, here, floor)
    }
}

fn four(text: &[u8], here: usize) -> Option<Range<usize>> {
    let before = here
        .checked_sub(1)
        .and_then(|at| text.get(at))
        .copied()
        .unwrap_or(b' ');
    let earlier = here
        .checked_sub(2)
        .and_then(|at| text.get(at))
        .copied()
        .unwrap_or(b' ');
    let is_version = before == b'/' && earlier.is_ascii_alphabetic();
    if before.is_ascii_alphanumeric() || matches!(before, b'.' | b'_' | b'-') || is_version {
        return None;
    }
    let rest = text.get(here..)?;
    let length = rest
        .iter()
        .take(16)
        .take_while(|byte| byte.is_ascii_digit() || **byte == b'.')
        .count();
    let mut address = rest.get(..length)?;
    if let Some(cut) = address.strip_suffix(b".") {
        address = cut;
    }
    if rest
        .get(address.len())
        .is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    {
        return None;
    }
    let parsed: Ipv4Addr = std::str::from_utf8(address).ok()?.parse().ok()?;
    names_a_host(parsed.into()).then_some(here..here + address.len())
}

fn six(text: &[u8], here: usize, floor: usize) -> Option<Range<usize>> {
    let belongs = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    let before = text.get(floor..here)?;
    let back = before
        .iter()
        .rev()
        .take(LONGEST)
        .take_while(|byte| belongs(byte))
        .count();
    let ahead = text
        .get(here..)?
        .iter()
        .take(LONGEST)
        .take_while(|byte| belongs(byte))
        .count();
    let range = here - back..here + ahead;
    let is_word = |at: Option<usize>| {
        at.and_then(|at| text.get(at))
            .is_some_and(u8::is_ascii_alphanumeric)
    };
    if is_word(range.start.checked_sub(1)) || is_word(Some(range.end)) {
        return None;
    }
    let address = text.get(range.clone())?;
    let address = address.strip_suffix(b".").unwrap_or(address);
    let parsed: Ipv6Addr = std::str::from_utf8(address).ok()?.parse().ok()?;
    names_a_host(parsed.into()).then_some(range.start..range.start + address.len())
}

fn names_a_host(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast() || address.octets()[0] == 0);
    !address.is_loopback() && !address.is_unspecified() && !is_broadcast
}
