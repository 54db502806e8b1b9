//! The beginning of one direction of a TCP connection, read as TLS records.
//!
//! Keeps the first [`WINDOW`] bytes, which is about what the kernel side copies of a stream that is not MCP, and
//! judges them again when more come.

use super::{
    hello::{self, CLIENT_HELLO, Hello, SERVER_HELLO},
    unheard::Moved,
};

/// Bytes of a direction that are looked at.
pub(super) const WINDOW: usize = 1_024;
/// Content types of records (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
/// Longest record: 16 KiB and what encryption adds.
const RECORD: usize = (16 << 10) + 256;
/// A record of application data up to this long is an encrypted alert, in every version.
const ENCRYPTED_ALERT: usize = 40;
/// Handshake bytes that are gathered from records.
const HANDSHAKE_BYTES: usize = WINDOW;

/// The beginning of one direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Opening {
    bytes: Vec<u8>,
    /// Position of the first byte.
    start: u64,
    /// Whether something is missing, so that what follows cannot be read.
    is_cut: bool,
}

/// What a beginning shows.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Shown {
    /// [`CLIENT_HELLO`] or [`SERVER_HELLO`], and what it says.
    pub(super) hello: Option<(u8, Hello)>,
    /// Lengths of the records that say to hold application data.
    data: Vec<usize>,
    /// Whether everything that moved so far was looked at.
    is_whole: bool,
}

/// Whether bytes begin as a connection of TLS does, or as a chunk of one that was joined later.
pub(super) fn is_tls(bytes: &[u8]) -> bool {
    let Some(&[kind, 3, minor, high, low]) = bytes.first_chunk() else {
        return false;
    };
    let len = usize::from(high) << 8 | usize::from(low);
    let is_plausible = match (kind, bytes.get(5)) {
        (HANDSHAKE, Some(first)) => matches!(*first, CLIENT_HELLO | SERVER_HELLO),
        (HANDSHAKE, None) => true,
        (APPLICATION_DATA, _) => len > 16,
        _ => false,
    };
    minor <= 4 && (1..=RECORD).contains(&len) && is_plausible
}

impl Opening {
    /// Takes the bytes at `pos`.
    pub(super) fn push(&mut self, pos: u64, bytes: &[u8]) {
        if self.bytes.is_empty() && !self.is_cut {
            self.start = pos;
        }
        let is_next = pos == self.start + self.bytes.len() as u64;
        if self.is_cut || !is_next {
            self.is_cut = true;
            return;
        }
        let room = WINDOW - self.bytes.len();
        self.bytes
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.is_cut |= bytes.len() > room || self.bytes.len() == WINDOW;
    }

    /// Forgets the bytes: nothing more is to be learnt from them.
    pub(super) fn close(&mut self) {
        self.bytes = Vec::new();
        self.is_cut = true;
    }

    /// What they show.
    pub(super) fn shown(&self) -> Shown {
        let mut shown = Shown {
            is_whole: !self.is_cut,
            ..Shown::default()
        };
        let mut handshake = Vec::new();
        let mut rest = self.bytes.as_slice();
        while let Some((&[kind, 3, _, high, low], behind)) = rest.split_first_chunk() {
            let len = usize::from(high) << 8 | usize::from(low);
            let body = &behind[..behind.len().min(len)];
            match kind {
                // After the hello, handshake records of TLS 1.2 are of no interest, and later ones encrypted.
                HANDSHAKE if handshake.len() < HANDSHAKE_BYTES => handshake.extend_from_slice(body),
                APPLICATION_DATA => shown.data.push(len),
                _ => {}
            }
            rest = behind.get(len..).unwrap_or_default();
        }
        if let Some((&[kind @ (CLIENT_HELLO | SERVER_HELLO), a, b, c], body)) =
            handshake.split_first_chunk()
        {
            let len = u32::from_be_bytes([0, a, b, c]) as usize;
            let body = &body[..body.len().min(len)];
            shown.hello = Some((kind, hello::read(kind, body)));
        }
        shown
    }
}

impl Shown {
    /// Whether application data moved in this direction, which is the client's; `version` is what the server chose.
    ///
    /// With TLS 1.3 the first such record holds the end of the handshake, or an alert that refuses it.
    pub(super) fn moved(&self, version: Option<u16>) -> Moved {
        let is_old = version.is_some_and(|version| version < 0x304);
        let handshakes = usize::from(self.hello.is_some() && !is_old);
        let data = self.data.iter().skip(handshakes);
        if data.into_iter().any(|len| *len > ENCRYPTED_ALERT) {
            Moved::Yes
        } else if self.is_whole {
            Moved::No
        } else {
            Moved::Unknown
        }
    }
}

/// Any bytes as the beginning of a direction, cut in two: for the fuzz target. Not part of the product.
pub fn fuzz_opening(input: &[u8]) {
    let Some((at, bytes)) = input.split_first() else {
        return;
    };
    let at = usize::from(*at).min(bytes.len());
    let (mut whole, mut cut) = (Opening::default(), Opening::default());
    whole.push(7, bytes);
    cut.push(7, &bytes[..at]);
    cut.push(7 + at as u64, &bytes[at..]);
    assert!(whole.bytes.len() <= WINDOW && cut.bytes.len() <= WINDOW);
    let shown = whole.shown();
    assert_eq!(shown.hello, cut.shown().hello);
    let name = shown.hello.and_then(|(_, hello)| hello.server_name);
    assert!(name.is_none_or(|name| name.bytes().all(|byte| byte.is_ascii_graphic())));
    let _ = (is_tls(bytes), cut.shown().moved(None));
}

/// A record, for tests.
#[cfg(test)]
pub(super) fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut record = vec![kind, 3, 3];
    record.extend((body.len() as u16).to_be_bytes());
    record.extend(body);
    record
}

/// A record with a hello, for tests.
#[cfg(test)]
pub(super) fn hello_record(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend(&(body.len() as u32).to_be_bytes()[1..]);
    message.extend(body);
    record(HANDSHAKE, &message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tls::hello::{client_hello, name_extension};

    fn client() -> Vec<u8> {
        hello_record(
            CLIENT_HELLO,
            &client_hello(&[name_extension("mcp.example.com")]),
        )
    }

    fn opening(bytes: &[u8]) -> Opening {
        let mut opening = Opening::default();
        opening.push(100, bytes);
        opening
    }

    fn name(opening: &Opening) -> Option<String> {
        opening
            .shown()
            .hello
            .and_then(|(_, hello)| hello.server_name)
    }

    #[test]
    fn tls_is_told_from_other_protocols() {
        assert!(is_tls(&client()));
        assert!(is_tls(&record(APPLICATION_DATA, &[0; 50])));
        let others: [&[u8]; 6] = [
            b"",
            b"GET / HTTP/1.1\r\n",
            b"{\"jsonrpc\":\"2.0\"}",
            &[22, 3, 1, 0, 5, 9],
            &[23, 3, 3, 0, 3, 0],
            &[23, 3, 3, 0xff, 0xff, 0],
        ];
        for other in others {
            assert!(!is_tls(other), "{other:?}");
        }
    }

    #[test]
    fn a_hello_is_read_however_it_was_cut() {
        let bytes = client();
        for at in 0..bytes.len() {
            let mut cut = opening(&bytes[..at]);
            cut.push(100 + at as u64, &bytes[at..]);
            assert_eq!(name(&cut).as_deref(), Some("mcp.example.com"), "{at}");
        }
    }

    #[test]
    fn what_follows_a_hole_is_not_read() {
        let bytes = client();
        let mut torn = opening(&bytes[..30]);
        torn.push(140, &bytes[40..]);
        assert_eq!(name(&torn), None);
        assert_eq!(torn.shown().moved(None), Moved::Unknown);
    }

    #[test]
    fn the_end_of_a_handshake_is_no_application_data() {
        let finished = record(APPLICATION_DATA, &[0; 53]);
        let request = record(APPLICATION_DATA, &[0; 300]);
        let alert = record(APPLICATION_DATA, &[0; 19]);
        let moved = |parts: &[&[u8]], version| {
            let bytes = [&client()[..], &parts.concat()].concat();
            opening(&bytes).shown().moved(version)
        };
        assert_eq!(moved(&[&finished], Some(0x304)), Moved::No);
        assert_eq!(moved(&[&finished, &alert], None), Moved::No);
        assert_eq!(moved(&[&finished, &request], Some(0x304)), Moved::Yes);
        assert_eq!(moved(&[&request], Some(0x303)), Moved::Yes);
        let large = record(HANDSHAKE, &[0; 2000]);
        assert_eq!(moved(&[&large], Some(0x304)), Moved::Unknown);
    }

    #[test]
    fn of_a_connection_that_was_joined_every_record_counts() {
        let request = opening(&record(APPLICATION_DATA, &[0; 300]));
        assert_eq!(request.shown().moved(None), Moved::Yes);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(input in proptest::collection::vec(any::<u8>(), 0..400)) {
            fuzz_opening(&input);
            let hello = [&[40], &client()[..20], &input[..]].concat();
            fuzz_opening(&hello);
        }
    }
}
