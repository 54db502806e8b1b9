//! Certificates that one end of a TLS connection shows in its handshake (RFC 5246, section 7.4.2).
//!
//! Reads them across records and chunks, and neither decodes nor verifies them. TLS 1.3 encrypts them, and a resumed session
//! shows none. Bound: the first [`HANDSHAKE_BYTES`] of a direction, of which only the message of certificates is held, and
//! [`CHAIN`] certificates.

use auditor_common::limit::HANDSHAKE_BYTES;
use sha2::{Digest, Sha256};

use crate::identity;

/// Certificates of a chain; a longer one is not kept.
const CHAIN: usize = 8;
/// Content type of records (RFC 5246, section 6.2.1).
const HANDSHAKE: u8 = 22;
/// Types of handshake messages (RFC 5246, section 7.4).
const CERTIFICATE: u8 = 11;
const SERVER_HELLO_DONE: u8 = 14;
const CLIENT_KEY_EXCHANGE: u8 = 16;

/// The certificates that an end showed, as they were sent: not verified.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Chain {
    /// DER of each, the end's own first; at least one.
    pub certificates: Vec<Vec<u8>>,
    /// SHA-256 of the whole message.
    pub digest: [u8; 32],
}

impl Chain {
    /// Reads the body of the message; `None` where it holds no certificate, or is malformed.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let (list, behind) = split(body)?;
        if !behind.is_empty() {
            return None;
        }
        let mut certificates = Vec::new();
        let mut rest = list;
        while !rest.is_empty() {
            let (certificate, later) = split(rest)?;
            if certificate.is_empty() || certificates.len() == CHAIN {
                return None;
            }
            certificates.push(certificate.to_vec());
            rest = later;
        }
        (!certificates.is_empty()).then(|| Self {
            certificates,
            digest: Sha256::digest(body).into(),
        })
    }

    /// Bytes of all certificates.
    pub(super) fn bytes(&self) -> usize {
        self.certificates.iter().map(Vec::len).sum()
    }
}

/// What stands behind its length of three bytes, and what is behind it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[a, b, c], rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u32::from_be_bytes([0, a, b, c]) as usize)
}

/// Reads one direction from its beginning.
#[derive(Clone, Debug, Default)]
pub(super) struct Reader {
    /// Position of the next byte; `None` before the first.
    next: Option<u64>,
    /// Bytes that were read.
    read: usize,
    record: Gather<5>,
    /// Bytes of the record that are to come.
    record_left: usize,
    message: Gather<4>,
    /// Bytes of the message that are to come.
    message_left: usize,
    /// Of the message of certificates, what has come.
    body: Option<Vec<u8>>,
    is_closed: bool,
}

impl Reader {
    /// Takes the bytes at `pos`; gives the certificates once they are there.
    pub(super) fn push(&mut self, pos: u64, bytes: &[u8]) -> Option<Chain> {
        if self.is_closed {
            return None;
        }
        let is_next = *self.next.get_or_insert(pos) == pos;
        let room = (HANDSHAKE_BYTES as usize).saturating_sub(self.read);
        let bytes = &bytes[..bytes.len().min(room)];
        self.next = Some(pos.saturating_add(bytes.len() as u64));
        self.read += bytes.len();
        let found = if is_next {
            self.take_records(bytes)
        } else {
            self.close();
            None
        };
        if self.read == HANDSHAKE_BYTES as usize {
            self.close();
        }
        found
    }

    /// Forgets all: nothing more is to be learnt.
    pub(super) fn close(&mut self) {
        self.body = None;
        self.is_closed = true;
    }

    /// Whether more bytes are wanted.
    pub(super) fn is_open(&self) -> bool {
        !self.is_closed
    }

    /// Bytes that are held.
    pub(super) fn held(&self) -> usize {
        self.body.as_ref().map_or(0, Vec::len)
    }

    fn take_records(&mut self, mut rest: &[u8]) -> Option<Chain> {
        while !rest.is_empty() && !self.is_closed {
            if self.record_left == 0 {
                rest = self.record.fill(rest);
                match self.record.take() {
                    None => {}
                    Some([HANDSHAKE, 3, _, high, low]) => {
                        self.record_left = usize::from(u16::from_be_bytes([high, low]));
                    }
                    // What follows is encrypted, or no TLS.
                    Some(_) => self.close(),
                }
                continue;
            }
            let (now, later) = rest.split_at(rest.len().min(self.record_left));
            self.record_left -= now.len();
            rest = later;
            let found = self.take_messages(now);
            if found.is_some() {
                return found;
            }
        }
        None
    }

    fn take_messages(&mut self, mut rest: &[u8]) -> Option<Chain> {
        while !rest.is_empty() && !self.is_closed {
            if self.message_left == 0 {
                rest = self.message.fill(rest);
                let Some([kind, a, b, c]) = self.message.take() else {
                    continue;
                };
                self.message_left = u32::from_be_bytes([0, a, b, c]) as usize;
                match kind {
                    CERTIFICATE if self.message_left > 0 => self.body = Some(Vec::new()),
                    // Certificates come before these.
                    CERTIFICATE | SERVER_HELLO_DONE | CLIENT_KEY_EXCHANGE => self.close(),
                    _ => {}
                }
                if self.message_left > HANDSHAKE_BYTES as usize {
                    self.close();
                }
                continue;
            }
            let (now, later) = rest.split_at(rest.len().min(self.message_left));
            self.message_left -= now.len();
            rest = later;
            if let Some(body) = &mut self.body {
                body.extend_from_slice(now);
                if self.message_left == 0 {
                    let found = Chain::parse(body);
                    self.close();
                    return found;
                }
            }
        }
        None
    }
}

/// Gathers a header that may be cut.
#[derive(Clone, Debug)]
struct Gather<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Default for Gather<N> {
    fn default() -> Self {
        Self {
            bytes: [0; N],
            len: 0,
        }
    }
}

impl<const N: usize> Gather<N> {
    /// Takes what is missing; gives the rest.
    fn fill<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (now, later) = bytes.split_at(bytes.len().min(N - self.len));
        self.bytes[self.len..self.len + now.len()].copy_from_slice(now);
        self.len += now.len();
        later
    }

    /// The header, once it is whole.
    fn take(&mut self) -> Option<[u8; N]> {
        (self.len == N).then(|| {
            self.len = 0;
            self.bytes
        })
    }
}

/// Any bytes as the beginning of a direction, cut where the first of them say, and as a certificate: for the fuzz target.
/// Not part of the product.
pub fn fuzz_certificates(input: &[u8]) {
    let Some((step, bytes)) = input.split_first() else {
        return;
    };
    let whole = Reader::default().push(7, bytes);
    let (mut reader, mut cut) = (Reader::default(), None);
    let mut pos = 7;
    for piece in bytes.chunks(usize::from(*step).max(1)) {
        let found = reader.push(pos, piece);
        assert!(found.is_none() || cut.is_none());
        cut = cut.or(found);
        pos += piece.len() as u64;
        assert!(reader.held() <= HANDSHAKE_BYTES as usize);
    }
    assert_eq!(whole, cut);
    let shown = whole.map_or_else(
        || vec![bytes.to_vec()],
        |chain| {
            assert!((1..=CHAIN).contains(&chain.certificates.len()));
            assert!(chain.bytes() <= HANDSHAKE_BYTES as usize);
            chain.certificates
        },
    );
    identity::fuzz_certificate(&Chain {
        certificates: shown,
        digest: [0; 32],
    });
}

/// A message of certificates, for tests.
#[cfg(test)]
pub(crate) fn message(certificates: &[&[u8]]) -> Vec<u8> {
    let prefixed = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[1..], bytes].concat();
    let list: Vec<u8> = certificates.iter().flat_map(|one| prefixed(one)).collect();
    [&[CERTIFICATE], &prefixed(&prefixed(&list))[..]].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tls::{
        hello::{CLIENT_HELLO, client_hello},
        opening::{hello_record, record},
    };

    const CHANGE_CIPHER_SPEC: u8 = 20;

    /// A client's handshake, its messages in records of `size` bytes.
    fn handshake(certificates: &[&[u8]], size: usize) -> Vec<u8> {
        let messages = [
            &message(certificates)[..],
            &[CLIENT_KEY_EXCHANGE, 0, 0, 1, 7],
        ]
        .concat();
        let mut bytes = hello_record(CLIENT_HELLO, &client_hello(&[]));
        for piece in messages.chunks(size) {
            bytes.extend(record(HANDSHAKE, piece));
        }
        bytes.extend(record(CHANGE_CIPHER_SPEC, &[1]));
        bytes.extend(record(HANDSHAKE, &[0xee; 40]));
        bytes
    }

    fn read(bytes: &[u8], size: usize) -> (Reader, Option<Chain>) {
        let (mut reader, mut found, mut pos) = (Reader::default(), None, 9);
        for piece in bytes.chunks(size) {
            found = found.or(reader.push(pos, piece));
            pos += piece.len() as u64;
        }
        (reader, found)
    }

    #[test]
    fn certificates_are_read_and_nothing_is_held_afterwards() {
        let bytes = handshake(&[b"leaf", b"issuer"], 4_096);
        let (reader, found) = read(&bytes, 4_096);
        let expected = vec![b"leaf".to_vec(), b"issuer".to_vec()];
        assert_eq!(found.unwrap().certificates, expected);
        assert!(!reader.is_open() && reader.held() == 0);
    }

    #[test]
    fn an_end_without_a_certificate_shows_none() {
        let none = handshake(&[], 4_096);
        let hello = hello_record(CLIENT_HELLO, &client_hello(&[]));
        let sealed = [&hello[..], &record(23, &message(&[b"leaf"]))].concat();
        let resumed = [&hello[..], &record(CHANGE_CIPHER_SPEC, &[1])].concat();
        for bytes in [none, sealed, resumed] {
            let (reader, found) = read(&bytes, 4_096);
            assert_eq!(found, None);
            assert!(!reader.is_open());
        }
    }

    #[test]
    fn what_follows_a_hole_or_the_bound_is_not_read() {
        let bytes = handshake(&[b"leaf"], 4_096);
        let mut reader = Reader::default();
        assert_eq!(reader.push(0, &bytes[..70]), None);
        assert_eq!(reader.push(71, &bytes[71..]), None);
        assert!(!reader.is_open());
        let large = vec![1; HANDSHAKE_BYTES as usize];
        let (reader, found) = read(&handshake(&[&large], 16_000), 1_000);
        assert!(found.is_none() && !reader.is_open() && reader.held() == 0);
        let many = vec![&b"c"[..]; CHAIN + 1];
        assert_eq!(read(&handshake(&many, 4_096), 4_096).1, None);
        let most = read(&handshake(&many[1..], 4_096), 4_096).1.unwrap();
        assert_eq!(most.certificates.len(), CHAIN);
    }

    #[test]
    fn a_malformed_list_is_no_chain() {
        for body in [
            &[0, 0, 0][..],
            &[0, 0, 3, 0, 0, 0],
            &[0, 0, 4, 0, 0, 2, 1],
            &[0, 0, 4, 0, 0, 1, 1, 9],
            &[0, 0, 5, 0, 0, 1, 1, 9],
        ] {
            assert_eq!(Chain::parse(body), None, "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn any_cut_of_records_and_chunks_gives_the_same(
            certificates in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 1..5),
            record_size in 1usize..700,
            chunk_size in 1usize..700,
        ) {
            let shown: Vec<&[u8]> = certificates.iter().map(Vec::as_slice).collect();
            let (_, found) = read(&handshake(&shown, record_size), chunk_size);
            // Many small records are more than is read.
            if handshake(&shown, record_size).len() < HANDSHAKE_BYTES as usize {
                prop_assert_eq!(found.unwrap().certificates, certificates);
            }
        }

        #[test]
        fn any_bytes_are_survived(input in proptest::collection::vec(any::<u8>(), 0..400)) {
            fuzz_certificates(&input);
            fuzz_certificates(&[&[3], &handshake(&[&input, b"x"], 100)[..]].concat());
        }
    }
}
