//! A header block that is spread over frames (RFC 9113, section 4.3).
//!
//! Decodes nothing. Whoever fills it keeps its bound.

use super::frame::{Frame, Kind, PADDED, PRIORITY};

/// A header block that continues.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) stream: u32,
    pub(super) end_stream: bool,
    /// For a stream that the server promises; nothing is asked there.
    pub(super) promised: bool,
    pub(super) fragments: Vec<u8>,
    /// Too large, or with a gap: it cannot be decoded.
    pub(super) lost: bool,
}

/// The piece of a header block in a frame's payload (sections 6.2 and 6.6).
pub(super) fn fragment(frame: Frame, payload: &[u8]) -> Option<&[u8]> {
    let mut rest = payload;
    if frame.kind == Kind::Continuation {
        return Some(rest);
    }
    if frame.has(PADDED) {
        let (padding, after) = rest.split_first()?;
        rest = after.get(..after.len().checked_sub(usize::from(*padding))?)?;
    }
    if frame.kind == Kind::Push {
        return rest.get(4..);
    }
    if frame.has(PRIORITY) {
        rest.get(5..)
    } else {
        Some(rest)
    }
}
