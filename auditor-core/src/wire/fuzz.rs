//! Entry points of the fuzz targets: hostile bytes in, the stated bounds asserted.
//!
//! Not part of the product; the unit tests run each over a few seeds.

use bytes::Bytes;

use super::{Item, Limits, Wire, http2};
use crate::{
    key::{ChannelId, Side, Time},
    stream::{Chunk, Content, EndCause, GapCause},
};

/// Small bounds, so that short inputs reach them.
const LIMITS: Limits = Limits {
    message: 200,
    channel: 300,
    head: 300,
    pipeline: 3,
    streams: 3,
    decoders: 2,
    decoded: 5000,
    ratio: 20,
    items: 50,
    quiet: 100,
};

/// Lines of any kind.
pub fn fuzz_lines(input: &[u8]) {
    run(input, b"", b"");
}

/// Both directions of an HTTP/1.1 connection.
pub fn fuzz_http1(input: &[u8]) {
    run(
        input,
        b"POST /mcp HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n",
    );
}

/// Both directions of an HTTP/2 connection.
pub fn fuzz_http2(input: &[u8]) {
    run(
        input,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        b"\0\0\0\x04\0\0\0\0\0",
    );
}

/// An event stream.
pub fn fuzz_sse(input: &[u8]) {
    run(
        input,
        b"GET /sse HTTP/1.1\r\nAccept: text/event-stream\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n",
    );
}

/// Both directions of a WebSocket.
pub fn fuzz_websocket(input: &[u8]) {
    run(
        input,
        b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
    );
}

/// Compressed bodies: the first byte chooses the encoding.
pub fn fuzz_encoding(input: &[u8]) {
    let Some((first, rest)) = input.split_first() else {
        return;
    };
    let encoding = ["gzip", "deflate", "br", "zstd"]
        .get(usize::from(first % 4))
        .unwrap_or(&"br");
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: {encoding}\r\n\r\n"
    );
    run(rest, b"", head.as_bytes());
}

/// Header blocks.
pub fn fuzz_hpack(input: &[u8]) {
    http2::fuzz_hpack(input);
}

/// Cuts the input into chunks of both directions, with gaps, and asserts what holds of any input.
fn run(input: &[u8], client: &[u8], server: &[u8]) {
    let Some((seed, mut rest)) = input.split_at_checked(4) else {
        return;
    };
    let mut random = Random(
        seed.iter()
            .fold(1, |seed, byte| seed << 8 | u64::from(*byte)),
    );
    let mut wire = Wire::new(ChannelId(1), LIMITS);
    let mut next = [0u64; 2];
    let mut send = |from: Side, content: Content, size: u64| {
        let Some(pos) = next.get_mut(from.index()) else {
            return;
        };
        let chunk = Chunk {
            channel: ChannelId(1),
            from,
            pos: *pos,
            time: Time(1),
            content,
        };
        *pos += size;
        wire.handle_chunk(&chunk);
        while let Some(item) = wire.poll_item() {
            check(&item, from, *pos);
        }
        assert!(wire.buffered() <= LIMITS.bound());
        if chunk.pos.is_multiple_of(97) {
            wire.shrink_to(50);
        }
    };
    for (from, begin) in [(Side::A, client), (Side::B, server)] {
        if !begin.is_empty() {
            send(
                from,
                Content::Bytes(Bytes::copy_from_slice(begin)),
                begin.len() as u64,
            );
        }
    }
    while !rest.is_empty() {
        let from = if random.below(3) == 0 {
            Side::A
        } else {
            Side::B
        };
        if random.below(16) == 0 {
            let bytes = random.below(40);
            let causes = [GapCause::RingFull, GapCause::Skipped, GapCause::Joined];
            let cause = causes
                .get(random.below(3) as usize)
                .copied()
                .unwrap_or(GapCause::Bound);
            send(from, Content::Gap { bytes, cause }, bytes);
            continue;
        }
        let size = (1 + random.below(60) as usize).min(rest.len());
        let (piece, after) = rest.split_at_checked(size).unwrap_or((rest, &[]));
        rest = after;
        send(
            from,
            Content::Bytes(Bytes::copy_from_slice(piece)),
            piece.len() as u64,
        );
    }
    for from in [Side::A, Side::B] {
        send(from, Content::End(EndCause::Closed), 0);
    }
    assert_eq!(
        wire.out.budget.held(),
        0,
        "what the budget granted must come back"
    );
    assert_eq!(wire.out.decoders, 0);
}

fn check(item: &Item, from: Side, end: u64) {
    if let Item::Message(message) = item {
        assert!(message.body.len() <= LIMITS.message.max(2048));
        assert!(message.body.len() as u64 <= message.size);
        assert!(message.range.start <= message.range.end);
        assert!(message.from != from || message.range.end <= end);
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % limit.max(1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pieces of what the parsers look for.
    const PIECES: [&[u8]; 23] = [
        b"{\"jsonrpc\":\"2.0\",\"id\":1}",
        b"{\"jsonrpc\":\"2.0\",\"a\":\"",
        b"\n",
        b"\r\n\r\n",
        b"[\n",
        b"data: {\"jsonrpc\":1}\n\n",
        b"event: endpoint\ndata: /x\n\n",
        b"18\r\n",
        b"0\r\n\r\n",
        b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 24\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\0\0\x01\x01\x04\0\0\0\x01\x83",
        b"\0\0\x01\x01\x04\0\0\0\x03\x88",
        b"\0\0\x18\0\x01\0\0\0\x01{\"jsonrpc\":\"2.0\",\"id\":1}",
        b"\0\0\x18\0\x09\0\0\0\x03",
        b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\0",
        b"\0\0\x02\x09\0\0\0\0\x01\x40\x01",
        b"\x81\x18{\"jsonrpc\":\"2.0\",\"id\":1}",
        b"\x01\x98\0\0\0\0{\"jsonrpc\":\"2.0\",\"id\":1}\x80\0",
        b"\xc1\x06\xab\x56\xca\x2a\xce\xcf",
        b"\x1f\x8b\x08\0\0\0\0\0\0\x03",
        b"\x28\xb5\x2f\xfd",
    ];

    /// Those pieces and any bytes, in any order.
    fn input() -> impl Strategy<Value = Vec<u8>> {
        let piece = proptest::sample::select(&PIECES[..]);
        let piece = prop_oneof![
            3 => piece.prop_map(<[u8]>::to_vec),
            1 => proptest::collection::vec(any::<u8>(), 0..20),
        ];
        proptest::collection::vec(piece, 1..30).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn every_target_survives_what_its_parsers_look_for(input in input(), seed: [u8; 5]) {
            let input = [&seed[..], &input].concat();
            for target in [fuzz_lines, fuzz_http1, fuzz_http2, fuzz_sse, fuzz_websocket, fuzz_encoding, fuzz_hpack] {
                target(&input);
            }
        }
    }
}
