//! What a body without a telling head is, by its first bytes.
//!
//! Decodes nothing and keeps nothing.

use crate::wire::Encoding;

/// What an event stream's first line may begin with.
const EVENT_STREAM: [&[u8]; 5] = [b"data:", b"event:", b"id:", b"retry:", b":"];
const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// What a body may be.
pub(super) enum Sniffed {
    Json,
    Events,
    Encoded(Encoding),
    Nothing,
}

/// What a body that begins so may be; `None` while that is open.
pub(super) fn sniff(seen: &[u8], head_known: bool) -> Option<Sniffed> {
    let seen = seen
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(seen)
        .trim_ascii_start();
    let first = seen.first()?;
    if matches!(first, b'{' | b'[') {
        return Some(Sniffed::Json);
    }
    let may_begin = |prefix: &[u8]| prefix.starts_with(seen) || seen.starts_with(prefix);
    let is = |prefix: &[u8]| seen.starts_with(prefix);
    if EVENT_STREAM.iter().any(|prefix| is(prefix)) {
        return Some(Sniffed::Events);
    }
    if !head_known {
        if is(GZIP) {
            return Some(Sniffed::Encoded(Encoding::Gzip));
        }
        if is(ZSTD) {
            return Some(Sniffed::Encoded(Encoding::Zstd));
        }
        if may_begin(GZIP) || may_begin(ZSTD) {
            return None;
        }
    }
    if EVENT_STREAM.iter().any(|prefix| may_begin(prefix)) {
        return None;
    }
    Some(Sniffed::Nothing)
}
