//! Frame headers of HTTP/2 (RFC 9113, section 4.1), and where frames begin in unknown bytes.
//!
//! Reads no payload.

/// Size of a frame header.
pub(super) const HEADER: usize = 9;

pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const PRIORITY: u8 = 0x20;

/// Greatest length of a frame that is believed where frames are looked for. What is in use is
/// 16 KiB, and 1 MiB by agreement.
const MAX_LENGTH: u32 = 1 << 20;
/// Greatest length where a single frame must be believed, for it would hide what follows.
const MAX_SINGLE_LENGTH: u32 = 16 << 10;
/// Bytes looked through for a frame at a time, and frames that must follow each other.
const SEARCH: usize = 64 << 10;
const CHAIN: usize = 4;

/// Types of frames.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Data,
    Headers,
    Priority,
    Reset,
    Settings,
    Push,
    Ping,
    GoAway,
    WindowUpdate,
    Continuation,
    Unknown,
}

/// A frame header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Frame {
    pub(super) length: u32,
    pub(super) kind: Kind,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Frame {
    pub(super) const fn read(header: [u8; HEADER]) -> Self {
        let [a, b, c, kind, flags, d, e, f, g] = header;
        let kind = match kind {
            0 => Kind::Data,
            1 => Kind::Headers,
            2 => Kind::Priority,
            3 => Kind::Reset,
            4 => Kind::Settings,
            5 => Kind::Push,
            6 => Kind::Ping,
            7 => Kind::GoAway,
            8 => Kind::WindowUpdate,
            9 => Kind::Continuation,
            _ => Kind::Unknown,
        };
        let stream = u32::from_be_bytes([d, e, f, g]) & 0x7fff_ffff;
        Self {
            length: u32::from_be_bytes([0, a, b, c]),
            kind,
            flags,
            stream,
        }
    }

    pub(super) const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether the header keeps the rules of its type. Unknown types must be ignored, so they do.
    pub(super) const fn is_valid(&self) -> bool {
        match self.kind {
            Kind::Data | Kind::Headers | Kind::Continuation | Kind::Push => self.stream != 0,
            Kind::Priority => self.stream != 0 && self.length == 5,
            Kind::Reset => self.stream != 0 && self.length == 4,
            Kind::Settings => self.stream == 0 && self.length.is_multiple_of(6),
            Kind::Ping => self.stream == 0 && self.length == 8,
            Kind::GoAway => self.stream == 0 && self.length >= 8,
            Kind::WindowUpdate => self.length == 4,
            Kind::Unknown => self.length <= MAX_LENGTH,
        }
    }

    /// Whether unknown bytes that read so are likely a frame header.
    pub(super) fn is_plausible(&self, max_stream: u32) -> bool {
        let flags = match self.kind {
            Kind::Data => END_STREAM | PADDED,
            Kind::Headers => END_STREAM | END_HEADERS | PADDED | PRIORITY,
            Kind::Settings | Kind::Ping => 0x1,
            Kind::Push => END_HEADERS | PADDED,
            Kind::Continuation => END_HEADERS,
            Kind::Unknown => return false,
            _ => 0,
        };
        let by_client = match self.kind {
            Kind::Data | Kind::Headers | Kind::Continuation => self.stream % 2 == 1,
            _ => true,
        };
        self.is_valid()
            && self.flags & !flags == 0
            && by_client
            && self.length <= MAX_LENGTH
            && self.stream <= max_stream
    }
}

/// Greatest stream that is believed where none is known.
pub(super) const ANY_STREAM: u32 = 1 << 24;

/// Where frames begin in a chunk of a stream that is not known to be HTTP/2: at its beginning, or
/// also `anywhere`.
pub(in crate::wire) fn find_frame(bytes: &[u8], anywhere: bool) -> Option<usize> {
    let likely = bytes.first().is_some_and(|first| *first <= 0x10);
    if likely && chain(bytes, ANY_STREAM, true) {
        return Some(0);
    }
    (anywhere && memchr::memchr(0, bytes).is_some())
        .then(|| find(bytes, ANY_STREAM))
        .flatten()
}

/// Where the first frame begins in bytes of which the beginning may be the rest of another.
/// Several frames must fit, or one that ends with the bytes. Failing that, one is believed at the
/// very beginning, for a chunk mostly begins with a frame. Frames name streams up to `max_stream`.
pub(super) fn find(bytes: &[u8], max_stream: u32) -> Option<usize> {
    (0..bytes.len().min(SEARCH))
        .find(|&start| chain(bytes.get(start..).unwrap_or_default(), max_stream, false))
        .or_else(|| chain(bytes, max_stream, true).then_some(0))
}

fn chain(mut bytes: &[u8], max_stream: u32, at_start: bool) -> bool {
    for count in 0..CHAIN {
        if bytes.is_empty() {
            return count > 0;
        }
        let Some(header) = bytes.first_chunk::<HEADER>() else {
            return count > 1;
        };
        let frame = Frame::read(*header);
        if !frame.is_plausible(max_stream) {
            return false;
        }
        match bytes.get(HEADER + frame.length as usize..) {
            Some(rest) => bytes = rest,
            None if count > 0 => return true,
            None => {
                let whole_head = frame.kind == Kind::Data || frame.has(END_HEADERS);
                return at_start && whole_head && frame.length <= MAX_SINGLE_LENGTH
                    || at_start && bytes.len() == HEADER && frame.length < 256;
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_behind_the_rest_of_another() {
        let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        let data = [0, 0, 2, 0, 1, 0, 0, 0, 3, b'{', b'}'];
        let both = [&b"{\"rest\":1}"[..], &ping, &data].concat();
        assert_eq!(find(&both, 9), Some(10));
        assert_eq!(find(&both[10..], 9), Some(0));
        assert_eq!(find(&both[11..], 9), Some(16));
        assert_eq!(find(b"{\"jsonrpc\":\"2.0\"}\n", ANY_STREAM), None);
        assert_eq!(find(&[0; 1000], ANY_STREAM), None);
    }

    #[test]
    fn text_and_tls_records_begin_no_frame() {
        for bytes in [
            &b"HTTP/1.1 200 OK\r\n\r\n"[..],
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03",
            b"\0\0\0\0\0\0\0\0\0",
        ] {
            assert!(find_frame(bytes, true).is_none());
        }
        assert_eq!(find_frame(&[0, 0, 18, 4, 0, 0, 0, 0, 0], false), Some(0));
    }
}
