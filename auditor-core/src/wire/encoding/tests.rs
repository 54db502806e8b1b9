use std::io::Write as _;

use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use proptest::prelude::*;

use super::*;

pub(crate) fn encode(encoding: Encoding, text: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::default();
    match encoding {
        Encoding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), level);
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        Encoding::Deflate => {
            let mut encoder = ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        Encoding::Brotli => {
            let mut out = Vec::new();
            ::brotli::CompressorWriter::new(&mut out, 4096, 5, 22)
                .write_all(text)
                .unwrap();
            out
        }
        Encoding::Zstd => {
            ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest)
        }
        Encoding::Identity | Encoding::Unknown => text.to_vec(),
    }
}

fn decode(encoding: Encoding, body: &[u8], size: usize) -> Result<Vec<u8>, DecodeError> {
    let mut decoder = Decoder::new(encoding).unwrap();
    let mut text = Vec::new();
    for piece in body.chunks(size) {
        decoder.decode(piece, &Limits::default(), &mut |bytes| {
            text.extend_from_slice(bytes)
        })?;
    }
    Ok(text)
}

const ALL: [Encoding; 4] = [
    Encoding::Gzip,
    Encoding::Deflate,
    Encoding::Brotli,
    Encoding::Zstd,
];

#[test]
fn raw_deflate_is_told_from_zlib() {
    let mut encoder = DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(b"hello hello hello").unwrap();
    let body = encoder.finish().unwrap();
    assert_eq!(
        decode(Encoding::Deflate, &body, 1).unwrap(),
        b"hello hello hello"
    );
}

#[test]
fn all_optional_fields_of_a_gzip_header_and_several_members_are_understood() {
    let plain = encode(Encoding::Gzip, b"one");
    let mut body = vec![
        0x1f, 0x8b, 8, EVERY_FLAG, 0, 0, 0, 0, 0, 3, 2, 0, b'x', b'x',
    ];
    body.extend_from_slice(b"name\0comment\0cc");
    body.extend_from_slice(&plain[10..]);
    body.extend_from_slice(&plain);
    assert_eq!(decode(Encoding::Gzip, &body, 1).unwrap(), b"oneone");
    assert_eq!(decode(Encoding::Gzip, &body, 999).unwrap(), b"oneone");
}
const EVERY_FLAG: u8 = 0b1_1110;

#[test]
fn several_zstd_frames_and_skippable_ones_are_understood() {
    let mut body = encode(Encoding::Zstd, b"one");
    body.extend_from_slice(&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
    body.extend_from_slice(&encode(Encoding::Zstd, b"two"));
    assert_eq!(decode(Encoding::Zstd, &body, 1).unwrap(), b"onetwo");
}

#[test]
fn output_comes_as_soon_as_the_sender_flushes() {
    for (encoding, mut encoder) in [
        (
            Encoding::Gzip,
            Box::new(GzEncoder::new(Vec::new(), Default::default())) as Box<dyn Flush>,
        ),
        (
            Encoding::Brotli,
            Box::new(::brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22)),
        ),
    ] {
        let body = encoder.flushed(b"data: x\n\n");
        assert_eq!(
            decode(encoding, &body, 4).unwrap(),
            b"data: x\n\n",
            "{encoding:?}"
        );
    }
}

trait Flush {
    fn flushed(&mut self, text: &[u8]) -> Vec<u8>;
}
impl Flush for GzEncoder<Vec<u8>> {
    fn flushed(&mut self, text: &[u8]) -> Vec<u8> {
        self.write_all(text).unwrap();
        self.flush().unwrap();
        self.get_ref().clone()
    }
}
impl Flush for ::brotli::CompressorWriter<Vec<u8>> {
    fn flushed(&mut self, text: &[u8]) -> Vec<u8> {
        self.write_all(text).unwrap();
        self.flush().unwrap();
        self.get_ref().clone()
    }
}

#[test]
fn a_decompression_bomb_is_refused_at_the_limit() {
    let limits = Limits {
        decoded: 100_000,
        ratio: 10,
        ..Limits::default()
    };
    for encoding in ALL {
        let body = encode(encoding, &vec![b'a'; 3_000_000]);
        let mut decoder = Decoder::new(encoding).unwrap();
        let mut made = 0;
        let result = decoder.decode(&body, &limits, &mut |bytes| made += bytes.len());
        assert!(
            matches!(result, Err(DecodeError::TooLarge { .. })),
            "{encoding:?} {result:?}"
        );
        assert!(made <= 100_000, "{encoding:?}");
    }
}

#[test]
fn a_high_ratio_below_the_size_limit_is_accepted() {
    let limits = Limits {
        decoded: 100_000,
        ratio: 1,
        ..Limits::default()
    };
    for encoding in ALL {
        let body = encode(encoding, &[b'a'; 90_000]);
        let mut made = 0;
        let mut decoder = Decoder::new(encoding).unwrap();
        decoder
            .decode(&body, &limits, &mut |bytes| made += bytes.len())
            .unwrap();
        assert_eq!(made, 90_000, "{encoding:?}");
    }
}

proptest! {
    #[test]
    fn what_was_encoded_comes_back_however_it_is_cut(
        text in proptest::collection::vec(prop_oneof![Just(b'a'), any::<u8>()], 0..3000), size in 1usize..700,
    ) {
        for encoding in ALL {
            let body = encode(encoding, &text);
            prop_assert_eq!(&decode(encoding, &body, size).unwrap(), &text, "{:?}", encoding);
        }
    }

    #[test]
    fn malformed_bodies_never_panic(body in proptest::collection::vec(any::<u8>(), 0..300), at: proptest::sample::Index, with: u8) {
        for encoding in ALL {
            let _ = decode(encoding, &body, 7);
            let mut damaged = encode(encoding, &body);
            let at = at.index(damaged.len());
            damaged[at] = with;
            let _ = decode(encoding, &damaged, 50);
        }
    }
}
